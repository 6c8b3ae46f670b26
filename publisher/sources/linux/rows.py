"""Rows: the members of MIB_IPINTERFACE_ROW and of the interface, from a link. Pure.

docs/linux.md has the origin of each member, and the changes that the kernel reports.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, NamedTuple

from ...events import AdminStatus, Family, Offload, OperStatus
from .rtnetlink import Link

_IFF_UP, _IFF_LOOPBACK, _IFF_NOARP, _IFF_SLAVE, _IFF_MULTICAST, _IFF_LOWER_UP = 0x1, 0x8, 0x80, 0x800, 0x1000, 0x10000
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
# ARPHRD_* of the links to which the kernel adds a link-local address: Ethernet, ARCnet, IEEE 1394, InfiniBand, raw IP,
# TUNNEL6, FDDI, 6LoWPAN, and NONE, as of a tun (net/ipv6/addrconf.c, addrconf_dev_config).
_AUTOCONFIGURED = frozenset((1, 7, 24, 32, 519, 769, 774, 825, 0xFFFE))
_CHECKSUM, _CHECKSUM4, _CHECKSUM6 = "tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-checksum-ipv6"
_SEGMENTATION, _SEGMENTATION6, _RECEIVE_CHECKSUM = "tx-tcp-segmentation", "tx-tcp6-segmentation", "rx-checksum"
OFFLOAD_FEATURES = frozenset((_CHECKSUM, _CHECKSUM4, _CHECKSUM6, _SEGMENTATION, _SEGMENTATION6, _RECEIVE_CHECKSUM))
"""The features of ethtool that the members of an Offload are made from (net/ethtool/common.c)."""


class Times(NamedTuple):
    """The parameters of a link in a neighbour table, in ms (RFC 4861, 6.3.2)."""

    base_reachable: int | None = None
    retransmit: int | None = None
    reachable: int | None = None


class PathMtuTimes(NamedTuple):
    """The time for which a learned path MTU is kept, in ms."""

    inet: int | None = None
    inet6: int | None = None


class Offloads(NamedTuple):
    """The offloads of a link: for packets that each family transmits, and for received ones of both."""

    transmit: Offload
    transmit6: Offload
    receive: Offload


class Raw(NamedTuple):
    """Everything that a row is made from. `link_local`: the link has a link-local address of IPv6."""

    link: Link
    times: Times
    times6: Times
    path_mtu: PathMtuTimes
    offloads: Offloads | None = None
    can_wake: bool | None = None
    link_local: bool = False


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
        "supports_wake_up_patterns": raw.can_wake,
        "supports_neighbor_discovery": resolves,
        "reachable_time": times.reachable,
        "transmit_offload": raw.offloads and raw.offloads.transmit,
        "receive_offload": raw.offloads and raw.offloads.receive,
    }


def inet6_values(luid: str, raw: Raw) -> dict[str, Any]:
    """Returns the members of the IpInterfaceRow for IPv6."""
    link, times = raw.link, raw.times6
    resolves = not link.flags & _IFF_NOARP
    index, accept_default = link.ifindex, link.accept_ra_defrtr
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
        "link_local_address_behavior": "always_on" if raw.link_local or _adds_link_local(link) else None,
        "zone_indices": (0, index, index, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),  # interface and link (RFC 4007)
        "nl_mtu": link.mtu6,
        "connected": _connected(link),
        "supports_wake_up_patterns": raw.can_wake,
        "supports_neighbor_discovery": resolves,
        "supports_router_discovery": _may_solicit(link),
        "reachable_time": link.reachable_time6,
        "transmit_offload": raw.offloads and raw.offloads.transmit6,
        "receive_offload": raw.offloads and raw.offloads.receive,
        "disable_default_routes": None if accept_default is None else accept_default == 0,
    }


def _connected(link: Link) -> bool:
    state = link.operstate
    return state == _OPER_UP or (state in (_OPER_UNKNOWN, None) and bool(link.flags & _IFF_LOWER_UP))


def _advertised(flags: int | None, bit: int) -> bool | None:
    """Returns a flag of router advertisements; None when the kernel has received none, or leaves them to a program."""
    return bool(flags & bit) if flags is not None and flags & _IF_RA_RCVD else None


def _adds_link_local(link: Link) -> bool:
    """Returns whether the kernel adds a link-local address of IPv6 as soon as the link is connected.

    Where it does not, a program may do so: NetworkManager sets the mode `none` for that.
    """
    mode, flags = link.addr_gen_mode, link.flags
    return (
        mode not in (None, _ADDR_GEN_MODE_NONE)
        and link.hardware_type in _AUTOCONFIGURED
        and not flags & (_IFF_LOOPBACK | _IFF_SLAVE)
        and text(link.kind) != "vrf"  # no link-local address on a master of layer 3 (addrconf_addr_gen)
    )


def _router_discovery(link: Link) -> str | None:
    accept = link.accept_ra
    if not accept:
        return None  # NetworkManager and systemd-networkd set 0 and receive router advertisements themselves
    # Documentation/networking/ip-sysctl: 1 is enabled while forwarding is off, 2 is always enabled.
    return "enabled" if _may_solicit(link) and (accept >= 2 or not link.forwarding6) else "disabled"


def _may_solicit(link: Link) -> bool:
    return link.flags & (_IFF_MULTICAST | _IFF_LOOPBACK) == _IFF_MULTICAST


def offloads_of(active: Container[str]) -> Offloads:
    """Returns the offloads of a link with these active features, those that ethtool tells of it.

    The kernel computes the checksum of IPv4's own header itself. A feature for the checksums of TCP and UDP holds for
    packets with IPv4's options, too (include/linux/skbuff.h).
    """
    generic = _CHECKSUM in active
    inet, inet6, received = (
        generic or _CHECKSUM4 in active,
        generic or _CHECKSUM6 in active,
        _RECEIVE_CHECKSUM in active,
    )
    return Offloads(
        Offload(
            tl_datagram_checksum_supported=inet,
            tl_stream_checksum_supported=inet,
            tl_stream_options_supported=inet,
            tl_large_send_offload_supported=_SEGMENTATION in active,
        ),
        Offload(
            tl_datagram_checksum_supported=inet6,
            tl_stream_checksum_supported=inet6,
            tl_large_send_offload_supported=_SEGMENTATION6 in active,
        ),
        Offload(tl_datagram_checksum_supported=received, tl_stream_checksum_supported=received),
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
        "last_link_speed": speed,  # while it is known; the table keeps it afterwards
        "carrier_transitions": None
        if link.carrier_ups is None or link.carrier_downs is None
        else link.carrier_ups + link.carrier_downs,
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
