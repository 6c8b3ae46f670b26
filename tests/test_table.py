"""Rows and updates in, events out."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import publisher.table
from publisher.events import Cause, Change, Event, IpInterfaceRow, Key
from publisher.sources import Remove, Resync, Update, Upsert
from publisher.table import Table, new_epoch
from tests.fixtures.rows import ETH0, ETH1, address, kinds, row, table


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
    looked = Mock(side_effect=publisher.table._lasting)
    monkeypatch.setattr(publisher.table, "_lasting", looked)
    [event] = table(many).apply(Upsert(more))
    assert list(event.changed) == ["addresses.10.0.0.0/24", "addresses.192.0.2.1/24"]
    assert looked.call_count == 4


def test_an_event_has_the_cause_of_its_update() -> None:
    known = table(row())
    [changed] = known.apply(Upsert(row(nl_mtu=1280), "reconcile"))
    [removed] = known.apply(Remove(ETH0, "inet", "reconcile"))
    assert (changed.cause, removed.cause) == ("reconcile", "reconcile")


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
