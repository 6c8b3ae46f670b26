"""What the kernel tells of an address, as an Address. Pure."""

from __future__ import annotations

import socket
from typing import Any

from ...events import DadState, PrefixOrigin, Scope, SuffixOrigin
from .rtnetlink import AF_INET6
from .rtnetlink import Address as ToldAddress

# IFA_F_*, include/uapi/linux/if_addr.h
_TEMPORARY, _DADFAILED, _DEPRECATED, _TENTATIVE = 0x01, 0x08, 0x20, 0x40
_PERMANENT, _MANAGETEMPADDR, _STABLE_PRIVACY = 0x80, 0x100, 0x800
_PROTO_LO, _PROTO_RA, _PROTO_LL = 1, 2, 3  # IFAPROT_KERNEL_*, since Linux 5.18
_FOR_EVER = 0xFFFF_FFFF

_LOCALHOST = bytes((127, 0, 0, 1))


def address_values(told: ToldAddress) -> dict[str, Any]:
    """The members of the Address."""
    flags = told.short_flags if told.flags is None else told.flags
    packed = told_address(told)
    prefix, suffix = _origin(told, flags, packed)
    link_scoped = told.family == AF_INET6 and _scope(told.scope) == "link"
    return {
        "address": socket.inet_ntop(told.family, packed),
        "prefix_length": told.prefix_length,
        "scope": _scope(told.scope),
        "scope_id": told.ifindex if link_scoped else None,
        "prefix_origin": prefix,
        "suffix_origin": suffix,
        "dad_state": _dad(flags),
        "valid_lifetime": _lifetime(told.valid),
        "preferred_lifetime": _lifetime(told.preferred),
    }


def told_address(told: ToldAddress) -> bytes:
    """The interface's own address: on a point-to-point link IFA_ADDRESS is the other end's."""
    return told.local or told.address or b""


def _lifetime(seconds: int | None) -> int | None:
    return None if seconds == _FOR_EVER else seconds


def _dad(flags: int) -> DadState:
    if flags & _DADFAILED:
        return "duplicate"
    if flags & _TENTATIVE:
        return "tentative"
    return "deprecated" if flags & _DEPRECATED else "preferred"


def _scope(number: int) -> Scope:
    """RT_SCOPE_* (rtnetlink.h): the administrator may define the numbers between."""
    if number == 0:
        return "global"
    if number < 200:
        return "organization"
    if number == 200:
        return "site"
    return "link" if number <= 253 else "interface"


def _origin(told: ToldAddress, flags: int, packed: bytes) -> tuple[PrefixOrigin, SuffixOrigin]:
    """Where prefix and interface identifier came from, as far as the kernel tells; "other" where it does not."""
    # The kernel does not mark the 127.0.0.1 that it gives to every loopback (devinet.c, inetdev_event).
    if told.protocol == _PROTO_LO or packed == _LOCALHOST:
        return "well_known", "well_known"
    if told.protocol == _PROTO_LL:
        return "well_known", _suffix(flags, packed)
    if told.protocol == _PROTO_RA or (flags & (_MANAGETEMPADDR | _TEMPORARY) and not flags & _PERMANENT):
        return "router_advertisement", _suffix(flags, packed)
    return ("manual", "manual") if flags & _PERMANENT else ("other", "other")


def _suffix(flags: int, packed: bytes) -> SuffixOrigin:
    if flags & (_TEMPORARY | _STABLE_PRIVACY):
        return "random"
    # RFC 4291, appendix A: an EUI-64 made from a hardware address has ff:fe in its middle.
    return "link_layer_address" if packed[11:13] == b"\xff\xfe" else "other"
