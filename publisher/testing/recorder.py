"""A sink that remembers what it was given, and fails when told to."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ..events import Event
from ..sink import Cursor, Retry, Sink, SinkContext, SinkOptions


class Recorder:
    """A destination in memory. Sinks made by it (`make_sink`, `sink_type`) write to it; tests read it.

    `open_faults` and `publish_faults` hold exceptions to raise, one a call, oldest first; of a `Retry` or `Rejected`
    with an index, the events before it are recorded, as by a real destination. While `hang()` holds, `publish` blocks.
    Everything may be used from any thread.
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
        """All events in order of arrival, repeats included."""
        with self._changed:
            return [event for batch in self.batches for event in batch]

    @property
    def seqs(self) -> list[int]:
        """The `seq` of each event that is no part of a snapshot, in order of arrival."""
        return [event.seq for event in self.events if event.snapshot is None]

    def make_sink(self, context: SinkContext) -> RecordingSink:
        """A sink that writes here."""
        return self.sink_type()(SinkOptions(), context)

    def sink_type(self) -> type[RecordingSink]:
        """A class of sinks that write here, as a plugin would offer it."""
        return type("RecordingSink", (RecordingSink,), {"recorder": self})

    def hang(self) -> None:
        """Let `publish` block until `flow`."""
        self._flows.clear()

    def flow(self) -> None:
        """Let a blocked `publish` go on."""
        self._flows.set()

    def wait(self, what: Callable[[Recorder], Any], timeout: float = 30.0) -> None:
        """Return as soon as `what(self)` is true; raises TimeoutError, which says what was recorded instead."""
        with self._changed:
            if not self._changed.wait_for(lambda: what(self), timeout):
                raise TimeoutError(f"after {timeout} s: {self}")

    def wait_for_events(self, count: int, timeout: float = 30.0) -> list[Event]:
        """Every event, as soon as there are at least `count`; raises TimeoutError."""
        self.wait(lambda recorder: len(recorder.events) >= count, timeout)
        return self.events

    def wait_for_seq(self, seq: int, timeout: float = 30.0) -> list[Event]:
        """Every event, as soon as the newest has at least this `seq`; raises TimeoutError."""
        self.wait(lambda recorder: recorder.events and recorder.events[-1].seq >= seq, timeout)
        return self.events

    def __repr__(self) -> str:
        return f"<Recorder opened {self.opened}, closed {self.closed}, events {[event.id for event in self.events]}>"

    def on_open(self, context: SinkContext) -> None:
        with self._changed:
            self.opened += 1
            self.contexts.append(context)
            self._changed.notify_all()
            if self.open_faults:
                raise self.open_faults.popleft()

    def on_publish(self, events: Sequence[Event]) -> None:
        self._flows.wait()
        with self._changed:
            fault = self.publish_faults.popleft() if self.publish_faults else None
            safe = len(events) if fault is None else getattr(fault, "index", 0)
            self.batches.append(list(events[:safe]))
            self._changed.notify_all()
            if fault is not None:
                raise fault

    def on_close(self) -> None:
        with self._changed:
            self.closed += 1
            self._changed.notify_all()


class RecordingSink(Sink):
    """Writes to its recorder. Made by `Recorder.make_sink` or `Recorder.sink_type()`."""

    recorder: Recorder

    def open(self) -> None:
        self.recorder.on_open(self.context)

    def publish(self, events: Sequence[Event]) -> None:
        self.recorder.on_publish(events)

    def close(self) -> None:
        self.recorder.on_close()

    def cursor(self) -> Cursor | None:
        return self.recorder.cursor


def try_again(reason: str = "asked to", *, index: int = 0, times: int = 1) -> list[Retry]:
    """Some `Retry` for `Recorder.publish_faults`, to be tried again at once."""
    return [Retry(reason, after=0.0, index=index) for _ in range(times)]
