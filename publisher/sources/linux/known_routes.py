"""The default routes of links as last read, and the messages after which they may be others. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple, TypeGuard

from ...events import DefaultRoute, Family
from .routes import Routes
from .rtnetlink import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    FAMILIES,
    RTM_DELADDR,
    RTM_NEWLINK,
    AddressMessage,
    Link,
    Message,
    Record,
    RouteChange,
)

_IFF_UP = 0x1
# With a smaller mtu a link has no such family (IPV4_MIN_MTU, IPV6_MIN_MTU of the kernel).
_LEAST_MTU: dict[Family, int] = {"inet": 68, "inet6": 1280}


class LinkRoutes(NamedTuple):
    """The default routes of a link, best first."""

    inet: tuple[DefaultRoute, ...] = ()
    inet6: tuple[DefaultRoute, ...] = ()

    def of(self, family: Family) -> tuple[DefaultRoute, ...]:
        """Returns those of one family."""
        return self.inet if family == "inet" else self.inet6


NO_ROUTES = LinkRoutes()


class DefaultRoutes:
    """The default routes of links, as last read."""

    def __init__(self) -> None:
        self._known: dict[Family, dict[int, tuple[DefaultRoute, ...]]] = {family: {} for family in FAMILIES.values()}
        # The families of which some route names a nexthop object.
        self._naming: set[Family] = set()

    def of(self, index: int) -> LinkRoutes:
        """Returns those of a link."""
        known = self._known
        return LinkRoutes(known["inet"].get(index, ()), known["inet6"].get(index, ()))

    def take(self, index: int, read: Routes) -> bool:
        """Takes those of a link out of a read; returns whether they differ."""
        if not read:
            return False
        before = self.of(index)
        for family, listed in read.items():
            routes, known = listed.by_link.get(index, ()), self._known[family]
            if not routes:
                known.pop(index, None)
            elif routes != known.get(index):
                known[index] = routes
        return before != self.of(index)

    def take_all(self, read: Routes) -> set[int]:
        """Takes those of all links; returns the links of which they differ."""
        for family, listed in read.items():
            (self._naming.add if listed.names_objects else self._naming.discard)(family)
        indexes = {index for family, listed in read.items() for index in (*listed.by_link, *self._known[family])}
        return {index for index in indexes if self.take(index, read)}

    def kept(self, read: Routes, indexes: Collection[int]) -> Routes:
        """Returns a read with these links as they are known."""
        return {
            family: listed._replace(
                by_link={**listed.by_link, **{index: self.of(index).of(family) for index in indexes}}
            )
            for family, listed in read.items()
        }

    def drop(self, index: int) -> None:
        """Forgets those of a removed link."""
        for known in self._known.values():
            known.pop(index, None)

    def changed_by(self, messages: Iterable[Message]) -> set[Family]:
        """Returns the families of which default routes may be others after these messages.

        One that is added is reported. Those that a link or an IPv4 address takes with it are not (docs/linux.md).
        """
        families: set[Family] = set()
        for kind, _, _, record in messages:
            match record:
                case RouteChange(family=number):
                    families |= self._naming if number == AF_UNSPEC else {FAMILIES[number]} & self._known.keys()
                case Link(ifindex=index):
                    for family, known in self._known.items():
                        if index in known and self._may_end(family, kind, record):
                            families.add(family)
                case AddressMessage() if self._known["inet"] and _may_take_along(record, kind):
                    families.add("inet")
        return families

    def _may_end(self, family: Family, kind: int, link: Link) -> bool:
        """Returns whether the kernel may have removed the default routes through a link that a message shows so."""
        is_up = kind == RTM_NEWLINK and link.flags & _IFF_UP and (link.mtu is None or link.mtu >= _LEAST_MTU[family])
        return not is_up or link.family == AF_INET6 or family in self._naming


def losing(messages: Iterable[Message]) -> set[int]:
    """Returns the links of which a route that was read may belong to a later state than is known."""
    return {record.ifindex for kind, _, _, record in messages if record and _may_take_along(record, kind)}


def _may_take_along(record: Record, kind: int) -> TypeGuard[Link | AddressMessage]:
    is_address = kind == RTM_DELADDR and isinstance(record, AddressMessage) and record.family == AF_INET
    return is_address or isinstance(record, Link)
