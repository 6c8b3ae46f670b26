"""Members that are not known: `None` or `UNKNOWN` in Python, left out of the JSON; null means something else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import fastjsonschema
import pytest

from publisher.events import (
    UNKNOWN,
    Address,
    Change,
    Event,
    Interface,
    IpInterface,
    IpInterfaceRow,
    LostEvents,
    Snapshot,
)
from publisher.sources import Upsert
from publisher.table import Table
from publisher.testing import make_address, make_event, make_row, make_snapshot

SCHEMA = Event.model_json_schema(mode="serialization")
BARE = make_row(metric=None, nl_mtu=None, connected=None, forwarding_enabled=None)
LIFETIMES = {"valid_until", "preferred_until"}


def test_members_that_are_not_known_are_left_out() -> None:
    event = json.loads(make_event(1, "add_instance", BARE).json_bytes)
    assert set(event["row"]) == {"family", "interface_luid", "interface_index"}
    assert event["interface"] == {
        "alias": "eth0",
        "type": 6,
        "physical_address": "52:54:00:12:34:02",
        "mtu": 1500,
        "admin_status": "up",
        "oper_status": "up",
        "media_connect_state": "connected",
        "higher": [],
        "lower": [],
    }


def test_a_lifetime_without_an_end_is_null_and_one_that_is_not_known_is_missing() -> None:
    for_ever, unknown = make_address(), make_address(valid_until=UNKNOWN, preferred_until=UNKNOWN)
    told = [json.loads(address.model_dump_json()) for address in (for_ever, unknown)]
    assert [address.get("valid_until", "missing") for address in told] == [None, "missing"]
    assert [address.get("preferred_until", "missing") for address in told] == [None, "missing"]
    assert [Address.model_validate_json(json.dumps(address)) for address in told] == [for_ever, unknown]


def test_a_lifetime_that_becomes_known_without_an_end_is_no_change() -> None:
    unknown = make_row(addresses=[make_address(valid_until=UNKNOWN, preferred_until=UNKNOWN)])
    assert Table([unknown]).apply(Upsert(make_row(addresses=["192.0.2.10/24"]))) == []


def test_what_becomes_unknown_is_null_in_the_change_and_missing_in_the_row() -> None:
    [event] = Table([make_row(addresses=["192.0.2.10/24"])]).apply(Upsert(make_row(nl_mtu=None)))
    told = json.loads(event.json_bytes)
    assert told["changed"]["row.nl_mtu"] == {"before": 1500, "after": None}
    assert told["changed"]["addresses.192.0.2.10/24"]["after"] is None
    assert "skip_as_source" not in told["changed"]["addresses.192.0.2.10/24"]["before"]
    assert told["changed"]["addresses.192.0.2.10/24"]["before"]["valid_until"] is None
    assert "nl_mtu" not in told["row"]


def test_position_0_of_a_snapshot_has_nulls_where_others_have_an_interface() -> None:
    first, last = (json.loads(event.json_bytes) for event in make_snapshot([make_row()]))
    assert {name for name, member in first.items() if member is None} == {"luid", "family", "row", "interface"}
    assert "lost" not in first["snapshot"]
    assert set(first) == set(last) == set(SCHEMA["required"])
    lossy = Snapshot(id="x", position=0, count=0, lost=LostEvents(first=1, last=2))
    assert json.loads(lossy.model_dump_json())["lost"] == {"first": 1, "last": 2}


def events() -> Iterator[Event]:
    yield make_event(1, "add_instance", BARE)
    yield make_event(2, row=make_row(addresses=["192.0.2.10/24", "192.0.2.11/24"]), changed={})
    yield make_event(3, changed={"row.nl_mtu": Change(before=None, after=make_address().model_dump(mode="json"))})
    yield from make_snapshot([BARE])


@pytest.mark.parametrize("event", list(events()), ids=["added", "addresses", "changed", "position 0", "position 1"])
def test_the_schema_describes_what_is_left_out(event: Event) -> None:
    told = json.loads(event.json_bytes)
    fastjsonschema.validate(SCHEMA, told)
    assert Event.from_json(event.json_bytes) == event
    assert json.loads(event.model_dump_json()) == event.model_dump(mode="json") == told


@pytest.mark.parametrize("model", [IpInterfaceRow, Interface, Address])
def test_no_member_that_may_be_missing_may_be_null(model: Any) -> None:
    schema = model.model_json_schema(mode="serialization")
    for name, member in schema["properties"].items():
        nullable = {"type": "null"} in member.get("anyOf", [])
        assert nullable == (name in LIFETIMES), name
        assert "default" not in member or name in schema["required"], name
        required = model.model_fields[name].is_required() or model.model_fields[name].default not in (None, UNKNOWN)
        assert (name in schema["required"]) == required, name


def test_every_member_of_an_event_is_described() -> None:
    for model in (SCHEMA, *SCHEMA["$defs"].values()):
        assert not [name for name, member in model.get("properties", {}).items() if not member.get("description")]


def test_what_was_written_with_nulls_can_be_read() -> None:
    """As the first code of this version wrote it."""
    event = make_event(1, row=make_row(addresses=["192.0.2.10/24"]), changed={})
    told = json.loads(event.json_bytes)
    told["row"] |= dict.fromkeys(set(IpInterfaceRow.model_fields) - set(told["row"]))
    told["interface"] |= dict.fromkeys(set(Interface.model_fields) - set(told["interface"]))
    told["addresses"][0] |= {"scope_id": None, "skip_as_source": None}
    data = json.dumps(told).encode()
    read = Event.from_json(data)
    assert read == event
    assert read.json_bytes == data, "an event has the same bytes at every delivery"


def test_the_interface_is_cut_from_the_events_own_bytes() -> None:
    row = make_row('a"},"row":{},"changed":\\ \u0000', addresses=["192.0.2.10/24"])
    event = make_event(1, row=row, changed={})
    assert IpInterface.model_validate_json(event.ip_interface_json) == row
    assert event.ip_interface_json.decode() == row.model_dump_json()
