"""The option `settle`: which events become one, when, in which order, and what the one says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from publisher.delivery import settling
from publisher.delivery.inbox import Clock
from publisher.delivery.settling import Settling
from publisher.events import Cause, Change, Event, IpInterface, Settled
from publisher.sources import Remove, Update, Upsert
from publisher.table import Stamp, Table
from publisher.testing import make_row

START = datetime(2026, 11, 26, tzinfo=UTC)


class SetClock(Clock):
    """A clock that the test sets: `seconds` since `START`, and the host's time that far from it."""

    seconds = 0.0

    def monotonic(self) -> float:
        return 1000.0 + self.seconds

    def utc(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


class House:
    """A table whose events settle for two seconds."""

    def __init__(self, *rows: IpInterface, settle: float = 2.0) -> None:
        self.clock = SetClock()
        self.table = Table(rows, Stamp("nas", clock=self.clock.utc))
        self.settling = Settling(timedelta(seconds=settle), self.clock)

    def at(self, seconds: float, *updates: Update) -> list[Event]:
        """Takes the events of these updates at this moment; returns those that have settled."""
        self.clock.seconds = seconds
        for update in updates:
            for event in self.table.apply(update):
                self.settling.take(event)
        return [fold.event for fold in self.settling.ended(caught_up=True)]


def row(alias: str = "eth2", index: int = 2, **members: Any) -> IpInterface:
    return make_row(alias, index=index, **members)


def link(up: bool, index: int = 2, cause: Cause = "notification") -> Upsert:
    state = {"oper_status": "up" if up else "down", "media_connect_state": "connected" if up else "disconnected"}
    return Upsert(row(f"eth{index}", index, connected=up, interface=state), cause)


def test_both_families_of_a_change_settle_together() -> None:
    both = [make_row("eth2", family, index=2, nl_mtu=1500) for family in ("inet", "inet6")]
    house = House(*both)
    for moment, row in zip((0.0, 0.001), both, strict=True):
        house.at(moment, Upsert(row.replaced({"row": row.row.replaced({"nl_mtu": 1400})})))
    assert [event.family for event in house.at(2.0)] == ["inet", "inet6"]
    assert house.at(5.0) == []


def short(events: list[Event]) -> list[tuple[int, int, int]]:
    """Of each event its seq, the first one that it stands for, and their number."""
    return [
        (event.seq, event.settled.first, event.settled.count) if event.settled else (event.seq, event.seq, 1)
        for event in events
    ]


def test_the_changes_of_a_row_become_one_from_the_first_before_to_the_last_after() -> None:
    house = House(row(metric=1, nl_mtu=1500))
    assert house.at(0.0, Upsert(row(metric=2, nl_mtu=1500))) == []
    assert house.at(1.0, Upsert(row(metric=3, nl_mtu=1400))) == []
    assert house.at(1.9) == []
    [event] = house.at(2.0)
    assert event.changed == {"row.metric": Change(before=1, after=3), "row.nl_mtu": Change(before=1500, after=1400)}
    assert (event.seq, event.settled, event.kinds) == (2, Settled(first=1, count=2), ("mtu_changed",))
    assert event.row
    assert (event.row.metric, event.time) == (3, START + timedelta(seconds=1))
    assert Event.from_json(event.json_bytes) == event
    assert len(house.settling) == 0
    assert house.settling.pause is None


def test_one_change_is_delivered_as_it_is_and_never_held_longer_than_the_time() -> None:
    house = House(row())
    house.at(0.0, link(False))
    assert house.settling.pause == 2.0
    [event] = house.at(2.0)
    assert (event.settled, event.kinds) == (None, ("link_down",))
    for moment in range(40):
        house.at(10 + moment / 10, link(moment % 2 == 0))
    assert short(house.at(14.0)) == [(41, 22, 20)], "those of the first two seconds came when these were over"


def test_a_flap_that_ends_where_it_began_is_still_an_event() -> None:
    house = House(row())
    house.at(0.0, link(False), link(True))
    [event] = house.at(2.0)
    assert (dict(event.changed), event.kinds, event.settled) == ({}, ("other",), Settled(first=1, count=2))
    assert event.notification_type == "parameter_notification"


def test_events_of_two_rows_settle_each_in_its_time() -> None:
    house = House(row("eth2", 2), row("eth3", 3))
    house.at(0.0, link(False, 2))
    house.at(1.5, link(False, 3))
    assert short(house.at(2.0)) == [(1, 1, 1)]
    house.at(3.0, link(True, 3))
    assert short(house.at(3.5)) == [(3, 2, 2)]


def test_a_row_whose_events_lie_between_goes_along_and_seq_never_goes_back() -> None:
    house = House(row("eth2", 2), row("eth3", 3), row("eth4", 4))
    house.at(0.0, link(False, 2))
    house.at(1.0, link(False, 3))
    house.at(1.5, link(True, 2), link(False, 4), link(True, 3))
    assert short(house.at(2.0)) == [(3, 1, 2), (4, 4, 1), (5, 2, 2)]
    assert house.settling.first is None


def test_the_time_of_events_counts_when_they_are_read_late() -> None:
    house = House(row())
    made = []
    for moment in (0.0, 1.0, 2.5, 3.0):
        house.clock.seconds = moment
        made += house.table.apply(link(moment in (1.0, 3.0)))
    house.clock.seconds = 1000.0
    for event in made:
        house.settling.take(event)
    assert [fold.seq for fold in house.settling.ended()] == [2], "a later event shows that its time is over"
    assert house.settling.pause == 0.0
    assert short([fold.event for fold in house.settling.ended(caught_up=True)]) == [(4, 3, 2)]


def test_a_clock_that_is_set_holds_nothing_longer() -> None:
    house = House(row())
    house.at(0.0, link(False))
    house.table.stamp.clock = lambda: START - timedelta(hours=1)
    house.at(1.0, link(True))
    assert short(house.at(2.0)) == [(2, 1, 2)]
    house.table.stamp.clock = lambda: START + timedelta(hours=1)
    house.at(3.0, link(False))
    assert short(house.at(5.0)) == [(3, 3, 1)]


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        ([Upsert(row("new", 9)), Upsert(row("new", 9, metric=5))], "add_instance"),
        ([Upsert(row("new", 9)), Remove(*row("new", 9).key)], "delete_instance"),
        ([Upsert(row(metric=5)), Remove(*row().key)], "delete_instance"),
        ([Remove(*row().key), Upsert(row(metric=5))], "add_instance"),
        ([Remove(*row().key), Upsert(row()), Upsert(row(metric=5))], "add_instance"),
        ([Remove(*row().key), Upsert(row()), Remove(*row().key)], "delete_instance"),
    ],
)
def test_what_comes_and_goes_ends_as_what_it_is_in_the_end(updates: list[Update], expected: str) -> None:
    house = House(row())
    house.at(0.0, *updates)
    [event] = house.at(2.0)
    assert (event.notification_type, dict(event.changed)) == (expected, {})
    assert event.settled == Settled(first=1, count=len(updates))
    assert event.kinds == (("added",) if expected == "add_instance" else ("removed",))


def test_lists_of_the_stack_are_joined_by_what_was_removed_and_added() -> None:
    a, b, c = (f"000600800{n}000000" for n in (4, 5, 6))
    house = House(row(interface={"lower": (a, b)}))
    house.at(0.0, Upsert(row(interface={"lower": (b, c)})), Upsert(row(interface={"lower": (a, c)})))
    [event] = house.at(2.0)
    assert event.changed == {"interface.lower": Change(before=[b], after=[c])}
    house.at(10.0, Upsert(row(interface={"lower": ()})), Upsert(row(interface={"lower": (a, c)})))
    assert dict(house.at(12.0)[0].changed) == {}


def test_an_address_that_was_there_for_a_moment_is_no_change() -> None:
    house = House(row())
    house.at(0.0, Upsert(row(addresses=["192.0.2.1/24"])), Upsert(row(addresses=["192.0.2.2/24"])))
    [event] = house.at(2.0)
    assert list(event.changed) == ["addresses.192.0.2.2/24"]
    assert event.kinds == ("address_added",)


def test_the_mark_of_a_loss_stays() -> None:
    house = House(row())
    house.at(0.0, link(False, cause="overrun"), link(True, cause="reconcile"))
    assert house.at(2.0)[0].cause == "overrun"
    house.at(3.0, link(False), link(True, cause="reconcile"))
    assert house.at(5.0)[0].cause == "reconcile"


def test_the_memory_is_bounded_when_many_rows_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(*(row(f"eth{n}", n) for n in range(100)))
    monkeypatch.setattr(settling, "_MOST_BYTES", 20_000)
    ended = []
    for n in range(100):
        ended += house.at(n / 1000, link(False, n))
        assert len(house.settling) < 40
    assert [event.seq for event in ended] == list(range(1, len(ended) + 1))
    assert len(ended) + len(house.settling) == 100


def test_all_end_at_once_when_there_is_no_time_left() -> None:
    house = House(row("eth2", 2), row("eth3", 3))
    house.at(0.0, link(False, 2), link(False, 3), link(True, 2))
    assert [fold.seq for fold in house.settling.ended(all_of_them=True)] == [2, 3]
