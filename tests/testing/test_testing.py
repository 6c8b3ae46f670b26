"""The fakes of publisher.testing, and its conformance tests with sinks that break one promise each."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest import SkipTest

import pytest
from pydantic import ConfigDict

import publisher.testing
from publisher.errors import PublisherError
from publisher.events import Event
from publisher.lock import InUseError
from publisher.sink import Cursor, Ended, Rejected, Retry, Sink, SinkOptions
from publisher.sources import Remove, Resync, Source, SourceContext, Upsert
from publisher.sources.luids import MemoryLuids
from publisher.table import Table
from publisher.testing import (
    EPOCH,
    FakeSinkContext,
    Recorder,
    RecordingSink,
    ScriptedSource,
    SinkConformance,
    make_address,
    make_event,
    make_events,
    make_row,
    make_snapshot,
)
from tests.fixtures.starved import judged_while_awake


class TestMadeEvents:
    def test_they_are_valid_as_they_come_and_again_from_json(self) -> None:
        for event in [make_event(), *make_events(3), *make_snapshot()]:
            assert Event.from_json(event.json_bytes) == event

    def test_a_tail_is_without_gaps_and_each_changes_something(self) -> None:
        events = make_events(5, first=3)
        assert [event.seq for event in events] == [3, 4, 5, 6, 7]
        assert len({event.id for event in events}) == 5
        assert events[0].changed["row.metric"].after == 3

    def test_a_snapshot_has_its_positions(self) -> None:
        places = [event.snapshot for event in make_snapshot(seq=9)]
        assert [(place.position, place.count) for place in places if place] == [(0, 3), (1, 3), (2, 3), (3, 3)]
        assert [event.seq for event in make_snapshot(seq=9)] == [9] * 4

    def test_rows_have_the_given_members(self) -> None:
        row = make_row("w+", "inet6", index=7, nl_mtu=1280, interface={"oper_status": "down"}, addresses=["fe80::1/64"])
        assert (row.interface.alias, row.family, row.row.nl_mtu, row.interface.oper_status) == (
            "w+",
            "inet6",
            1280,
            "down",
        )
        assert row.addresses == (make_address("fe80::1/64"),)
        assert row.luid == make_row("w+", "inet", index=7).luid


class TestScriptedSource:
    def test_it_is_a_source(self) -> None:
        assert isinstance(ScriptedSource(), Source)

    def test_it_yields_what_it_was_given_until_it_is_closed(self) -> None:
        eth0, eth1, eth2 = make_row(), make_row("eth1", index=3), make_row("eth2", index=4)
        source = ScriptedSource([eth0], Upsert(eth1))
        source.send(Remove(eth0.luid, "inet"), Upsert(eth2))
        source.resync()
        source.wake()
        source.resync("overrun")
        source.close()
        assert list(source.updates()) == [
            [Resync((eth0,), "startup")],
            [Upsert(eth1)],
            [Remove(eth0.luid, "inet"), Upsert(eth2)],
            [Resync((eth1, eth2), "reconcile")],
            [],
            [Resync((eth1, eth2), "overrun")],
        ]
        assert (source.resyncs, source.closed) == (["reconcile", "overrun"], True)

    def test_it_yields_an_empty_list_when_its_idle_time_is_over(self) -> None:
        source = ScriptedSource()
        assert source.open(SourceContext(logging.getLogger("publisher"), MemoryLuids(), idle_seconds=0.01)) is source
        updates = source.updates()
        assert [next(updates), next(updates), next(updates)] == [[Resync((), "startup")], [], []]

    def test_it_fails_on_request(self) -> None:
        source = ScriptedSource([make_row()], Upsert(make_row("eth1")), OSError("unplugged"))
        updates = source.updates()
        assert [len(next(updates)), len(next(updates))] == [1, 1]
        with pytest.raises(OSError, match="unplugged"):
            next(updates)

    def test_it_feeds_a_table(self) -> None:
        source = ScriptedSource([make_row()], Upsert(make_row(nl_mtu=1400)))
        source.close()
        table = Table()
        [event] = [event for updates in source.updates() for update in updates for event in table.apply(update)]
        assert event.changed["row.nl_mtu"].after == 1400


class TestRecorder:
    def test_it_records_in_order(self) -> None:
        recorder = Recorder()
        sink = recorder.make_sink(FakeSinkContext())
        sink.open()
        sink.publish(make_snapshot())
        sink.publish(make_events(2))
        sink.close()
        assert (recorder.opened, recorder.closed, recorder.seqs, len(recorder.events)) == (1, 1, [1, 2], 6)

    def test_what_comes_before_a_fault_is_recorded(self) -> None:
        recorder = Recorder()
        recorder.publish_faults += [Retry(index=1), Rejected("no", index=2), OSError("unplugged")]
        sink = recorder.make_sink(FakeSinkContext())
        for fault in (Retry, Rejected, OSError):
            with pytest.raises(fault):
                sink.publish(make_events(3))
        sink.publish(make_events(3))
        assert recorder.seqs == [1, 1, 2, 1, 2, 3]

    def test_it_hangs_and_flows(self) -> None:
        recorder = Recorder()
        recorder.hang()
        thread = threading.Thread(target=recorder.make_sink(FakeSinkContext()).publish, args=(make_events(1),))
        thread.start()
        with pytest.raises(TimeoutError, match="events \\[\\]"):
            recorder.wait_for_events(1, timeout=0.01)
        recorder.flow()
        assert [event.seq for event in recorder.wait_for_seq(1)] == [1]
        thread.join()

    def test_its_class_can_be_offered(self) -> None:
        recorder = Recorder()
        recorder.open_faults.append(OSError("not yet"))
        sink = recorder.sink_type()(SinkOptions(), FakeSinkContext())
        with pytest.raises(OSError, match="not yet"):
            sink.open()
        assert recorder.opened == 1


class TestFakeSinkContext:
    def test_it_keeps_the_sinks_requests(self) -> None:
        context, done = FakeSinkContext("mine"), []
        context.request_snapshot()
        context.call(lambda: done.append(1), delay=60.0)
        assert (context.snapshots_requested, context.run_jobs(), done, context.run_jobs()) == (1, 1, [1], 0)
        context.log.warning("no answer from %s", "host")
        [record] = context.logged
        assert (record.levelname, record.name, record.getMessage()) == (
            "WARNING",
            "publisher.sink.mine",
            "no answer from host",
        )

    def test_it_answers_from_its_journal(self) -> None:
        context = FakeSinkContext()
        context.journal = make_events(5, first=10)
        assert [event.seq for event in context.events_since(EPOCH, 12) or ()] == [13, 14]
        assert context.events_since(EPOCH, 9) is not None
        assert context.events_since(EPOCH, 3) is None
        assert context.events_since("0" * 16, 12) is None
        assert [event.seq for event in context.snapshot()] == [14] * 4
        context.rows_now = []
        assert context.luids() == {event.luid for event in context.journal}


class ListSink(Sink):
    """A sink that keeps every promise; its destination is a list. What hangs in a subclass does so until `over`."""

    class Options(SinkOptions):
        number: int

    seconds_for_a_call: ClassVar[float] = SinkConformance.seconds_for_a_call
    seconds_to_end: ClassVar[float] = SinkConformance.seconds_to_end
    over: threading.Event
    arrived: list[str]
    away: list[bool]
    unread: list[bool]
    holders: list[ListSink]
    shelf: set[tuple[str, str]]

    def open(self) -> None:
        if self.away:
            raise ConnectionError("the list is away")
        if self.holders:
            raise InUseError(Path("list"), "1")
        self.holders.append(self)

    def publish(self, events: Sequence[Event]) -> None:
        if self.away:
            raise Retry("the list is away")
        if self.unread:
            raise Ended("nobody reads the list", durable=False)
        self.arrived.extend(event.id for event in events)
        self.shelf.update((self.context.node, event.luid) for event in events if event.luid)

    def retains(self) -> tuple[str, ...]:
        return (f"shelf/{self.context.node}",)

    def forget(self, places: Sequence[str]) -> None:
        self.shelf -= {(node, luid) for node, luid in self.shelf if f"shelf/{node}" in places}

    def close(self) -> None:
        if self in self.holders:
            self.holders.remove(self)


@contextmanager
def conformance(sink_type: type[ListSink]) -> Iterator[SinkConformance]:
    """Yields the conformance tests of such a sink, with a destination of their own."""
    arrived: list[str] = []
    away: list[bool] = []
    unread: list[bool] = []
    shelf: set[tuple[str, str]] = set()
    over = threading.Event()
    shared = {"arrived": arrived, "away": away, "unread": unread, "holders": [], "shelf": shelf, "over": over}

    class Conformance(SinkConformance):
        sink = type("Bound", (sink_type,), shared)
        exclusive = True
        seconds_for_a_call = sink_type.seconds_for_a_call
        seconds_to_end = sink_type.seconds_to_end

        def options(self) -> dict[str, Any]:
            return {"number": 1}

        def received(self) -> Sequence[str]:
            return arrived

        def kept(self) -> object:
            return set(shelf)

        @contextmanager
        def broken(self) -> Iterator[None]:
            away.append(True)
            yield
            away.clear()

        @contextmanager
        def slow(self) -> Iterator[None]:
            yield

        @contextmanager
        def without_reader(self) -> Iterator[None]:
            unread.append(True)
            yield
            unread.clear()

    try:
        yield Conformance()
    finally:
        over.set()


TESTS = [name for name in dir(SinkConformance) if name.startswith("test_")]


@pytest.mark.parametrize("name", TESTS)
def test_a_sink_that_keeps_its_promises_conforms(name: str) -> None:
    with conformance(ListSink) as tests:
        getattr(tests, name)()


class TakesAnything(ListSink):
    class Options(SinkOptions):
        model_config = ConfigDict(extra="ignore")
        number: int


class MovesAbout(ListSink):
    class Options(SinkOptions):
        number: int

        @property
        def destination(self) -> str:
            return str(id(self))


class Buffers(ListSink):
    def open(self) -> None:
        super().open()
        self.waiting: list[Event] = []

    def publish(self, events: Sequence[Event]) -> None:
        self.waiting.extend(events)
        if len(self.waiting) > 2:
            super().publish(self.waiting)
            self.waiting = []

    def close(self) -> None:
        super().publish(self.waiting)
        super().close()


class Reorders(ListSink):
    def publish(self, events: Sequence[Event]) -> None:
        super().publish(list(reversed(events)))


class Swallows(ListSink):
    def publish(self, events: Sequence[Event]) -> None:
        if not self.away:
            super().publish(events)


class Rejects(ListSink):
    def publish(self, events: Sequence[Event]) -> None:
        if self.away:
            raise Rejected("away")
        super().publish(events)


class SaysTooMuchIsSafe(ListSink):
    def publish(self, events: Sequence[Event]) -> None:
        if self.away:
            raise Retry("away", index=1)
        super().publish(events)


class RefusesRepeats(ListSink):
    def publish(self, events: Sequence[Event]) -> None:
        if any(event.id in self.arrived for event in events):
            raise ValueError("already there")
        super().publish(events)


class SkipsEmptySnapshots(ListSink):
    def publish(self, events: Sequence[Event]) -> None:
        super().publish([event for event in events if event.snapshot is None or event.snapshot.count])


class DropsDeletes(ListSink):
    def publish(self, events: Sequence[Event]) -> None:
        super().publish([event for event in events if event.notification_type != "delete_instance"])


class TakesHolesForLosses(ListSink):
    seq = 0

    def publish(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.snapshot is None and event.seq != self.seq + 1:
                raise Retry("an event is missing")
            self.seq = event.seq
        super().publish(events)


class DropsWhatSettled(ListSink):
    def publish(self, events: Sequence[Event]) -> None:
        super().publish([event for event in events if event.settled is None])


class MovesWithItsFilter(ListSink):
    class Options(SinkOptions):
        number: int

        @property
        def destination(self) -> str:
            return f"{self.only}"


class TripsOverNames(ListSink):
    def publish(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.interface and "/" in event.interface.alias:
                raise ValueError("a slash")
        super().publish(events)


class LeavesAThread(ListSink):
    seconds_to_end = 0.1

    def open(self) -> None:
        super().open()
        threading.Thread(target=self.over.wait, daemon=True, name="left behind").start()


class NeedsOpen(ListSink):
    def open(self) -> None:
        super().open()
        self.connection = object()

    def close(self) -> None:
        super().close()
        del self.connection


class LiesAboutItsCursor(ListSink):
    def cursor(self) -> Cursor:
        return Cursor(EPOCH, 99)


class SaysNothingWhenAway(ListSink):
    def open(self) -> None:
        if self.away:
            raise ConnectionError


class ChecksInTwoLines(ListSink):
    def check(self) -> str:
        return "fine\nreally"


class ChecksByPublishing(ListSink):
    def check(self) -> str:
        self.publish(make_snapshot())
        return "works"


class TidiesUpInACheck(ListSink):
    def check(self) -> str:
        if self.arrived and not self.holders:
            self.arrived.pop()
        return "works"


class RewritesInACheck(ListSink):
    def check(self) -> str:
        self.arrived[-1:] = []
        return "works"


class WandersAbout(ListSink):
    def retains(self) -> tuple[str, ...]:
        return (str(id(self)),)


class ForgetsNothing(ListSink):
    def forget(self, places: Sequence[str]) -> None:
        pass


class ForgetsAll(ListSink):
    def forget(self, places: Sequence[str]) -> None:  # noqa: ARG002  # that is the mistake
        self.shelf.clear()


class ForgetsOnce(ListSink):
    def forget(self, places: Sequence[str]) -> None:
        self.shelf.remove(next((node, luid) for node, luid in self.shelf if f"shelf/{node}" in places))
        super().forget(places)


class Hangs(ListSink):
    seconds_for_a_call = 0.5

    def publish(self, events: Sequence[Event]) -> None:
        self.over.wait()
        super().publish(events)


class HangsAtOpen(ListSink):
    seconds_for_a_call = 0.5

    def open(self) -> None:
        self.over.wait()


class Awaits(ListSink):
    async def publish(self, events: Sequence[Event]) -> None:  # type: ignore[override]  # that is the mistake
        super().publish(events)


class ReturnsCount(ListSink):
    def publish(self, events: Sequence[Event]) -> int:  # type: ignore[override]  # that is the mistake
        super().publish(events)
        return len(events)


class Consumes(ListSink):
    def publish(self, events: Any) -> None:
        while events:
            super().publish([events.pop(0)])


class TakesASecondWriter(ListSink):
    def open(self) -> None:
        if self.away:
            raise ConnectionError("the list is away")


class EndsWhenAway(ListSink):
    def publish(self, events: Sequence[Event]) -> None:
        if self.away:
            raise Ended("the list is away")
        super().publish(events)


class EndsAtOpenWhenAway(ListSink):
    def open(self) -> None:
        if self.away:
            raise Ended("the list is away")
        super().open()


class EndsForGoodWithoutReader(ListSink):
    def publish(self, events: Sequence[Event]) -> None:
        if self.unread:
            raise Ended("nobody reads the list")
        super().publish(events)


class WritesWithoutReader(ListSink):
    def publish(self, events: Sequence[Event]) -> None:
        if not self.unread:
            super().publish(events)


@pytest.mark.parametrize(
    ("sink", "test", "complaint"),
    [
        (TakesAnything, "test_an_option_that_does_not_exist_is_an_error", "unknown option"),
        (MovesAbout, "test_the_destination_has_a_steady_name", "taken for a new one"),
        (Buffers, "test_publish_returns_only_when_the_events_are_there", "the last events there are"),
        (Reorders, "test_a_snapshot_arrives", "the last events there are"),
        (Reorders, "test_the_tail_arrives_in_order_after_the_snapshot", "the last events there are"),
        (Reorders, "test_a_slow_destination_gets_everything_in_order", "in this order"),
        (Swallows, "test_a_failure_is_raised_and_the_same_sink_then_delivers", "the events would be lost"),
        (Rejects, "test_a_failure_is_raised_and_the_same_sink_then_delivers", "no reason to reject"),
        (SaysTooMuchIsSafe, "test_a_failure_is_raised_and_the_same_sink_then_delivers", "in this order"),
        (RefusesRepeats, "test_a_repeat_is_taken", "already there"),
        (SkipsEmptySnapshots, "test_a_snapshot_of_nothing_arrives", "the last events there are"),
        (DropsDeletes, "test_every_kind_of_event_arrives", "the last events there are"),
        (TakesHolesForLosses, "test_what_a_filter_lets_through_arrives_though_seq_has_holes", "an event is missing"),
        (DropsWhatSettled, "test_events_that_stand_for_several_arrive", "the last events there are"),
        (MovesWithItsFilter, "test_the_options_that_every_sink_has_are_taken", "no other destination"),
        (TripsOverNames, "test_any_alias_is_only_data", "a slash"),
        (LeavesAThread, "test_close_releases_everything", "left behind"),
        (NeedsOpen, "test_close_without_open_is_harmless", "connection"),
        (LiesAboutItsCursor, "test_a_later_sink_goes_on_where_the_first_ended", "cursor() returned"),
        (
            SaysNothingWhenAway,
            "test_a_destination_that_is_away_at_start_is_reached_by_a_later_sink",
            "has no message",
        ),
        (ChecksInTwoLines, "test_check_returns_a_line", "one line"),
        (ChecksByPublishing, "test_check_changes_nothing", "that no sink had used"),
        (RewritesInACheck, "test_check_changes_nothing", "of a sink that is open"),
        (TidiesUpInACheck, "test_check_changes_nothing", "of a sink that was closed"),
        (WandersAbout, "test_the_places_have_steady_names", "of the same options"),
        (ForgetsNothing, "test_forget_empties_exactly_its_own_places", "after forget()"),
        (ForgetsAll, "test_forget_empties_exactly_its_own_places", "after forget()"),
        (ForgetsOnce, "test_forget_empties_exactly_its_own_places", ""),
        (Hangs, "test_a_snapshot_arrives", "publish() has not returned within"),
        (HangsAtOpen, "test_a_snapshot_arrives", "open() has not returned within"),
        (HangsAtOpen, "test_a_second_sink_is_refused_where_the_destination_takes_one", "open() has not returned"),
        (Awaits, "test_a_snapshot_arrives", "publish() returns a coroutine, which is never awaited"),
        (ReturnsCount, "test_a_snapshot_arrives", "it must return nothing"),
        (Consumes, "test_a_snapshot_arrives", "'tuple' object has no attribute 'pop'"),
        (TakesASecondWriter, "test_a_second_sink_is_refused_where_the_destination_takes_one", "could open"),
        (EndsWhenAway, "test_a_failure_is_raised_and_the_same_sink_then_delivers", "must not end the sink"),
        (
            EndsAtOpenWhenAway,
            "test_a_destination_that_is_away_at_start_is_reached_by_a_later_sink",
            "must not end the sink",
        ),
        (
            EndsForGoodWithoutReader,
            "test_a_reader_that_leaves_ends_the_sink_in_this_process_only",
            "leave the sink stopped",
        ),
        (
            WritesWithoutReader,
            "test_a_reader_that_leaves_ends_the_sink_in_this_process_only",
            "the events would be lost",
        ),
    ],
)
def test_a_sink_that_breaks_a_promise_is_reported(sink: type[ListSink], test: str, complaint: str) -> None:
    faults = (AssertionError, ValueError, AttributeError, StopIteration, PublisherError)

    def is_reported() -> None:
        with conformance(sink) as tests, pytest.raises(faults) as failure:
            getattr(tests, test)()
        assert complaint in str(failure.value)

    # Where a call is to run out of time, another one may too on a machine that is busy.
    judged_while_awake(is_reported, within=sink.seconds_for_a_call / 2)


def test_every_conformance_test_is_seen_to_fail_above() -> None:
    [parametrize] = vars(test_a_sink_that_breaks_a_promise_is_reported)["pytestmark"]
    assert {case[1] for case in parametrize.args[1]} == set(TESTS)


@pytest.mark.parametrize("way", ["broken", "slow"])
def test_an_author_need_not_say_how_to_break_a_destination(way: str) -> None:
    unsaid: Callable[[], object] = getattr(SinkConformance(), way)
    with pytest.raises(SkipTest, match=f"override {way}"):
        unsaid()


def test_nothing_of_it_needs_pytest() -> None:
    program = "import sys, publisher.testing; print('pytest' in sys.modules, '_pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


def test_everything_that_is_offered_is_there_and_described() -> None:
    for name in publisher.testing.__all__:
        offered = getattr(publisher.testing, name)
        assert not callable(offered) or offered.__doc__, name
    assert issubclass(RecordingSink, Sink)
