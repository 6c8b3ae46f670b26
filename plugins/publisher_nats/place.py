"""The place of a node in a bucket: its last event there, and the sequences that guard the next write."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from publisher import Cursor
from publisher.untrusted import UntrustedError, parse_model

from .errors import NO_MESSAGE, NatsRefused
from .names import INSTANCE, NodeSubjects, stream_of

if TYPE_CHECKING:
    from .connection import NatsConnection


_MOST_BYTES = 64 << 20


class StoredPosition(BaseModel):
    """The value of the key `<node>.position`: the last event that the bucket holds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    epoch: str = Field(pattern=r"^[0-9a-f]{16}$")
    seq: int = Field(ge=0, lt=1 << 63)
    id: str = ""

    @property
    def cursor(self) -> Cursor:
        """The event."""
        return Cursor(self.epoch, self.seq)


class _StoredEvent(StoredPosition):
    """As much of an event as says where it stands; a row of a snapshot has `snapshot`."""

    snapshot: Any = None


@dataclass(frozen=True)
class StoredMessage:
    """A message of a stream, as `STREAM.MSG.GET` returns it."""

    subject: str
    seq: int
    value: bytes
    headers: Mapping[str, str]
    time: datetime


@dataclass(frozen=True)
class Place:
    """The end of a node's data in a bucket."""

    cursor: Cursor | None = None
    """The last event there; None when there is none, or nobody can tell."""
    guard: int = 0
    """The stream's sequence of the position, 0 for none."""
    last: int = 0
    """The stream's sequence of the node's last message, 0 for none."""
    instance: str = field(default="", compare=False)
    """The sink that wrote the last message."""
    event_id: str = field(default="", compare=False)
    """The id of the position's event."""


async def read_place(connection: NatsConnection, bucket: str, subjects: NodeSubjects) -> Place:
    """Returns the place as the stream's leader knows it; raises NatsUnavailable or NatsRefused.

    A batch ends with the position; after plain messages that were cut off, the last one is an event.
    """
    stream = stream_of(bucket)
    last = await last_message(connection, stream, subjects.every)
    if last is None:
        return Place()
    instance = last.headers.get(INSTANCE, "")
    position = last if last.subject == subjects.position else await last_message(connection, stream, subjects.position)
    found = None if position is None else _found(position.value, StoredPosition)
    if last is not position and subjects.is_row(last.subject):
        found = _found(last.value, _StoredEvent) or found
    guard = 0 if position is None else position.seq
    return Place(found.cursor if found else None, guard, last.seq, instance, found.id if found else "")


def _found(value: bytes, model: type[StoredPosition]) -> StoredPosition | None:
    try:
        found = parse_model(value, model, max_bytes=_MOST_BYTES)
    except UntrustedError:
        return None
    return None if isinstance(found, _StoredEvent) and found.snapshot is not None else found


async def last_message(connection: NatsConnection, stream: str, subject: str) -> StoredMessage | None:
    """Returns the newest message of a subject, which may have wildcards; None when there is none."""
    try:
        answer = await connection.api(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
    except NatsRefused as error:
        if error.code == NO_MESSAGE:
            return None
        raise
    message = answer["message"]
    headers = _headers(base64.b64decode(message.get("hdrs", "")))
    value = base64.b64decode(message.get("data", ""))
    # Nanoseconds, which datetime does not read.
    stored = datetime.fromisoformat(message["time"][:19]).replace(tzinfo=UTC)
    return StoredMessage(message["subject"], message["seq"], value, headers, stored)


def _headers(block: bytes) -> dict[str, str]:
    lines = block.decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def position_value(cursor: Cursor, event_id: str) -> bytes:
    """Returns the value of the key `<node>.position`."""
    return json.dumps({"epoch": cursor.epoch, "seq": cursor.seq, "id": event_id}, separators=(",", ":")).encode()
