"""The published models: LUIDs, rows, interfaces, addresses and events.

The models are frozen and strict: a value that does not fit is an error here, never a surprise at a subscriber.
Names are those of the Windows structures in snake case; `None` means that the system has no such thing.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, overload

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

SCHEMA_VERSION: Literal[1] = 1

R = TypeVar("R")
K = TypeVar("K")
V = TypeVar("V")

Family = Literal["inet", "inet6"]
NotificationType = Literal["parameter_notification", "add_instance", "delete_instance", "initial_notification"]
Cause = Literal["notification", "startup", "overrun", "reconcile"]
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


# In UTF-8: DEL, C1, the marks and overrides of direction, line and paragraph separators. JSON leaves them as they are.
_CONTROLS = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]")


def _harmless(data: bytes) -> bytes:
    """Returns JSON with escapes in place of the control characters that JSON does not escape by itself."""
    if data.isascii() and b"\x7f" not in data:  # nearly always, in a tenth of a microsecond
        return data
    return _CONTROLS.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), data)


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


class _Fact(BaseModel):
    """A frozen, strict model that takes no unknown member."""

    # Every member is always there in the published JSON, those with a default too: the schema says so.
    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", json_schema_serialization_defaults_required=True
    )


class Offload(_Fact):
    """NL_INTERFACE_OFFLOAD_ROD (nldef.h): what the hardware does for the protocol."""

    nl_checksum_supported: bool
    nl_options_supported: bool
    tl_datagram_checksum_supported: bool
    tl_stream_checksum_supported: bool
    tl_stream_options_supported: bool
    fast_path_compatible: bool
    tl_large_send_offload_supported: bool
    tl_giant_send_offload_supported: bool


class IpInterfaceRow(_Fact):
    """MIB_IPINTERFACE_ROW (netioapi.h): the settings of one interface in one address family. Times in milliseconds."""

    family: Family
    interface_luid: Luid
    interface_index: UInt32
    max_reassembly_size: UInt32 | None = None
    interface_identifier: str | None = None
    min_router_advertisement_interval: UInt32 | None = None
    max_router_advertisement_interval: UInt32 | None = None
    advertising_enabled: bool | None = None
    forwarding_enabled: bool | None = None
    weak_host_send: bool | None = None
    weak_host_receive: bool | None = None
    use_automatic_metric: bool | None = None
    use_neighbor_unreachability_detection: bool | None = None
    managed_address_configuration_supported: bool | None = None
    other_stateful_configuration_supported: bool | None = None
    advertise_default_route: bool | None = None
    router_discovery_behavior: RouterDiscoveryBehavior | None = None
    dad_transmits: UInt32 | None = None
    base_reachable_time: UInt32 | None = None
    retransmit_time: UInt32 | None = None
    path_mtu_discovery_timeout: UInt32 | None = None
    link_local_address_behavior: LinkLocalAddressBehavior | None = None
    link_local_address_timeout: UInt32 | None = None
    zone_indices: tuple[UInt32, ...] | None = Field(default=None, min_length=16, max_length=16)
    site_prefix_length: UInt32 | None = None
    metric: UInt32 | None = None
    nl_mtu: UInt32 | None = None
    connected: bool | None = None
    supports_wake_up_patterns: bool | None = None
    supports_neighbor_discovery: bool | None = None
    supports_router_discovery: bool | None = None
    reachable_time: UInt32 | None = None
    transmit_offload: Offload | None = None
    receive_offload: Offload | None = None
    disable_default_routes: bool | None = None


class Interface(_Fact):
    """MIB_IF_ROW2 (netioapi.h): the interface itself, and its place in the stack. Link speeds in bit/s."""

    alias: str
    description: str | None = None
    type: UInt32
    kind: str | None = None
    physical_address: PhysicalAddress | None = None
    permanent_physical_address: PhysicalAddress | None = None
    mtu: UInt32 | None = None
    admin_status: AdminStatus
    oper_status: OperStatus
    media_connect_state: MediaConnectState
    transmit_link_speed: UInt64 | None = None
    receive_link_speed: UInt64 | None = None
    higher: tuple[Luid, ...] = ()
    lower: tuple[Luid, ...] = ()
    link_netnsid: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="Linux: the network namespace of the other end or of the link below, as a number; null in this one",
    )


class Address(_Fact):
    """MIB_UNICASTIPADDRESS_ROW (netioapi.h). A lifetime is the moment at which it ends; `None` is for ever."""

    address: str
    prefix_length: Annotated[int, Field(ge=0, le=128)]
    scope: Scope
    scope_id: UInt32 | None = None
    prefix_origin: PrefixOrigin = "other"
    suffix_origin: SuffixOrigin = "other"
    dad_state: DadState
    skip_as_source: bool | None = None
    valid_until: AwareDatetime | None = None
    preferred_until: AwareDatetime | None = None


class IpInterface(_Fact):
    """One row of the table: an IP interface as it is, keyed by LUID and family.

    `interface` may be one object for both families. `addresses` are sorted by `(address, prefix_length)` as text.
    """

    row: IpInterfaceRow
    interface: Interface
    addresses: tuple[Address, ...] = ()

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


class FrozenDict(dict[K, V]):
    """A dictionary that cannot be changed: all sinks of a process share one event."""

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)

    def _refuse(self, *_: object, **__: object) -> Any:
        raise TypeError("an event cannot be changed: make a copy, dict(event.changed)")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


def _frozen(value: Any) -> Any:
    return FrozenDict(value) if isinstance(value, dict) else value


Frozen = AfterValidator(_frozen)


class Change(_Fact):
    """A member's value before and after, as JSON values."""

    before: Annotated[Any, Frozen]
    after: Annotated[Any, Frozen]


class LostEvents(_Fact):
    """The events that a sink did not get, and that a snapshot makes up for: `first` to `last`, both included."""

    first: Annotated[int, Field(ge=0)]
    last: Annotated[int, Field(ge=0)]


class Snapshot(_Fact):
    """The place of an `initial_notification` in its snapshot: 0 carries no row, 1 to `count` carry the rows.

    `lost` is at position 0 only, of a snapshot with cause `overrun`: the events that it makes up for, where they can be
    numbered.
    """

    id: str
    position: Annotated[int, Field(ge=0)]
    count: Annotated[int, Field(ge=0)]
    lost: LostEvents | None = None


class Event(_Fact):
    """One published fact about one IP interface.

    `row`, `interface` and `addresses` are the state after the event; for `delete_instance`, the last state.
    A snapshot's position 0 has no luid, family, row or interface. `id` is the same at every delivery.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str
    node: str
    epoch: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    seq: Annotated[int, Field(ge=0)]
    time: AwareDatetime
    notification_type: NotificationType
    cause: Cause
    luid: Luid | None
    family: Family | None
    row: IpInterfaceRow | None
    interface: Interface | None
    addresses: tuple[Address, ...] = ()
    changed: Annotated[dict[str, Change], Frozen] = FrozenDict()
    snapshot: Snapshot | None = None

    @cached_property
    def key(self) -> Key | None:
        """The IP interface it is about; `None` for a snapshot's position 0."""
        return None if self.luid is None or self.family is None else Key(self.luid, self.family)

    @property
    def is_marker(self) -> bool:
        """True for position 0, the beginning of a snapshot, which has no luid, family, row or interface."""
        return self.snapshot is not None and self.snapshot.position == 0

    @cached_property
    def json_bytes(self) -> bytes:
        """The event as compact UTF-8 JSON, made once: journal and sinks send these very bytes.

        Control characters and those that change the direction of text are escapes: people read the lines, too.
        """
        return _harmless(self.__pydantic_serializer__.to_json(self))

    @classmethod
    def from_json(cls, data: bytes) -> Event:
        """Returns the event of these bytes, made by `json_bytes`; raises pydantic.ValidationError."""
        event = cls.model_validate_json(data)
        event.__dict__["json_bytes"] = data
        return event


class Moment(NamedTuple):
    """The identity and the time of a snapshot; `seq` is that of the newest event that it contains."""

    node: str
    epoch: str
    seq: int
    time: datetime


class SnapshotEvents(Sequence[Event], Generic[R]):
    """The rows as `initial_notification` events, position 0 first; the same position gives the same event each time.

    They are made on demand: with 4,000 interfaces the events of one snapshot would take 50 MB, and every sink has its
    own. `rows` may be in a compact form, from which `decode` makes a row.
    """

    def __init__(
        self,
        moment: Moment,
        cause: Cause,
        rows: Sequence[R],
        decode: Callable[[R], IpInterface],
        lost: LostEvents | None = None,
    ) -> None:
        self._moment = moment
        self._lost = lost
        self._cause = cause
        self._rows = rows
        self._decode = decode
        self._id = f"{moment.epoch}-{moment.seq:016d}-{secrets.token_hex(4)}"

    @property
    def seq(self) -> int:
        """The newest event's that the snapshot contains."""
        return self._moment.seq

    def __len__(self) -> int:
        return len(self._rows) + 1

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...

    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        positions = range(len(self))[index]
        return self._event(positions) if isinstance(positions, int) else [self._event(place) for place in positions]

    def _event(self, position: int) -> Event:
        row = self._decode(self._rows[position - 1]) if position else None
        return Event(
            id=f"{self._id}-{position}",
            node=self._moment.node,
            epoch=self._moment.epoch,
            seq=self._moment.seq,
            time=self._moment.time,
            notification_type="initial_notification",
            cause=self._cause,
            luid=row.luid if row else None,
            family=row.family if row else None,
            row=row.row if row else None,
            interface=row.interface if row else None,
            addresses=row.addresses if row else (),
            snapshot=Snapshot(
                id=self._id, position=position, count=len(self._rows), lost=None if position else self._lost
            ),
        )
