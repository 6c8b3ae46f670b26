"""A destination in memory, whose sinks record events and fail on request."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ..events import Event
from ..sink import Cursor, Retry, Sink, SinkContext, SinkOptions


class Recorder:
    """A destination in memory: sinks made by `make_sink` or `sink_type` write to it, tests read it.

    `open_faults` and `publish_faults` hold exceptions to raise, one each call, oldest first. When one has an index, as
    `Retry` and `Rejected` have, the events before it are recorded, as by a real destination. Between `hang()` and
    `flow()`, `publish` blocks. Any thread may use everything.
    """

    def __init__(self) -> None:
        self.batches: list[list[Event]] = []
        self.opened = 0
        self.closed = 0
        self.open_faults: deque[BaseException] = deque()
        self.publish_faults: deque[BaseException] = deque()
        self.cursor: Cursor | None = None
        self.contexts: list[SinkContext] = []
        self._flows = threading.Event()
        self._flows.set()
        self._changed = threading.Condition()

    @property
    def events(self) -> list[Event]:
        """All events, in order of arrival, repeats included."""
        with self._changed:
            return [event for batch in self.batches for event in batch]

    @property
    def seqs(self) -> list[int]:
        """The `seq` of each event that is no part of a snapshot, in order of arrival."""
        return [event.seq for event in self.events if event.snapshot is None]

    def make_sink(self, context: SinkContext) -> RecordingSink:
        """Returns a sink that writes here."""
        return self.sink_type()(SinkOptions(), context)

    def sink_type(self) -> type[RecordingSink]:
        """Returns a class of sinks that write here, as a plugin offers it."""
        return type("RecordingSink", (RecordingSink,), {"recorder": self})

    def hang(self) -> None:
        """Makes `publish` block until `flow`."""
        self._flows.clear()

    def flow(self) -> None:
        """Lets a blocked `publish` continue."""
        self._flows.set()

    def wait(self, what: Callable[[Recorder], Any], timeout: float = 30.0) -> None:
        """Returns as soon as `what(self)` is true; raises TimeoutError, which lists what was recorded instead."""
        with self._changed:
            if not self._changed.wait_for(lambda: what(self), timeout):
                raise TimeoutError(f"after {timeout} s: {self}")

    def wait_for_events(self, count: int, timeout: float = 30.0) -> list[Event]:
        """Returns every event, as soon as there are at least `count`; raises TimeoutError."""
        self.wait(lambda recorder: len(recorder.events) >= count, timeout)
        return self.events

    def wait_for_seq(self, seq: int, timeout: float = 30.0) -> list[Event]:
        """Returns every event, as soon as the newest has at least this `seq`; raises TimeoutError."""
        self.wait(lambda recorder: recorder.events and recorder.events[-1].seq >= seq, timeout)
        return self.events

    def __repr__(self) -> str:
        return f"<Recorder opened {self.opened}, closed {self.closed}, events {[event.id for event in self.events]}>"

    def on_open(self, context: SinkContext) -> None:
        """Records an `open`; raises the next of `open_faults`."""
        with self._changed:
            self.opened += 1
            self.contexts.append(context)
            self._changed.notify_all()
            if self.open_faults:
                raise self.open_faults.popleft()

    def on_publish(self, events: Sequence[Event]) -> None:
        """Records the events; raises the next of `publish_faults`."""
        self._flows.wait()
        with self._changed:
            fault = self.publish_faults.popleft() if self.publish_faults else None
            safe = len(events) if fault is None else getattr(fault, "index", 0)
            self.batches.append(list(events[:safe]))
            self._changed.notify_all()
            if fault is not None:
                raise fault

    def on_close(self) -> None:
        """Records a `close`."""
        with self._changed:
            self.closed += 1
            self._changed.notify_all()


class RecordingSink(Sink):
    """A sink that writes to its recorder; made by `Recorder.make_sink` or `Recorder.sink_type`."""

    recorder: Recorder

    def open(self) -> None:
        self.recorder.on_open(self.context)

    def publish(self, events: Sequence[Event]) -> None:
        self.recorder.on_publish(events)

    def close(self) -> None:
        self.recorder.on_close()

    def cursor(self) -> Cursor | None:
        return self.recorder.cursor


def try_again(reason: str = "a fault of the test", *, index: int = 0, times: int = 1) -> list[Retry]:
    """Returns `times` faults for `Recorder.publish_faults`, after which the worker tries again soon."""
    return [Retry(reason, after=0.0, index=index) for _ in range(times)]
