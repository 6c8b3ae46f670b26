"""The rows: LUIDs, and one IP interface as it is, with its settings, its interface and its addresses.

Names are those of the Windows structures in snake case. `None` means that the member is not known here; the JSON leaves
it out.
"""

from __future__ import annotations

import operator
from functools import cached_property, partial
from typing import Annotated, Literal, NamedTuple

from pydantic import AwareDatetime, Field

from .facts import UNKNOWN, Fact, IfKnown, Unknown

Family = Literal["inet", "inet6"]
AdminStatus = Literal["up", "down", "testing"]
OperStatus = Literal["up", "down", "testing", "unknown", "dormant", "not_present", "lower_layer_down"]
MediaConnectState = Literal["unknown", "connected", "disconnected"]
RouterDiscoveryBehavior = Literal["disabled", "enabled", "dhcp"]
LinkLocalAddressBehavior = Literal["always_off", "delayed", "always_on"]
DadState = Literal["invalid", "tentative", "duplicate", "deprecated", "preferred"]
PrefixOrigin = Literal["other", "manual", "well_known", "dhcp", "router_advertisement"]
SuffixOrigin = Literal["other", "manual", "well_known", "dhcp", "link_layer_address", "random"]
Scope = Literal["interface", "link", "subnet", "admin", "site", "organization", "global"]

Luid = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="Interface LUID, 16 hexadecimal digits")]
UInt32 = Annotated[int, Field(ge=0, le=0xFFFF_FFFF)]
UInt64 = Annotated[int, Field(ge=0, le=0xFFFF_FFFF_FFFF_FFFF)]
PhysicalAddress = Annotated[str, Field(pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2})*$")]


Lifetime = Annotated[AwareDatetime | Unknown | None, Field(exclude_if=partial(operator.is_, UNKNOWN))]


class LuidParts(NamedTuple):
    """The parts of a NET_LUID (ifdef.h): IANA interface type and the index within that type."""

    if_type: int
    net_luid_index: int


def make_luid(if_type: int, net_luid_index: int) -> str:
    """Returns a LUID from its parts: `if_type` in bits 48-63, `net_luid_index` in bits 24-47, zero below."""
    if not (0 <= if_type < 1 << 16 and 0 <= net_luid_index < 1 << 24):
        raise ValueError(f"no LUID has if_type {if_type} and net_luid_index {net_luid_index}: 16 and 24 bits")
    return f"{if_type << 48 | net_luid_index << 24:016x}"


def luid_parts(luid: str) -> LuidParts:
    """Returns the parts of a LUID, which is 16 hexadecimal digits."""
    value = int(luid, 16)
    return LuidParts(value >> 48, value >> 24 & 0xFF_FFFF)


class Offload(Fact):
    """NL_INTERFACE_OFFLOAD_ROD (nldef.h): what the network adapter does for the protocols."""

    nl_checksum_supported: IfKnown[bool] = Field(
        default=None, description="The adapter computes the checksum of the network layer"
    )
    nl_options_supported: IfKnown[bool] = Field(
        default=None, description="It does so for packets with options of the network layer, too"
    )
    tl_datagram_checksum_supported: IfKnown[bool] = Field(
        default=None, description="The adapter computes the checksum of UDP"
    )
    tl_stream_checksum_supported: IfKnown[bool] = Field(
        default=None, description="The adapter computes the checksum of TCP"
    )
    tl_stream_options_supported: IfKnown[bool] = Field(
        default=None, description="It does so for segments with options of TCP, too"
    )
    fast_path_compatible: IfKnown[bool] = Field(
        default=None, description="The adapter is compatible with the fast path"
    )
    tl_large_send_offload_supported: IfKnown[bool] = Field(
        default=None, description="The adapter cuts large sends of TCP into segments"
    )
    tl_giant_send_offload_supported: IfKnown[bool] = Field(
        default=None, description="The adapter cuts sends of TCP of more than 64 KiB into segments"
    )


class IpInterfaceRow(Fact):
    """MIB_IPINTERFACE_ROW (netioapi.h): the settings of one interface in one address family. Times in milliseconds."""

    family: Family = Field(description="The address family")
    interface_luid: Luid = Field(description="The interface's LUID")
    interface_index: UInt32 = Field(description="The interface's index, which another interface may have later")
    max_reassembly_size: IfKnown[UInt32] = Field(
        default=None, description="The largest packet that is reassembled, in bytes"
    )
    interface_identifier: IfKnown[str] = Field(default=None, description="The interface identifier of IPv6 addresses")
    min_router_advertisement_interval: IfKnown[UInt32] = Field(
        default=None, description="The shortest time between two router advertisements that are sent, in ms"
    )
    max_router_advertisement_interval: IfKnown[UInt32] = Field(
        default=None, description="The longest time between two router advertisements that are sent, in ms"
    )
    advertising_enabled: IfKnown[bool] = Field(default=None, description="Router advertisements are sent")
    forwarding_enabled: IfKnown[bool] = Field(default=None, description="Packets that come in here are forwarded")
    weak_host_send: IfKnown[bool] = Field(
        default=None, description="Packets may be sent from addresses of other interfaces"
    )
    weak_host_receive: IfKnown[bool] = Field(
        default=None, description="Packets to addresses of other interfaces are received"
    )
    use_automatic_metric: IfKnown[bool] = Field(default=None, description="The system chooses the metric")
    use_neighbor_unreachability_detection: IfKnown[bool] = Field(
        default=None, description="Neighbors are watched for being reachable"
    )
    managed_address_configuration_supported: IfKnown[bool] = Field(
        default=None, description="Router advertisements tell hosts to get addresses by DHCPv6"
    )
    other_stateful_configuration_supported: IfKnown[bool] = Field(
        default=None, description="Router advertisements tell hosts to get other settings by DHCPv6"
    )
    advertise_default_route: IfKnown[bool] = Field(default=None, description="A default route is advertised")
    router_discovery_behavior: IfKnown[RouterDiscoveryBehavior] = Field(
        default=None, description="Routers are discovered, or are not, or DHCP decides"
    )
    dad_transmits: IfKnown[UInt32] = Field(
        default=None, description="The number of messages that detect a duplicate address; 0 for no detection"
    )
    base_reachable_time: IfKnown[UInt32] = Field(
        default=None, description="The base for the random reachable time, in ms"
    )
    retransmit_time: IfKnown[UInt32] = Field(
        default=None, description="The time between two neighbor solicitations, in ms"
    )
    path_mtu_discovery_timeout: IfKnown[UInt32] = Field(
        default=None, description="The time for which a learned path MTU is kept, in ms"
    )
    link_local_address_behavior: IfKnown[LinkLocalAddressBehavior] = Field(
        default=None, description="The interface has a link-local address always, never, or when it gets no other"
    )
    link_local_address_timeout: IfKnown[UInt32] = Field(
        default=None, description="The time to wait for another address before a link-local one, in ms"
    )
    zone_indices: IfKnown[Annotated[tuple[UInt32, ...], Field(min_length=16, max_length=16)]] = Field(
        default=None, description="The zone of each of the 16 scope levels"
    )
    site_prefix_length: IfKnown[UInt32] = Field(default=None, description="The length of the site prefix, in bits")
    metric: IfKnown[UInt32] = Field(
        default=None, description="The interface's part of the metric of a route; the lowest is the best"
    )
    nl_mtu: IfKnown[UInt32] = Field(default=None, description="The largest packet of this family, in bytes")
    connected: IfKnown[bool] = Field(default=None, description="Packets can be sent and received: the link is up")
    supports_wake_up_patterns: IfKnown[bool] = Field(default=None, description="Packets can wake the host up")
    supports_neighbor_discovery: IfKnown[bool] = Field(default=None, description="Addresses of neighbors are resolved")
    supports_router_discovery: IfKnown[bool] = Field(default=None, description="Routers can be solicited")
    reachable_time: IfKnown[UInt32] = Field(
        default=None,
        description="The time for which a neighbor counts as reachable, in ms; random, and no change by itself",
    )
    transmit_offload: IfKnown[Offload] = Field(
        default=None, description="The work on packets to send that the adapter does"
    )
    receive_offload: IfKnown[Offload] = Field(
        default=None, description="The work on received packets that the adapter does"
    )
    disable_default_routes: IfKnown[bool] = Field(
        default=None, description="Default routes of router advertisements are not taken"
    )


class Interface(Fact):
    """MIB_IF_ROW2 (netioapi.h): the interface itself, and its place in the stack. Link speeds in bit/s."""

    alias: str = Field(description="The interface's name, as people give it")
    description: IfKnown[str] = Field(default=None, description="A description, as the driver or a person gives it")
    type: UInt32 = Field(description="The IANA interface type: 6 Ethernet, 24 loopback, 71 Wi-Fi, ...")
    kind: IfKnown[str] = Field(
        default=None, description="Linux: the kind of a virtual interface, like bridge, vlan or wireguard"
    )
    physical_address: IfKnown[PhysicalAddress] = Field(default=None, description="The hardware address in use")
    permanent_physical_address: IfKnown[PhysicalAddress] = Field(
        default=None, description="The hardware address that is burned in"
    )
    mtu: IfKnown[UInt32] = Field(default=None, description="The largest packet, in bytes")
    admin_status: AdminStatus = Field(description="The state that was asked for")
    oper_status: OperStatus = Field(description="The state that it is in (RFC 2863)")
    media_connect_state: MediaConnectState = Field(description="The cable is connected, or the radio associated")
    transmit_link_speed: IfKnown[UInt64] = Field(default=None, description="The speed for sending, in bit/s")
    receive_link_speed: IfKnown[UInt64] = Field(default=None, description="The speed for receiving, in bit/s")
    last_link_speed: IfKnown[UInt64] = Field(
        default=None, description="The transmit link speed in bit/s when it was last connected, kept while it is not"
    )
    best_link_speed: IfKnown[UInt64] = Field(
        default=None,
        description="The greatest `last_link_speed` that it ever had, in bit/s; left out while it is the present one",
    )
    last_change: IfKnown[AwareDatetime] = Field(
        default=None, description="RFC 8343: since when the present oper_status holds; left out when it is not known"
    )
    carrier_transitions: IfKnown[UInt64] = Field(
        default=None, description="How often the carrier came or went since the interface exists, as a count; Linux"
    )
    higher: tuple[Luid, ...] = Field(
        default=(), description="The interfaces that are stacked on this one, like a bridge"
    )
    lower: tuple[Luid, ...] = Field(default=(), description="The interfaces that this one is stacked on")
    link_netnsid: IfKnown[Annotated[int, Field(ge=0)]] = Field(
        default=None,
        description="Linux: the network namespace of the other end or of the link below, as a number; left out in this "
        "one",
    )


class Address(Fact):
    """MIB_UNICASTIPADDRESS_ROW (netioapi.h). A lifetime is the moment at which it ends; `None` is for ever.

    A lifetime that is not known is `UNKNOWN`, and left out of the JSON; null is for ever there, too.
    """

    address: str = Field(description="The address as text")
    prefix_length: Annotated[int, Field(ge=0, le=128)] = Field(description="The length of the on-link prefix, in bits")
    scope: Scope = Field(description="The part of the network in which it is unique")
    scope_id: IfKnown[UInt32] = Field(
        default=None, description="The zone of the scope, mostly the index of the interface"
    )
    prefix_origin: PrefixOrigin = Field(default="other", description="Where the prefix comes from")
    suffix_origin: SuffixOrigin = Field(default="other", description="Where the rest of the address comes from")
    dad_state: DadState = Field(description="The state of duplicate address detection; preferred is the usual one")
    skip_as_source: IfKnown[bool] = Field(default=None, description="It is not chosen as the source of packets")
    valid_until: Lifetime = Field(default=UNKNOWN, description="The end of its valid lifetime; null for ever")
    preferred_until: Lifetime = Field(default=UNKNOWN, description="The end of its preferred lifetime; null for ever")


class DefaultRoute(Fact):
    """MIB_IPFORWARD_ROW2 (netioapi.h): a default route through an interface, in the host's main table."""

    next_hop: IfKnown[str] = Field(default=None, description="The gateway's address; left out where there is none")
    metric: UInt32 = Field(description="The lowest is the best")
    protocol: IfKnown[str] = Field(default=None, description="What made the route, like dhcp, ra, static or kernel")


class IpInterface(Fact):
    """One row of the table: an IP interface as it is, keyed by LUID and family.

    `interface` may be one object for both families. `addresses` are sorted by `(address, prefix_length)` as text,
    `default_routes` by metric and next hop.
    """

    row: IpInterfaceRow
    interface: Interface
    addresses: tuple[Address, ...] = ()
    default_routes: tuple[DefaultRoute, ...] = ()

    @property
    def luid(self) -> str:
        return self.row.interface_luid

    @property
    def family(self) -> Family:
        return self.row.family

    @cached_property
    def key(self) -> Key:
        return Key(self.row.interface_luid, self.row.family)


class Key(NamedTuple):
    """The key of an IP interface: its LUID and family."""

    luid: str
    family: Family
