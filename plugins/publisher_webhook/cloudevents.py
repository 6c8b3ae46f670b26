"""Events as CloudEvents 1.0 in its HTTP binding: structured, binary and batched; and as plain JSON."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Literal
from urllib.parse import quote

from publisher.events import SCHEMA_VERSION, Event

BATCH_EVENTS = 100
BATCH_BYTES = 256 * 1024
# What `publisher schema event` prints. An identifier, not an address: the attribute takes any absolute URI.
DATA_SCHEMA = f"urn:interface-publisher:schema:event:{SCHEMA_VERSION}"
# HTTP binding 3.1.3.2: space, double quote, percent and what is no printable ASCII are percent-encoded.
_ENCODED = re.compile(r"[^!#-$&-~]")


@dataclass(frozen=True)
class Message:
    """One request's content: what it is known by at the receiver, its headers and its body."""

    id: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def attributes(event: Event) -> dict[str, str]:
    """The context attributes of an event; a snapshot's position 0 has no subject."""
    subject = {"subject": f"{event.luid}/{event.family}"} if event.luid else {}
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/{quote(event.node, safe='')}",
        "type": f"ip_interface.{event.notification_type}",
        **subject,
        "time": event.time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "dataschema": DATA_SCHEMA,
        "sequence": f"{event.seq:016d}",  # zero-padded: the extension is text, and sorts as text
        "epoch": event.epoch,
    }


def structured(event: Event) -> Message:
    """`application/cloudevents+json`: attributes and data in one object."""
    return Message(event.id, {"Content-Type": "application/cloudevents+json"}, _structured_json(event))


def binary(event: Event) -> Message:
    """Attributes as `ce-` headers, the event's own JSON as the body."""
    headers = {f"ce-{name}": _ENCODED.sub(_percent, value) for name, value in attributes(event).items()}
    return Message(event.id, {"Content-Type": "application/json", **headers}, event.json_bytes)


def plain(event: Event) -> Message:
    """The event's own JSON and nothing else."""
    return Message(event.id, {"Content-Type": "application/json"}, event.json_bytes)


def batch(events: Sequence[Event]) -> Message:
    """`application/cloudevents-batch+json`: an array of structured events."""
    body = b"[" + b",".join(map(_structured_json, events)) + b"]"
    return Message(_batch_id(events), {"Content-Type": "application/cloudevents-batch+json"}, body)


FORMATS: dict[Literal["structured", "binary", "plain"], Callable[[Event], Message]] = {
    "structured": structured,
    "binary": binary,
    "plain": plain,
}


def batches(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """Consecutive stretches of at most 100 events and 256 KiB; a larger event is alone in its own."""
    start, size = 0, 2
    for index, event in enumerate(events):
        length = len(_structured_json(event)) + 1
        if index > start and (index - start == BATCH_EVENTS or size + length > BATCH_BYTES):
            yield events[start:index]
            start, size = index, 2
        size += length
    if events:
        yield events[start:]


def _structured_json(event: Event) -> bytes:
    """The data are the event's very bytes, so that every delivery has the same body."""
    context = attributes(event) | {"datacontenttype": "application/json"}
    return b"".join((json.dumps(context, separators=(",", ":"))[:-1].encode(), b',"data":', event.json_bytes, b"}"))


def _batch_id(events: Sequence[Event]) -> str:
    """The same for the same events, another for any others: a later try may be cut into other batches."""
    if len(events) == 1:
        return events[0].id
    return "batch-" + hashlib.sha256("\n".join(event.id for event in events).encode()).hexdigest()[:32]


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())
