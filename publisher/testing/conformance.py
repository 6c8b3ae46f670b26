"""The promises of every sink, as tests that a sink's author inherits."""

from __future__ import annotations

import threading

from pydantic import ValidationError

from ..sink import Cursor, Ended
from .attempts import deliver, opens, publish_must_fail, require
from .events import EPOCH, make_event, make_events, make_row, make_snapshot
from .subject import SinkUnderTest

HOSTILE_ALIAS = "a+b/#\u0000\u001b[2J\n\"\\'<&>{{x}} Ж 🖧"
"""An alias that has a meaning for topics, terminals, lines, quotes and templates."""


class SinkConformance(SinkUnderTest):
    """Runs a sink through snapshot, tail, filter, settle, failure, retry, repeat, check, close and a slow destination.

    Inherit it in a test module, under a name that begins with Test, and name your sink and its destination:

        class TestMySink(SinkConformance):
            sink = MySink

            @pytest.fixture(autouse=True)
            def destination(self, tmp_path):
                self.path = tmp_path / "events"

            def options(self):
                return {"path": str(self.path)}

            def received(self):
                return [json.loads(line)["id"] for line in self.path.read_text().splitlines()]

    All other hooks are optional. Without `broken` and `slow` the tests that need them are skipped. A destination that
    keeps something else than events overrides `assert_snapshot` and `assert_events`.
    """

    def test_an_option_that_does_not_exist_is_an_error(self) -> None:
        options = self.options() | {"no_such_option": 1}
        try:
            self.sink.Options.model_validate(options)
        except ValidationError:
            return
        raise AssertionError('Options take an unknown option: inherit SinkOptions, leave extra="forbid" alone')

    def test_the_destination_has_a_steady_name(self) -> None:
        options = self._options(), self._options()
        first, second = (one.destination for one in options)
        require(isinstance(first, str), f"destination is a {type(first).__name__}: it is text")
        require(first == second, "after each restart the sink would be taken for a new one and get the snapshot")

    def test_a_snapshot_arrives(self) -> None:
        snapshot = make_snapshot()
        with self._opened() as sink:
            sink.publish(snapshot)
            self.assert_snapshot(snapshot)

    def test_a_snapshot_of_nothing_arrives(self) -> None:
        with self._opened() as sink:
            snapshot = make_snapshot([])
            sink.publish(snapshot)
            self.assert_snapshot(snapshot)

    def test_the_tail_arrives_in_order_after_the_snapshot(self) -> None:
        with self._opened() as sink:
            sink.publish(make_snapshot())
            tail = make_events(120)
            for start in range(0, len(tail), 40):
                sink.publish(tail[start : start + 40])
            self.assert_events(tail)

    def test_every_kind_of_event_arrives(self) -> None:
        row = make_row("eth1", index=3)
        with self._opened() as sink:
            sink.publish(make_snapshot())
            events = [
                make_event(1, "add_instance", row),
                make_event(2, "parameter_notification", cause="overrun"),
                make_event(3, "delete_instance", row),
            ]
            sink.publish(events)
            self.assert_events(events)

    def test_what_a_filter_lets_through_arrives_though_seq_has_holes(self) -> None:
        self._arrives_selected(settle=False)

    def test_events_that_stand_for_several_arrive(self) -> None:
        self._arrives_selected(settle=True)

    def test_the_options_that_every_sink_has_are_taken(self) -> None:
        every = {"only": {"interfaces": ["eth*"], "families": ["inet"]}, "settle": "2s", "snapshot": True}
        options = self.sink.Options.model_validate(self.options() | every)
        require(options.skips, "skips is True for a sink with only and settle: leave that property alone")
        destination = self._options().destination
        require(options.destination == destination, "only and settle make no other destination of it")

    def test_publish_returns_only_when_the_events_are_there(self) -> None:
        with self._opened() as sink:
            sink.publish(make_snapshot())
            for event in make_events(5):
                sink.publish([event])
                self.assert_events([event])

    def test_any_alias_is_only_data(self) -> None:
        events = [make_event(1, "add_instance", make_row(HOSTILE_ALIAS, index=4)), make_event(2)]
        with self._opened() as sink:
            sink.publish(make_snapshot([make_row(HOSTILE_ALIAS, index=4)]))
            sink.publish(events)
            self.assert_events(events)

    def test_a_repeat_is_taken(self) -> None:
        events = make_events(3)
        with self._opened() as sink:
            sink.publish(make_snapshot())
            sink.publish(events)
            sink.publish(events)
            self.assert_events(events)

    def test_a_failure_is_raised_and_the_same_sink_then_delivers(self) -> None:
        before, events = make_events(2), make_events(3, first=3)
        with self._opened() as sink:
            sink.publish(make_snapshot())
            sink.publish(before)
            with self.broken():
                left = publish_must_fail(sink, events)
            deliver(sink, left)
            self._assert_each_arrived([*before, *events])

    def test_a_destination_that_is_away_at_start_is_reached_by_a_later_sink(self) -> None:
        snapshot = make_snapshot()
        with self.broken():
            sink = self._make()
            try:
                if opens(sink):
                    publish_must_fail(sink, snapshot)
            finally:
                sink.close()
        with self._opened() as sink:
            deliver(sink, snapshot)
            self.assert_snapshot(snapshot)

    def test_a_reader_that_leaves_ends_the_sink_in_this_process_only(self) -> None:
        without_reader = self.without_reader()
        if without_reader is None:
            return
        with self._opened() as sink, without_reader:
            try:
                sink.publish(make_snapshot())
            except Ended as error:
                require(not error.durable, "the next start would leave the sink stopped: raise Ended(durable=False)")
            else:
                raise AssertionError("publish() returned although nobody reads: the events would be lost")
        snapshot = make_snapshot()
        with self._opened() as sink:
            sink.publish(snapshot)
            self.assert_snapshot(snapshot)

    def test_close_releases_everything(self) -> None:
        threads = set(threading.enumerate())
        with self._opened() as sink:
            sink.publish(make_snapshot())
        started = set(threading.enumerate()) - threads
        for thread in started:
            thread.join(self.seconds_to_end)  # the destination's own threads may end a little after the connection
        left = [thread.name for thread in started if thread.is_alive()]
        require(not left, f"threads are left after close(): {left}")

    def test_close_without_open_is_harmless(self) -> None:
        sink = self._make()
        sink.close()

    def test_a_later_sink_goes_on_where_the_first_ended(self) -> None:
        before, after = make_events(3), make_events(3, first=4)
        with self._opened() as sink:
            sink.publish(make_snapshot())
            sink.publish(before)
        with self._opened() as sink:
            cursor = sink.cursor()
            require(cursor in (None, Cursor(EPOCH, 3)), f"cursor() returned {cursor}, the last event was 3 of {EPOCH}")
            sink.publish(after)
            self.assert_events(after)

    def test_a_slow_destination_gets_everything_in_order(self) -> None:
        events = make_events(20)
        with self._opened() as sink:
            sink.publish(make_snapshot())
            with self.slow():
                deliver(sink, events)
                self._assert_each_arrived(events)

    def test_check_returns_a_line(self) -> None:
        line = self._check()
        require(bool(line) and "\n" not in line, f"check() returned {line!r}: expected one line of text")

    def test_check_changes_nothing(self) -> None:
        before = self.destination_state()
        self._check()
        require(self.destination_state() == before, "check() changed a destination that no sink had used")
        events, after = make_events(3), make_events(3, first=4)
        with self._opened() as sink:
            sink.publish([*make_snapshot(), *events])
            before = self.destination_state()
            self._check()
            require(self.destination_state() == before, "check() changed the destination of a sink that is open")
            sink.publish(after)
            self.assert_events(after)
        before = self.destination_state()
        self._check()
        require(self.destination_state() == before, "check() changed the destination of a sink that was closed")

    def test_the_places_have_steady_names(self) -> None:
        sinks = self._make(), self._make()
        first, second = (sink.retains() for sink in sinks)
        for sink in sinks:
            sink.close()
        require(isinstance(first, tuple), f"retains() returned a {type(first).__name__}: it returns a tuple of texts")
        require(all(isinstance(place, str) and place for place in first), f"retains() returned {first!r}")
        require(first == second, f"retains() of the same options returned {first!r}, then {second!r}")

    def test_forget_empties_exactly_its_own_places(self) -> None:
        sink = self._make()
        places = sink.retains()
        sink.close()
        if not places:
            return
        self._publish_as("another")
        others = self.kept()
        self._publish_as("testnode")
        require(self.kept() != others, "kept() does not show what the sink keeps: override it")
        for _ in range(2):
            sink = self._make()
            try:
                sink.forget(sink.retains())
            finally:
                sink.close()
            left = self.kept()
            require(left == others, f"after forget() there is {left!r}, and there should be {others!r}")
        with self._opened() as sink:
            snapshot = make_snapshot()
            sink.publish(snapshot)
            self.assert_snapshot(snapshot)

    def test_a_second_sink_is_refused_where_the_destination_takes_one(self) -> None:
        if not self.exclusive:
            return
        with self._opened() as sink:
            second = self._make()
            try:
                require(not opens(second), "a second sink could open the destination of one that is open")
            finally:
                second.close()
            snapshot = make_snapshot()
            sink.publish(snapshot)
            self.assert_snapshot(snapshot)
        with self._opened():
            pass
