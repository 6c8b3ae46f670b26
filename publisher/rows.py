"""The rows: LUIDs, and one IP interface as it is, with its settings, its interface and its addresses.

The models are frozen and strict: a value that does not fit is an error here, never a surprise at a subscriber.
Names are those of the Windows structures in snake case. `None` means that the member is not known here; the JSON leaves
it out.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from enum import Enum
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticOmit, core_schema

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue

T = TypeVar("T")

IfKnown = Annotated[T | None, Field(exclude_if=partial(operator.is_, None))]
"""A member that is `None` where it is not known, and left out of the JSON then."""

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


class Unknown(Enum):
    """The type of `UNKNOWN`, for members whose `None` means something else."""

    UNKNOWN = "unknown"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> CoreSchema:
        return core_schema.is_instance_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: object) -> JsonSchemaValue:
        raise PydanticOmit  # the JSON leaves it out


UNKNOWN = Unknown.UNKNOWN
"""Stands in Python for a lifetime that is not known."""

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


class Fact(BaseModel):
    """A frozen, strict model that takes no unknown member. Every member is in the JSON but one that is not known."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", json_schema_serialization_defaults_required=True
    )

    names: ClassVar[set[str]]
    """The names of all members."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        cls.names = set(cls.model_fields)

    def model_post_init(self, _context: object, /) -> None:
        """Has all instances share one set of names of members: one of its own takes 2 KiB for a row, half of it."""
        object.__setattr__(self, "__pydantic_fields_set__", self.names)

    def replaced(self, members: Mapping[str, Any]) -> Self:
        """Returns a copy with these members, which are valid; `model_copy` gives each a set of names of its own."""
        copy = self.__class__.__new__(self.__class__)
        own = {name: member for name, member in self.__dict__.items() if name in self.names}  # nothing that was cached
        object.__setattr__(copy, "__dict__", own | dict(members))
        object.__setattr__(copy, "__pydantic_fields_set__", self.names)
        object.__setattr__(copy, "__pydantic_extra__", None)
        object.__setattr__(copy, "__pydantic_private__", None)
        return copy

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Says of the published JSON which members may be missing, and that those are never null for it."""
        made = handler(schema)
        if handler.mode == "serialization":
            optional = {name for name, member in cls.model_fields.items() if member.exclude_if}
            _leave_out(handler.resolve_ref_schema(made), optional)
        return made


def _leave_out(schema: JsonSchemaValue, names: set[str]) -> None:
    """Makes these members optional in a schema, and never null unless null means something else than unknown."""
    schema["required"] = [name for name in schema.get("required", ()) if name not in names]
    for name in names:
        member = schema["properties"][name]
        if "default" in member and member.pop("default") is None:
            others = [choice for choice in member.pop("anyOf") if choice != {"type": "null"}]
            member |= others[0] if len(others) == 1 else {"anyOf": others}


class Offload(Fact):
    """NL_INTERFACE_OFFLOAD_ROD (nldef.h): what the network adapter does for the protocols."""

    nl_checksum_supported: IfKnown[bool] = None
    nl_options_supported: IfKnown[bool] = None
    tl_datagram_checksum_supported: IfKnown[bool] = None
    tl_stream_checksum_supported: IfKnown[bool] = None
    tl_stream_options_supported: IfKnown[bool] = None
    fast_path_compatible: IfKnown[bool] = None
    tl_large_send_offload_supported: IfKnown[bool] = None
    tl_giant_send_offload_supported: IfKnown[bool] = None


class IpInterfaceRow(Fact):
    """MIB_IPINTERFACE_ROW (netioapi.h): the settings of one interface in one address family. Times in milliseconds."""

    family: Family
    interface_luid: Luid
    interface_index: UInt32
    max_reassembly_size: IfKnown[UInt32] = None
    interface_identifier: IfKnown[str] = None
    min_router_advertisement_interval: IfKnown[UInt32] = None
    max_router_advertisement_interval: IfKnown[UInt32] = None
    advertising_enabled: IfKnown[bool] = None
    forwarding_enabled: IfKnown[bool] = None
    weak_host_send: IfKnown[bool] = None
    weak_host_receive: IfKnown[bool] = None
    use_automatic_metric: IfKnown[bool] = None
    use_neighbor_unreachability_detection: IfKnown[bool] = None
    managed_address_configuration_supported: IfKnown[bool] = None
    other_stateful_configuration_supported: IfKnown[bool] = None
    advertise_default_route: IfKnown[bool] = None
    router_discovery_behavior: IfKnown[RouterDiscoveryBehavior] = None
    dad_transmits: IfKnown[UInt32] = None
    base_reachable_time: IfKnown[UInt32] = None
    retransmit_time: IfKnown[UInt32] = None
    path_mtu_discovery_timeout: IfKnown[UInt32] = None
    link_local_address_behavior: IfKnown[LinkLocalAddressBehavior] = None
    link_local_address_timeout: IfKnown[UInt32] = None
    zone_indices: IfKnown[Annotated[tuple[UInt32, ...], Field(min_length=16, max_length=16)]] = None
    site_prefix_length: IfKnown[UInt32] = None
    metric: IfKnown[UInt32] = None
    nl_mtu: IfKnown[UInt32] = None
    connected: IfKnown[bool] = None
    supports_wake_up_patterns: IfKnown[bool] = None
    supports_neighbor_discovery: IfKnown[bool] = None
    supports_router_discovery: IfKnown[bool] = None
    reachable_time: IfKnown[UInt32] = None
    transmit_offload: IfKnown[Offload] = None
    receive_offload: IfKnown[Offload] = None
    disable_default_routes: IfKnown[bool] = None


class Interface(Fact):
    """MIB_IF_ROW2 (netioapi.h): the interface itself, and its place in the stack. Link speeds in bit/s."""

    alias: str
    description: IfKnown[str] = None
    type: UInt32
    kind: IfKnown[str] = None
    physical_address: IfKnown[PhysicalAddress] = None
    permanent_physical_address: IfKnown[PhysicalAddress] = None
    mtu: IfKnown[UInt32] = None
    admin_status: AdminStatus
    oper_status: OperStatus
    media_connect_state: MediaConnectState
    transmit_link_speed: IfKnown[UInt64] = None
    receive_link_speed: IfKnown[UInt64] = None
    last_link_speed: IfKnown[UInt64] = Field(
        default=None, description="The transmit link speed in bit/s when it was last connected, kept while it is not"
    )
    last_change: IfKnown[AwareDatetime] = Field(
        default=None, description="RFC 8343: since when the present oper_status holds; left out when it is not known"
    )
    carrier_transitions: IfKnown[UInt64] = Field(
        default=None, description="How often the carrier came or went since the interface exists, as a count"
    )
    higher: tuple[Luid, ...] = ()
    lower: tuple[Luid, ...] = ()
    link_netnsid: IfKnown[Annotated[int, Field(ge=0)]] = Field(
        default=None,
        description="Linux: the network namespace of the other end or of the link below, as a number; left out in this "
        "one",
    )


class Address(Fact):
    """MIB_UNICASTIPADDRESS_ROW (netioapi.h). A lifetime is the moment at which it ends; `None` is for ever.

    A lifetime that is not known is `UNKNOWN`, and left out of the JSON; null is for ever there, too.
    """

    address: str
    prefix_length: Annotated[int, Field(ge=0, le=128)]
    scope: Scope
    scope_id: IfKnown[UInt32] = None
    prefix_origin: PrefixOrigin = "other"
    suffix_origin: SuffixOrigin = "other"
    dad_state: DadState
    skip_as_source: IfKnown[bool] = None
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
