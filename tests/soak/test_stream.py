"""The judge of a stream, on streams that are right and on some with one thing wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import pytest

from publisher.events import Event
from publisher.testing import make_events, make_snapshot
from tests.soak.stream import Stream

Events = Sequence[Event]
SNAPSHOT, EVENTS = make_snapshot(), make_events(4)


def judged(events: Iterable[Event], *, repeats: bool = False) -> Stream:
    stream = Stream("it", repeats=repeats)
    for event in events:
        stream.take(event.json_bytes)
    return stream


def later_snapshot(*, lost: bool) -> list[Event]:
    """Returns a snapshot of event 3, with or without the mark that it makes up for events 2 and 3."""
    rows = make_snapshot(seq=3, cause="overrun" if lost else "notification")
    if lost and rows[0].snapshot:
        text = json.loads(rows[0].json_bytes)
        text["snapshot"]["lost"] = {"first": 2, "last": 3}
        rows[0] = Event.from_json(json.dumps(text).encode())
    return rows


def test_a_snapshot_and_the_events_after_it_are_right() -> None:
    stream = judged([*SNAPSHOT, *EVENTS])
    assert stream.findings == []
    assert (stream.events, stream.snapshots, stream.at) == (4, 1, 4)
    assert len(stream.states) == len(SNAPSHOT) - 1


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([*SNAPSHOT, EVENTS[0], EVENTS[2]], "event 3 after 1"),
        ([*SNAPSHOT, EVENTS[0], EVENTS[0]], "event 1 again"),
        ([*SNAPSHOT, EVENTS[1]], "event 2 after 0"),
        (EVENTS[:1], "before any snapshot"),
        ([*SNAPSHOT[:2], *EVENTS[:1]], "amid a snapshot"),
        ([SNAPSHOT[0], SNAPSHOT[2]], "position 2 of a snapshot"),
        ([*SNAPSHOT, EVENTS[0], *later_snapshot(lost=False)], "without a mark"),
        ([*SNAPSHOT, *make_snapshot(epoch="0" * 16)], "another epoch"),
    ],
)
def test_what_is_wrong_is_found(events: Events, found: str) -> None:
    assert found in "\n".join(judged(events).findings)


def test_what_at_least_once_allows_is_right() -> None:
    stream = judged([*SNAPSHOT, *EVENTS[:2], *EVENTS], repeats=True)
    assert (stream.findings, stream.events, stream.repeated) == ([], 4, 2)


def test_rows_in_place_of_events_are_right_with_a_mark() -> None:
    stream = judged([*SNAPSHOT, EVENTS[0], *later_snapshot(lost=True), EVENTS[3]])
    assert (stream.findings, stream.replaced, stream.overruns) == ([], 2, 1)
