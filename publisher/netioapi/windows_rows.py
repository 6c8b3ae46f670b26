"""Makes the rows of the calls of the structures of iphlpapi.dll. No I/O, so it runs and is tested on every system."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID

from ..events import Interface
from ..sources.lifetimes import ends_at
from ..sources.windows.iphlpapi import FAMILY_NAMES
from ..sources.windows.notifications import AddressNotification, RouteNotification, address_octets
from ..sources.windows.rows import (
    LONGEST_PREFIX,
    address,
    ip_text,
    luid_text,
    next_hop_text,
    route_metric,
    route_protocol,
)
from ..sources.windows.structures import Guid, MibIfRow2, MibIpForwardRow2, MibUnicastIpAddressRow
from .rows import (
    DEFAULT_PREFIXES,
    AccessType,
    ConnectionType,
    DirectionType,
    IfRow,
    IpForwardRow,
    MediaType,
    PhysicalMediumType,
    RouteOrigin,
    TunnelType,
    UnicastIpAddressRow,
)

# The names are in the order of the numbers: NDIS_MEDIUM and NDIS_PHYSICAL_MEDIUM (ntddndis.h), NET_IF_* (ifdef.h),
# NL_ROUTE_ORIGIN (nldef.h).
_MEDIA_TYPES = dict(enumerate(get_args(MediaType)))
_PHYSICAL_MEDIUM_TYPES = dict(enumerate(get_args(PhysicalMediumType)))
_ACCESS_TYPES = dict(enumerate(get_args(AccessType), 1))
_DIRECTION_TYPES = dict(enumerate(get_args(DirectionType)))
_CONNECTION_TYPES = dict(enumerate(get_args(ConnectionType), 1))
_ROUTE_ORIGINS = dict(enumerate(get_args(RouteOrigin)))
_TUNNEL_TYPES = dict(zip((0, 1, 2, 11, 13, 14, 15), get_args(TunnelType), strict=True))

_FLAGS = (
    "hardware_interface",
    "filter_interface",
    "connector_present",
    "not_authenticated",
    "not_media_connected",
    "paused",
    "low_power",
    "end_point_interface",
)
_COUNTERS = {
    "in_octets": "InOctets",
    "in_ucast_pkts": "InUcastPkts",
    "in_n_ucast_pkts": "InNUcastPkts",
    "in_discards": "InDiscards",
    "in_errors": "InErrors",
    "in_unknown_protos": "InUnknownProtos",
    "in_ucast_octets": "InUcastOctets",
    "in_multicast_octets": "InMulticastOctets",
    "in_broadcast_octets": "InBroadcastOctets",
    "out_octets": "OutOctets",
    "out_ucast_pkts": "OutUcastPkts",
    "out_n_ucast_pkts": "OutNUcastPkts",
    "out_discards": "OutDiscards",
    "out_errors": "OutErrors",
    "out_ucast_octets": "OutUcastOctets",
    "out_multicast_octets": "OutMulticastOctets",
    "out_broadcast_octets": "OutBroadcastOctets",
    "out_q_len": "OutQLen",
}
# The moment 0 of CreationTimeStamp, which counts in units of 100 ns as FILETIME does.
_BEGINNING = datetime(1601, 1, 1, tzinfo=UTC)


def if_row(raw: MibIfRow2, interface: Interface, *, counters: bool) -> IfRow:
    """Returns the row of an interface; raises pydantic's ValidationError. A number of no name is not known."""
    values: dict[str, Any] = {
        **interface.__dict__,
        "interface_luid": luid_text(raw.InterfaceLuid.Value),
        "interface_index": raw.InterfaceIndex,
        "interface_guid": guid_text(raw.InterfaceGuid),
        "tunnel_type": _TUNNEL_TYPES.get(raw.TunnelType),
        "media_type": _MEDIA_TYPES.get(raw.MediaType),
        "physical_medium_type": _PHYSICAL_MEDIUM_TYPES.get(raw.PhysicalMediumType),
        "access_type": _ACCESS_TYPES.get(raw.AccessType),
        "direction_type": _DIRECTION_TYPES.get(raw.DirectionType),
        "network_guid": guid_text(raw.NetworkGuid),
        "connection_type": _CONNECTION_TYPES.get(raw.ConnectionType),
    }
    values |= {name: bool(raw.InterfaceAndOperStatusFlags >> bit & 1) for bit, name in enumerate(_FLAGS)}
    if counters:
        values |= {name: getattr(raw, member) for name, member in _COUNTERS.items()}
        values["in_packets"] = (raw.InUcastPkts + raw.InNUcastPkts) % (1 << 64)
        values["out_packets"] = (raw.OutUcastPkts + raw.OutNUcastPkts) % (1 << 64)
    return IfRow(**values)


def guid_text(raw: Guid) -> str | None:
    """Returns the GUID as `uuid.UUID` writes it, None for the one of zeros only."""
    value = UUID(bytes_le=bytes(raw))
    return str(value) if value.int else None


def address_row(raw: MibUnicastIpAddressRow, now: datetime) -> UnicastIpAddressRow:
    """Returns the row of an address; raises pydantic's ValidationError."""
    values: dict[str, Any] = {
        **address(raw, now).__dict__,
        "family": FAMILY_NAMES[raw.Address.si_family],
        "interface_luid": luid_text(raw.InterfaceLuid.Value),
        "interface_index": raw.InterfaceIndex,
        "creation_time": _moment(raw.CreationTimeStamp),
    }
    return UnicastIpAddressRow(**values)


def _moment(units: int) -> datetime | None:
    """Returns the moment, None where the system gives none or one that no calendar has."""
    try:
        return _BEGINNING + timedelta(microseconds=units // 10) if units > 0 else None
    except OverflowError:
        return None


def address_key(notification: AddressNotification) -> UnicastIpAddressRow:
    """Returns the key of the address that changed."""
    return UnicastIpAddressRow(
        family=FAMILY_NAMES[notification.family],
        address=ip_text(notification.family, notification.address),
        interface_luid=luid_text(notification.luid),
        interface_index=notification.interface_index,
    )


def route_row(raw: MibIpForwardRow2, interface_metric: int | None, now: datetime) -> IpForwardRow:
    """Returns the row of a default route; raises pydantic's ValidationError. A number of no name is not known."""
    number = raw.DestinationPrefix.Prefix.si_family
    family = FAMILY_NAMES[number]
    return IpForwardRow(
        family=family,
        destination_prefix=DEFAULT_PREFIXES[family],
        next_hop=next_hop_text(number, address_octets(raw.NextHop, number)),
        interface_luid=luid_text(raw.InterfaceLuid.Value),
        interface_index=raw.InterfaceIndex,
        metric=None if interface_metric is None else route_metric(raw, interface_metric),
        protocol=route_protocol(raw),
        origin=_ROUTE_ORIGINS.get(raw.Origin),
        site_prefix_length=raw.SitePrefixLength if raw.SitePrefixLength <= LONGEST_PREFIX[family] else None,
        valid_until=ends_at(raw.ValidLifetime, now),
        preferred_until=ends_at(raw.PreferredLifetime, now),
        loopback=bool(raw.Loopback),
        autoconfigure_address=bool(raw.AutoconfigureAddress),
        publish=bool(raw.Publish),
        immortal=bool(raw.Immortal),
        age=raw.Age,
    )


def route_key(notification: RouteNotification) -> IpForwardRow:
    """Returns the key of the default route that changed."""
    family = FAMILY_NAMES[notification.family]
    return IpForwardRow(
        family=family,
        destination_prefix=DEFAULT_PREFIXES[family],
        next_hop=next_hop_text(notification.family, notification.next_hop),
        interface_luid=luid_text(notification.luid),
        interface_index=notification.interface_index,
    )
