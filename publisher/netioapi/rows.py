"""The rows that the calls return: those of interfaces, addresses, routes and the stack. Frozen models and tuples.

Members have the names of the Windows structures in snake case. `None` is a member that is not known here;
docs/netioapi.md has the origin of each on Linux.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import AwareDatetime, Field

from ..facts import UNKNOWN, Fact, IfKnown
from ..rows import (
    DadState,
    Family,
    Interface,
    Lifetime,
    Luid,
    PrefixOrigin,
    Scope,
    SuffixOrigin,
    UInt32,
    UInt64,
)

TunnelType = Literal["none", "other", "direct", "6to4", "isatap", "teredo", "iphttps"]
MediaType = Literal[
    "802_3",
    "802_5",
    "fddi",
    "wan",
    "local_talk",
    "dix",
    "arcnet_raw",
    "arcnet_878_2",
    "atm",
    "wireless_wan",
    "irda",
    "bpc",
    "co_wan",
    "1394",
    "infiniband",
    "tunnel",
    "native_802_11",
    "loopback",
    "wimax",
    "ip",
]
PhysicalMediumType = Literal[
    "unspecified",
    "wireless_lan",
    "cable_modem",
    "phone_line",
    "power_line",
    "dsl",
    "fibre_channel",
    "1394",
    "wireless_wan",
    "native_802_11",
    "bluetooth",
    "infiniband",
    "wimax",
    "uwb",
    "802_3",
    "802_5",
    "irda",
    "wired_wan",
    "wired_co_wan",
    "other",
    "native_802_15_4",
]
AccessType = Literal["loopback", "broadcast", "point_to_point", "point_to_multi_point"]
DirectionType = Literal["send_receive", "send_only", "receive_only"]
ConnectionType = Literal["dedicated", "passive", "demand"]
RouteOrigin = Literal["manual", "well_known", "dhcp", "router_advertisement", "6to4"]

DEFAULT_PREFIXES: dict[Family, str] = {"inet": "0.0.0.0/0", "inet6": "::/0"}


class IfRow(Interface):
    """MIB_IF_ROW2: an interface, with the published members of `Interface` and those that only the calls return.

    The eight flags are the bits of `InterfaceAndOperStatusFlags`. PhysicalAddressLength is left out: it is that of
    `physical_address`. Counters count since the interface appeared, and only `get_if_entry2` returns them.
    `in_packets` and `out_packets` are no members of the Windows structure: all packets, since Linux counts those to
    one and to many receivers together.
    """

    interface_luid: Luid
    interface_index: UInt32
    interface_guid: IfKnown[str] = None
    tunnel_type: IfKnown[TunnelType] = None
    media_type: IfKnown[MediaType] = None
    physical_medium_type: IfKnown[PhysicalMediumType] = None
    access_type: IfKnown[AccessType] = None
    direction_type: IfKnown[DirectionType] = None
    hardware_interface: IfKnown[bool] = None
    filter_interface: IfKnown[bool] = None
    connector_present: IfKnown[bool] = None
    not_authenticated: IfKnown[bool] = None
    not_media_connected: IfKnown[bool] = None
    paused: IfKnown[bool] = None
    low_power: IfKnown[bool] = None
    end_point_interface: IfKnown[bool] = None
    network_guid: IfKnown[str] = None
    connection_type: IfKnown[ConnectionType] = None
    in_octets: IfKnown[UInt64] = None
    in_packets: IfKnown[UInt64] = None
    in_ucast_pkts: IfKnown[UInt64] = None
    in_n_ucast_pkts: IfKnown[UInt64] = None
    in_discards: IfKnown[UInt64] = None
    in_errors: IfKnown[UInt64] = None
    in_unknown_protos: IfKnown[UInt64] = None
    in_ucast_octets: IfKnown[UInt64] = None
    in_multicast_octets: IfKnown[UInt64] = None
    in_broadcast_octets: IfKnown[UInt64] = None
    out_octets: IfKnown[UInt64] = None
    out_packets: IfKnown[UInt64] = None
    out_ucast_pkts: IfKnown[UInt64] = None
    out_n_ucast_pkts: IfKnown[UInt64] = None
    out_discards: IfKnown[UInt64] = None
    out_errors: IfKnown[UInt64] = None
    out_ucast_octets: IfKnown[UInt64] = None
    out_multicast_octets: IfKnown[UInt64] = None
    out_broadcast_octets: IfKnown[UInt64] = None
    out_q_len: IfKnown[UInt64] = None


class IfStackRow(NamedTuple):
    """MIB_IFSTACK_ROW: one interface on top of another, by their indexes."""

    higher_layer_interface_index: int
    lower_layer_interface_index: int


class InvertedIfStackRow(NamedTuple):
    """MIB_INVERTEDIFSTACK_ROW: the same pair, the lower interface first."""

    lower_layer_interface_index: int
    higher_layer_interface_index: int


class UnicastIpAddressRow(Fact):
    """MIB_UNICASTIPADDRESS_ROW: an address of an interface. The key is family, address, LUID and index.

    The other members have the names that they have in `publisher.Address`. A lifetime is the moment at which it ends:
    `None` for ever, `UNKNOWN` where it is not known. `creation_time` is known on Windows only.
    """

    family: Family
    address: str
    interface_luid: Luid
    interface_index: UInt32
    prefix_length: IfKnown[int] = Field(default=None, ge=0, le=128)
    scope: IfKnown[Scope] = None
    scope_id: IfKnown[UInt32] = None
    prefix_origin: IfKnown[PrefixOrigin] = None
    suffix_origin: IfKnown[SuffixOrigin] = None
    dad_state: IfKnown[DadState] = None
    skip_as_source: IfKnown[bool] = None
    valid_until: Lifetime = UNKNOWN
    preferred_until: Lifetime = UNKNOWN
    creation_time: IfKnown[AwareDatetime] = None


class IpForwardRow(Fact):
    """MIB_IPFORWARD_ROW2: a default route. The key is family, destination prefix, next hop, LUID and index.

    `next_hop`, `metric` and `protocol` are those of `publisher.DefaultRoute`: a next hop that is `None` is on-link, and
    the metric is the complete one, by which the system chooses (the member `Metric` of Windows is an offset to that of
    the interface). A lifetime is the moment at which it ends: `None` for ever, `UNKNOWN` where it is not known. The
    members after `protocol` are known on Windows only.
    """

    family: Family
    destination_prefix: str
    next_hop: IfKnown[str] = None
    interface_luid: Luid
    interface_index: UInt32
    metric: IfKnown[UInt32] = None
    protocol: IfKnown[str] = None
    origin: IfKnown[RouteOrigin] = None
    site_prefix_length: IfKnown[UInt32] = None
    valid_until: Lifetime = UNKNOWN
    preferred_until: Lifetime = UNKNOWN
    loopback: IfKnown[bool] = None
    autoconfigure_address: IfKnown[bool] = None
    publish: IfKnown[bool] = None
    immortal: IfKnown[bool] = None
    age: IfKnown[UInt32] = None
