"""Bodies and headers of requests: CloudEvents structured, binary or in batches, the event's plain JSON, and text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from publisher import Event
from publisher.cloudevents import (
    BATCH_CONTENT_TYPE,
    DATA_CONTENT_TYPE,
    STRUCTURED_CONTENT_TYPE,
    http_headers,
    structured_json,
)
from publisher.text import text_of

Format: TypeAlias = Literal["structured", "binary", "plain", "text"]
TEXT_CONTENT_TYPE = "text/plain; charset=utf-8"
BATCH_EVENTS = 100
BATCH_BYTES = 256 * 1024


@dataclass(frozen=True)
class Payload:
    """The content of one request: its id at the receiver, its headers and its body."""

    id: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def structured(event: Event) -> Payload:
    """Returns `application/cloudevents+json`: attributes and data in one object."""
    return Payload(event.id, {"Content-Type": STRUCTURED_CONTENT_TYPE}, structured_json(event))


def binary(event: Event) -> Payload:
    """Returns the event's own JSON, with the CloudEvent's attributes as `ce-` headers."""
    return Payload(event.id, http_headers(event), event.json_bytes)


def plain(event: Event) -> Payload:
    """Returns the event's own JSON and nothing else."""
    return Payload(event.id, {"Content-Type": DATA_CONTENT_TYPE}, event.json_bytes)


def text(events: Sequence[Event]) -> Payload:
    """Returns a line of text for the events of one change, as ntfy and others of its kind take it."""
    return Payload(_batch_id(events), {"Content-Type": TEXT_CONTENT_TYPE}, text_of(events).encode())


def batch(events: Sequence[Event]) -> Payload:
    """Returns `application/cloudevents-batch+json`: an array of structured events."""
    body = b"[" + b",".join(map(structured_json, events)) + b"]"
    return Payload(_batch_id(events), {"Content-Type": BATCH_CONTENT_TYPE}, body)


FORMATS: Mapping[Format, Callable[[Event], Payload]] = {
    "structured": structured,
    "binary": binary,
    "plain": plain,
}


def content_type(form: Format, *, batch: bool) -> str:
    """Returns the type of the bodies, for people: it decides which receivers read them by themselves."""
    if form == "text":
        return TEXT_CONTENT_TYPE
    if form != "structured":
        return DATA_CONTENT_TYPE
    kind = BATCH_CONTENT_TYPE if batch else STRUCTURED_CONTENT_TYPE
    return f'{kind} (Express, n8n and Node-RED read {DATA_CONTENT_TYPE} only: format = "binary" or "plain")'


def batches(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """Yields consecutive parts of at most 100 events and 256 KiB; a larger event is alone in its own."""
    start, size = 0, 2
    for index, event in enumerate(events):
        length = len(structured_json(event)) + 1
        if index > start and (index - start == BATCH_EVENTS or size + length > BATCH_BYTES):
            yield events[start:index]
            start, size = index, 2
        size += length
    if events:
        yield events[start:]


def _batch_id(events: Sequence[Event]) -> str:
    """Returns one id for the same events and another for any others; first and last show how they were cut."""
    if len(events) == 1:
        return events[0].id
    digest = hashlib.sha256("\n".join(event.id for event in events).encode()).hexdigest()
    return f"batch_{events[0].id}_{events[-1].id}_{digest[:16]}"
