"""Events as CloudEvents: what the CloudEvents SDK makes of them, in each mode and binding."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary, from_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from publisher.cloudevents import STRUCTURED_CONTENT_TYPE, attributes, http_headers, structured_json
from publisher.events import Event
from publisher.testing import make_event, make_row, make_snapshot

HOSTILE_NODE = 'my "näs" 100%/a?b#c'
EVENTS = [
    make_event(42),
    make_event(43, "add_instance"),
    make_event(44, "delete_instance", make_row("Ünï ☃", addresses=["fe80::1/64"])),
    *make_snapshot()[:2],
    make_event(45, node="my nas"),
    make_event(46, node=HOSTILE_NODE),
]


def _name(event: Event) -> str:
    return f"{event.notification_type}-{event.snapshot.position if event.snapshot else event.seq}"


# RFC 3986: a path of one segment.
URI_REFERENCE = re.compile(r"/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})+")


def structured(event: Event) -> CloudEvent:
    message = HTTPMessage({"Content-Type": STRUCTURED_CONTENT_TYPE}, structured_json(event))
    parsed = from_structured(message, JSONFormat(), CloudEvent)
    assert isinstance(parsed, CloudEvent)
    return parsed


def binary_over_http(event: Event) -> CloudEvent:
    parsed = from_binary(HTTPMessage(http_headers(event), event.json_bytes), JSONFormat(), CloudEvent)
    assert isinstance(parsed, CloudEvent)
    return parsed


def binary_over_mqtt(event: Event) -> CloudEvent:
    """MQTT's binding has no encoding: user properties are the attributes (3.1.3), the payload is the data."""
    typed = {**attributes(event), "datacontenttype": "application/json"}
    return CloudEvent({**typed, "time": datetime.fromisoformat(typed["time"])}, json.loads(event.json_bytes))


MODES = [structured, binary_over_http, binary_over_mqtt]


@pytest.mark.parametrize("read", MODES)
@pytest.mark.parametrize("event", EVENTS, ids=_name)
def test_the_sdk_reads_every_event_as_it_is(read: type, event: Event) -> None:
    parsed = read(event)
    assert parsed.get_id() == event.id
    assert parsed.get_specversion() == "1.0"
    assert parsed.get_type() == f"ip_interface.{event.notification_type}"
    assert parsed.get_subject() == (f"{event.luid}/{event.family}" if event.luid else None)
    assert parsed.get_time() == event.time
    assert parsed.get_datacontenttype() == "application/json"
    assert parsed.get_dataschema() == "urn:interface-publisher:schema:event:1"
    assert URI_REFERENCE.fullmatch(parsed.get_source())
    assert parsed.get_extension("sequence") == f"{event.seq:016d}"
    assert parsed.get_extension("epoch") == event.epoch
    assert parsed.get_extension("node") == event.node
    assert parsed.get_extension("luid") == event.luid
    assert parsed.get_extension("family") == event.family
    assert Event.from_json(json.dumps(parsed.get_data()).encode()) == event


@pytest.mark.parametrize("event", EVENTS, ids=_name)
def test_one_event_is_one_cloudevent_in_every_mode(event: Event) -> None:
    first, *others = [read(event) for read in MODES]
    assert [other.get_attributes() for other in others] == [first.get_attributes()] * len(others)


@pytest.mark.parametrize("event", EVENTS, ids=_name)
def test_names_and_values_are_what_the_specification_allows(event: Event) -> None:
    for name, value in attributes(event).items():
        assert re.fullmatch(r"[a-z0-9]{1,20}", name)
        assert isinstance(value, str)
        assert value


def test_the_source_is_the_node_as_a_uri_reference() -> None:
    assert attributes(make_event(node="nas"))["source"] == "/nas"
    assert attributes(make_event(node="my nas"))["source"] == "/my%20nas"
    assert attributes(make_event(node=HOSTILE_NODE))["source"] == "/my%20%22n%C3%A4s%22%20100%25%2Fa%3Fb%23c"
    # In a header the percent signs of the URI are encoded once more (HTTP binding, 3.1.3.2).
    assert http_headers(make_event(node="my nas"))["ce-source"] == "/my%2520nas"


def test_sequences_sort_as_text() -> None:
    sequences = [attributes(make_event(seq))["sequence"] for seq in (9, 10, 99, 100, 10**9)]
    assert sequences == sorted(sequences)


def test_the_time_is_rfc_3339_in_utc() -> None:
    sent = json.loads(structured_json(make_event()))["time"]
    assert sent.endswith("Z")
    assert datetime.fromisoformat(sent) == make_event().time


def test_the_data_are_the_events_own_bytes() -> None:
    event = make_event()
    assert structured_json(event).endswith(b',"data":' + event.json_bytes + b"}")
    assert structured_json(event) == structured_json(Event.from_json(event.json_bytes))
