"""rtnetlink: encodes requests. Pure. Each function takes the sequence number that the answers have."""

from __future__ import annotations

from struct import Struct

from .rtnetlink import AF_UNSPEC, HEADER, NLMSG_NOOP

RTM_GETLINK, RTM_GETADDR, RTM_GETNEIGHTBL = 18, 22, 66
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300

_LINK_REQUEST = Struct("=BxHiII")
_SKIP_STATISTICS = Struct("=HHI").pack(8, 29, 8)  # IFLA_EXT_MASK: RTEXT_FILTER_SKIP_STATS
_ADDRESS_HEADER, _FAMILY_HEADER = 8, 4  # the sizes of struct ifaddrmsg, and of struct ndtmsg


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


def _request(kind: int, flags: int, seq: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, flags | NLM_F_REQUEST, seq, 0) + body
