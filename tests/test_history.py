"""The history of IP interfaces: the events that a question asks for, and the count of flaps."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from publisher import Flap, HistoryQuery
from publisher.events import Cause, Change, Event, Family
from publisher.history import flaps_of, page_of, times_down
from publisher.testing import BEGINNING, make_event, make_events, make_row

ETH0, ETH0_6 = make_row("eth0"), make_row("eth0", "inet6")
DOWN = {"row.connected": Change(before=True, after=False)}
UP = {"row.connected": Change(before=False, after=True)}


def transitions(before: int | None, after: int | None) -> dict[str, Change]:
    return {"interface.carrier_transitions": Change(before=before, after=after)}


def link(seq: int, family: Family = "inet", cause: Cause = "notification", **changed: Any) -> Event:
    """Returns an event of eth0's link; one second after the event before."""
    row = make_row("eth0", family)
    return make_event(seq, row=row, changed=changed.get("changed", DOWN), cause=cause)


@pytest.mark.parametrize(
    ("changed", "times"),
    [
        (DOWN, 1),
        (UP, 0),
        ({"row.connected": Change(before=None, after=False)}, 0),
        ({"row.nl_mtu": Change(before=1500, after=1400)}, 0),
        (transitions(4, 6), 1),
        (transitions(4, 10), 3),
        (transitions(4, 5) | DOWN, 1),
        (transitions(4, 7) | DOWN, 2),
        (transitions(4, 5) | UP, 0),
        (transitions(4, 7) | UP, 1),
        (transitions(6, 4), 0),
        (transitions(None, 4), 0),
    ],
)
def test_a_link_went_down_as_often_as_its_state_and_the_count_of_its_carrier_say(
    changed: dict[str, Change], times: int
) -> None:
    assert times_down(make_event(row=ETH0, changed=changed, cause="startup")) == times


def moments(events: list[Event]) -> list[tuple[int, int]]:
    """Returns the flaps of eth0: the seconds after the first made event, and the count."""
    found = flaps_of(events).get(ETH0.luid, ())
    return [(int((flap.time - BEGINNING).total_seconds()), flap.count) for flap in found]


@pytest.mark.parametrize("order", [1, -1])
def test_a_loss_of_the_link_is_one_flap_for_both_families(order: int) -> None:
    events = [
        link(1), link(2, "inet6"), link(3, changed=UP), link(4, "inet6", changed=UP),
        link(5, "inet6"), link(6), link(10), link(20), link(30, "inet6"),
        link(40, cause="startup", changed=transitions(0, 6)), link(41, "inet6", "startup", changed=transitions(0, 6)),
    ]  # fmt: skip
    found = moments(events[::order])
    assert [count for _, count in found] == [1, 1, 1, 1, 1, 3]
    assert [time // 10 for time, _ in found] == [0, 0, 1, 2, 3, 4]


def test_families_that_flap_one_after_the_other_are_still_one_interface() -> None:
    both = [link(1), link(2), link(3, "inet6"), link(4, "inet6")]
    assert moments(both) == [(1, 1), (2, 1)]


def test_flaps_of_several_interfaces_are_apart_and_end_at_since() -> None:
    other = make_row("eth1", index=3)
    events = [link(1), make_event(2, row=other, changed=DOWN), link(100)]
    assert flaps_of(events, BEGINNING + timedelta(seconds=2)) == {
        other.luid: (Flap(events[1].time, 1),),
        ETH0.luid: (Flap(events[2].time, 1),),
    }


@pytest.mark.parametrize(
    ("query", "seqs", "more"),
    [
        (HistoryQuery(), [6, 5, 4, 3, 2, 1], False),
        (HistoryQuery(limit=2), [6, 5], True),
        (HistoryQuery(limit=2, before=5), [4, 3], True),
        (HistoryQuery(limit=6), [6, 5, 4, 3, 2, 1], False),
        (HistoryQuery(luid=ETH0.luid), [6, 5, 3, 2, 1], False),
        (HistoryQuery(luid="0" * 16), [], False),
        (HistoryQuery(family="inet6"), [6], False),
        (HistoryQuery(kinds=("link_down",)), [6, 5], False),
        (HistoryQuery(kinds=("link_up", "added")), [4], False),
        (HistoryQuery(since=BEGINNING + timedelta(seconds=3)), [6, 5, 4, 3], False),
    ],
)
def test_a_page_has_the_newest_events_that_the_question_asks_for(
    query: HistoryQuery, seqs: list[int], more: bool
) -> None:
    added = make_event(4, "add_instance", make_row("eth1", index=3))
    page = page_of([*make_events(3), added, link(5), link(6, "inet6")], query)
    assert ([event.seq for event in page.events], page.more) == (seqs, more)


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": -1}, {"since": datetime(2026, 1, 1)}])
def test_a_question_that_nothing_can_answer_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"limit must be|no time zone"):
        HistoryQuery(**wrong)
