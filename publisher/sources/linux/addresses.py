"""Addresses: the members of an Address from a received message. Pure."""

from __future__ import annotations

import socket
from datetime import datetime
from typing import Any

from ...events import Address, DadState, PrefixOrigin, Scope, SuffixOrigin
from ..lifetimes import ends_at
from .rtnetlink import AF_INET6, AddressMessage

# IFA_F_*, include/uapi/linux/if_addr.h
_TEMPORARY, _DADFAILED, _DEPRECATED, _TENTATIVE = 0x01, 0x08, 0x20, 0x40
_PERMANENT, _MANAGETEMPADDR, _STABLE_PRIVACY = 0x80, 0x100, 0x800
_PROTO_LO, _PROTO_RA, _PROTO_LL = 1, 2, 3  # IFAPROT_KERNEL_*, since Linux 5.18

# The kernel does not mark the 127.0.0.1 that it adds to every loopback (devinet.c, inetdev_event).
_LOOPBACK_NETWORK, _LOOPBACK6 = 127, bytes(15) + b"\1"


def address_values(message: AddressMessage, now: datetime, before: Address | None = None) -> dict[str, Any]:
    """Returns the members of the Address; `before` is the same one as last known."""
    flags = message.short_flags if message.flags is None else message.flags
    packed = own_address(message)
    prefix, suffix = _origin(message, flags, packed)
    scope = _scope(message.scope)
    return {
        "address": socket.inet_ntop(message.family, packed),
        "prefix_length": message.prefix_length,
        "scope": scope,
        "scope_id": message.ifindex if scope == "link" and message.family == AF_INET6 else None,
        "prefix_origin": prefix,
        "suffix_origin": suffix,
        "dad_state": _dad(flags),
        "valid_until": ends_at(message.valid, now, before.valid_until if before else None),
        "preferred_until": ends_at(message.preferred, now, before.preferred_until if before else None),
    }


def own_address(message: AddressMessage) -> bytes:
    """Returns the address of this link: on a point-to-point link IFA_ADDRESS is that of the other end."""
    return message.local or message.address or b""


def _dad(flags: int) -> DadState:
    if flags & _DADFAILED:
        return "duplicate"
    if flags & _TENTATIVE:
        return "tentative"
    return "deprecated" if flags & _DEPRECATED else "preferred"


def _scope(number: int) -> Scope:
    """Returns the scope of RT_SCOPE_* (rtnetlink.h); the numbers in between are free for the administrator."""
    if number == 0:
        return "global"
    if number < 200:
        return "organization"
    if number == 200:
        return "site"
    return "link" if number <= 253 else "interface"


def _origin(message: AddressMessage, flags: int, packed: bytes) -> tuple[PrefixOrigin, SuffixOrigin]:
    """Returns the origin of prefix and interface identifier; "other" where the kernel does not report it.

    Kernels before 5.18 have no IFA_PROTO: there the address and its flags tell.
    """
    if message.protocol == _PROTO_LO or _is_loopback(message.family, packed):
        return "well_known", "well_known"
    if message.family == AF_INET6:
        suffix = _suffix(flags, packed)
        if message.protocol == _PROTO_LL or (_is_link_local(packed) and suffix != "other"):
            return "well_known", suffix
        if message.protocol == _PROTO_RA or (flags & (_MANAGETEMPADDR | _TEMPORARY) and not flags & _PERMANENT):
            return "router_advertisement", suffix
    return ("manual", "manual") if flags & _PERMANENT else ("other", "other")


def _is_loopback(family: int, packed: bytes) -> bool:
    return packed == _LOOPBACK6 if family == AF_INET6 else packed[:1] == bytes((_LOOPBACK_NETWORK,))


def _is_link_local(packed: bytes) -> bool:
    """Returns whether the address is of fe80::/10."""
    return packed[:1] == b"\xfe" and packed[1] & 0xC0 == 0x80


def _suffix(flags: int, packed: bytes) -> SuffixOrigin:
    """Returns the origin of an IPv6 interface identifier. For IPv4 the bit of IFA_F_TEMPORARY is IFA_F_SECONDARY."""
    if flags & (_TEMPORARY | _STABLE_PRIVACY):
        return "random"
    # RFC 4291, appendix A: an EUI-64 from a hardware address has ff:fe in the middle.
    return "link_layer_address" if packed[11:13] == b"\xff\xfe" else "other"
