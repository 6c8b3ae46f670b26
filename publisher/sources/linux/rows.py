"""Rows: the members of MIB_IPINTERFACE_ROW and of the interface, from a link. Pure.

`MEMBERS` is the one table of the origin of each member on Linux, and of whether the kernel reports its changes.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any, Literal, NamedTuple

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
_ADDR_GEN_MODE_NONE = 1
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


class Member(NamedTuple):
    """A member of the row with its value for each family, None where Linux has no such thing.

    `reported`: "at once", by rtnetlink; "silent", by inotify where it reaches, and by the reconcile. Measured on Linux
    6.18 (docs/linux.md).
    """

    name: str
    inet: Callable[[Raw], Any] | None
    inet6: Callable[[Raw], Any] | None
    source: str
    reported: Literal["at once", "silent", "constant"]


def _connected(raw: Raw) -> bool:
    state = raw.link.operstate
    return state == _OPER_UP or (state in (_OPER_UNKNOWN, None) and bool(raw.link.flags & _IFF_LOWER_UP))


def _resolves(raw: Raw) -> bool:
    return not raw.link.flags & _IFF_NOARP


def _always(_: Raw) -> bool:
    return True


def _advertised(flags: int | None, bit: int) -> bool | None:
    """Returns a flag of router advertisements; None when the kernel has received none, or leaves them to a program."""
    return bool(flags & bit) if flags is not None and flags & _IF_RA_RCVD else None


def _switch(value: int | None) -> bool | None:
    return None if value is None else value != 0


def _router_discovery(raw: Raw) -> str | None:
    accept = raw.link.accept_ra
    if accept is None:
        return None
    # Documentation/networking/ip-sysctl: 1 is enabled while forwarding is off, 2 is always enabled.
    return "enabled" if accept >= 2 or (accept == 1 and not raw.link.forwarding6) else "disabled"


def _link_local(raw: Raw) -> str | None:
    mode = raw.link.addr_gen_mode
    return None if mode is None else "always_off" if mode == _ADDR_GEN_MODE_NONE else "always_on"


def _zones(raw: Raw) -> tuple[int, ...]:
    return (0, raw.link.ifindex, raw.link.ifindex, *[0] * 13)


def _no_default_route(raw: Raw) -> bool | None:
    accept = raw.link.accept_ra_defrtr
    return None if accept is None else accept == 0


MEMBERS = (
    Member(
        "forwarding_enabled",
        lambda r: _switch(r.link.forwarding),
        lambda r: _switch(r.link.forwarding6),
        "IFLA_INET_CONF, IFLA_INET6_CONF: forwarding",
        "at once",
    ),
    Member(
        "nl_mtu", lambda r: r.link.mtu, lambda r: r.link.mtu6, "IFLA_MTU; IFLA_INET6_CONF: mtu6 (silent)", "at once"
    ),
    Member("connected", _connected, _connected, "IFLA_OPERSTATE, IFF_LOWER_UP", "at once"),
    Member("weak_host_send", _always, _always, "Linux is a weak end system (RFC 1122, 3.3.4.2)", "constant"),
    Member("weak_host_receive", _always, _always, "as weak_host_send", "constant"),
    Member("use_neighbor_unreachability_detection", _resolves, _resolves, "not IFF_NOARP", "at once"),
    Member("supports_neighbor_discovery", _resolves, _resolves, "not IFF_NOARP", "at once"),
    Member(
        "managed_address_configuration_supported",
        None,
        lambda r: _advertised(r.link.flags6, _IF_RA_MANAGED),
        "IFLA_INET6_FLAGS: IF_RA_MANAGED, if IF_RA_RCVD is set",
        "at once",
    ),
    Member(
        "other_stateful_configuration_supported",
        None,
        lambda r: _advertised(r.link.flags6, _IF_RA_OTHERCONF),
        "IFLA_INET6_FLAGS: IF_RA_OTHERCONF, if IF_RA_RCVD is set",
        "at once",
    ),
    Member("router_discovery_behavior", None, _router_discovery, "IFLA_INET6_CONF: accept_ra, forwarding", "silent"),
    Member(
        "supports_router_discovery",
        None,
        lambda r: r.link.flags & (_IFF_MULTICAST | _IFF_LOOPBACK) == _IFF_MULTICAST,
        "IFF_MULTICAST and not IFF_LOOPBACK",
        "at once",
    ),
    Member("dad_transmits", None, lambda r: r.link.dad_transmits, "IFLA_INET6_CONF: dad_transmits", "silent"),
    Member(
        "base_reachable_time",
        lambda r: r.times.base_reachable,
        lambda r: r.times6.base_reachable,
        "NDTPA_BASE_REACHABLE_TIME or /proc/sys/net/*/neigh; inet6: reported when it is written there",
        "silent",
    ),
    Member(
        "retransmit_time",
        lambda r: r.times.retransmit,
        lambda r: r.times6.retransmit,
        "NDTPA_RETRANS_TIME or /proc/sys/net/*/neigh; inet6: reported when it is written there",
        "silent",
    ),
    Member(
        "reachable_time",
        lambda r: r.times.reachable,
        lambda r: r.link.reachable_time6,
        "NDTPA_REACHABLE_TIME; IFLA_INET6_CACHEINFO. Random around the base time: shown, never an event",
        "silent",
    ),
    Member(
        "path_mtu_discovery_timeout",
        lambda r: r.path_mtu.inet,
        lambda r: r.path_mtu.inet6,
        "net.ipv4.route.mtu_expires, net.ipv6.route.mtu_expires",
        "silent",
    ),
    Member("link_local_address_behavior", None, _link_local, "IFLA_INET6_CONF: addr_gen_mode", "silent"),
    Member("zone_indices", None, _zones, "the ifindex for interface and link scope (RFC 4007)", "constant"),
    Member("disable_default_routes", None, _no_default_route, "IFLA_INET6_CONF: accept_ra_defrtr", "silent"),
)
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
_INET = [(member.name, member.inet) for member in MEMBERS if member.inet]
_INET6 = [(member.name, member.inet6) for member in MEMBERS if member.inet6]


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
    members = _INET if family == "inet" else _INET6
    values = {name: value(raw) for name, value in members}
    return {"family": family, "interface_luid": luid, "interface_index": raw.link.ifindex, **values}


def rows_values(
    families: Iterable[Family], luid: str, raw: Raw, addressed: Container[Family] = ()
) -> dict[Family, dict[str, Any]]:
    """Returns the members of the IpInterfaceRow of each of these families in which the link is an IP interface."""
    return {family: row_values(family, luid, raw) for family in families if has_row(family, raw.link, addressed)}


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
