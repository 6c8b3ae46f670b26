"""A worker that is started with more waiting events than memory should take."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from publisher.events import Event
from publisher.sink import Sink, SinkContext, SinkOptions
from tests.fixtures.pipeline import Pipeline
from tests.fixtures.poll import wait_for


def test_a_restart_with_a_hundred_thousand_waiting_events(tmp_path: Path) -> None:
    with closing(Pipeline(tmp_path / "journal.db", max_bytes=1 << 30)) as pipeline:
        pipeline.confirm(0)
        [event] = pipeline.change(1)
        pipeline.journal.close()
        fill(pipeline.path, event.json_bytes, 100_000)
        pipeline.restart()
        counted = Counted()
        worker = pipeline.deliver(counted.make)
        counted.reached.wait(240)
        assert counted.problem is None
        assert counted.last == 100_000
        wait_for(lambda: worker.status().behind == 0)


def fill(path: Path, first: bytes, count: int) -> None:
    """Write copies of the first event behind it, each with a seq of its own: quicker than making them."""
    head, middle, tail = first.replace(b"-0000000000000001", b"-#").replace(b'"seq":1,', b'"seq":#,').split(b"#")
    copies = ((seq, b"%s%016d%s%d%s" % (head, seq, middle, seq, tail)) for seq in range(2, count + 1))
    rows = ((seq, seq * len(first), data) for seq, data in copies)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT INTO events (seq, position, data) VALUES (?, ?, ?)", rows)


class Counted:
    """A destination that keeps nothing but the last seq, so that memory does not count the test's own events."""

    def __init__(self) -> None:
        self.last = 0
        self.problem: str | None = None
        self.reached = threading.Event()

    def make(self, context: SinkContext) -> Sink:
        counted = self

        class CountingSink(Sink):
            def open(self) -> None: ...

            def publish(self, events: Sequence[Event]) -> None:
                for event in events:
                    if event.seq != counted.last + 1:
                        counted.problem = f"{event.seq} after {counted.last}"
                    counted.last = event.seq
                if counted.last == 100_000 or counted.problem:
                    counted.reached.set()

            def close(self) -> None: ...

        return CountingSink(SinkOptions(), context)
