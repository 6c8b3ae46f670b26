"""The stack of links: which is on top of which. Pure."""

from __future__ import annotations

from collections.abc import Set

from .rows import lower_index
from .rtnetlink import Link


class LinkStack:
    """The links by what they name: a port names its master, a VLAN names the link below. Indexes in, indexes out."""

    def __init__(self) -> None:
        self._links: dict[int, Link] = {}
        # By index: the links that name this one.
        self._naming: dict[int, set[int]] = {}

    def put(self, link: Link) -> None:
        """Adds the link, or replaces the one with its index."""
        self.remove(link.ifindex)
        self._links[link.ifindex] = link
        for other in named_by(link):
            self._naming.setdefault(other, set()).add(link.ifindex)

    def remove(self, index: int) -> None:
        """Removes the link; harmless when it is not there."""
        link = self._links.pop(index, None)
        for other in named_by(link) if link else ():
            self._naming[other].discard(index)
            if not self._naming[other]:
                del self._naming[other]

    def adjacent(self, index: int) -> set[int]:
        """Returns the links directly above and below, also those that are not there."""
        link = self._links.get(index)
        return (named_by(link) if link else set()) | self._naming.get(index, set())

    def higher(self, index: int) -> set[int]:
        """Returns the links directly above that are there."""
        on_top = {other for other in self._naming.get(index, ()) if lower_index(self._links[other]) == index}
        return self._known(on_top | {self._links[index].master or 0})

    def lower(self, index: int) -> set[int]:
        """Returns the links directly below that are there."""
        ports = {other for other in self._naming.get(index, ()) if self._links[other].master == index}
        return self._known(ports | {lower_index(self._links[index]) or 0})

    def _known(self, indexes: Set[int]) -> set[int]:
        return indexes & self._links.keys()


def named_by(link: Link) -> set[int]:
    """Returns the links directly above and below that this link names."""
    return {index for index in (link.master, lower_index(link)) if index}
