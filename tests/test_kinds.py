"""The kinds of change: each one by what makes it."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher import Change, Event, IpInterface, Upsert
from publisher.events import DefaultRoute, Kind, NotificationType
from publisher.kinds import MEANINGS, kinds_of
from publisher.table import Table
from publisher.testing import make_address, make_event, make_row

GATEWAY = {"next_hop": "192.0.2.1", "metric": 100}
HOST = {"address": "192.0.2.10", "prefix_length": 24}

CHANGES: list[tuple[dict[str, tuple[Any, Any]], list[str]]] = [
    ({"row.connected": (False, True)}, ["link_up"]),
    ({"row.connected": (True, False)}, ["link_down"]),
    ({"row.connected": (None, True)}, ["other"]),
    ({"row.connected": (True, None)}, ["other"]),
    ({"interface.oper_status": ("unknown", "up")}, ["other"]),
    ({"row.connected": (True, False), "interface.oper_status": ("up", "down"), "row.metric": (1, 2)}, ["link_down"]),
    ({"interface.last_link_speed": (10**9, 10**8)}, ["speed_decreased"]),
    ({"interface.last_link_speed": (10**8, 10**9)}, ["speed_increased"]),
    ({"interface.last_link_speed": (None, 10**9), "row.connected": (False, True)}, ["link_up"]),
    ({"interface.transmit_link_speed": (10**9, None), "row.connected": (True, False)}, ["link_down"]),
    ({"row.connected": (False, True), "interface.last_link_speed": (10**9, 10**8)}, ["link_up", "speed_decreased"]),
    ({"interface.carrier_transitions": (3, 17)}, ["link_up", "link_down"]),
    ({"interface.carrier_transitions": (3, 4), "row.connected": (True, False)}, ["link_down"]),
    ({"interface.carrier_transitions": (3, 4)}, ["other"]),
    ({"interface.carrier_transitions": (3, 6), "row.connected": (True, False)}, ["link_up", "link_down"]),
    ({"addresses.192.0.2.10/24": (None, HOST)}, ["address_added"]),
    ({"addresses.192.0.2.10/24": (HOST, None)}, ["address_removed"]),
    ({"addresses.192.0.2.10/24": (HOST, HOST | {"dad_state": "duplicate"})}, ["other"]),
    (
        {"addresses.192.0.2.10/24": (HOST, None), "addresses.192.0.2.11/24": (None, HOST)},
        ["address_added", "address_removed"],
    ),
    ({"default_routes.192.0.2.1": (None, GATEWAY)}, ["default_route_added"]),
    ({"default_routes.192.0.2.1": (GATEWAY, None)}, ["default_route_removed"]),
    ({"default_routes.192.0.2.1": (GATEWAY, GATEWAY | {"metric": 7})}, ["default_route_changed"]),
    (
        {"default_routes.192.0.2.1": (GATEWAY, None), "default_routes.192.0.2.2": (None, GATEWAY)},
        ["default_route_changed"],
    ),
    ({"interface.alias": ("eth0", "lan0")}, ["renamed"]),
    ({"row.nl_mtu": (1500, 1400), "interface.mtu": (1500, 1400)}, ["mtu_changed"]),
    ({"interface.mtu": (1500, 1400)}, ["mtu_changed"]),
    ({"row.forwarding_enabled": (False, True)}, ["forwarding_changed"]),
    ({"row.metric": (1, 2)}, ["other"]),
    ({"interface.higher": ([], ["0006008002000000"])}, ["other"]),
    ({"row.metric": (1, 2), "interface.alias": ("a", "b")}, ["renamed"]),
    ({}, ["other"]),
]


@pytest.mark.parametrize(("members", "kinds"), CHANGES, ids=[f"{n}" for n in range(len(CHANGES))])
def test_the_kinds_of_a_change(members: dict[str, tuple[Any, Any]], kinds: list[str]) -> None:
    changed = {name: Change(before=before, after=after) for name, (before, after) in members.items()}
    assert list(kinds_of("parameter_notification", make_row(), changed)) == kinds


WHOLE = make_row(addresses=["192.0.2.10/24"], default_routes=["192.0.2.1"])


@pytest.mark.parametrize(
    ("notification_type", "row", "kinds"),
    [
        ("add_instance", make_row(), ["added"]),
        ("add_instance", WHOLE, ["address_added", "default_route_added", "added"]),
        ("delete_instance", make_row(), ["removed"]),
        ("delete_instance", WHOLE, ["address_removed", "default_route_removed", "removed"]),
        ("initial_notification", WHOLE, []),
    ],
)
def test_an_interface_comes_and_goes_with_what_it_has(
    notification_type: NotificationType, row: IpInterface, kinds: list[str]
) -> None:
    """Whoever waits for an address waits for that of a new interface, too."""
    assert list(kinds_of(notification_type, row, {})) == kinds


def test_every_kind_has_a_meaning_in_the_schema() -> None:
    schema = Event.model_json_schema(mode="serialization")
    kinds = {entry["const"]: entry["description"] for entry in schema["properties"]["kinds"]["items"]["oneOf"]}
    assert list(kinds) == list(get_args(Kind)) == list(MEANINGS)
    assert all(kinds.values())


def test_every_kind_is_among_the_examples() -> None:
    shown = {kind for _, kinds in CHANGES for kind in kinds} | {"added", "removed"}
    assert shown == set(get_args(Kind))


ROUTES = st.lists(
    st.builds(DefaultRoute, next_hop=st.sampled_from([None, "192.0.2.1", "192.0.2.2"]), metric=st.integers(0, 2)),
    max_size=3,
)
ROWS = st.builds(
    lambda connected, mtu, metric, alias, addresses, routes, speed, count: make_row(
        alias,
        connected=connected,
        nl_mtu=mtu,
        metric=metric,
        addresses=[make_address(f"192.0.2.{entry}/24") for entry in addresses],
        default_routes=routes,
        interface={"transmit_link_speed": speed, "carrier_transitions": count},
    ),
    st.sampled_from([None, True, False]),
    st.sampled_from([1400, 1500]),
    st.integers(0, 2),
    st.sampled_from(["eth0", "eth1"]),
    st.frozensets(st.integers(1, 3)),
    ROUTES,
    st.sampled_from([None, 0, 10**8, 10**9]),
    st.sampled_from([None, 1, 2, 9]),
)


@given(st.lists(st.tuples(ROWS, st.sampled_from(["notification", "startup", "overrun"])), min_size=2, max_size=5))
def test_every_event_has_a_kind_and_other_stands_alone(states: list[tuple[IpInterface, Any]]) -> None:
    table = Table([])
    for row, cause in states:
        for event in table.apply(Upsert(row, cause)):
            assert event.kinds
            assert "other" not in event.kinds or event.kinds == ("other",)
            assert len(set(event.kinds)) == len(event.kinds)
            assert event.text().isprintable()
            assert Event.from_json(event.json_bytes) == event
    for event in table.snapshot():
        assert event.kinds == ()


def test_an_event_of_an_older_journal_has_its_kinds_too() -> None:
    event = make_event()
    older = event.json_bytes.replace(b'"kinds":["mtu_changed"],', b"").replace(b'"default_routes":[],', b"")
    read = Event.from_json(older)
    assert read == event
    assert read.json_bytes == older
