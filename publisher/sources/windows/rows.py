"""Makes the published models of the structures of iphlpapi.dll. No I/O, so it runs and is tested on every system."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address

from ...events import Address, DefaultRoute, Family, Interface, IpInterfaceRow, Offload, Scope
from ..lifetimes import ends_at
from .iphlpapi import (
    ADMIN_STATUSES,
    AF_INET,
    DAD_STATES,
    FAMILY_NAMES,
    LINK_LOCAL_ADDRESS_BEHAVIORS,
    MEDIA_CONNECT_STATES,
    OPER_STATUSES,
    PREFIX_ORIGINS,
    PROTOCOLS_OF_ORIGINS,
    ROUTE_PROTOCOLS,
    ROUTER_DISCOVERY_BEHAVIORS,
    SUFFIX_ORIGINS,
)
from .notifications import address_octets
from .structures import MibIfRow2, MibIpForwardRow2, MibIpInterfaceRow, MibUnicastIpAddressRow, OffloadRod

LONGEST_PREFIX: dict[Family, int] = {"inet": 32, "inet6": 128}
_NO_SPEED = 0xFFFF_FFFF_FFFF_FFFF
_LARGEST_METRIC = _NO_METRIC = 0xFFFF_FFFF


def luid_text(value: int) -> str:
    """Returns the published form of a NET_LUID's value."""
    return f"{value:016x}"


def ip_interface_row(raw: MibIpInterfaceRow) -> IpInterfaceRow:
    """Returns the row without the members that are reserved or have no meaning in this state.

    Both are documented in ns-netioapi-mib_ipinterface_row. Raises pydantic's ValidationError for a family of no name.
    """
    family = FAMILY_NAMES.get(raw.Family, raw.Family)
    advertising = bool(raw.AdvertisingEnabled)
    return IpInterfaceRow(
        family=family,
        interface_luid=luid_text(raw.InterfaceLuid.Value),
        interface_index=raw.InterfaceIndex,
        min_router_advertisement_interval=raw.MinRouterAdvertisementInterval if advertising else None,
        max_router_advertisement_interval=raw.MaxRouterAdvertisementInterval if advertising else None,
        advertising_enabled=advertising,
        forwarding_enabled=bool(raw.ForwardingEnabled),
        weak_host_send=bool(raw.WeakHostSend),
        weak_host_receive=bool(raw.WeakHostReceive),
        use_automatic_metric=bool(raw.UseAutomaticMetric),
        use_neighbor_unreachability_detection=bool(raw.UseNeighborUnreachabilityDetection),
        managed_address_configuration_supported=bool(raw.ManagedAddressConfigurationSupported),
        other_stateful_configuration_supported=bool(raw.OtherStatefulConfigurationSupported),
        advertise_default_route=bool(raw.AdvertiseDefaultRoute) if advertising else None,
        router_discovery_behavior=ROUTER_DISCOVERY_BEHAVIORS.get(raw.RouterDiscoveryBehavior),
        dad_transmits=raw.DadTransmits,
        base_reachable_time=raw.BaseReachableTime,
        retransmit_time=raw.RetransmitTime,
        path_mtu_discovery_timeout=raw.PathMtuDiscoveryTimeout,
        link_local_address_behavior=LINK_LOCAL_ADDRESS_BEHAVIORS.get(raw.LinkLocalAddressBehavior),
        link_local_address_timeout=raw.LinkLocalAddressTimeout,
        zone_indices=tuple(raw.ZoneIndices),
        site_prefix_length=raw.SitePrefixLength if raw.SitePrefixLength <= LONGEST_PREFIX.get(family, 0) else None,
        metric=raw.Metric,
        nl_mtu=raw.NlMtu,
        connected=bool(raw.Connected),
        supports_wake_up_patterns=bool(raw.SupportsWakeUpPatterns),
        supports_neighbor_discovery=bool(raw.SupportsNeighborDiscovery),
        supports_router_discovery=bool(raw.SupportsRouterDiscovery),
        reachable_time=raw.ReachableTime,
        transmit_offload=_offload(raw.TransmitOffload),
        receive_offload=_offload(raw.ReceiveOffload),
        disable_default_routes=bool(raw.DisableDefaultRoutes),
    )


def _offload(raw: OffloadRod) -> Offload:
    return Offload(
        nl_checksum_supported=bool(raw.NlChecksumSupported),
        nl_options_supported=bool(raw.NlOptionsSupported),
        tl_datagram_checksum_supported=bool(raw.TlDatagramChecksumSupported),
        tl_stream_checksum_supported=bool(raw.TlStreamChecksumSupported),
        tl_stream_options_supported=bool(raw.TlStreamOptionsSupported),
        fast_path_compatible=bool(raw.FastPathCompatible),
        tl_large_send_offload_supported=bool(raw.TlLargeSendOffloadSupported),
        tl_giant_send_offload_supported=bool(raw.TlGiantSendOffloadSupported),
    )


def interface(raw: MibIfRow2, higher: Iterable[str] = (), lower: Iterable[str] = ()) -> Interface:
    """Returns the interface; `higher` and `lower` are the LUIDs of its neighbours in the stack."""
    length = raw.PhysicalAddressLength
    return Interface(
        alias=_text(raw.Alias),
        description=_text(raw.Description),
        type=raw.Type,
        physical_address=_physical_address(raw.PhysicalAddress, length),
        permanent_physical_address=_physical_address(raw.PermanentPhysicalAddress, length),
        mtu=raw.Mtu,
        admin_status=ADMIN_STATUSES.get(raw.AdminStatus, "down"),
        oper_status=OPER_STATUSES.get(raw.OperStatus, "unknown"),
        media_connect_state=MEDIA_CONNECT_STATES.get(raw.MediaConnectState, "unknown"),
        transmit_link_speed=_speed(raw.TransmitLinkSpeed),
        receive_link_speed=_speed(raw.ReceiveLinkSpeed),
        higher=tuple(sorted(higher)),
        lower=tuple(sorted(lower)),
    )


def _text(units: ctypes.Array[ctypes.c_uint16]) -> str:
    """Returns the UTF-16 text up to the first NUL. Windows accepts lone surrogates in names, JSON does not."""
    return bytes(units).decode("utf-16-le", errors="replace").partition("\0")[0]


def _physical_address(octets: Iterable[int], length: int) -> str | None:
    """Returns the address, or None if it has no octets or only zeros."""
    known = bytes(octets)[:length]
    return known.hex(":") if any(known) else None


def _speed(bits_per_second: int) -> int | None:
    """Returns the speed, or None for -1, which a driver reports that does not know it."""
    return None if bits_per_second == _NO_SPEED else bits_per_second


def address(raw: MibUnicastIpAddressRow, now: datetime) -> Address:
    """Returns the unicast address. A prefix length that is no value (255 is common) becomes the longest one."""
    ip = _ip(raw)
    return Address(
        address=str(ip),
        prefix_length=min(raw.OnLinkPrefixLength, ip.max_prefixlen),
        scope=_scope(ip),
        scope_id=raw.ScopeId.Value & 0x0FFF_FFFF or None,
        prefix_origin=PREFIX_ORIGINS.get(raw.PrefixOrigin, "other"),
        suffix_origin=SUFFIX_ORIGINS.get(raw.SuffixOrigin, "other"),
        dad_state=DAD_STATES.get(raw.DadState, "invalid"),
        skip_as_source=bool(raw.SkipAsSource),
        valid_until=ends_at(raw.ValidLifetime, now),
        preferred_until=ends_at(raw.PreferredLifetime, now),
    )


def _ip(raw: MibUnicastIpAddressRow) -> IPv4Address | IPv6Address:
    family = raw.Address.si_family
    return _ip_of(family, address_octets(raw.Address, family))


def _ip_of(family: int, octets: bytes) -> IPv4Address | IPv6Address:
    return IPv4Address(octets) if family == AF_INET else IPv6Address(octets)


def ip_text(family: int, octets: bytes) -> str:
    """Returns the text of an address, as in `Address.address`."""
    return str(_ip_of(family, octets))


def next_hop_text(family: int, octets: bytes) -> str | None:
    """Returns the text of a next hop, as in `DefaultRoute.next_hop`: None for an unspecified one, which is on-link."""
    return ip_text(family, octets) if any(octets) else None


def default_route(raw: MibIpForwardRow2, interface_metric: int) -> DefaultRoute:
    """Returns the default route; `interface_metric` is that of its interface in its family."""
    family = raw.DestinationPrefix.Prefix.si_family
    return DefaultRoute(
        next_hop=next_hop_text(family, address_octets(raw.NextHop, family)),
        metric=route_metric(raw, interface_metric),
        protocol=route_protocol(raw),
    )


def route_metric(raw: MibIpForwardRow2, interface_metric: int) -> int:
    """Returns the metric by which Windows chooses a route: the route's own is an offset to the interface's.

    An offset of -1 is documented as "not used" (ns-netioapi-mib_ipforward_row2).
    """
    offset = 0 if raw.Metric == _NO_METRIC else raw.Metric
    return min(interface_metric + offset, _LARGEST_METRIC)


def route_protocol(raw: MibIpForwardRow2) -> str | None:
    """Returns the word for what made the route; None where it is not specified."""
    return PROTOCOLS_OF_ORIGINS.get(raw.Origin) or ROUTE_PROTOCOLS.get(raw.Protocol)


def _scope(ip: IPv4Address | IPv6Address) -> Scope:
    """Returns the scope by the address (RFC 4007, RFC 3927), since the scope id of Windows often has no level."""
    if ip.is_loopback:
        return "interface"
    if ip.is_link_local:
        return "link"
    return "site" if isinstance(ip, IPv6Address) and ip.is_site_local else "global"
