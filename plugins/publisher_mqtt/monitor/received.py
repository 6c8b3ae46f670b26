"""The messages of nodes as the view of a broker reads them: what it shows or needs. Anybody may have written them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from publisher.events import Event, Family, Key, Luid
from publisher.terminal import ShownState
from publisher.text import ChangeText, change_text
from publisher.untrusted import UntrustedError

from ..payloads import Count, Epoch

# A datetime near its limits cannot be shown in every time zone.
_YEARS = range(1970, 9999)


class EventState(ShownState):
    """The shown members of an event."""

    epoch: Epoch
    notification_type: str
    luid: Luid
    family: Family
    changed: Mapping[str, dict[str, Any]] = Field(default_factory=dict)

    @property
    def key(self) -> Key:
        return Key(self.luid, self.family)


class NodeProgress(BaseModel):
    """The members of an `info` that show how far its node is."""

    model_config = ConfigDict(frozen=True)

    epoch: Epoch
    seq: Count
    skips: bool = False


class AnswerPart(BaseModel):
    """One message of an answer: its head, an event, or an error."""

    model_config = ConfigDict(frozen=True)

    position: Count
    count: Count
    answer: Literal["events", "snapshot"] = "events"
    epoch: Epoch | None = None
    seq: Count | None = None
    event: JsonValue = None
    error: str | None = None


def event_of(value: JsonValue) -> EventState:
    """Returns the event; of a CloudEvent, its `data`. Raises ValidationError."""
    return EventState.model_validate(_data_of(value))


def words_of(value: JsonValue) -> ChangeText | None:
    """Returns the event in words; None when it is not one of this version."""
    try:
        return change_text([Event.from_json(json.dumps(_data_of(value)).encode())], families=False)
    except ValidationError:
        return None


def _data_of(value: JsonValue) -> JsonValue:
    return value.get("data") if isinstance(value, dict) and "specversion" in value else value


def check_time(state: ShownState) -> None:
    if state.time.year not in _YEARS:
        raise UntrustedError("a time that cannot be shown")
