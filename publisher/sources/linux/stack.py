"""The stack of links: which is above and which is below. Pure."""

from __future__ import annotations

from .rtnetlink import Link

# IFLA_LINK of these is the other end, which is not a layer below.
_PEERS = (b"veth", b"netkit", b"vxcan")


class LinkStack:
    """The links by what they name: a port names its master, a VLAN names the link below. Indexes in, indexes out."""

    def __init__(self) -> None:
        self._links: dict[int, Link] = {}
        # By index: the links that name this one.
        self._naming: dict[int, set[int]] = {}

    def put(self, link: Link) -> set[int]:
        """Adds the link, or replaces the one with its index; returns the links that only one of the two names."""
        before = self._links.get(link.ifindex)
        left, names = named_by(before) if before else set(), named_by(link)
        if left != names:
            self.remove(link.ifindex)
            for other in names:
                self._naming.setdefault(other, set()).add(link.ifindex)
        self._links[link.ifindex] = link
        return left ^ names

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
        return self._known(on_top, self._links[index].master)

    def lower(self, index: int) -> set[int]:
        """Returns the links directly below that are there."""
        ports = {other for other in self._naming.get(index, ()) if self._links[other].master == index}
        return self._known(ports, lower_index(self._links[index]))

    def _known(self, indexes: set[int], other: int | None) -> set[int]:
        if other:
            indexes.add(other)
        return indexes & self._links.keys() if indexes else indexes


def named_by(link: Link) -> set[int]:
    """Returns the links directly above and below that this link names."""
    return {index for index in (link.master, lower_index(link)) if index}


def lower_index(link: Link) -> int | None:
    """Returns the link directly below, in this namespace; the ports of a bridge are found by their `master`."""
    if link.lower in (None, 0, link.ifindex) or link.lower_namespace is not None:
        return None
    return None if (link.kind or b"").rstrip(b"\0") in _PEERS else link.lower
