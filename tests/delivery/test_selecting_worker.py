"""A worker whose sink has a filter, or whose events settle: its waits, its stop and its status."""

from __future__ import annotations

import threading
from datetime import timedelta

from publisher.delivery.inbox import Clock
from publisher.delivery.selection import Selection
from publisher.events import Event, Settled
from publisher.filters import EventFilter
from publisher.journal.positions import POSITIONS, Tail
from publisher.sink import Cursor, Rejected
from publisher.sources import Upsert
from publisher.testing import Recorder, make_row, try_again
from tests.fixtures.pipeline import Pipeline
from tests.fixtures.poll import wait_for
from tests.fixtures.waking import wake

LONG = Selection(settle=timedelta(minutes=10))


class SteppingClock(Clock):
    """A clock that stands still but for `step`; `waits` has the seconds of each wait, `None` for news."""

    def __init__(self) -> None:
        self.moment = 0.0
        self.waits: list[float | None] = []
        self._waiting: threading.Condition | None = None

    def monotonic(self) -> float:
        return self.moment

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        self._waiting = condition
        self.waits.append(seconds)
        condition.wait()

    def step(self, seconds: float) -> None:
        """Lets time pass, and ends the wait."""
        assert self._waiting is not None
        with self._waiting:
            self.moment += seconds
            self._waiting.notify_all()


def tail(recorder: Recorder) -> list[tuple[int, Settled | None]]:
    return [(event.seq, event.settled) for event in recorder.events if event.snapshot is None]


def test_a_timer_runs_only_while_something_settles(pipeline: Pipeline, recorder: Recorder) -> None:
    clock = SteppingClock()
    worker = pipeline.deliver(recorder, clock=clock, selection=Selection(settle=timedelta(seconds=3)))
    wait_for(lambda: clock.waits == [None], what="a wait for news")
    pipeline.change(2)
    wait_for(lambda: clock.waits[1:] == [1.0], what="a wait while the change settles")
    assert (worker.status().behind, worker.status().state) == (2, "following")
    pipeline.change(3)
    clock.step(1.0)
    wait_for(lambda: len(clock.waits) == 3)
    assert tail(recorder) == []
    clock.step(2.0)
    wait_for(lambda: clock.waits[3:] == [None], what="a wait for news again")
    assert tail(recorder) == [(5, Settled(first=1, count=5))]
    assert (worker.status().seq, worker.status().behind, worker.status().delivered) == (5, 0, 4)


def test_a_stop_delivers_what_settles_at_once(pipeline: Pipeline, recorder: Recorder) -> None:
    worker = pipeline.deliver(recorder, selection=LONG, clock=Clock())
    recorder.wait_for_events(3)
    pipeline.change(4)
    assert worker.stop(30.0), "the sink has everything"
    assert tail(recorder) == [(4, Settled(first=1, count=4))]
    assert pipeline.confirmed() == Cursor(pipeline.journal.epoch, 4)


def test_what_settles_is_sent_again_after_failures_as_it_was(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.deliver(recorder, selection=Selection(settle=timedelta(milliseconds=20)))
    recorder.wait_for_events(3)
    recorder.publish_faults += [*try_again(times=2), OSError("gone")]
    pipeline.change(1)
    recorder.wait_for_seq(1)
    assert tail(recorder) == [(1, None)]


def test_what_settled_and_is_refused_is_a_dead_letter_with_all_that_it_stands_for(
    pipeline: Pipeline, recorder: Recorder
) -> None:
    worker = pipeline.deliver(recorder, selection=LONG, clock=Clock())
    recorder.wait_for_events(3)
    recorder.publish_faults.append(Rejected("no"))
    pipeline.change(4)
    worker.stop(30.0)
    [letter] = pipeline.dead_letters()
    assert letter.event.settled == Settled(first=1, count=4)
    assert pipeline.confirmed() == Cursor(pipeline.journal.epoch, 4)


def test_a_sink_whose_filter_nothing_passes_is_not_behind(pipeline: Pipeline, recorder: Recorder) -> None:
    worker = pipeline.deliver(recorder, selection=Selection(EventFilter(interfaces=("no*",))))
    recorder.wait_for_events(1)
    pipeline.change(50)
    wait_for(lambda: worker.status().seq == 50)
    assert (worker.status().behind, len(recorder.events)) == (0, 1)
    assert worker.stop(30.0)
    assert pipeline.confirmed() == Cursor(pipeline.journal.epoch, 50)


def test_a_replay_of_the_snapshot_is_refused_where_none_is_taken(pipeline: Pipeline, recorder: Recorder) -> None:
    worker = pipeline.deliver(recorder, selection=Selection(snapshot=False))
    wait_for(lambda: worker.status().seq == 0)
    assert pipeline.ask(worker, kind="replay").endswith("name the event to begin after, with --since")
    pipeline.change(2)
    recorder.wait_for_seq(2)
    assert recorder.seqs == [1, 2]
    assert "again" in pipeline.ask(worker, kind="replay", since=1)
    recorder.wait(lambda recorder: recorder.seqs == [1, 2, 2])


def test_a_sink_that_takes_no_snapshot_misses_nothing_while_it_cannot_be_opened(
    pipeline: Pipeline, recorder: Recorder
) -> None:
    """Nor when the publisher is started again meanwhile."""
    selection = Selection(snapshot=False)
    recorder.open_faults.append(OSError("down"))
    worker = pipeline.deliver(recorder, selection=selection, clock=Clock())
    wait_for(lambda: worker.status().state == "retrying")
    pipeline.change(2)
    pipeline.restart()
    pipeline.deliver(recorder, selection=selection)
    recorder.wait_for_seq(2)
    assert recorder.seqs == [1, 2]


def test_the_context_of_a_sink_sees_what_the_sink_gets(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.deliver(recorder, selection=Selection(EventFilter(interfaces=("eth1",))))
    recorder.wait_for_events(2)
    pipeline.change(2)
    row = make_row("eth1", index=3, metric=7)
    events = pipeline.table.apply(Upsert(row))
    pipeline.journal.append(events)
    wake(pipeline.workers[0])
    recorder.wait_for_seq(3)
    context = recorder.contexts[0]
    seen: list[list[Event]] = []
    context.call(lambda: seen.append([*context.snapshot(), *(context.events_since(context.epoch, 0) or [])]))
    wait_for(lambda: seen)
    assert [event.interface and event.interface.alias for event in seen[0]] == [None, "eth1", "eth1"]


def test_the_position_has_the_last_event_that_passed(pipeline: Pipeline, recorder: Recorder) -> None:
    selection = Selection(EventFilter(interfaces=("eth1",)))
    worker = pipeline.deliver(recorder, selection=selection)
    recorder.wait_for_events(2)
    pipeline.change(3)
    wait_for(lambda: worker.status().seq == 3)
    pipeline.journal.commit()
    [(data,)] = pipeline.journal._file.query("SELECT position FROM positions")
    expected = Tail(Cursor(pipeline.journal.epoch, 3), has=0, rows=selection.rows)
    assert POSITIONS.validate_json(data) == expected
