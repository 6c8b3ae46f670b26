"""A sink under test, with its destination: what its author names, and how the tests use it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import SkipTest

from ..events import Event
from ..sink import Sink, SinkOptions
from .attempts import require
from .context import FakeSinkContext
from .events import make_snapshot
from .selected import selected_events
from .timed import TimedSink


class SinkUnderTest:
    """The hooks that the author of a sink overrides, and one sink's lives in a test. See `SinkConformance`."""

    sink: type[Sink]
    """The sink under test."""
    exclusive = False
    """True when a second sink must not open the destination while the first has it."""
    seconds_for_a_call = 60.0
    """The time that each call of the sink may take: one that hangs fails its test, with the name of the method."""
    seconds_to_end = 5.0
    """The time that threads may take to end after `close`."""

    def options(self) -> dict[str, Any]:
        """Returns the sink's options, as in the configuration file, for a destination of this test's own."""
        raise NotImplementedError

    def received(self) -> Sequence[str]:
        """Returns the ids of all events at the destination, in order of arrival, repeats included."""
        raise NotImplementedError

    def destination_state(self) -> object:
        """Returns everything at the destination that `check` must not change; compared with `==`.

        By default the events there. Files should be compared with name, mode, owner, time and content.
        """
        return list(self.received())

    def kept(self) -> object:
        """Returns everything that is kept at the destination for later readers; compared with `==`.

        For a sink whose `retains` names places. By default `destination_state`.
        """
        return self.destination_state()

    def broken(self) -> AbstractContextManager[object]:
        """Makes the destination take nothing, until the context ends."""
        raise SkipTest("this test class cannot break its destination: override broken()")

    def slow(self) -> AbstractContextManager[object]:
        """Makes the destination take a while for each event, until the context ends."""
        raise SkipTest("this test class cannot slow its destination down: override slow()")

    def without_reader(self) -> AbstractContextManager[object] | None:
        """Makes the only reader of a pipe or of standard output leave, until the context ends.

        `None`, the default, is for destinations that have no such reader.
        """
        return None

    def assert_snapshot(self, snapshot: Sequence[Event]) -> None:
        """Fails unless the destination received this snapshot last."""
        self.assert_events(snapshot)

    def assert_events(self, events: Sequence[Event]) -> None:
        """Fails unless the destination received these events last, in this order."""
        wanted, received = [event.id for event in events], list(self.received())
        last = received[-len(wanted) :]
        require(last == wanted, f"the last events there are {last or 'none'}, published were {wanted}")

    def _options(self) -> SinkOptions:
        return self.sink.Options.model_validate(self.options())

    def _make(self) -> Sink:
        return self._made("testnode")

    def _made(self, node: str) -> Sink:
        return TimedSink(
            lambda: self.sink(self._options(), FakeSinkContext("under-test", node=node)), self.seconds_for_a_call
        )

    def _publish_as(self, node: str) -> None:
        sink = self._made(node)
        try:
            sink.open()
            sink.publish(make_snapshot(node=node))
        finally:
            sink.close()

    def _check(self) -> str:
        """Checks as `publisher check` does: without `open`, and with `close` afterwards."""
        sink = self._make()
        try:
            return sink.check()
        finally:
            sink.close()

    @contextmanager
    def _opened(self) -> Iterator[Sink]:
        sink = self._make()
        try:
            sink.open()
            yield sink
        finally:
            sink.close()

    def _arrives_selected(self, *, settle: bool) -> None:
        """Fails unless a sink takes what the options `only` and `settle` leave of some changes."""
        snapshot, tail = selected_events(settle=settle)
        with self._opened() as sink:
            sink.publish(snapshot)
            self.assert_snapshot(snapshot)
            sink.publish(tail)
            self.assert_events(tail)

    def _assert_each_arrived(self, events: Sequence[Event]) -> None:
        """Fails unless each event is there, and for the first time in this order; repeats are allowed."""
        wanted = [event.id for event in events]
        first_times = [received for received in dict.fromkeys(self.received()) if received in wanted]
        require(first_times == wanted, f"there are, in this order: {first_times}; published were {wanted}")
