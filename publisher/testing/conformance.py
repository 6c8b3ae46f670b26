"""What every sink promises, as tests that a sink's author inherits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import SkipTest

from pydantic import ValidationError

from ..events import Event
from ..sink import Cursor, Rejected, Retry, Sink, SinkOptions
from .context import FakeSinkContext
from .events import EPOCH, make_event, make_events, make_row, make_snapshot

HOSTILE_ALIAS = "a+b/#\u0000\u001b[2J\n\"\\'<&>{{x}} Ж 🖧"
"""An alias that means something to a topic, a terminal, a line, a quote, a template."""


class SinkConformance:
    """Runs a sink through snapshot, tail, failure, retry, repeat, close and a slow destination.

    Inherit it in a test module, under a name that begins with Test, and say what your sink is and where it delivers:

        class TestMySink(SinkConformance):
            sink = MySink

            @pytest.fixture(autouse=True)
            def destination(self, tmp_path):
                self.path = tmp_path / "events"

            def options(self):
                return {"path": str(self.path)}

            def received(self):
                return [json.loads(line)["id"] for line in self.path.read_text().splitlines()]

    `broken` and `slow` are optional; without them the tests that need them are skipped. A destination that keeps
    something else than events overrides `assert_snapshot` and `assert_events`.
    """

    sink: type[Sink]
    """The sink under test."""
    seconds_to_end = 5.0
    """How long threads that were started may go on after `close`."""

    def options(self) -> dict[str, Any]:
        """The sink's options, as the configuration file would have them, for one destination of this test's own."""
        raise NotImplementedError

    def received(self) -> Sequence[str]:
        """The ids of all events that the destination holds, in order of arrival, repeats included."""
        raise NotImplementedError

    def broken(self) -> AbstractContextManager[object]:
        """Inside, the destination takes nothing; afterwards it is there again."""
        raise SkipTest("this test class does not say how to break its destination: override broken()")

    def slow(self) -> AbstractContextManager[object]:
        """Inside, the destination takes what it gets, but takes its time."""
        raise SkipTest("this test class does not say how to slow its destination: override slow()")

    def assert_snapshot(self, snapshot: Sequence[Event]) -> None:
        """The destination holds this snapshot last."""
        self.assert_events(snapshot)

    def assert_events(self, events: Sequence[Event]) -> None:
        """The destination got these events last, in this order."""
        wanted, received = [event.id for event in events], list(self.received())
        last = received[-len(wanted) :]
        require(last == wanted, f"the last events there are {last or 'none'}, published were {wanted}")

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
                left = self._fails(sink, events)
            self._deliver(sink, left)
            self._assert_each_arrived([*before, *events])

    def test_a_destination_that_is_away_at_start_is_reached_by_a_later_sink(self) -> None:
        snapshot = make_snapshot()
        with self.broken():
            sink = self._make()
            try:
                if self._opens(sink):
                    self._fails(sink, snapshot)
            finally:
                sink.close()
        with self._opened() as sink:
            self._deliver(sink, snapshot)
            self.assert_snapshot(snapshot)

    def test_close_lets_go_of_everything(self) -> None:
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
            require(cursor in (None, Cursor(EPOCH, 3)), f"cursor() says {cursor}, the last event was 3 of {EPOCH}")
            sink.publish(after)
            self.assert_events(after)

    def test_a_slow_destination_gets_everything_in_order(self) -> None:
        events = make_events(20)
        with self._opened() as sink:
            sink.publish(make_snapshot())
            with self.slow():
                self._deliver(sink, events)
                self._assert_each_arrived(events)

    def test_check_returns_a_line(self) -> None:
        sink = self._make()
        try:
            line = sink.check()
        finally:
            sink.close()
        require(bool(line) and "\n" not in line, f"check() returned {line!r}: expected one line of text")

    def _options(self) -> SinkOptions:
        return self.sink.Options.model_validate(self.options())

    def _make(self) -> Sink:
        return self.sink(self._options(), FakeSinkContext("under-test"))

    @contextmanager
    def _opened(self) -> Iterator[Sink]:
        sink = self._make()
        try:
            sink.open()
            yield sink
        finally:
            sink.close()

    def _opens(self, sink: Sink) -> bool:
        """Whether a sink opens although its destination is away; it need not, but has to say why."""
        try:
            sink.open()
        except Exception as error:  # noqa: BLE001 - open may raise whatever stands in the way
            require(bool(str(error)), f"{type(error).__name__} does not say what stands in the way")
            return False
        return True

    def _fails(self, sink: Sink, events: Sequence[Event]) -> Sequence[Event]:
        """What is left to deliver after `publish` raised, which it must."""
        try:
            sink.publish(events)
        except Rejected as error:
            raise AssertionError(f"a destination that is away is no reason to reject: {error}") from error
        except Retry as error:
            require(0 <= error.index < len(events), f"Retry.index {error.index} is no place in the batch")
            return events[error.index :]
        except Exception:  # noqa: BLE001 - any other exception is a retry of all
            return events
        raise AssertionError("publish() returned although the destination takes nothing: the events would be lost")

    def _deliver(self, sink: Sink, events: Sequence[Event], seconds: float = 30.0) -> None:
        """What a worker does: try again until everything is there."""
        deadline = time.monotonic() + seconds
        while events:
            try:
                sink.publish(events)
                return
            except Rejected as error:
                raise AssertionError(f"a valid event was rejected: {error}") from error
            except Exception as error:
                if time.monotonic() > deadline:
                    raise AssertionError(f"not delivered within {seconds} s") from error
                events = events[getattr(error, "index", 0) :]
                # What a destination that has just come back is given; a worker backs off for longer.
                time.sleep(0.05)

    def _assert_each_arrived(self, events: Sequence[Event]) -> None:
        """Each of them is there, and for the first time in this order; a repeat is allowed."""
        wanted = [event.id for event in events]
        first_times = [received for received in dict.fromkeys(self.received()) if received in wanted]
        require(first_times == wanted, f"there are, in this order: {first_times}; published were {wanted}")


def require(condition: bool, message: str) -> None:
    """An assertion that says what is wrong: pytest explains only those of test modules."""
    if not condition:
        raise AssertionError(message)
