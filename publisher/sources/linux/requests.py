"""rtnetlink: encodes requests. Pure. Each function takes the sequence number that the answers have."""

from __future__ import annotations

from struct import Struct

from .attributes import ATTRIBUTE
from .rtnetlink import AF_INET6, AF_UNSPEC, HEADER, NLMSG_NOOP

RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGHTBL, RTM_GETNEXTHOP = 18, 22, 26, 66, 106
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300

_LINK_REQUEST = Struct("=BxHiII")
_SKIP_STATISTICS = Struct("=HHI").pack(8, 29, 8)  # IFLA_EXT_MASK: RTEXT_FILTER_SKIP_STATS
_ADDRESS_HEADER, _FAMILY_HEADER = 8, 4  # the sizes of struct ifaddrmsg, and of struct ndtmsg
ROUTE_HEADER = Struct("=BBBBBBBBI")
_NUMBER = Struct("=HHI")
_NEXTHOP_HEADER = 8  # the size of struct nhmsg
_RTA_DST, _RTA_TABLE, _NHA_ID, _RTM_F_FIB_MATCH = 1, 15, 1, 0x2000


def nothing(seq: int) -> bytes:
    """Returns a request that does nothing and is acknowledged."""
    return _request(NLMSG_NOOP, NLM_F_ACK, seq, b"")


def link_dump(seq: int) -> bytes:
    """Returns a request for every link, without its counters (IFLA_EXT_MASK: RTEXT_FILTER_SKIP_STATS)."""
    return _request(RTM_GETLINK, NLM_F_DUMP, seq, _LINK_REQUEST.pack(AF_UNSPEC, 0, 0, 0, 0) + _SKIP_STATISTICS)


def unfiltered_link_dump(seq: int) -> bytes:
    """Returns a request for every link with everything about it."""
    return _request(RTM_GETLINK, NLM_F_DUMP, seq, _LINK_REQUEST.pack(AF_UNSPEC, 0, 0, 0, 0))


def link_read(seq: int, index: int) -> bytes:
    """Returns a request for one link."""
    return _request(RTM_GETLINK, 0, seq, _LINK_REQUEST.pack(AF_UNSPEC, 0, index, 0, 0) + _SKIP_STATISTICS)


def address_dump(seq: int) -> bytes:
    """Returns a request for every address of both families."""
    return _request(RTM_GETADDR, NLM_F_DUMP, seq, bytes(_ADDRESS_HEADER))


def neighbours_dump(seq: int) -> bytes:
    """Returns a request for the parameters of the neighbour tables of both families."""
    return _request(RTM_GETNEIGHTBL, NLM_F_DUMP, seq, bytes(_FAMILY_HEADER))


def route_dump(seq: int, family: int, table: int) -> bytes:
    """Returns a request for every route of a table; kernels before 4.20 answer with those of all tables."""
    body = ROUTE_HEADER.pack(family, 0, 0, 0, table, 0, 0, 0, 0) + _NUMBER.pack(_NUMBER.size, _RTA_TABLE, table)
    return _request(RTM_GETROUTE, NLM_F_DUMP, seq, body)


def route_lookup6(seq: int, address: bytes) -> bytes:
    """Returns a request for the IPv6 route, as it is in its table, by which a packet to this address is sent."""
    body = ROUTE_HEADER.pack(AF_INET6, 128, 0, 0, 0, 0, 0, 0, _RTM_F_FIB_MATCH) + ATTRIBUTE.pack(20, _RTA_DST)
    return _request(RTM_GETROUTE, 0, seq, body + address)


def nexthop_read(seq: int, number: int) -> bytes:
    """Returns a request for one nexthop object."""
    return _request(RTM_GETNEXTHOP, 0, seq, bytes(_NEXTHOP_HEADER) + _NUMBER.pack(_NUMBER.size, _NHA_ID, number))


def _request(kind: int, flags: int, seq: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, flags | NLM_F_REQUEST, seq, 0) + body
