"""Supervisor: what each sink gets, in which order, and what becomes of failures."""

from __future__ import annotations

import sys
import threading
import time
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from publisher.delivery.inbox import Clock
from publisher.errors import JournalDamagedError, JournalError
from publisher.events import Event, LostEvents, Snapshot
from publisher.journal.journal import Journal
from publisher.journal.positions import ResendEvents
from publisher.sink import Cursor, Ended, Rejected, Retry, Sink, SinkContext, SinkOptions
from publisher.testing import Recorder
from tests.fixtures.pipeline import Pipeline
from tests.fixtures.poll import wait_for
from tests.fixtures.waking import wake


def kinds(events: Sequence[Event]) -> list[str | int]:
    """Events in short: `snapshot@seq` for a whole snapshot, the seq of any other."""
    short: list[str | int] = []
    expected = 0
    for event in events:
        if event.snapshot is None:
            short.append(event.seq)
            continue
        assert event.snapshot.position == expected, "a snapshot comes whole and in order"
        expected = 0 if event.snapshot.position == event.snapshot.count else expected + 1
        if expected == 0:
            short.append(f"snapshot@{event.seq}")
    return short


class Refusing(Sink):
    """Refuses every event, and takes the rows of a snapshot."""

    def publish(self, events: Sequence[Event]) -> None:
        for index, event in enumerate(events):
            if event.snapshot is None:
                raise Rejected("no", index=index)


def test_a_new_sink_gets_the_snapshot_and_then_every_event(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.change(3)
    worker = pipeline.deliver(recorder)
    recorder.wait_for_seq(3)
    pipeline.change(5)
    recorder.wait_for_seq(8)
    assert kinds(recorder.events) == ["snapshot@3", 4, 5, 6, 7, 8]
    assert worker.stop(30.0)
    assert pipeline.confirmed() == Cursor(pipeline.journal.epoch, 8)
    assert recorder.closed == 1


def test_a_sink_goes_on_where_it_was(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    pipeline.change(2)
    recorder.wait_for_seq(2)
    pipeline.restart()
    pipeline.change(2)
    pipeline.deliver(recorder)
    recorder.wait_for_seq(4)
    assert kinds(recorder.events) == ["snapshot@0", 1, 2, 3, 4]


def test_another_destination_is_a_new_subscriber(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.deliver(recorder)
    pipeline.change(2)
    recorder.wait_for_seq(2)
    pipeline.restart()
    other = Recorder()
    pipeline.deliver(other, destination="elsewhere")
    other.wait_for_seq(2)
    assert kinds(other.events) == ["snapshot@2"]


def test_before_anything_is_known_there_is_nothing_to_send(tmp_path: Path, recorder: Recorder) -> None:
    pipeline = Pipeline(tmp_path / "journal.db")
    rows = pipeline.table.rows
    pipeline.close()
    pipeline.path.unlink()
    pipeline.journal = Journal.open(pipeline.path, node="nas")
    with closing(pipeline):
        worker = pipeline.deliver(recorder)
        recorder.wait(lambda recorder: recorder.opened)
        wake(worker)
        wait_for(lambda: worker.status().state == "following")
        pipeline.journal.replace_rows(rows)
        wake(worker)
        recorder.wait_for_events(3)
        assert kinds(recorder.events) == ["snapshot@0"]


def test_the_cursor_that_the_destination_tells_wins(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.change(5)
    pipeline.confirm(1)
    recorder.cursor = Cursor(pipeline.journal.epoch, 3)
    pipeline.deliver(recorder)
    recorder.wait_for_seq(5)
    assert kinds(recorder.events) == [4, 5]


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [
        (lambda journal: Cursor(journal.epoch, 2), "oldest that is kept"),
        (lambda journal: Cursor(journal.epoch, 5000), "newest here is"),
        (lambda _: Cursor("0" * 16, 100), "epoch"),
    ],
    ids=["too old", "ahead", "another epoch"],
)
def test_a_sink_that_lost_its_place_is_told_of_and_gets_the_snapshot(
    tmp_path: Path, recorder: Recorder, cursor: Callable[[Journal], Cursor], reason: str
) -> None:
    with closing(Pipeline(tmp_path / "journal.db", max_events=100)) as pipeline:
        pipeline.change_at_once(300)
        at = cursor(pipeline.journal)
        pipeline.confirm(at.seq, epoch=at.epoch)
        worker = pipeline.deliver(recorder)
        recorder.wait_for_seq(300)
        pipeline.change(2)
        recorder.wait_for_seq(302)
        assert kinds(recorder.events) == ["snapshot@300", 301, 302]
        [line] = pipeline.said("lost its position")
        assert reason in line
        marker = recorder.events[0]
        if reason == "oldest that is kept":
            assert marker.cause == "overrun"
            assert marker.snapshot == Snapshot(
                id=marker.id.rpartition("-")[0], position=0, count=2, lost=LostEvents(first=3, last=300)
            )
            assert all(event.snapshot.lost is None for event in recorder.events[1:3] if event.snapshot)
        assert worker.status().failures == 0


def test_what_was_lost_stays_marked_over_a_restart_and_further_losses(tmp_path: Path, recorder: Recorder) -> None:
    with closing(Pipeline(tmp_path / "journal.db", max_events=100)) as pipeline:
        pipeline.confirm(2)
        pipeline.change_at_once(300)
        recorder.publish_faults.append(Retry("later", after=1e9))
        worker = pipeline.deliver(recorder, clock=Clock())
        wait_for(lambda: worker.status().state == "retrying")
        pipeline.restart()
        pipeline.change_at_once(300)
        again = Recorder()
        pipeline.deliver(again)
        [marker, *_] = again.wait_for_events(3)
        assert (marker.cause, marker.snapshot and marker.snapshot.lost) == ("overrun", LostEvents(first=3, last=600))


def test_a_replay_of_what_is_gone_marks_no_loss(tmp_path: Path, recorder: Recorder) -> None:
    with closing(Pipeline(tmp_path / "journal.db", max_events=100)) as pipeline:
        pipeline.change_at_once(300)
        worker = pipeline.deliver(recorder)
        recorder.wait_for_events(3)
        pipeline.ask(worker, kind="replay", since=5)
        events = recorder.wait_for_events(6)
        assert {event.cause for event in events} == {"notification"}
        assert all(event.snapshot and event.snapshot.lost is None for event in events)


def test_a_sink_that_is_overrun_while_it_hangs_gets_the_snapshot(tmp_path: Path, recorder: Recorder) -> None:
    with closing(Pipeline(tmp_path / "journal.db", max_events=100)) as pipeline:
        pipeline.deliver(recorder)
        recorder.wait_for_events(3)
        recorder.hang()
        pipeline.change(1)
        pipeline.change_at_once(1000)
        recorder.flow()
        recorder.wait_for_seq(1001)
        assert kinds(recorder.events)[-1] == "snapshot@1001"
        assert len(pipeline.said("lost its position")) == 1


def test_a_burst_trims_nothing_that_a_healthy_sink_has_yet_to_read(tmp_path: Path, recorder: Recorder) -> None:
    """In three of nine bursts a sink with nothing wrong got the snapshot in place of most events."""
    with closing(Pipeline(tmp_path / "journal.db", max_events=1000)) as pipeline:
        worker = pipeline.deliver(recorder)
        recorder.wait_for_events(3)
        recorder.hang()
        pipeline.change_at_once(1900)
        wake(worker)
        pipeline.change(1)
        assert pipeline.journal.events.oldest == 1
        recorder.flow()
        recorder.wait_for_seq(1901)
        assert recorder.seqs == list(range(1, 1902))
        wait_for(lambda: worker.status().behind == 0)
        pipeline.change(1)
        assert pipeline.journal.events.oldest > 900, "what every sink has read is trimmed to the bound"


def test_a_sink_that_fails_or_ended_or_left_keeps_no_event_in_the_journal(tmp_path: Path, recorder: Recorder) -> None:
    with closing(Pipeline(tmp_path / "journal.db", max_events=1000)) as pipeline:
        failing = pipeline.deliver(recorder, "failing", clock=Clock())
        ended = Recorder()
        pipeline.deliver(ended, "ended")
        left = Recorder()
        leaving = pipeline.deliver(left, "left")
        for each in (recorder, ended, left):
            each.wait_for_events(3)
        recorder.publish_faults.append(Retry(after=1e6))
        ended.publish_faults.append(Ended("410 Gone"))
        pipeline.change(1)
        wait_for(lambda: failing.status().state == "retrying" and ended.closed)
        assert leaving.stop(30.0)
        pipeline.change_at_once(1900)
        assert pipeline.journal.events.oldest > 900


def test_a_snapshot_that_is_asked_for_comes_after_what_was_there_and_swallows_nothing(
    pipeline: Pipeline, recorder: Recorder
) -> None:
    worker = pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    recorder.hang()
    pipeline.change(600)
    pipeline.snapshot_again(worker, "overrun")
    pipeline.change(400)
    recorder.flow()
    recorder.wait(lambda recorder: recorder.seqs[-1:] == [1000] and recorder.events[-1].seq == 1000)
    wait_for(lambda: worker.status().behind == 0 and len(kinds(recorder.events)) == 1002)
    assert recorder.seqs == list(range(1, 1001))
    told = kinds(recorder.events)
    [again] = [index for index, what in enumerate(told) if isinstance(what, str) and what != "snapshot@0"]
    seq = int(str(told[again]).partition("@")[2])
    assert seq >= 600
    assert told[again - 1] == seq, "a row of the snapshot never comes after a newer event, nor before an older one"
    assert {event.cause for event in recorder.events if event.snapshot and event.seq == seq} == {"overrun"}


def test_no_snapshot_row_ever_comes_after_a_newer_event_under_a_flood(pipeline: Pipeline, recorder: Recorder) -> None:
    worker = pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    for _ in range(100):
        pipeline.change(5)
        pipeline.snapshot_again(worker, "notification")
    recorder.wait_for_seq(500)
    assert worker.stop(30.0)
    seqs = [event.seq for event in recorder.events]
    assert seqs == sorted(seqs)
    assert recorder.seqs == list(range(1, 501))


def test_a_snapshot_that_fails_midway_goes_on_at_the_event_that_failed(pipeline: Pipeline, recorder: Recorder) -> None:
    recorder.publish_faults += [Retry(index=2), OSError("broken pipe")]
    pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    assert kinds(recorder.events) == ["snapshot@0"]


def test_a_new_request_begins_a_broken_snapshot_anew(pipeline: Pipeline, recorder: Recorder) -> None:
    recorder.publish_faults.append(Retry(index=2, after=0.0))
    recorder.hang()
    worker = pipeline.deliver(recorder)
    wait_for(lambda: worker.status().state == "sending")
    pipeline.snapshot_again(worker, "overrun")
    recorder.flow()
    events = recorder.wait_for_events(5)
    assert [event.snapshot and event.snapshot.position for event in events] == [0, 1, 0, 1, 2]
    assert [event.cause for event in events] == ["notification"] * 2 + ["overrun"] * 3


def test_a_loss_stays_marked_over_a_restart(pipeline: Pipeline, recorder: Recorder) -> None:
    worker = pipeline.deliver(recorder, clock=Clock())
    recorder.wait_for_events(3)
    recorder.publish_faults.append(Retry("later", index=1, after=1e9))
    pipeline.snapshot_again(worker, "overrun")
    wait_for(lambda: worker.status().state == "retrying")
    pipeline.restart()
    again = Recorder()
    pipeline.deliver(again)
    again.wait_for_events(3)
    assert {event.cause for event in again.events} == {"overrun"}


def test_a_loss_that_a_hung_sink_was_not_told_of_is_told_after_a_restart(
    pipeline: Pipeline, recorder: Recorder
) -> None:
    worker = pipeline.deliver(recorder, clock=Clock())
    recorder.wait_for_events(3)
    recorder.hang()
    pipeline.change(1)
    wait_for(lambda: worker.status().state == "sending")
    pipeline.snapshot_again(worker, "overrun")
    pipeline.snapshot_again(worker, "notification")
    assert worker.stop(0.1) is False
    recorder.flow()
    worker._thread.join(20)
    pipeline.restart()
    again = Recorder()
    pipeline.deliver(again)
    again.wait_for_events(4)
    assert kinds(again.events) == [1, "snapshot@1"]
    assert again.events[-1].cause == "overrun"


def test_a_replay_sends_the_events_since_again(pipeline: Pipeline, recorder: Recorder) -> None:
    worker = pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    pipeline.change(5)
    recorder.wait_for_seq(5)
    pipeline.ask(worker, kind="replay", since=3)
    pipeline.change(1)
    wait_for(lambda: len(recorder.seqs) == 8 and worker.status().behind == 0)
    assert recorder.seqs[:5] == [1, 2, 3, 4, 5]
    assert sorted(recorder.seqs[5:]) == [4, 5, 6]
    pipeline.ask(worker, kind="replay")
    recorder.wait(lambda recorder: kinds(recorder.events)[-1] == "snapshot@6")


def test_a_replay_of_what_is_gone_is_the_snapshot(tmp_path: Path, recorder: Recorder) -> None:
    with closing(Pipeline(tmp_path / "journal.db", max_events=100)) as pipeline:
        pipeline.change_at_once(300)
        worker = pipeline.deliver(recorder)
        recorder.wait_for_events(3)
        pipeline.ask(worker, kind="replay", since=5)
        recorder.wait_for_events(6)
        assert kinds(recorder.events) == ["snapshot@300", "snapshot@300"]
        assert pipeline.said("lost its position")


def test_a_failure_is_told_in_the_sinks_own_words(pipeline: Pipeline, recorder: Recorder) -> None:
    """The status had "Retry: the broker is away": a class is nothing to people, unless the error is not for them."""
    pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    recorder.publish_faults += [Retry("the broker is away"), KeyError("name")]
    pipeline.change(1)
    recorder.wait_for_seq(1)
    told = [line.partition("s): ")[2] for line in pipeline.said("next in")]
    assert told == ["the broker is away", "KeyError: 'name'"]


def test_failures_are_waited_out_ever_longer_and_nothing_is_lost(pipeline: Pipeline, recorder: Recorder) -> None:
    worker = pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    recorder.publish_faults += [OSError("refused")] * 11
    pipeline.change(1)
    recorder.wait_for_seq(1)
    assert pipeline.clock.waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert recorder.seqs == [1]
    wait_for(lambda: worker.status().error is None)
    assert (worker.status().failures, worker.status().behind) == (11, 0)
    recorder.publish_faults.append(OSError("refused"))
    pipeline.change(1)
    recorder.wait_for_seq(2)
    assert pipeline.clock.waits[11:] == [1], "a success begins anew"


def test_the_destination_says_when_to_come_back_within_bounds(pipeline: Pipeline, recorder: Recorder) -> None:
    """`Retry(after=0)` was a busy loop: 31,448 attempts and 5.8 MB of log in 4 s."""
    pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    recorder.publish_faults += [Retry(after=17.5), Retry(after=0), Retry(after=0.0), Retry(after=1e12)]
    pipeline.change(1)
    recorder.wait_for_seq(1)
    assert pipeline.clock.waits == [17.5, 2, 4, 3600]


@pytest.mark.parametrize(
    "after", [-3, -0.5, float("nan"), float("inf"), -float("inf"), True, "5", [], 1j, object()], ids=range(10)
)
def test_a_pause_that_is_none_is_the_mistake_of_the_sink_and_the_worker_backs_off(
    pipeline: Pipeline, recorder: Recorder, after: Any
) -> None:
    pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    recorder.publish_faults += [Retry("busy", after=after), OSError("refused")]
    recorder.open_faults.append(Retry("busy", after=after))
    pipeline.change(1)
    recorder.wait_for_seq(1)
    assert pipeline.clock.waits == [1, 2]
    assert "its pause `after` is " in pipeline.said("asks to try again")[0]
    opened = Recorder()
    opened.open_faults.append(Retry("busy", after=after))
    pipeline.deliver(opened, "other")
    opened.wait_for_events(3)
    assert pipeline.clock.waits[2:] == [1]


@pytest.mark.parametrize("index", [True, "1", 1.0, float("nan"), None, 10**30, -1])
@pytest.mark.parametrize("signal", [Retry, Rejected, Ended])
def test_an_index_that_is_none_makes_nothing_safe_and_ends_no_worker(
    pipeline: Pipeline, signal: type[Retry | Rejected | Ended], index: Any
) -> None:
    pipeline.confirm(0)
    pipeline.change(3)
    faults: list[BaseException] = [signal("odd", index=index)]
    received: list[int] = []

    class Odd(Sink):
        def publish(self, events: Sequence[Event]) -> None:
            if faults:
                raise faults.pop()
            received.extend(event.seq for event in events)

    worker = pipeline.deliver(lambda context: Odd(SinkOptions(), context))
    if signal is Ended:
        wait_for(lambda: worker.status().state == "ended")
        assert pipeline.confirmed() == Cursor(pipeline.journal.epoch, 0)
    else:
        wait_for(lambda: received)
        assert received == [1, 2, 3]
        assert pipeline.said("its index is ")
        assert pipeline.dead_letters() == []


class UnprintableError(Exception):
    """An error whose text raises."""

    def __str__(self) -> str:
        raise ZeroDivisionError


ODD_ERRORS = [
    CancelledError(),
    KeyboardInterrupt(),
    GeneratorExit(),
    SystemExit(0),
    StopIteration(),
    RecursionError("too deep"),
    MemoryError(),
    UnprintableError(),
    BaseExceptionGroup("both", [KeyboardInterrupt(), ValueError()]),
    ExceptionGroup("both", [OSError(), ValueError()]),
    Retry(cast("str", UnprintableError())),
    Rejected(cast("str", UnprintableError()), index=99),
]


@pytest.mark.parametrize("where", ["__init__", "open", "publish", "cursor", "close", "batch_size"])
@pytest.mark.parametrize("error", ODD_ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_a_sink_raises_wherever_it_is_retried_and_the_worker_lives(
    pipeline: Pipeline, where: str, error: BaseException
) -> None:
    """KeyboardInterrupt and GeneratorExit ended the sink's thread until the next start, with one line in the log."""
    pipeline.confirm(0)
    faults = [error]
    received: list[int] = []

    def fail(here: str) -> None:
        if here == where and faults:
            raise faults.pop()

    class Odd(Sink):
        def __init__(self, options: SinkOptions, context: SinkContext) -> None:
            super().__init__(options, context)
            fail("__init__")

        def open(self) -> None:
            fail("open")

        def publish(self, events: Sequence[Event]) -> None:
            fail("publish")
            received.extend(event.seq for event in events)

        def cursor(self) -> Cursor | None:
            fail("cursor")
            return None

        def close(self) -> None:
            fail("close")

    if where == "batch_size":
        Odd.batch_size = property(lambda _: fail("batch_size"))  # type: ignore[assignment]  # an author's mistake
    worker = pipeline.deliver(lambda context: Odd(SinkOptions(), context))
    pipeline.change(2)
    wait_for(lambda: received[-1:] == [2])
    assert worker.stop(30.0)
    assert faults == []
    assert worker.status().state == "stopped"


def test_a_sink_that_consumes_its_batch_gets_each_event_once(pipeline: Pipeline) -> None:
    """It got the same batch again and again, 45,572 times in 3 s, without a pause."""
    pipeline.confirm(0)
    pipeline.change(3)
    received: list[int] = []
    kinds_of_batches: set[type] = set()

    class Consuming(Sink):
        def publish(self, events: Any) -> None:
            kinds_of_batches.add(type(events))
            received.extend(event.seq for event in events)
            events.clear()

    worker = pipeline.deliver(lambda context: Consuming(SinkOptions(), context))
    wait_for(lambda: pipeline.said("delivery failed"))
    assert worker.stop(30.0) is False
    assert kinds_of_batches == {tuple}
    assert "'tuple' object has no attribute 'clear'" in pipeline.said("delivery failed")[0]


@pytest.mark.parametrize("trip", [lambda event: event.interface.alias, lambda event: event.row["x"]], ids=range(2))
def test_an_author_who_forgot_position_0_gets_a_hint(pipeline: Pipeline, trip: Callable[[Any], object]) -> None:
    class Tripping(Sink):
        def publish(self, events: Sequence[Event]) -> None:
            for event in events:
                trip(event)

    pipeline.deliver(lambda context: Tripping(SinkOptions(), context), clock=Clock())
    wait_for(lambda: pipeline.said("skip it when event.is_marker"))


async def _later() -> None:
    raise AssertionError("never awaited")


@pytest.mark.parametrize("result", [lambda: False, lambda: 3, _later, Future, list, object], ids=range(6))
@pytest.mark.parametrize("where", ["open", "publish", "close"])
def test_a_method_that_returns_something_is_a_failure_and_nothing_counts_as_delivered(
    pipeline: Pipeline, where: str, result: Callable[[], object]
) -> None:
    pipeline.confirm(0)
    pipeline.change(1)

    class Returning(Sink):
        def publish(self, events: Sequence[Event]) -> None:
            pass

    setattr(Returning, where, lambda *_: result())
    worker = pipeline.deliver(lambda context: Returning(SinkOptions(), context))
    if where == "close":
        wait_for(lambda: worker.status().delivered)
        worker.stop(30.0)
    wait_for(lambda: pipeline.said("it must return nothing"))
    worker.stop(30.0)
    assert pipeline.confirmed() == Cursor(pipeline.journal.epoch, int(where == "close"))


def test_a_trouble_is_one_warning_and_one_line_when_it_is_over(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    recorder.publish_faults += [Retry(f"no answer from port {port}") for port in range(50)]
    recorder.publish_faults.append(OSError("another trouble"))
    pipeline.change(1)
    recorder.wait_for_seq(1)
    wait_for(lambda: pipeline.said("works again, after 51 failed attempts"))
    warnings = [record for record in pipeline.log.records if record.levelname == "WARNING"]
    assert len(warnings) == 2
    assert len(pipeline.said("attempt ")) == 51, "each one at debug"
    recorder.publish_faults.append(Retry("no answer from port 3"))
    pipeline.change(1)
    recorder.wait_for_seq(2)
    assert len([record for record in pipeline.log.records if record.levelname == "WARNING"]) == 3


def test_ever_new_words_of_a_destination_do_not_fill_the_log(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    recorder.publish_faults += [Retry("a" * length) for length in range(1, 100)]
    pipeline.change(1)
    recorder.wait_for_seq(1)
    assert len([record for record in pipeline.log.records if record.levelname == "WARNING"]) == 10


def test_after_a_failure_the_destination_is_asked_where_it_is(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    pipeline.change(5)
    recorder.wait_for_seq(5)
    recorder.cursor = Cursor(pipeline.journal.epoch, 2)  # it was put back to an older state
    recorder.publish_faults.append(OSError("restarted"))
    pipeline.change(1)
    recorder.wait(lambda recorder: recorder.seqs[-1:] == [6])
    assert kinds(recorder.events) == ["snapshot@0", 1, 2, 3, 4, 5, 3, 4, 5, 6]
    recorder.cursor = Cursor(pipeline.journal.epoch, 8)  # the answer to the last batch was lost
    recorder.publish_faults.append(OSError("the connection broke"))
    pipeline.change_at_once(3)
    wake(pipeline.workers[0])
    recorder.wait_for_seq(9)
    assert recorder.seqs[-1] == 9
    assert recorder.seqs.count(8) == 0


def test_a_destination_that_is_ahead_of_the_journal_gets_the_snapshot(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    recorder.cursor = Cursor(pipeline.journal.epoch, 900)
    recorder.publish_faults.append(OSError("the connection broke"))
    pipeline.change(1)
    recorder.wait(lambda recorder: kinds(recorder.events)[-1] == "snapshot@1")
    assert "newest here is 1" in pipeline.said("lost its position")[0]


@pytest.mark.parametrize(
    "cursor", ["text", 7, ("e", -1), ("e", True), (1, 1), ("e", 1, 2), b"", object()], ids=range(8)
)
def test_a_cursor_that_is_none_is_the_mistake_of_the_sink(pipeline: Pipeline, recorder: Recorder, cursor: Any) -> None:
    recorder.cursor = cursor
    pipeline.deliver(recorder, clock=Clock())
    wait_for(lambda: pipeline.said("it must return a Cursor or None"))


def test_a_call_that_does_not_return_is_named_and_then_rarely(pipeline: Pipeline, recorder: Recorder) -> None:
    worker = pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    recorder.hang()
    pipeline.change(1)
    wait_for(lambda: worker.status().state == "sending")
    for _ in range(8):
        worker.look()
        pipeline.clock.now += 9.0
    assert pipeline.said("publish() has not returned") == ["publish() has not returned for 18 s"]
    assert worker.status().error == "publish() has not returned for 72 s"
    pipeline.clock.now += 600
    worker.look()
    assert len(pipeline.said("publish() has not returned")) == 2
    recorder.flow()
    recorder.wait_for_seq(1)
    wait_for(lambda: worker.status().error is None)
    worker.look()
    assert pipeline.said("publish() has returned")


def test_secrets_of_a_sink_are_masked_in_status_and_dead_letters(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.confirm(0)
    worker = pipeline.deliver(recorder, mask=lambda text: text.replace("hunter2", "***"))
    wait_for(lambda: worker.status().state == "following")
    recorder.publish_faults += [Rejected("no user hunter2"), OSError("token hunter2 is wrong")]
    pipeline.change(2)
    wait_for(lambda: not recorder.publish_faults)
    recorder.wait_for_seq(2)
    recorder.publish_faults.append(Ended("gone, hunter2"))
    pipeline.change(1)
    wait_for(lambda: worker.status().state == "ended")
    assert worker.status().error == "gone, ***"
    assert [letter.reason for letter in pipeline.dead_letters()] == ["no user ***"]
    assert not pipeline.said("hunter2")


def test_dead_letters_that_are_dropped_for_newer_ones_are_counted_and_logged(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("publisher.delivery.progress.KEPT", 3)
    monkeypatch.setattr("publisher.journal.dead_letters.KEPT", 3)
    pipeline.confirm(0)
    worker = pipeline.deliver(lambda context: Refusing(SinkOptions(), context))
    pipeline.change(5)
    wait_for(lambda: worker.status().rejected == 5)
    status = worker.status()
    assert (status.rejected, status.dead_letters, status.dead_letters_dropped) == (5, 3, 2)
    assert len(pipeline.dead_letters()) == 3
    assert len(pipeline.said("older ones are dropped")) == 1


def test_jobs_yield_to_events(pipeline: Pipeline, recorder: Recorder) -> None:
    """500 jobs that were due at once held events up for 15 s."""
    worker = pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    recorder.hang()
    pipeline.change(1)
    wait_for(lambda: worker.status().state == "sending")
    behind: list[int] = []

    def job() -> None:
        behind.append(worker.status().behind)
        pipeline.clock.now += 1.0

    for number in range(50):
        recorder.contexts[0].call(partial(job) if number else job)
    pipeline.change_at_once(1000)
    recorder.flow()
    wait_for(lambda: len(behind) == 50)
    assert len([waiting for waiting in behind if waiting]) <= 1


def test_a_job_that_waits_is_not_added_again(pipeline: Pipeline, recorder: Recorder) -> None:
    worker = pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    recorder.hang()
    pipeline.change(1)
    wait_for(lambda: worker.status().state == "sending")
    ran: list[int] = []

    class Births:
        def announce(self) -> None:
            ran.append(1)

    births = Births()
    for delay in (60.0, *[0.0] * 500, 30.0):
        recorder.contexts[0].call(births.announce, delay)
    done = threading.Event()
    recorder.contexts[0].call(done.set, 0.001)
    recorder.flow()
    assert done.wait(20)
    assert ran == [1]


def test_what_was_safe_before_a_failure_is_not_sent_again(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.confirm(0)
    pipeline.change(10)
    recorder.publish_faults += [Retry(index=4), Retry(index=3), Retry(index=99), Retry(index=-1)]
    pipeline.deliver(recorder)
    recorder.wait(lambda recorder: not recorder.publish_faults and recorder.seqs[-1:] == [10])
    assert recorder.seqs[:7] == [1, 2, 3, 4, 5, 6, 7]
    assert recorder.seqs[-3:] == [8, 9, 10]


def test_a_refused_event_is_a_dead_letter_and_the_others_go_on(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.confirm(0)
    pipeline.change(4)
    recorder.publish_faults += [Rejected("400 too odd", index=1), Rejected("400 odd too")]
    worker = pipeline.deliver(recorder)
    recorder.wait_for_seq(4)
    assert recorder.seqs == [1, 4]
    assert [(letter.event.seq, letter.reason) for letter in pipeline.dead_letters("sink")] == [
        (2, "400 too odd"),
        (3, "400 odd too"),
    ]
    wait_for(lambda: worker.status().behind == 0)
    assert (worker.status().rejected, worker.status().dead_letters) == (2, 2)


def test_dead_letters_are_sent_again_by_hand_also_after_a_restart(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.confirm(0)
    pipeline.change(4)
    recorder.publish_faults += [Rejected("no", index=1), Rejected("no"), Rejected("no")]
    pipeline.deliver(recorder)
    wait_for(lambda: len(pipeline.dead_letters()) == 3)
    pipeline.restart()
    worker = pipeline.deliver(recorder)
    wait_for(lambda: worker.status().dead_letters == 3)
    first = pipeline.dead_letters()[0].id
    pipeline.ask(worker, kind="retry", dead_letter=first)
    recorder.wait_for_seq(2)
    wait_for(lambda: worker.status().dead_letters == 2)
    recorder.publish_faults.append(Rejected("still no"))
    pipeline.ask(worker, kind="retry")
    recorder.wait_for_seq(4)
    wait_for(lambda: worker.status().dead_letters == 1)
    assert recorder.seqs == [1, 2, 4]
    assert [letter.event.seq for letter in pipeline.dead_letters()] == [3]


def test_a_request_for_all_dead_letters_means_those_that_are_there_then(pipeline: Pipeline) -> None:
    """Letters that came while the first were sent again were sent again, too."""
    attempts: list[int] = []
    turns = threading.Semaphore(0)

    class CountingRefuser(Refusing):
        def publish(self, events: Sequence[Event]) -> None:
            turns.acquire()
            attempts.extend(event.seq for event in events[:1])
            super().publish(events)

    def take_turns(count: int) -> None:
        """Lets the sink try so many times, and has what it reports written after each."""
        for _ in range(count):
            before = len(attempts)
            turns.release()
            wait_for(lambda: len(attempts) > before)  # noqa: B023  # called before the next round
            pipeline.journal.commit()

    worker = pipeline.deliver(lambda context: CountingRefuser(SinkOptions(), context))
    take_turns(1)
    pipeline.change(2)
    take_turns(2)
    wait_for(lambda: len(pipeline.dead_letters()) == 2)
    del attempts[:]
    pipeline.ask(worker, kind="retry")
    pipeline.change_at_once(5)
    wake(worker)
    take_turns(7)
    wait_for(lambda: len(pipeline.dead_letters()) == 7)
    turns.release(50)
    pipeline.change(1)
    wait_for(lambda: len(pipeline.dead_letters()) == 8)
    assert sorted(attempts) == [1, 2, 3, 4, 5, 6, 7, 8], "each new one once, the old ones once again"


def test_dead_letters_that_cannot_be_delivered_hold_up_no_event(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.confirm(0)
    pipeline.change(2)
    recorder.publish_faults += [Rejected("no"), Rejected("no")]
    worker = pipeline.deliver(recorder)
    wait_for(lambda: len(pipeline.dead_letters()) == 2)
    recorder.publish_faults.append(OSError("down"))
    pipeline.ask(worker, kind="retry")
    wait_for(lambda: pipeline.said("dead letters cannot be delivered now"))
    pipeline.change(1)
    recorder.wait_for_seq(3)
    assert (recorder.seqs, len(pipeline.dead_letters()), pipeline.clock.waits) == ([3], 2, [])


def test_a_dead_letter_that_cannot_be_read_holds_up_no_event(
    pipeline: Pipeline, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.confirm(0)
    pipeline.change(1)
    recorder.publish_faults.append(Rejected("no"))
    worker = pipeline.deliver(recorder)
    wait_for(lambda: len(pipeline.dead_letters()) == 1)
    with pipeline.journal._file.writing() as connection:
        connection.execute("UPDATE dead_letters SET data = '{}'")
    pipeline.ask(worker, kind="retry")
    wait_for(lambda: "cannot be read and is left out" in caplog.text)
    pipeline.change(1)
    recorder.wait_for_seq(2)


@pytest.mark.parametrize("table", ["positions SET position", "resends SET data"])
def test_a_position_or_resend_that_cannot_be_read_is_made_up_for_by_the_snapshot(
    pipeline: Pipeline, recorder: Recorder, table: str
) -> None:
    pipeline.change(1)
    pipeline.confirm(1)
    pipeline.journal.append((), {"sink": ResendEvents(0)})
    with pipeline.journal._file.writing() as connection:
        connection.execute(f"UPDATE {table} = '{{}}'")
    pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    pipeline.journal.commit()
    assert pipeline.journal.sink("sink", "there").resends() == []


def test_a_sink_without_a_batch_size_gets_one_event_at_a_time(pipeline: Pipeline, recorder: Recorder) -> None:
    def make(context: SinkContext) -> Sink:
        sink = recorder.make_sink(context)
        sink.batch_size = 0
        return sink

    pipeline.deliver(make)
    recorder.wait_for_events(3)


def test_retries_outlive_a_restart(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.confirm(0)
    recorder.publish_faults.append(Retry(index=1, after=1e9))
    pipeline.change(3)
    worker = pipeline.deliver(recorder, clock=Clock())
    wait_for(lambda: worker.status().state == "retrying")
    assert worker.stop(30.0) is False
    pipeline.restart()
    pipeline.deliver(recorder)
    recorder.wait_for_seq(3)
    assert recorder.seqs == [1, 2, 3]


def test_an_ended_sink_rests_until_its_options_change(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.confirm(0)
    pipeline.change(3)
    recorder.publish_faults.append(Ended("410 Gone", index=1))
    worker = pipeline.deliver(recorder)
    recorder.wait(lambda recorder: recorder.closed)
    assert (worker.status().state, worker.status().error) == ("ended", "410 Gone")
    pipeline.restart()
    resting = pipeline.deliver(recorder)
    wait_for(lambda: resting.status().state == "ended")
    assert resting.stop(30.0)
    assert recorder.opened == 1
    pipeline.deliver(recorder, fingerprint="other options")
    recorder.wait_for_seq(3)
    assert recorder.seqs == [1, 2, 3]


def test_a_sink_that_cannot_be_opened_is_made_anew_until_it_can(pipeline: Pipeline, recorder: Recorder) -> None:
    recorder.open_faults += [OSError("no route"), RuntimeError("odd"), SystemExit(3)]
    worker = pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    assert (recorder.opened, recorder.closed, pipeline.clock.waits) == (4, 3, [1, 2, 4])
    assert len({id(context) for context in recorder.contexts}) == 1
    assert worker.stop(30.0)


def test_a_constructor_that_raises_is_a_failure_to_open(pipeline: Pipeline, recorder: Recorder) -> None:
    faults = [TypeError("missing argument")]

    def make(context: SinkContext) -> Sink:
        if faults:
            raise faults.pop()
        return recorder.make_sink(context)

    pipeline.deliver(make)
    recorder.wait_for_events(3)
    assert pipeline.said("cannot be opened")[0].endswith(": TypeError: missing argument")


def test_a_plugin_that_exits_is_retried_as_any_other(pipeline: Pipeline, recorder: Recorder) -> None:
    recorder.open_faults.append(CancelledError())
    pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    recorder.publish_faults += [SystemExit(1), CancelledError(), ZeroDivisionError("bug")]
    pipeline.change(1)
    recorder.wait_for_seq(1)
    traces = [record.exc_info and record.exc_info[0] for record in pipeline.records("delivery failed (")]
    assert traces == [SystemExit, CancelledError, ZeroDivisionError]


def test_a_worker_that_ends_by_an_error_of_ours_is_in_trouble(
    pipeline: Pipeline, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    monkeypatch.setattr(worker.inbox, "take", lambda: 1 / 0)
    wake(worker)
    worker.join(30.0)
    assert worker.status().error == "internal error: ZeroDivisionError: division by zero"
    assert worker.status().state == "failed"
    assert pipeline.said("this is a bug in publisher")
    assert recorder.closed == 1


def test_jobs_run_on_the_sinks_thread_and_a_raising_one_harms_nothing(pipeline: Pipeline, recorder: Recorder) -> None:
    worker = pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    ran: list[tuple[str, str]] = []
    done = threading.Event()

    def job(what: str) -> None:
        ran.append((what, threading.current_thread().name))
        if what == "last":
            done.set()

    [context] = recorder.contexts
    context.call(lambda: job("last"), 60.0)
    context.call(lambda: 1 / 0, 1.0)
    context.call(lambda: sys.exit(1), 2.0)
    context.call(lambda: job("first"))
    assert done.wait(20)
    assert ran == [("first", "sink sink"), ("last", "sink sink")]
    pipeline.change(1)
    recorder.wait_for_seq(1)
    assert worker.status().failures == 2


def test_jobs_wait_until_the_sink_is_open(pipeline: Pipeline, recorder: Recorder) -> None:
    opened: list[int] = []

    def make(context: SinkContext) -> Sink:
        context.call(lambda: opened.append(recorder.opened))
        return recorder.make_sink(context)

    recorder.open_faults += [OSError("down"), OSError("down")]
    pipeline.deliver(make)
    wait_for(lambda: len(opened) == 3)
    assert opened == [3, 3, 3]


def test_jobs_run_while_the_sink_waits_for_the_next_attempt(pipeline: Pipeline, recorder: Recorder) -> None:
    worker = pipeline.deliver(recorder, clock=Clock())
    recorder.wait_for_events(3)
    recorder.publish_faults.append(Retry(after=3600.0))
    pipeline.change(1)
    wait_for(lambda: worker.status().state == "retrying")
    ran = threading.Event()
    recorder.contexts[0].call(ran.set)
    assert ran.wait(20)
    assert recorder.seqs == []


def test_a_sink_asks_for_the_snapshot_and_for_what_it_missed(pipeline: Pipeline, recorder: Recorder) -> None:
    pipeline.deliver(recorder)
    pipeline.change(4)
    recorder.wait_for_seq(4)
    [context] = recorder.contexts
    answers: list[object] = []
    done = threading.Event()

    def ask() -> None:
        answers.extend(context.events_since(context.epoch, seq) for seq in (2, 4, 5))
        answers.append(context.events_since("0" * 16, 2))
        answers.append(len(context.snapshot()))
        done.set()

    context.call(ask)
    assert done.wait(20)
    assert answers == [pipeline.journal.events.read(2, 9), [], None, None, 3]
    context.request_snapshot()
    recorder.wait(lambda recorder: kinds(recorder.events)[-1] == "snapshot@4")


def test_a_sink_that_asks_for_the_snapshot_all_the_time_gets_it_once_a_second(
    pipeline: Pipeline, recorder: Recorder
) -> None:
    pipeline.deliver(recorder)
    pipeline.change(1)
    recorder.wait_for_seq(1)
    [context] = recorder.contexts
    for number in range(1, 7):
        count = len(recorder.events)
        context.request_snapshot()
        recorder.wait_for_events(count + 3)
        assert sum(pipeline.clock.waits) == pytest.approx(3.0 * ((number - 1) // 3))


def test_what_was_missed_is_not_answered_when_it_is_gone_or_too_much(tmp_path: Path, recorder: Recorder) -> None:
    with closing(Pipeline(tmp_path / "journal.db", max_events=6000)) as pipeline:
        pipeline.change_at_once(9000)
        pipeline.deliver(recorder)
        recorder.wait_for_events(3)
        [context] = recorder.contexts
        answers: list[int | None] = []
        done = threading.Event()

        def ask() -> None:
            for seq in (5, 4500, 9000 - 4096):
                missed = context.events_since(context.epoch, seq)
                answers.append(None if missed is None else len(missed))
            done.set()

        context.call(ask)
        assert done.wait(20)
        assert answers == [None, None, 4096]


def test_stopping_delivers_what_waits(pipeline: Pipeline, recorder: Recorder) -> None:
    recorder.hang()
    worker = pipeline.deliver(recorder, clock=Clock())
    pipeline.change(700)
    threading.Timer(0.05, recorder.flow).start()
    assert worker.stop(30.0)
    assert recorder.events[-1].seq == 700
    assert worker.status().state == "stopped"


class Stubborn(Sink):
    """Publishes, and never comes back from `close`."""

    def __init__(self, options: SinkOptions, context: SinkContext, release: threading.Event) -> None:
        super().__init__(options, context)
        self.release = release
        self.published = 0

    def open(self) -> None:
        pass

    def publish(self, events: Sequence[Event]) -> None:
        self.published += len(events)

    def close(self) -> None:
        self.release.wait()


def test_a_sink_that_hangs_at_the_end_is_left_behind_in_time_with_its_place_kept(
    pipeline: Pipeline, recorder: Recorder
) -> None:
    release = threading.Event()
    stubborn = pipeline.deliver(lambda context: Stubborn(SinkOptions(), context, release), "stubborn", clock=Clock())
    hung = pipeline.deliver(recorder, "hung", clock=Clock())
    recorder.wait_for_events(3)
    recorder.hang()
    pipeline.change(2)
    wait_for(lambda: stubborn.status().seq == 2)
    begin = time.monotonic()
    assert [stubborn.stop(0.3), hung.stop(0.3)] == [False, False]
    assert time.monotonic() - begin < 10
    assert len(pipeline.said("is abandoned")) == 2
    epoch = pipeline.journal.epoch
    recorder.flow()
    release.set()
    for worker in pipeline.workers:
        worker._thread.join(20)
    assert pipeline.confirmed("stubborn") == Cursor(epoch, 2)
    assert pipeline.confirmed("hung") == Cursor(epoch, 0), "what came after it was given up does not count"


def test_dead_letters_that_the_disk_does_not_take_hold_the_sink_up_and_none_is_lost(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("publisher.journal.sink_journal._MOST_WAITING", 2)
    worker = pipeline.deliver(lambda context: Refusing(SinkOptions(), context))
    wait_for(lambda: worker.status().state == "following")
    pipeline.change_at_once(4)
    wake(worker)
    wait_for(lambda: pipeline.said("cannot keep a dead letter"))
    assert worker.status().behind == 2, "the events after the second wait for the disk"

    def all_settled() -> bool:
        pipeline.journal.commit()
        return worker.status().behind == 0

    wait_for(all_settled)
    assert [letter.event.seq for letter in pipeline.dead_letters()] == [1, 2, 3, 4]


def test_events_that_cannot_be_read_are_made_up_for_by_the_snapshot(
    pipeline: Pipeline, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.deliver(recorder)
    recorder.wait_for_events(3)
    read, damage = pipeline.journal.events.read, [JournalDamagedError("torn"), JournalError("locked")]

    def torn(after: int, limit: int, *most_bytes: int) -> list[Event]:
        if damage and pipeline.journal.seq:
            raise damage.pop()
        return read(after, limit, *most_bytes)

    monkeypatch.setattr(pipeline.journal.events, "read", torn)
    pipeline.change(1)
    recorder.wait_for_seq(1)
    assert kinds(recorder.events) == ["snapshot@0", "snapshot@1"]
    assert pipeline.clock.waits == [1], "an error that may pass is waited out"
