"""Rows and updates in, events out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import publisher.difference
from publisher.events import (
    Cause,
    Change,
    DefaultRoute,
    Event,
    IpInterface,
    IpInterfaceRow,
    Key,
    NotificationType,
)
from publisher.sources import Remove, Resync, Update, Upsert
from publisher.table import Stamp, Table, new_epoch
from tests.fixtures.rows import ETH0, ETH1, MOMENT, address, kinds, row, table


def test_a_lost_carrier_is_one_parameter_notification() -> None:
    [event] = table(row(connected=True)).apply(Upsert(row(connected=False)))
    assert (event.notification_type, event.cause) == ("parameter_notification", "notification")
    assert event.changed == {"row.connected": Change(before=True, after=False)}
    assert event.row == row(connected=False).row


def test_what_changes_nothing_is_no_event_but_is_kept() -> None:
    known = table(row(reachable_time=30000))
    assert known.apply(Upsert(row(reachable_time=31000))) == []
    assert [entry.row.reachable_time for entry in known.rows] == [31000]


def test_a_new_row_is_an_add_and_a_removed_one_a_delete_with_what_was_last_known() -> None:
    known = table()
    assert kinds(known.apply(Upsert(row(nl_mtu=1400)))) == [("add_instance", ETH0, "inet")]
    [event] = known.apply(Remove(ETH0, "inet"))
    assert kinds([event]) == [("delete_instance", ETH0, "inet")]
    assert event.row is not None
    assert event.row.nl_mtu == 1400
    assert known.apply(Remove(ETH0, "inet")) == []
    assert known.rows == []


def test_of_thousands_of_addresses_only_those_that_differ_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    many = row(addresses=tuple(address(f"10.0.{number // 250}.{number % 250}") for number in range(1000)))
    more = many.model_copy(update={"addresses": (*many.addresses[1:], address("192.0.2.1"))})
    looked = Mock(side_effect=publisher.difference._lasting)
    monkeypatch.setattr(publisher.difference, "_lasting", looked)
    [event] = table(many).apply(Upsert(more))
    assert list(event.changed) == ["addresses.10.0.0.0/24", "addresses.192.0.2.1/24"]
    assert looked.call_count == 4


def test_an_event_has_the_cause_of_its_update() -> None:
    known = table(row())
    [changed] = known.apply(Upsert(row(nl_mtu=1280), "reconcile"))
    [removed] = known.apply(Remove(ETH0, "inet", "reconcile"))
    assert (changed.cause, removed.cause) == ("reconcile", "reconcile")


@pytest.mark.parametrize("notification_type", ["add_instance", "parameter_notification", "delete_instance"])
def test_a_later_event_is_what_a_first_one_would_be(notification_type: NotificationType) -> None:
    clock = iter(MOMENT + timedelta(seconds=number) for number in range(9))
    stamp = Stamp("nas", "0123456789abcdef", 6, lambda: next(clock))
    stamp.event(notification_type, "notification", row(), {"row.connected": Change(before=True, after=False)})
    stamp.node = "attic"
    other = row(ETH1, "inet6", nl_mtu=1280, addresses=(address("fe80::1"),))
    other = other.replaced({"default_routes": (DefaultRoute(metric=1),)})
    changed = {"row.nl_mtu": Change(before=1500, after=1280)}
    later = stamp.event(notification_type, "notification", other, changed)
    first = Stamp("attic", "0123456789abcdef", 7, lambda: MOMENT + timedelta(seconds=1))
    assert later == first.event(notification_type, "notification", other, changed)
    assert Event.from_json(later.json_bytes) == later
    assert IpInterface.model_validate_json(later.ip_interface_json) == other
    with pytest.raises(TypeError, match="an event cannot be changed"):
        later.changed["row.metric"] = Change(before=1, after=2)


def test_a_cause_that_there_is_not_is_refused_after_others_too() -> None:
    known = table(row())
    known.apply(Upsert(row(nl_mtu=1280)))
    with pytest.raises(ValueError, match="cause"):
        known.apply(Upsert(row(nl_mtu=1300), "whim"))  # type: ignore[arg-type]  # what a plugin might give


def test_another_index_under_the_same_luid_is_another_interface_but_not_over_a_restart() -> None:
    known = table(row())
    events = known.apply(Upsert(row(interface_index=9)))
    assert [event.notification_type for event in events] == ["delete_instance", "add_instance"]
    [event] = known.apply(Resync((row(interface_index=4),), "startup"))
    assert event.changed == {"row.interface_index": Change(before=9, after=4)}


@pytest.mark.parametrize("cause", ["startup", "overrun", "reconcile"])
def test_a_resync_is_every_difference_with_its_cause(cause: Cause) -> None:
    known = table(row(), row(family="inet6"))
    events = known.apply(Resync((row(nl_mtu=1400), row(ETH1)), cause))
    assert kinds(events) == [
        ("delete_instance", ETH0, "inet6"),
        ("parameter_notification", ETH0, "inet"),
        ("add_instance", ETH1, "inet"),
    ]
    assert {event.cause for event in events} == {cause}
    assert known.apply(Resync((row(nl_mtu=1400), row(ETH1)), cause)) == []


def test_the_first_rows_of_a_new_epoch_are_no_events() -> None:
    known = Table(None)
    assert known.apply(Resync((row(),), "startup")) == []
    assert kinds(known.apply(Resync((), "reconcile"))) == [("delete_instance", ETH0, "inet")]


def test_addresses_are_named_by_what_they_are() -> None:
    known = table(row(addresses=(address(),)))
    [event] = known.apply(Upsert(row(addresses=(address("192.0.2.2"),))))
    assert set(event.changed) == {"addresses.192.0.2.1/24", "addresses.192.0.2.2/24"}
    assert event.changed["addresses.192.0.2.1/24"].after is None
    assert event.changed["addresses.192.0.2.2/24"].after["address"] == "192.0.2.2"


def test_a_lifetime_counts_only_when_it_becomes_or_is_no_more_for_ever() -> None:
    soon, later = datetime(2026, 11, 22, 20, tzinfo=UTC), datetime(2026, 11, 22, 21, tzinfo=UTC)
    known = table(row(addresses=(address(valid_until=later, preferred_until=soon),)))
    assert known.apply(Upsert(row(addresses=(address(valid_until=later, preferred_until=later),)))) == []
    assert len(known.apply(Upsert(row(addresses=(address(),))))) == 1


def test_ids_grow_within_the_epoch_and_a_snapshot_has_the_newest() -> None:
    known = table()
    first, second = (known.apply(Upsert(row(luid)))[0] for luid in (ETH0, ETH1))
    assert (first.seq, second.seq) == (1, 2)
    assert first.id < second.id
    snapshot = known.snapshot()
    assert [event.snapshot and event.snapshot.position for event in snapshot] == [0, 1, 2]
    assert {event.seq for event in snapshot} == {2}
    assert (snapshot[0].row, snapshot[0].luid, snapshot[0].interface) == (None, None, None)
    assert len({event.id for event in snapshot}) == 3
    [empty] = table().snapshot()
    assert empty.snapshot is not None
    assert (empty.snapshot.position, empty.snapshot.count) == (0, 0)


def test_an_event_survives_its_json() -> None:
    [event] = table(row(connected=True)).apply(Upsert(row(connected=False, addresses=(address(),))))
    assert Event.from_json(event.json_bytes) == event
    assert Event.from_json(event.json_bytes).json_bytes == event.json_bytes


def test_epochs_are_different_and_sort_by_age() -> None:
    assert len({new_epoch() for _ in range(50)}) > 1
    assert len(new_epoch()) == 16


ROUTE = DefaultRoute(next_hop="192.0.2.1", metric=100, protocol="dhcp")


def with_routes(*routes: DefaultRoute) -> IpInterface:
    return row().model_copy(update={"default_routes": routes})


def test_default_routes_are_named_by_their_next_hop() -> None:
    known = table(with_routes(ROUTE))
    [event] = known.apply(Upsert(with_routes(ROUTE.model_copy(update={"metric": 7}), DefaultRoute(metric=9))))
    assert event.changed == {
        "default_routes.192.0.2.1": Change(
            before={"next_hop": "192.0.2.1", "metric": 100, "protocol": "dhcp"},
            after={"next_hop": "192.0.2.1", "metric": 7, "protocol": "dhcp"},
        ),
        "default_routes.on-link": Change(before=None, after={"metric": 9}),
    }
    assert [entry.metric for entry in event.default_routes] == [7, 9]


def test_two_default_routes_of_one_next_hop_are_two_entries() -> None:
    slow, slower = (ROUTE.model_copy(update={"metric": metric}) for metric in (200, 300))
    known = table(with_routes(ROUTE))
    [event] = known.apply(Upsert(with_routes(ROUTE, slow, slower)))
    assert [(name, change.after["metric"]) for name, change in event.changed.items()] == [
        ("default_routes.192.0.2.1", 200),
        ("default_routes.192.0.2.1#2", 300),
    ]
    [event] = known.apply(Upsert(with_routes(slow)))
    assert [change.after for change in event.changed.values()] == [None, None]
    assert known.apply(Upsert(with_routes(slow, slow))) == []


def test_only_default_routes_that_differ_are_looked_at() -> None:
    many = tuple(ROUTE.model_copy(update={"metric": metric}) for metric in range(1, 5001))
    known = table(with_routes(*many))
    [event] = known.apply(Upsert(with_routes(*many[1:])))
    assert len(event.changed) == 1


class Clock:
    """The time, which a test moves on."""

    def __init__(self) -> None:
        self.now = MOMENT

    def __call__(self) -> datetime:
        return self.now

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def clocked(*rows: IpInterface) -> tuple[Table, Clock]:
    clock = Clock()
    return Table(rows, Stamp("node", "0123456789abcdef", clock=clock)), clock


FAST: dict[str, Any] = {"transmit_link_speed": 10**9, "receive_link_speed": 10**9}
DOWN: dict[str, Any] = {"oper_status": "down", "media_connect_state": "disconnected", "connected": False}
SLOW: dict[str, Any] = {"transmit_link_speed": 10**8, "receive_link_speed": 10**8}


def test_the_last_link_speed_is_kept_while_the_link_is_down_and_shows_that_it_came_back_slower() -> None:
    known = table()
    steps: list[dict[str, Any]] = [
        {"connected": True, **FAST},
        DOWN,
        {"connected": True, **SLOW},
        DOWN,
        {"connected": True, **SLOW},
    ]
    events = [event for members in steps for event in known.apply(Upsert(row(**members)))]
    assert [event.interface and event.interface.last_link_speed for event in events] == [
        10**9,
        10**9,
        10**8,
        10**8,
        10**8,
    ]
    assert [event.kinds for event in events] == [
        ("added",),
        ("link_down",),
        ("link_up", "speed_decreased"),
        ("link_down",),
        ("link_up",),
    ]
    assert [event.text() for event in events[1:3]] == ["eth0 down, was 1 Gbit/s", "eth0 up, 100 Mbit/s, was 1 Gbit/s"]


def test_the_best_speed_is_there_while_the_link_is_slower_also_over_a_restart() -> None:
    known = table()

    def best(members: dict[str, Any], cause: Cause = "notification") -> int | None:
        known.apply(Upsert(row(**members), cause))
        return known.rows[0].interface.best_link_speed

    up: dict[str, Any] = {"connected": True}
    assert [best(members) for members in ({**up, **FAST}, DOWN, {**up, **SLOW}, DOWN)] == [None, None, 10**9, 10**9]
    known = table(*known.rows)
    assert best({**up, **SLOW}, "startup") == 10**9
    assert best({**up, "transmit_link_speed": 10**7}) == 10**9, "not the speed before"
    [event] = known.apply(Upsert(row(**up, **FAST)))
    assert known.rows[0].interface.best_link_speed is None
    assert "interface.best_link_speed" not in event.changed
    known.apply(Remove(ETH0, "inet"))
    assert best({**up, **SLOW}) is None, "a new interface has no past"


def test_a_speed_that_a_driver_reports_without_a_link_is_not_the_last_one() -> None:
    [event] = table().apply(Upsert(row(**DOWN, **FAST)))
    assert event.interface
    assert event.interface.last_link_speed is None


def test_the_last_change_is_the_moment_at_which_the_state_began() -> None:
    known, clock = clocked()

    def since(update: Update) -> list[datetime | None]:
        known.apply(update)
        return [entry.interface.last_change for entry in known.rows]

    began = clock.now
    assert since(Upsert(row())) == [began]
    clock.tick()
    assert since(Upsert(row(nl_mtu=1400))) == [began]
    assert since(Upsert(row(family="inet6"))) == [began, began], "the family is new, the interface is not"
    down = clock.tick()
    assert since(Upsert(row(**DOWN))) == [down, began]
    clock.tick()
    assert since(Upsert(row(family="inet6", **DOWN))) == [down, down]
    assert since(Resync((row(**DOWN), row(family="inet6", **DOWN)), "overrun")) == [down, down]
    assert since(Upsert(row(**DOWN, interface_index=9))) == [clock.now, down], "another interface, in this state anew"
    assert since(Resync((row(),), "startup")) == [None], "it changed while nobody listened"


def test_both_families_have_one_interface_and_that_of_the_source_when_nothing_is_carried() -> None:
    known, _ = clocked()
    known.apply(Upsert(row(**FAST)))
    reported = row(**DOWN)
    known.apply(Upsert(reported))
    known.apply(Upsert(row(family="inet6").model_copy(update={"interface": reported.interface})))
    first, second = known.rows
    assert first.interface is second.interface is not reported.interface
    baseline = Table(None)
    baseline.apply(Resync((reported,), "startup"))
    assert baseline.rows[0] is reported


def test_each_family_tells_how_its_own_view_of_the_interface_changed() -> None:
    shared = row(mtu=1500).interface
    inet, inet6 = (row(family=family).replaced({"interface": shared}) for family in ("inet", "inet6"))

    def mtus(known: Table, after: IpInterface) -> tuple[Any, Any]:
        [event] = known.apply(Upsert(after))
        return event.changed["interface.mtu"].before, event.changed["interface.mtu"].after

    other_after = table(inet, inet6)
    assert mtus(other_after, row(mtu=1400)) == (1500, 1400)
    assert mtus(other_after, row(family="inet6", mtu=1300)) == (1500, 1300)
    other_before = table(inet, row(family="inet6", mtu=1600))
    after = row(mtu=1400)
    assert mtus(other_before, after) == (1500, 1400)
    assert mtus(other_before, inet6.replaced({"interface": after.interface})) == (1600, 1400)


def test_an_interface_that_was_removed_leaves_nothing() -> None:
    known, clock = clocked()
    known.apply(Upsert(row(**FAST)))
    known.apply(Upsert(row(family="inet6", **FAST)))
    known.apply(Remove(ETH0, "inet"))
    assert known._carried._last.keys() == {ETH0}
    known.apply(Remove(ETH0, "inet6"))
    assert not known._carried._last
    again = clock.tick()
    [event] = known.apply(Upsert(row(**DOWN)))
    assert event.interface
    assert (event.interface.last_change, event.interface.last_link_speed) == (again, None)


@pytest.mark.parametrize("cause", ["startup", "overrun"])
def test_flaps_while_nobody_listened_are_an_event(cause: Cause) -> None:
    known = table(row(carrier_transitions=3), row(family="inet6", carrier_transitions=3))
    events = known.apply(Resync((row(carrier_transitions=17), row(family="inet6", carrier_transitions=17)), cause))
    assert [event.changed for event in events] == [{"interface.carrier_transitions": Change(before=3, after=17)}] * 2
    assert [event.kinds for event in events] == [("link_up", "link_down")] * 2
    assert events[0].text().startswith("eth0 flapped 7 times (")
    assert known.apply(Resync(tuple(known.rows), cause)) == []


@pytest.mark.parametrize("cause", ["notification", "reconcile"])
def test_transitions_while_somebody_listens_are_no_event(cause: Cause) -> None:
    known = table(row(carrier_transitions=3))
    assert known.apply(Upsert(row(carrier_transitions=5), cause)) == []
    [event] = known.apply(Upsert(row(carrier_transitions=6, connected=False), cause))
    assert set(event.changed) == {"row.connected"}
    assert event.interface
    assert event.interface.carrier_transitions == 6


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"carrier_transitions": 20}, {"carrier_transitions": 2}),
        ({}, {"carrier_transitions": 2}),
        ({"carrier_transitions": 2}, {}),
        ({"carrier_transitions": 2}, {"carrier_transitions": 20, "interface_index": 9}),
    ],
    ids=["the host was started anew", "it was not known", "it is not known", "another interface"],
)
def test_a_new_count_is_no_flap(before: dict[str, Any], after: dict[str, Any]) -> None:
    events = table(row(**before)).apply(Resync((row(**after),), "startup"))
    assert "interface.carrier_transitions" not in {name for event in events for name in event.changed}
    assert not [event for event in events if event.kinds != ("other",)]


def test_a_speed_that_was_not_known_before_is_no_event_by_itself() -> None:
    assert table(row(**FAST)).apply(Resync((row(**FAST, last_link_speed=10**9),), "startup")) == []


ROWS = st.builds(
    lambda luid, family, mtu, index: row(luid, family, nl_mtu=mtu, interface_index=index),
    st.sampled_from([ETH0, ETH1]),
    st.sampled_from(["inet", "inet6"]),
    st.sampled_from([1400, 1500]),
    st.sampled_from([2, 3]),
)
UPDATES = st.one_of(
    st.builds(Upsert, ROWS),
    st.builds(Remove, st.sampled_from([ETH0, ETH1]), st.sampled_from(["inet", "inet6"])),
    st.builds(Resync, st.lists(ROWS, max_size=4).map(tuple), st.sampled_from(["startup", "overrun", "reconcile"])),
)


@given(st.lists(UPDATES, max_size=12))
def test_who_follows_the_events_has_the_table(updates: list[Update]) -> None:
    known = table()
    followed: dict[Key, IpInterfaceRow | None] = {}
    for update in updates:
        for event in known.apply(update):
            assert event.key is not None
            if event.notification_type == "add_instance":
                assert event.key not in followed
            if event.notification_type == "delete_instance":
                del followed[event.key]
            else:
                assert event.notification_type == "add_instance" or event.key in followed
                followed[event.key] = event.row
    assert followed == {entry.key: entry.row for entry in known.rows}
