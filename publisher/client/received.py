"""The messages of nodes, as a subscriber reads them: bounded, and with room for members of newer versions. Pure.

Anybody may have written them: whatever does not fit is an `UntrustedError`.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ..events import Address, AnyEvent, DefaultRoute, Event, Interface, IpInterface, IpInterfaceRow, Kind
from ..sink import Cursor
from ..untrusted import UntrustedError, parse_json

M = TypeVar("M", bound=BaseModel)

# A state with 2,000 addresses has half of it.
MOST_BYTES = 1 << 20
# A datetime near its limits cannot be shown in every time zone.
_YEARS = range(1970, 9999)
_KINDS = frozenset(get_args(Kind))

Epoch = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Count = Annotated[int, Field(ge=0, lt=1 << 64)]


class _FromNode(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class NodeInfo(_FromNode):
    """The members of `info` that show how far a node's retained states are; `rows` is `None` where it is not told."""

    epoch: Epoch
    seq: Count
    rows: Count | None = None
    missing: Count = 0
    skips: bool = False


class OrderedStatus(_FromNode):
    """The status of a node that holds a lease; without it, or with one that has run out, the node is lost."""

    node: str = Field(min_length=1, max_length=255)
    online: bool
    in_sync: bool = False
    skips: bool = False
    lease: Annotated[float, Field(gt=0, le=86_400)] = 30.0


class NodePosition(_FromNode):
    """The place of the last event that a publisher has written."""

    epoch: Epoch
    seq: Count

    @property
    def cursor(self) -> Cursor:
        """The place."""
        return Cursor(self.epoch, self.seq)


class AnswerPart(_FromNode):
    """One message of an answer: its head at position 0, an event, or an error."""

    position: Count
    count: Count
    answer: Literal["events", "snapshot"] = "events"
    epoch: Epoch | None = None
    seq: Count | None = None
    event: JsonValue = None
    error: str | None = None


class EventPlace(_FromNode):
    """The place of an event whose other members cannot be read: a much newer version wrote it."""

    epoch: Epoch
    seq: Count


class ReceivedState(_FromNode):
    """A retained state, also a reduced one, in which the largest lists are left out."""

    epoch: Epoch
    seq: Count
    time: AwareDatetime
    row: IpInterfaceRow
    interface: Interface
    addresses: tuple[Address, ...] = ()
    default_routes: tuple[DefaultRoute, ...] = ()

    @property
    def ip_interface(self) -> IpInterface:
        """The row."""
        return IpInterface(
            row=self.row, interface=self.interface, addresses=self.addresses, default_routes=self.default_routes
        )


def read(model: type[M], payload: bytes) -> M:
    """Returns the model of a payload; raises UntrustedError. Unknown members are ignored, at every depth."""
    parse_json(payload, max_bytes=MOST_BYTES)
    return _validated(model, payload)


def read_state(payload: bytes) -> ReceivedState:
    """Returns the state of a payload; raises UntrustedError."""
    state = read(ReceivedState, payload)
    if state.time.year not in _YEARS:
        raise UntrustedError("a time that cannot be shown")
    return state


def read_event(payload: bytes) -> AnyEvent | EventPlace:
    """Returns the event of a payload, plain or in a CloudEvent; raises UntrustedError.

    One with values that this version does not know, as a newer one may have, is an EventPlace.
    """
    value = parse_json(payload, max_bytes=MOST_BYTES)
    if isinstance(value, dict) and "specversion" in value:
        return event_of(value)
    return _event(payload, value)


def read_row(payload: bytes) -> AnyEvent | None:
    """Returns the event of a plain payload whose row alone counts; raises UntrustedError.

    In half the time of `read_event`, which may read what this returns `None` for. Repeated members, which parsers
    disagree about, are not looked for: nothing but the row is used.
    """
    if len(payload) > MOST_BYTES:
        raise UntrustedError(f"{len(payload)} bytes, which is more than {MOST_BYTES}")
    try:
        event = Event.from_newer_json(payload)
    except ValidationError:
        return None
    if event.time.year not in _YEARS or event.seq >= 1 << 64:
        raise UntrustedError("a time that cannot be shown, or a seq of more than 64 bits")
    return event


def event_of(value: JsonValue) -> AnyEvent | EventPlace:
    """Returns the event of a parsed value, plain or a CloudEvent; raises UntrustedError, as `read_event` does."""
    data = value.get("data") if isinstance(value, dict) and "specversion" in value else value
    return _event(json.dumps(data).encode(), data)


def _event(payload: bytes, value: JsonValue) -> AnyEvent | EventPlace:
    try:
        event = Event.from_newer_json(payload)
    except ValidationError:
        try:
            event = Event.from_newer_json(_with_known_kinds(value))
        except ValidationError:
            return _validated(EventPlace, payload)
    if event.time.year not in _YEARS:
        raise UntrustedError("a time that cannot be shown")
    return event


def _with_known_kinds(value: JsonValue) -> bytes:
    """Returns an event's JSON with the kind `other` in place of those of a newer version."""
    if isinstance(value, dict) and isinstance(kinds := value.get("kinds"), list):
        known = dict.fromkeys(str(kind) if kind in _KINDS else "other" for kind in kinds if isinstance(kind, str))
        value = value | {"kinds": list(known)}
    return json.dumps(value).encode()


def _validated(model: type[M], payload: bytes) -> M:
    try:
        return model.model_validate_json(payload, strict=True, extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise UntrustedError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
