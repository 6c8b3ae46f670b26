"""The events: published facts about IP interfaces, and the snapshots. The models of the rows are here by name, too."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, overload

from pydantic import AwareDatetime, ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from .changes import Change, Frozen, FrozenDict, NotificationType
from .facts import UNKNOWN, Fact, IfKnown, Unknown
from .kinds import KIND_SCHEMA, Kind, kinds_of
from .rows import (
    Address,
    AdminStatus,
    DadState,
    DefaultRoute,
    Family,
    Interface,
    IpInterface,
    IpInterfaceRow,
    Key,
    LinkLocalAddressBehavior,
    Luid,
    LuidParts,
    MediaConnectState,
    Offload,
    OperStatus,
    PhysicalAddress,
    PrefixOrigin,
    RouterDiscoveryBehavior,
    Scope,
    SuffixOrigin,
    UInt32,
    UInt64,
    luid_parts,
    make_luid,
)

__all__ = [
    "SCHEMA_VERSION",
    "UNKNOWN",
    "Added",
    "Address",
    "AdminStatus",
    "AnyEvent",
    "Cause",
    "Change",
    "Changed",
    "DadState",
    "DefaultRoute",
    "Deleted",
    "Event",
    "Family",
    "FrozenDict",
    "InitialNotification",
    "Interface",
    "IpInterface",
    "IpInterfaceRow",
    "Key",
    "Kind",
    "LinkLocalAddressBehavior",
    "LostEvents",
    "Luid",
    "LuidParts",
    "MediaConnectState",
    "Moment",
    "NotificationType",
    "Offload",
    "OperStatus",
    "PhysicalAddress",
    "PrefixOrigin",
    "RouterDiscoveryBehavior",
    "Scope",
    "Settled",
    "Snapshot",
    "SnapshotEvents",
    "SnapshotStarted",
    "SuffixOrigin",
    "UInt32",
    "UInt64",
    "Unknown",
    "luid_parts",
    "make_luid",
]

SCHEMA_VERSION: Literal[1] = 1

R = TypeVar("R")

Cause = Literal["notification", "startup", "overrun", "reconcile"]


# In UTF-8: DEL, C1, the marks and overrides of direction, line and paragraph separators. JSON leaves them as they are.
_CONTROLS = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]")


def _harmless(data: bytes) -> bytes:
    """Returns JSON with escapes in place of the control characters that JSON does not escape by itself."""
    if data.isascii() and b"\x7f" not in data:  # nearly always, in a tenth of a microsecond
        return data
    return _CONTROLS.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), data)


class LostEvents(Fact):
    """The events that a sink did not get, and that a snapshot makes up for: `first` to `last`, both included."""

    first: Annotated[int, Field(ge=0)] = Field(description="The seq of the first event")
    last: Annotated[int, Field(ge=0)] = Field(description="The seq of the last event")


class Snapshot(Fact):
    """The place of an `initial_notification` in its snapshot: 0 carries no row, 1 to `count` carry the rows.

    `lost` is at position 0 only, of a snapshot with cause `overrun`: the events that it makes up for, where they can be
    numbered.
    """

    id: str = Field(description="The snapshot's own identity")
    position: Annotated[int, Field(ge=0)] = Field(description="The place in the snapshot, from 0")
    count: Annotated[int, Field(ge=0)] = Field(description="The number of rows")
    lost: IfKnown[LostEvents] = Field(default=None, description="The events that this snapshot makes up for")


class Settled(Fact):
    """The events that one event stands for, with the option `settle`: `count` of them, the first with seq `first`."""

    first: Annotated[int, Field(ge=0)] = Field(description="The seq of the first event")
    count: Annotated[int, Field(ge=1)] = Field(description="The number of events")


class Event(Fact):
    """One published fact about one IP interface; always an `Added`, `Changed`, `Deleted`, ... (`AnyEvent`).

    `row`, `interface`, `addresses` and `default_routes` are the state after the event; for `delete_instance`, the last
    state. A snapshot's position 0 has no luid, family, row or interface: they are null. `id` is the same at every
    delivery.
    """

    # Never made itself: its validator would take 4 ms of each start.
    model_config = ConfigDict(defer_build=True)

    schema_version: Literal[1] = Field(default=SCHEMA_VERSION, description="The version of this schema")
    id: str = Field(description="Unique, and the same at every delivery: drop what you have seen")
    node: str = Field(description="The host's name, as the configuration has it")
    epoch: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = Field(
        description="The journal's identity; epochs sort by age, and a new one begins with a snapshot"
    )
    seq: Annotated[int, Field(ge=0)] = Field(
        description="The number of the event in its epoch, without a hole; of a snapshot, that of its newest event"
    )
    time: AwareDatetime = Field(description="The time at which it was noticed, in UTC")
    notification_type: NotificationType = Field(
        description="What the event is: a change, a new row, a removed row, or a row of a snapshot"
    )
    cause: Cause = Field(
        description="The reason. notification: the system reported it; startup: it happened while the publisher was "
        "away; overrun: messages were lost, and what lies between is unknown; reconcile: a setting that changes "
        "silently"
    )
    kinds: tuple[Annotated[Kind, KIND_SCHEMA], ...] = Field(
        default=(), description="What happened, in words to filter by; empty in a snapshot"
    )
    luid: Luid | None = Field(
        description="The interface's LUID, which stays the same over renames, re-plugs and reboots; null at position 0"
    )
    family: Family | None = Field(description="The address family; null at position 0")
    row: IpInterfaceRow | None = Field(description="The settings of the interface in this family; null at position 0")
    interface: Interface | None = Field(description="The interface itself; null at position 0")
    addresses: tuple[Address, ...] = Field(
        default=(), description="The unicast addresses of this family, sorted as text"
    )
    default_routes: tuple[DefaultRoute, ...] = Field(
        default=(),
        description="The default routes of this family through the interface, best first; on Linux those of the table "
        "main",
    )
    changed: Annotated[dict[str, Change], Frozen] = Field(
        default_factory=FrozenDict,
        description="Each member that differs; of a list, what was removed and what was added",
    )
    snapshot: Snapshot | None = Field(default=None, description="The place in a snapshot; null for an event of none")
    settled: IfKnown[Settled] = Field(
        default=None,
        description="The events that it stands for, by the option `settle`; left out where it stands for itself",
    )

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

    @property
    def ip_interface_json(self) -> bytes:
        """The IP interface after the event, an `IpInterface` as JSON, cut from `json_bytes`. Not for position 0.

        A quotation mark inside a JSON string is always escaped, so `,"row":` can only be the member itself; the order
        is the model's.
        """
        whole = self.json_bytes
        row = whole.index(b',"row":')
        return b"{%b}" % whole[row + 1 : whole.index(b',"changed":', row)]

    def text(self) -> str:
        """Returns one line for people, like "eth0 down, was 1 Gbit/s". Nothing in it is a control character."""
        from .text import text_of

        return text_of([self])

    @staticmethod
    def from_json(data: bytes) -> AnyEvent:
        """Returns the event of these bytes, made by `json_bytes`; raises pydantic.ValidationError.

        An event of an older journal, which has no kinds, gets them.
        """
        event: AnyEvent = _ANY_EVENT.validate_json(data)
        if not event.kinds:
            event = event.replaced({"kinds": kinds_of(event.notification_type, event, event.changed)})
        event.__dict__["json_bytes"] = data
        return event

    @staticmethod
    def from_newer_json(data: bytes) -> AnyEvent:
        """Returns the event of these bytes without the members that only a newer version knows, at any depth.

        Raises pydantic.ValidationError for values that this version does not know. `json_bytes` is made anew.
        """
        event: AnyEvent = _ANY_EVENT.validate_json(data, extra="ignore")
        return event


class SnapshotStarted(Event, defer_build=False):
    """The beginning of a snapshot, its position 0: it carries no row."""

    notification_type: Literal["initial_notification"] = "initial_notification"
    luid: None = None
    family: None = None
    row: None = None
    interface: None = None
    snapshot: Snapshot


class _OfInterface(Event):
    """An event that is about an IP interface: nothing that says which is null."""

    luid: Luid
    family: Family
    row: IpInterfaceRow
    interface: Interface


class InitialNotification(_OfInterface, defer_build=False):
    """An IP interface as it is, in a snapshot."""

    notification_type: Literal["initial_notification"] = "initial_notification"
    snapshot: Snapshot


class Added(_OfInterface, defer_build=False):
    """An IP interface that is new."""

    notification_type: Literal["add_instance"] = "add_instance"
    snapshot: None = None


class Changed(_OfInterface, defer_build=False):
    """An IP interface that changed; `changed` has the members."""

    notification_type: Literal["parameter_notification"] = "parameter_notification"
    snapshot: None = None


class Deleted(_OfInterface, defer_build=False):
    """An IP interface that was removed, as it last was."""

    notification_type: Literal["delete_instance"] = "delete_instance"
    snapshot: None = None


AnyEvent = SnapshotStarted | InitialNotification | Added | Changed | Deleted
"""What every event is: `match` can tell them apart, and needs no check for `None`."""


class _EventUnion:
    """The schema of `AnyEvent`: two of its classes share a notification type, which pydantic's own unions do not do."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        initial: list[CoreSchema | tuple[CoreSchema, str]] = [handler(InitialNotification), handler(SnapshotStarted)]
        return core_schema.tagged_union_schema(
            {
                "initial_notification": core_schema.union_schema(initial, mode="left_to_right"),
                "add_instance": handler(Added),
                "parameter_notification": handler(Changed),
                "delete_instance": handler(Deleted),
            },
            discriminator="notification_type",
        )


_ANY_EVENT: TypeAdapter[Any] = TypeAdapter(_EventUnion, config=ConfigDict(defer_build=True))


def event_id(epoch: str, seq: int) -> str:
    """Returns the id of the event with this number in this epoch."""
    return f"{epoch}-{seq:016d}"


class Moment(NamedTuple):
    """The identity and the time of a snapshot; `seq` is that of the newest event that it contains."""

    node: str
    epoch: str
    seq: int
    time: datetime


class SnapshotEvents(Sequence[AnyEvent], Generic[R]):
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
        self._made: InitialNotification | None = None

    @property
    def seq(self) -> int:
        """The newest event's that the snapshot contains."""
        return self._moment.seq

    def __len__(self) -> int:
        return len(self._rows) + 1

    @overload
    def __getitem__(self, index: int) -> AnyEvent: ...

    @overload
    def __getitem__(self, index: slice) -> list[AnyEvent]: ...

    def __getitem__(self, index: int | slice) -> AnyEvent | list[AnyEvent]:
        positions = range(len(self))[index]
        return self._event(positions) if isinstance(positions, int) else [self._event(place) for place in positions]

    def _event(self, position: int) -> SnapshotStarted | InitialNotification:
        if position == 0:
            place = Snapshot(id=self._id, position=0, count=len(self._rows), lost=self._lost)
            return SnapshotStarted(id=f"{self._id}-0", cause=self._cause, snapshot=place, **self._moment._asdict())
        row = self._decode(self._rows[position - 1])
        members: dict[str, Any] = {
            "id": f"{self._id}-{position}",
            "luid": row.luid,
            "family": row.family,
            "row": row.row,
            "interface": row.interface,
            "addresses": row.addresses,
            "default_routes": row.default_routes,
        }
        if self._made is None:
            place = Snapshot(id=self._id, position=position, count=len(self._rows))
            self._made = InitialNotification(cause=self._cause, snapshot=place, **self._moment._asdict(), **members)
            return self._made
        # Valid as the first one is, and the row for itself: to validate each anew is half of its cost.
        return self._made.replaced(members | {"snapshot": self._made.snapshot.replaced({"position": position})})
