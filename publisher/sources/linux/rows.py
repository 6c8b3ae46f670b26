"""Rows: the members of MIB_IPINTERFACE_ROW and of the interface, from a link. Pure.

docs/linux.md has the origin of each member, and the changes that the kernel reports.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, NamedTuple

from ...events import AdminStatus, Family, OperStatus
from .rtnetlink import Link

_IFF_UP, _IFF_LOOPBACK, _IFF_NOARP, _IFF_MULTICAST, _IFF_LOWER_UP = 0x1, 0x8, 0x80, 0x1000, 0x10000
_IF_RA_OTHERCONF, _IF_RA_MANAGED, _IF_RA_RCVD = 0x80, 0x40, 0x20  # include/net/if_inet6.h
_OPER_UNKNOWN, _OPER_UP = 0, 6
# RFC 2863 as in include/uapi/linux/if.h
_OPER: tuple[OperStatus, ...] = (
    "unknown",
    "not_present",
    "down",
    "lower_layer_down",
    "testing",
    "dormant",
    "up",
)
_LINK_LOCAL: dict[int | None, str | None] = {None: None, 1: "always_off"}  # IN6_ADDR_GEN_MODE_NONE
_ARPHRD_ETHER = 1


class Times(NamedTuple):
    """The parameters of a link in a neighbour table, in ms (RFC 4861, 6.3.2)."""

    base_reachable: int | None = None
    retransmit: int | None = None
    reachable: int | None = None


class PathMtuTimes(NamedTuple):
    """The time for which a learned path MTU is kept, in ms."""

    inet: int | None = None
    inet6: int | None = None


class Raw(NamedTuple):
    """Everything that a row is made from."""

    link: Link
    times: Times
    times6: Times
    path_mtu: PathMtuTimes


def inet_values(luid: str, raw: Raw) -> dict[str, Any]:
    """Returns the members of the IpInterfaceRow for IPv4."""
    link, times = raw.link, raw.times
    resolves = not link.flags & _IFF_NOARP
    return {
        "family": "inet",
        "interface_luid": luid,
        "interface_index": link.ifindex,
        "forwarding_enabled": None if link.forwarding is None else link.forwarding != 0,
        "weak_host_send": True,  # Linux is a weak end system (RFC 1122, 3.3.4.2)
        "weak_host_receive": True,
        "use_neighbor_unreachability_detection": resolves,
        "base_reachable_time": times.base_reachable,
        "retransmit_time": times.retransmit,
        "path_mtu_discovery_timeout": raw.path_mtu.inet,
        "nl_mtu": link.mtu,
        "connected": _connected(link),
        "supports_neighbor_discovery": resolves,
        "reachable_time": times.reachable,
    }


def inet6_values(luid: str, raw: Raw) -> dict[str, Any]:
    """Returns the members of the IpInterfaceRow for IPv6."""
    link, times = raw.link, raw.times6
    resolves = not link.flags & _IFF_NOARP
    index, mode, accept_default = link.ifindex, link.addr_gen_mode, link.accept_ra_defrtr
    return {
        "family": "inet6",
        "interface_luid": luid,
        "interface_index": index,
        "forwarding_enabled": None if link.forwarding6 is None else link.forwarding6 != 0,
        "weak_host_send": True,
        "weak_host_receive": True,
        "use_neighbor_unreachability_detection": resolves,
        "managed_address_configuration_supported": _advertised(link.flags6, _IF_RA_MANAGED),
        "other_stateful_configuration_supported": _advertised(link.flags6, _IF_RA_OTHERCONF),
        "router_discovery_behavior": _router_discovery(link),
        "dad_transmits": link.dad_transmits,
        "base_reachable_time": times.base_reachable,
        "retransmit_time": times.retransmit,
        "path_mtu_discovery_timeout": raw.path_mtu.inet6,
        "link_local_address_behavior": _LINK_LOCAL.get(mode, "always_on"),
        "zone_indices": (0, index, index, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),  # interface and link (RFC 4007)
        "nl_mtu": link.mtu6,
        "connected": _connected(link),
        "supports_neighbor_discovery": resolves,
        "supports_router_discovery": link.flags & (_IFF_MULTICAST | _IFF_LOOPBACK) == _IFF_MULTICAST,
        "reachable_time": link.reachable_time6,
        "disable_default_routes": None if accept_default is None else accept_default == 0,
    }


def _connected(link: Link) -> bool:
    state = link.operstate
    return state == _OPER_UP or (state in (_OPER_UNKNOWN, None) and bool(link.flags & _IFF_LOWER_UP))


def _advertised(flags: int | None, bit: int) -> bool | None:
    """Returns a flag of router advertisements; None when the kernel has received none, or leaves them to a program."""
    return bool(flags & bit) if flags is not None and flags & _IF_RA_RCVD else None


def _router_discovery(link: Link) -> str | None:
    accept = link.accept_ra
    if accept is None:
        return None
    # Documentation/networking/ip-sysctl: 1 is enabled while forwarding is off, 2 is always enabled.
    return "enabled" if accept >= 2 or (accept == 1 and not link.forwarding6) else "disabled"


# Not known on Linux (docs/linux.md). There a metric belongs to a route, not to an interface.
ABSENT = (
    "max_reassembly_size",
    "interface_identifier",
    "min_router_advertisement_interval",
    "max_router_advertisement_interval",
    "advertising_enabled",
    "use_automatic_metric",
    "advertise_default_route",
    "link_local_address_timeout",
    "site_prefix_length",
    "metric",
    "supports_wake_up_patterns",
    "transmit_offload",
    "receive_offload",
)
_VALUES: dict[Family, Callable[[str, Raw], dict[str, Any]]] = {"inet": inet_values, "inet6": inet6_values}


def has_row(family: Family, link: Link, addressed: Container[Family] = ()) -> bool:
    """Returns whether this link is an IP interface of this family.

    `addressed` are the families of its addresses: they tell where the kernel reports no settings at all (gVisor).
    """
    if link.has_inet is None and link.has_inet6 is None:
        return family in addressed
    if family == "inet":
        return bool(link.has_inet)
    return bool(link.has_inet6) and not link.disable_ipv6


def row_values(family: Family, luid: str, raw: Raw) -> dict[str, Any]:
    """Returns the members of the IpInterfaceRow; those in ABSENT stay None."""
    return _VALUES[family](luid, raw)


def interface_values(
    link: Link,
    if_type: int,
    permanent: bytes | None,
    speed: int | None,
    higher: tuple[str, ...],
    lower: tuple[str, ...],
) -> dict[str, Any]:
    """Returns the members of the Interface; `permanent` is the address that was burned in."""
    up = bool(link.flags & _IFF_UP)
    state = link.operstate or _OPER_UNKNOWN
    admin: AdminStatus = "up" if up else "down"
    return {
        "alias": text(link.name),
        "description": text(link.description),
        "type": if_type,
        "kind": text(link.kind),
        "physical_address": _hardware_address(link.address),
        "permanent_physical_address": _hardware_address(permanent),
        "mtu": link.mtu,
        "admin_status": admin,
        "oper_status": _OPER[state] if state < len(_OPER) else "unknown",
        "media_connect_state": _media(link.carrier)
        if up
        else "unknown",  # the carrier of a link that is down is not watched
        "transmit_link_speed": speed,
        "receive_link_speed": speed,
        "higher": higher,
        "lower": lower,
        "link_netnsid": link.lower_namespace
        if link.lower_namespace is not None and link.lower_namespace >= 0
        else None,
    }


def may_be_wireless(link: Link) -> bool:
    """Returns whether the link can be Wi-Fi: hardware of type Ethernet, without a kind."""
    return link.kind is None and link.hardware_type == _ARPHRD_ETHER


def may_have_speed(link: Link) -> bool:
    """Returns whether a driver can know a speed: an Ethernet that is connected."""
    return link.hardware_type == _ARPHRD_ETHER and bool(link.flags & _IFF_LOWER_UP) and bool(link.flags & _IFF_UP)


def bare_name(link: Link) -> bytes:
    """Returns the name without its NUL."""
    return (link.name or b"").rstrip(b"\0")


def text(value: bytes | None) -> str | None:
    """Returns a received string as text. A name may be any bytes: those that are not UTF-8 become `\\xff`."""
    return None if value is None else value.rstrip(b"\0").decode("utf-8", "backslashreplace")


def _hardware_address(value: bytes | None) -> str | None:
    return value.hex(":") if value and any(value) else None


def _media(carrier: int | None) -> str:
    return "unknown" if carrier is None else "connected" if carrier else "disconnected"
