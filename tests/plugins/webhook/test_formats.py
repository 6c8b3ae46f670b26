"""Requests' headers and bodies, judged by the CloudEvents SDK; its mapping is in tests/test_cloudevents.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary, from_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from publisher.events import Event
from publisher.testing import make_event, make_events, make_row, make_snapshot
from publisher_webhook.formats import BATCH_BYTES, BATCH_EVENTS, Payload, batch, batches, binary, plain, structured


def read(message: Payload) -> CloudEvent:
    parse = from_binary if "ce-id" in message.headers else from_structured
    parsed = parse(HTTPMessage(message.headers, message.body), JSONFormat(), CloudEvent)
    assert isinstance(parsed, CloudEvent)
    return parsed


@pytest.mark.parametrize("form", [structured, binary])
@pytest.mark.parametrize(
    "event",
    [
        make_event(42),
        make_event(43, "add_instance"),
        make_event(44, "delete_instance", make_row("Ünï ☃", addresses=["fe80::1/64"])),
        *make_snapshot()[:2],
        make_event(45, node='my "näs" 100%'),
    ],
    ids=lambda event: f"{event.notification_type}-{event.snapshot.position if event.snapshot else event.seq}",
)
def test_the_sdk_reads_an_event_as_it_is(form: Callable[[Event], Payload], event: Event) -> None:
    message = form(event)
    parsed = read(message)
    assert message.id == parsed.get_id() == event.id
    assert parsed.get_specversion() == "1.0"
    assert parsed.get_type() == f"ip_interface.{event.notification_type}"
    assert parsed.get_subject() == (f"{event.luid}/{event.family}" if event.luid else None)
    assert parsed.get_time() == event.time
    assert parsed.get_datacontenttype() == "application/json"
    assert parsed.get_dataschema() == "urn:interface-publisher:schema:event:1"
    assert parsed.get_extension("sequence") == f"{event.seq:016d}"
    assert parsed.get_extension("epoch") == event.epoch
    assert Event.from_json(json.dumps(parsed.get_data()).encode()) == event


def test_plain_is_the_event_and_nothing_else() -> None:
    event = make_event()
    assert plain(event) == Payload(event.id, {"Content-Type": "application/json"}, event.json_bytes)


def test_a_body_is_the_same_each_time() -> None:
    event = make_event()
    again = Event.from_json(event.json_bytes)
    assert [form(event).body for form in (structured, binary, plain)] == [
        form(again).body for form in (structured, binary, plain)
    ]


def test_a_batch_is_an_array_of_structured_events() -> None:
    events = make_events(3)
    message = batch(events)
    assert message.headers["Content-Type"] == "application/cloudevents-batch+json"
    for event, member in zip(events, json.loads(message.body), strict=True):
        alone = Payload("", {"Content-Type": "application/cloudevents+json"}, json.dumps(member).encode())
        assert read(alone).get_id() == event.id


def test_a_batch_is_known_by_its_events() -> None:
    events = make_events(4)
    assert batch(events[:3]).id == batch(events[:3]).id
    assert len({batch(part).id for part in (events, events[:3], events[1:], [events[0], events[3]])}) == 4
    assert batch(events[:1]).id == events[0].id
    assert "." not in batch(events).id
    assert batch(events).id.startswith(f"batch_{events[0].id}_{events[-1].id}_")


def sizes(parts: Sequence[Sequence[Event]]) -> list[int]:
    return [len(part) for part in parts]


def test_batches_are_bounded_in_number_and_in_bytes() -> None:
    events = make_events(2 * BATCH_EVENTS + 1)
    assert sizes(list(batches(events))) == [BATCH_EVENTS, BATCH_EVENTS, 1]
    assert list(batches([])) == []
    long = make_row(addresses=[f"192.0.{index // 250}.{index % 250}/24" for index in range(500)])
    heavy = make_events(10, row=long)
    parts = list(batches(heavy))
    assert [event for part in parts for event in part] == heavy
    assert len(parts) > 1
    assert all(len(batch(part).body) <= BATCH_BYTES for part in parts)
    # As many as fit.
    assert all(len(batch([*part, after[0]]).body) > BATCH_BYTES for part, after in pairwise(parts))


def test_an_event_that_is_too_large_goes_alone() -> None:
    huge = make_row(addresses=[f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}/8" for i in range(2500)])
    [event] = make_events(1, row=huge)
    assert len(event.json_bytes) > BATCH_BYTES
    small = make_events(2, first=2)
    assert sizes(list(batches([small[0], event, small[1]]))) == [1, 1, 1]
