"""rtnetlink: decodes messages. Pure: no socket, no clock.

The layouts are those of the kernel's headers (include/uapi/linux: netlink.h, rtnetlink.h, if_link.h, if_addr.h,
neighbour.h, netconf.h), in the host's byte order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from struct import Struct
from typing import Any, NamedTuple, TypeVar

from ...events import Family
from .attributes import Buffer, MessageLayout, RtnetlinkError, Wanted, aligned

NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN = 1, 2, 3, 4
RTM_NEWLINK, RTM_DELLINK = 16, 17
RTM_NEWADDR, RTM_DELADDR = 20, 21
RTM_NEWROUTE, RTM_DELROUTE = 24, 25
RTM_NEWNEIGHTBL = 64
RTM_NEWNETCONF, RTM_DELNETCONF = 80, 81
RTM_NEWNEXTHOP, RTM_DELNEXTHOP = 104, 105

NLM_F_DUMP_INTR = 0x10
IFLA_EVENT_FEATURES = 2
AF_UNSPEC, AF_INET, AF_BRIDGE, AF_INET6 = 0, 2, 7, 10
FAMILIES: Mapping[int, Family] = {AF_INET: "inet", AF_INET6: "inet6"}

# The indexes of settings: the constants of include/uapi/linux/ip.h and ipv6.h minus one.
_FORWARDING, _MTU6, _ACCEPT_RA, _DAD_TRANSMITS, _ACCEPT_RA_DEFRTR, _DISABLE_IPV6, _ADDR_GEN_MODE = (
    0,
    2,
    3,
    6,
    17,
    26,
    47,
)

HEADER = Struct("=IHHII")
_LINK_HEADER = Struct("=BxHiI4x")
_ADDRESS_HEADER = Struct("=BBBBI")
_FAMILY_HEADER = Struct("=B3x")
_ERROR_NUMBER = Struct("=i")


R = TypeVar("R", bound=tuple[Any, ...])


class Link(NamedTuple):
    """A link in RTM_NEWLINK and RTM_DELLINK; None is an attribute that the message does not have.

    The members before `has_inet` are the link's own. Those from there to `reachable_time6` are settings of the two
    families: a notification may show them as they were before the change, the answer to a read shows them as they are
    (docs/linux.md, trap 1). Strings are as received, with their terminating NUL.

    Each message about the whole link has those from `name` to `parent_bus` that the link has at all; those from
    `address` to `port_name` may end. A Wi-Fi scan sends a part of a link (docs/linux.md, trap 9).
    """

    family: int
    hardware_type: int
    ifindex: int
    flags: int
    name: bytes | None
    mtu: int | None
    kind: bytes | None
    permanent_address: bytes | None
    operstate: int | None
    carrier: int | None
    parent_name: bytes | None
    parent_bus: bytes | None
    address: bytes | None
    master: int | None
    lower: int | None
    lower_namespace: int | None
    description: bytes | None
    port_name: bytes | None
    has_inet: bool | None
    has_inet6: bool | None
    forwarding: int | None
    forwarding6: int | None
    mtu6: int | None
    accept_ra: int | None
    dad_transmits: int | None
    accept_ra_defrtr: int | None
    disable_ipv6: int | None
    addr_gen_mode: int | None
    flags6: int | None
    retransmit_time6: int | None
    reachable_time6: int | None
    carrier_ups: int | None
    carrier_downs: int | None
    event: int | None

    @property
    def state(self) -> tuple[object, ...]:
        """All members but those that are no state or change by themselves: IPv6's reachable time, and what follows."""
        return self[:_UNSTABLE]

    @property
    def own(self) -> tuple[object, ...]:
        """The link's own members, without the settings of the families."""
        return self[:_SETTINGS]

    def with_settings(self, read: Link) -> Link:
        """Returns this link with the settings of the families from a read; the same object when nothing changes."""
        settings = read[_SETTINGS:_COUNTERS]
        if settings == self[_SETTINGS:_COUNTERS]:
            return self
        return Link._make(self[:_SETTINGS] + settings + self[_COUNTERS:])

    @property
    def is_named(self) -> bool:
        """True when it has an index and a name, as every link has."""
        return self.ifindex > 0 and bool(self.name and self.name.rstrip(b"\0"))

    def is_part_of(self, known: Link) -> bool:
        """Returns whether this message lacks a member that each message about the whole link has."""
        mine, theirs = self[_LASTING:_ENDING], known[_LASTING:_ENDING]
        return mine != theirs and any(m is None and t is not None for m, t in zip(mine, theirs, strict=True))

    def completed(self, known: Link) -> Link:
        """Returns this link with counts and members that may end of the other one, where it has none itself."""
        return self._filled(known, _ENDING, _SETTINGS)._counted(known)

    def identified(self, read: Link) -> Link:
        """Returns this link with the lasting members of a read, where it has none itself."""
        return self._filled(read, _LASTING, _ENDING)._counted(read)

    def _counted(self, other: Link) -> Link:
        return (
            self._filled(other, _COUNTERS, _EVENT) if self.carrier_ups is None or self.carrier_downs is None else self
        )

    def _filled(self, other: Link, begin: int, end: int) -> Link:
        """Returns the link with members of another one where it has none; the same object when nothing changes."""
        mine, theirs = self[begin:end], other[begin:end]
        if mine == theirs:
            return self
        filled = tuple(t if m is None else m for m, t in zip(mine, theirs, strict=True))
        return self if filled == mine else Link._make(self[:begin] + filled + self[end:])


_LASTING, _ENDING, _SETTINGS, _UNSTABLE, _COUNTERS, _EVENT = map(
    Link._fields.index, ("name", "address", "has_inet", "reachable_time6", "carrier_ups", "event")
)


class AddressMessage(NamedTuple):
    """An address in RTM_NEWADDR and RTM_DELADDR."""

    family: int
    prefix_length: int
    short_flags: int
    scope: int
    ifindex: int
    address: bytes | None
    local: bytes | None
    flags: int | None
    preferred: int | None
    valid: int | None
    protocol: int | None


class NeighbourParameters(NamedTuple):
    """The parameters of one link in a neighbour table (RTM_NEWNEIGHTBL), in ms; those of the table have no index."""

    family: int
    ifindex: int | None
    reachable_time: int | None
    base_reachable_time: int | None
    retransmit_time: int | None


class Netconf(NamedTuple):
    """RTM_NEWNETCONF and RTM_DELNETCONF: settings of this link changed; -1 is `all` and -2 is `default`."""

    family: int
    ifindex: int | None


class RouteChange(NamedTuple):
    """RTM_NEWROUTE and RTM_DELROUTE: default routes of this family changed; of AF_UNSPEC: a nexthop object did.

    The message does not show all that changed (docs/linux.md, "Default routes"): the routes are read.
    """

    family: int

    @property
    def ifindex(self) -> None:
        """Of no one link."""
        return None


class Failure(NamedTuple):
    """NLMSG_ERROR and NLMSG_DONE: the number of the error, 0 for none."""

    number: int


Listed = Link | AddressMessage | NeighbourParameters | Netconf | RouteChange
Record = Listed | Failure


class Message(NamedTuple):
    """A message: its type, flags and sequence number, and its record when the type is one of those above."""

    type: int
    flags: int
    seq: int
    record: Record | None


_NO_RECORD = (None,)
_BRIDGE = bytes([AF_BRIDGE])
_AF_SPEC, _LINKINFO = 26, 18
_CONF4 = (_AF_SPEC, AF_INET, 1)
_INET6 = (_AF_SPEC, AF_INET6)
_CONF6 = (*_INET6, 2)
_CACHEINFO6 = (*_INET6, 5)

# In the order of the members of the records, after those of the fixed header.
_LINK = (
    Wanted((3,), "s"),  # IFLA_IFNAME
    Wanted((4,), "I"),  # IFLA_MTU
    Wanted((_LINKINFO, 1), "s"),  # IFLA_INFO_KIND
    Wanted((54,), "s"),  # IFLA_PERM_ADDRESS
    Wanted((16,), "B"),  # IFLA_OPERSTATE
    Wanted((33,), "B"),  # IFLA_CARRIER
    Wanted((56,), "s"),  # IFLA_PARENT_DEV_NAME
    Wanted((57,), "s"),  # IFLA_PARENT_DEV_BUS_NAME
    Wanted((1,), "s"),  # IFLA_ADDRESS
    Wanted((10,), "I"),  # IFLA_MASTER
    Wanted((5,), "I"),  # IFLA_LINK
    Wanted((37,), "i"),  # IFLA_LINK_NETNSID
    Wanted((20,), "s"),  # IFLA_IFALIAS
    Wanted((38,), "s"),  # IFLA_PHYS_PORT_NAME
    Wanted((_AF_SPEC, AF_INET), ""),
    Wanted(_INET6, ""),
    Wanted(_CONF4, "i", 4 * _FORWARDING),  # IFLA_INET_CONF
    Wanted(_CONF6, "i", 4 * _FORWARDING),  # IFLA_INET6_CONF
    Wanted(_CONF6, "i", 4 * _MTU6),
    Wanted(_CONF6, "i", 4 * _ACCEPT_RA),
    Wanted(_CONF6, "i", 4 * _DAD_TRANSMITS),
    Wanted(_CONF6, "i", 4 * _ACCEPT_RA_DEFRTR),
    Wanted(_CONF6, "i", 4 * _DISABLE_IPV6),
    Wanted(_CONF6, "i", 4 * _ADDR_GEN_MODE),
    Wanted((*_INET6, 1), "I"),  # IFLA_INET6_FLAGS
    Wanted(_CACHEINFO6, "I", 12),  # struct ifla_cacheinfo: max_reasm_len, tstamp, reachable_time, retrans_time
    Wanted(_CACHEINFO6, "I", 8),
    Wanted((47,), "I"),  # IFLA_CARRIER_UP_COUNT
    Wanted((48,), "I"),  # IFLA_CARRIER_DOWN_COUNT
    Wanted((44,), "I"),  # IFLA_EVENT
)
# In a message of family AF_BRIDGE, IFLA_AF_SPEC holds the VLANs of a port, whose types mean families elsewhere.
_OF_BRIDGE = tuple(Wanted((), want.format) if want.path[0] == _AF_SPEC else want for want in _LINK)
_ADDRESS = (
    Wanted((1,), "s"),  # IFA_ADDRESS
    Wanted((2,), "s"),  # IFA_LOCAL
    Wanted((8,), "I"),  # IFA_FLAGS
    Wanted((6,), "I", 0),  # IFA_CACHEINFO: preferred, valid
    Wanted((6,), "I", 4),
    Wanted((11,), "B"),  # IFA_PROTO
)
_NEIGHBOURS = (
    Wanted((6, 1), "I"),  # NDTA_PARMS: NDTPA_IFINDEX, _REACHABLE_TIME, _BASE_REACHABLE_TIME, _RETRANS_TIME
    Wanted((6, 3), "Q"),
    Wanted((6, 4), "Q"),
    Wanted((6, 5), "Q"),
)
_NETCONF = (Wanted((1,), "i"),)  # NETCONFA_IFINDEX


class Decoder:
    """Decodes datagrams. One thread at a time. Keeps layouts, so the first message of a kind costs more."""

    def __init__(self) -> None:
        whole, of_bridge = (MessageLayout(maker(Link), _LINK_HEADER, wanted) for wanted in (_LINK, _OF_BRIDGE))

        def links(data: Buffer, start: int, end: int, limit: int) -> list[Link]:
            layout = of_bridge if data[start : start + 1] == _BRIDGE else whole
            return layout.decode_run(data, start, end, limit)

        addresses = MessageLayout(maker(AddressMessage), _ADDRESS_HEADER, _ADDRESS).decode_run
        neighbours = MessageLayout(maker(NeighbourParameters), _FAMILY_HEADER, _NEIGHBOURS).decode_run
        netconf = MessageLayout(maker(Netconf), _FAMILY_HEADER, _NETCONF).decode_run
        self._by_type: dict[int, Callable[[Buffer, int, int, int], Sequence[Record]]] = {
            NLMSG_ERROR: _one(failure),
            NLMSG_DONE: _one(failure),
            RTM_NEWLINK: links,
            RTM_DELLINK: links,
            RTM_NEWADDR: addresses,
            RTM_DELADDR: addresses,
            RTM_NEWNEIGHTBL: neighbours,
            RTM_NEWNETCONF: netconf,
            RTM_DELNETCONF: netconf,
            RTM_NEWROUTE: _one(_route_change),
            RTM_DELROUTE: _one(_route_change),
            RTM_NEWNEXTHOP: _one(_nexthop_change),
            RTM_DELNEXTHOP: _one(_nexthop_change),
        }

    def decode(self, data: Buffer, length: int | None = None) -> list[Message]:
        """Returns the messages in the first `length` bytes, those of other types without a record.

        Raises RtnetlinkError.
        """
        messages: list[Message] = []
        start, limit = 0, len(data) if length is None else length
        while start < limit:
            kind, flags, seq, body, end = header(data, start, limit)
            decode = self._by_type.get(kind)
            records = decode(data, body, end, limit) if decode else _NO_RECORD
            messages += [_message((kind, flags, seq, record)) for record in records]
            start += aligned(end - start) * len(records)
        return messages


def header(data: Buffer, start: int, limit: int) -> tuple[int, int, int, int, int]:
    """Returns type, flags and number of the message at `start`, and the begin and the end of its body.

    Raises RtnetlinkError when it does not end before `limit`.
    """
    if limit - start < HEADER.size:
        raise RtnetlinkError(f"{limit - start} bytes are left, a message's header has {HEADER.size}")
    size, kind, flags, seq, _ = HEADER.unpack_from(data, start)
    if size < HEADER.size or size > limit - start:
        raise RtnetlinkError(f"message {kind} of {size} bytes where {limit - start} are left")
    return kind, flags, seq, start + HEADER.size, start + size


def headers(data: Buffer, limit: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yields the header of each message; raises RtnetlinkError."""
    start = 0
    while start < limit:
        found = header(data, start, limit)
        yield found
        start = aligned(found[4])


def _one(decode: Callable[[Buffer, int, int], Record]) -> Callable[[Buffer, int, int, int], list[Record]]:
    """Returns the decoder of a message that is decoded by itself, without those of its kind behind it."""
    return lambda data, start, end, _limit: [decode(data, start, end)]


def _route_change(data: Buffer, start: int, end: int) -> RouteChange:
    if start == end:
        raise RtnetlinkError("a message about a route is empty")
    return RouteChange(data[start])


def _nexthop_change(_data: Buffer, _start: int, _end: int) -> RouteChange:
    return RouteChange(AF_UNSPEC)


def maker(record: type[R]) -> Callable[[Any], R]:
    """Returns the `_make` of a NamedTuple, without its check of the length, which is a third of the cost."""
    return partial(tuple.__new__, record)


_message = maker(Message)


def failure(data: Buffer, start: int, end: int) -> Failure:
    """Returns the error in the body of an NLMSG_ERROR or NLMSG_DONE."""
    if end - start < _ERROR_NUMBER.size:
        return Failure(0)  # an NLMSG_DONE may have no number
    return Failure(-_ERROR_NUMBER.unpack_from(data, start)[0])
