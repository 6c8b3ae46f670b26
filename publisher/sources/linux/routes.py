"""Default routes: those of the main table, by the link that they go through. Pure: no socket, no clock.

A route is listed as long as `ip route show default` lists it (docs/linux.md, "Default routes").
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from struct import Struct
from typing import NamedTuple

from ...events import DefaultRoute, Family
from .attributes import Buffer, MessageLayout, RtnetlinkError, Wanted, aligned, attributes
from .requests import ROUTE_HEADER
from .rtnetlink import (
    AF_INET6,
    NLMSG_DONE,
    NLMSG_ERROR,
    RTM_NEWROUTE,
    Decoder,
    failure,
    headers,
    maker,
)

RT_TABLE_MAIN = 254
_RTN_UNICAST = 1
_RTM_F_CLONED = 0x200
# RTPROT_* of include/uapi/linux/rtnetlink.h by iproute2's names; another one is its number, as `ip route` shows it.
_PROTOCOLS = {
    1: "redirect",
    2: "kernel",
    3: "boot",
    4: "static",
    8: "gated",
    9: "ra",
    10: "mrt",
    11: "zebra",
    12: "bird",
    13: "dnrouted",
    14: "xorp",
    15: "ntk",
    16: "dhcp",
    17: "mrouted",
    18: "keepalived",
    42: "babel",
    99: "openr",
    186: "bgp",
    187: "isis",
    188: "ospf",
    189: "rip",
    192: "eigrp",
}

# Offsets in struct rtmsg.
_PREFIX_LENGTH, _TABLE = 1, 4
_HOP_HEADER = Struct("=H2xi")
_RTA_GATEWAY, _RTA_VIA = 5, 18
_NEXTHOP_HEADER = Struct("=B7x")
_GROUP_ENTRY = Struct("=I4x")

_ROUTE = (
    Wanted((1,), "s"),  # RTA_DST
    Wanted((4,), "I"),  # RTA_OIF
    Wanted((_RTA_GATEWAY,), "s"),
    Wanted((_RTA_VIA,), "s"),
    Wanted((6,), "I"),  # RTA_PRIORITY
    Wanted((9,), "s"),  # RTA_MULTIPATH
    Wanted((30,), "I"),  # RTA_NH_ID
)
_NEXTHOP = (
    Wanted((5,), "I"),  # NHA_OIF
    Wanted((6,), "s"),  # NHA_GATEWAY
    Wanted((2,), "s"),  # NHA_GROUP
)
_BY_LENGTH = {4: socket.AF_INET, 16: socket.AF_INET6}
# Metric, next hop and protocol: these sort.
_Values = tuple[int, str, str]

ByLink = Mapping[int, tuple[DefaultRoute, ...]]
"""The default routes of one family, best first, by the index of the link."""


class FamilyRoutes(NamedTuple):
    """The default routes of one family; `names_objects`: one of them names a nexthop object."""

    by_link: ByLink
    names_objects: bool


Routes = Mapping[Family, FamilyRoutes]
"""The default routes of the families that were read."""


class Route(NamedTuple):
    """A route in RTM_NEWROUTE; None is an attribute that the message does not have."""

    family: int
    prefix_length: int
    source_length: int
    tos: int
    table: int
    protocol: int
    scope: int
    type: int
    flags: int
    destination: bytes | None
    ifindex: int | None
    gateway: bytes | None
    via: bytes | None
    metric: int | None
    hops: bytes | None
    nexthop: int | None


class Nexthop(NamedTuple):
    """A nexthop object (RTM_NEWNEXTHOP, `ip nexthop`), or a group of them."""

    family: int
    ifindex: int | None
    gateway: bytes | None
    group: bytes | None

    @property
    def members(self) -> list[int]:
        """The numbers of the nexthop objects of a group."""
        group = self.group or b""
        whole = len(group) - len(group) % _GROUP_ENTRY.size
        return [number for (number,) in _GROUP_ENTRY.iter_unpack(group[:whole])]


class RoutePart(NamedTuple):
    """The default routes in a datagram; `error` is None before the last one, `is_beyond` when no more can follow."""

    routes: list[Route]
    is_beyond: bool
    error: int | None


class RouteDecoder(Decoder):
    """Decodes routes and nexthop objects, too. One thread at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._route = MessageLayout(maker(Route), ROUTE_HEADER, _ROUTE)
        self._nexthop = MessageLayout(maker(Nexthop), _NEXTHOP_HEADER, _NEXTHOP)

    def part(self, data: Buffer, length: int, seq: int, family: int) -> RoutePart:
        """Returns the default routes of this family in a datagram of a dump; raises RtnetlinkError.

        The kernel lists IPv4 routes by destination, the default ones first: the first other one ends the list. Of other
        IPv6 routes two bytes are looked at.
        """
        routes: list[Route] = []
        for kind, _, number, start, end in headers(data, length):
            if number != seq:
                continue
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                return RoutePart(routes, is_beyond=False, error=failure(data, start, end).number)
            if kind != RTM_NEWROUTE:
                continue
            if end - start < ROUTE_HEADER.size:
                raise RtnetlinkError(f"a route of {end - start} bytes ends within its header")
            is_other = data[start] != family or data[start + _TABLE] != RT_TABLE_MAIN
            if is_other or (family == AF_INET6 and data[start + _PREFIX_LENGTH]):
                continue
            route = self._route.decode(data, start, end)
            if route.flags & _RTM_F_CLONED:
                continue
            if not route.prefix_length:
                routes.append(route)
            elif any(route.destination or b""):
                return RoutePart(routes, is_beyond=True, error=None)
        return RoutePart(routes, is_beyond=False, error=None)

    def route(self, data: Buffer, start: int, end: int) -> Route:
        """Returns the route in the body of a message; raises RtnetlinkError."""
        return self._route.decode(data, start, end)

    def nexthop(self, data: Buffer, start: int, end: int) -> Nexthop:
        """Returns the nexthop object in the body of a message; raises RtnetlinkError."""
        return self._nexthop.decode(data, start, end)

    def listed(self, routes: Collection[Route], nexthops: Mapping[int, Nexthop]) -> FamilyRoutes:
        """Returns default routes by the link that they go through, each once; raises RtnetlinkError.

        A blackhole and its like (`unreachable`, `prohibit`, `throw`) go through none. `nexthops` are the objects of
        routes that `unresolved` names, and the members of those that are groups.
        """
        found: dict[int, set[_Values]] = {}
        for route in routes:
            if route.type == _RTN_UNICAST:
                protocol = _PROTOCOLS.get(route.protocol, str(route.protocol)) if route.protocol else None
                for index, next_hop in self._hops(route, nexthops):
                    found.setdefault(index, set()).add((route.metric or 0, next_hop or "", protocol or ""))
        by_link = {index: tuple(map(_default_route, sorted(values))) for index, values in found.items()}
        return FamilyRoutes(by_link, any(route.nexthop for route in routes))

    def _hops(self, route: Route, nexthops: Mapping[int, Nexthop]) -> Iterator[tuple[int, str | None]]:
        """Yields each link of a route with the address of the next hop."""
        if route.hops is not None:
            yield from _several(route.hops)
        elif route.ifindex:
            yield route.ifindex, _address(route.gateway, route.via)
        elif named := nexthops.get(route.nexthop or 0):
            for nexthop in [nexthops[number] for number in named.members if number in nexthops] or [named]:
                if nexthop.ifindex:
                    yield nexthop.ifindex, _address(nexthop.gateway, None)


def _several(data: bytes) -> Iterator[tuple[int, str | None]]:
    """Yields link and next hop of each hop in RTA_MULTIPATH (struct rtnexthop)."""
    start = 0
    while start < len(data):
        if len(data) - start < _HOP_HEADER.size:
            raise RtnetlinkError(f"{len(data) - start} bytes are left, a hop has {_HOP_HEADER.size}")
        length, index = _HOP_HEADER.unpack_from(data, start)
        if length < _HOP_HEADER.size or length > len(data) - start:
            raise RtnetlinkError(f"a hop of {length} bytes where {len(data) - start} are left")
        found = dict(attributes(data, start + _HOP_HEADER.size, start + length))
        yield index, _address(found.get(_RTA_GATEWAY), found.get(_RTA_VIA))
        start += aligned(length)


def unresolved(routes: Iterable[Route]) -> set[int]:
    """Returns the nexthop objects of routes that show nothing else: those are to be read.

    Where net.ipv4.nexthop_compat_mode is 0 the kernel shows their numbers only.
    """
    return {route.nexthop for route in routes if route.nexthop and not route.ifindex and route.hops is None}


def _default_route(values: _Values) -> DefaultRoute:
    metric, next_hop, protocol = values
    return DefaultRoute(next_hop=next_hop or None, metric=metric, protocol=protocol or None)


def _address(gateway: bytes | None, via: bytes | None) -> str | None:
    """Returns a next hop as text, None for a route that needs none: RTA_VIA has the family before the address."""
    packed = gateway or (via or b"")[2:]
    family = _BY_LENGTH.get(len(packed))
    return socket.inet_ntop(family, packed) if family else None
