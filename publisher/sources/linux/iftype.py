"""IANA interface types (ifType) of the kinds of links of Linux. Pure."""

from __future__ import annotations

from .rows import text
from .rtnetlink import Link

_ARPHRD_ETHER, _ARPHRD_NONE = 1, 0xFFFE
# ARPHRD_* (include/uapi/linux/if_arp.h) to IANA ifType.
_TYPE_OF_HARDWARE = {
    772: 24,  # loopback
    32: 199,  # InfiniBand
    512: 23,  # PPP
    519: 244,  # raw IP: mobile broadband
    768: 131,  # tunnels: IPIP, IP6IP6, SIT, GRE, IP6GRE
    769: 131,
    776: 131,
    778: 131,
    823: 131,
    801: 71,  # IEEE 802.11
    802: 71,
    803: 71,
}
# IFLA_INFO_KIND to IANA ifType.
_TYPE_OF_KIND = {
    "bridge": 209,
    "vlan": 135,
    "bond": 161,
    "team": 161,
    "wireguard": 131,
    "vxlan": 131,
    "geneve": 131,
    "gretap": 131,
    "ip6gretap": 131,
    "erspan": 131,
    "ip6erspan": 131,
    "ipip": 131,
    "sit": 131,
    "gre": 131,
    "ip6gre": 131,
    "ip6tnl": 131,
    "vti": 131,
    "vti6": 131,
    "xfrm": 131,
    "amt": 131,
    "bareudp": 131,
    "gtp": 131,
}
_ETHERNET, _TUNNEL, _WIFI, _OTHER, _VIRTUAL = 6, 131, 71, 1, 53


def interface_type(link: Link, *, wireless: bool) -> int:
    """Returns the IANA ifType. The kind of a virtual link decides before its hardware type."""
    kind = text(link.kind)
    if kind in _TYPE_OF_KIND:
        return _TYPE_OF_KIND[kind]
    if link.hardware_type in _TYPE_OF_HARDWARE:
        return _TYPE_OF_HARDWARE[link.hardware_type]
    if kind == "tun" and link.hardware_type == _ARPHRD_NONE:
        return _TUNNEL
    if kind:
        return _VIRTUAL
    if wireless:
        return _WIFI
    return _ETHERNET if link.hardware_type == _ARPHRD_ETHER else _OTHER
