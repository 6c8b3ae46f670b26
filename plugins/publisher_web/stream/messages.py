"""SseMessages of Server-Sent Events, and pieces of JSON. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from publisher import Event

HEARTBEAT = b":\n\n"
# A browser connects again so soon, in milliseconds; without it after 3 to 5 seconds.
RETRY = b"retry: 1000\n\n"
_ID = re.compile(r"([0-9a-f]{16})-(\d{1,16})")
PIECE = 64 * 1024
"""About so many bytes are sent at once."""


class LastSeen(NamedTuple):
    """The id of the last message that a viewer has."""

    epoch: str
    seq: int

    @classmethod
    def of(cls, text: str) -> LastSeen | None:
        """Returns the place that an id names, `None` when it is none of ours."""
        found = _ID.fullmatch(text.strip(), endpos=64)
        return None if found is None else cls(found[1], int(found[2]))

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq:016d}"


class SseMessage(NamedTuple):
    """A message about one event: its JSON as it was made once for all sinks, and its line for people, as JSON.

    `id` is empty for a message after which nobody can resume. With a `name` it is about something else than an event.
    """

    seq: int
    id: bytes
    data: bytes
    text: bytes
    name: bytes = b""

    def encoded(self, *, with_text: bool) -> bytes:
        """Returns the message as it is sent."""
        head = b"id: %b\n" % self.id if self.id else b""
        if self.name:
            head += b"event: %b\n" % self.name
        if with_text and self.text:
            return b'%bdata: %b,"text":%b}\n\n' % (head, self.data[:-1], self.text)
        return b"%bdata: %b\n\n" % (head, self.data)

    @property
    def size(self) -> int:
        """About its bytes in memory."""
        return len(self.data) + len(self.text) + 200


class SseMessages(NamedTuple):
    """SseMessages that are sent one after the other, after which a viewer has everything up to `seq`."""

    seq: int
    messages: tuple[SseMessage, ...]


def message_of(event: Event) -> SseMessage:
    """Returns the message of an event; of a snapshot only the last one has an id."""
    place = event.snapshot
    has_id = place is None or place.position == place.count
    text = json.dumps(event.text()).encode()
    return SseMessage(event.seq, f"{event.epoch}-{event.seq:016d}".encode() if has_id else b"", event.json_bytes, text)


def joined_pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yields these parts, many at once."""
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def node_message(node: dict[str, Any]) -> bytes:
    """Returns the message about a node's state."""
    return b"event: node\ndata: %b\n\n" % compact(node)


def row_json(event: Event) -> bytes:
    """Returns a row of `/api/rows`, of a row of a snapshot."""
    head = {"node": event.node, "epoch": event.epoch, "seq": event.seq, "time": _time_of(event)}
    head |= {"luid": event.luid, "family": event.family}
    return b"%b,%b" % (compact(head)[:-1], event.ip_interface_json[1:])


def event_with_text(event: Event) -> bytes:
    """Returns an event's JSON with the member `text`."""
    return b'%b,"text":%b}' % (event.json_bytes[:-1], json.dumps(event.text()).encode())


def compact(value: object) -> bytes:
    """Returns JSON without spaces, in ASCII: what reads it as lines sees none in it."""
    return json.dumps(value, separators=(",", ":")).encode()


def _time_of(event: Event) -> str:
    return event.time.isoformat().replace("+00:00", "Z")
