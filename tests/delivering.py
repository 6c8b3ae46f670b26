"""A journal and workers over recorders: what the tests of delivery stand on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from structlog.testing import CapturingLogger

from publisher.delivery import Backoff, Clock, Worker
from publisher.events import Event
from publisher.journal import Journal
from publisher.sink import Sink, SinkContext
from publisher.sources import Resync, Upsert
from publisher.table import Stamp, Table
from publisher.testing import Recorder
from publisher.testing.events import make_row


class InstantClock(Clock):
    """Time that passes at once when somebody waits for it; `waits` says for how long they would have."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        if seconds is None:
            condition.wait()
        else:
            self.waits.append(seconds)
            self.now += seconds


class Pipeline:
    """A journal with a table of eth0 and eth1 over it, and the workers that were started on it."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.options = options
        self.log = CapturingLogger()
        self.clock = InstantClock()
        self.workers: list[Worker] = []
        self._open()

    def _open(self) -> None:
        self.journal = Journal.open(self.path, node="nas", **self.options)
        self.table = Table(self.journal.rows(), Stamp("nas", self.journal.epoch, self.journal.seq))
        if self.journal.rows() is None:
            self.table.apply(Resync((make_row("eth0"), make_row("eth1", index=3)), "startup"))
            self.journal.replace_rows(self.table.rows)

    def change(self, count: int = 1, alias: str = "eth0") -> list[Event]:
        """So many changes of an interface's metric, one append each."""
        events = []
        for _ in range(count):
            made = self.table.apply(Upsert(make_row(alias, metric=self.table.stamp.seq + 1000)))
            self.journal.append(made)
            events += made
            for worker in self.workers:
                worker.wake()
        return events

    def change_at_once(self, count: int) -> None:
        """So many changes in appends of a thousand."""
        first = self.table.stamp.seq + 1000
        events = [event for n in range(first, first + count) for event in self.table.apply(Upsert(make_row(metric=n)))]
        for start in range(0, count, 1000):
            self.journal.append(events[start : start + 1000])

    def deliver(
        self,
        to: Recorder | Callable[[SinkContext], Sink],
        name: str = "sink",
        *,
        destination: str = "there",
        fingerprint: str = "options",
        clock: Clock | None = None,
    ) -> Worker:
        """Start a worker."""
        worker = Worker(
            name,
            to.make_sink if isinstance(to, Recorder) else to,
            destination=destination,
            fingerprint=fingerprint,
            journal=self.journal,
            log=self.log,
            backoff=Backoff(random=lambda: 1.0),
            clock=clock or self.clock,
        )
        self.workers.append(worker)
        worker.start()
        return worker

    def said(self, what: str) -> list[dict[str, Any]]:
        """What was logged with this text in it."""
        return [dict(call.kwargs) for call in self.log.calls if any(what in str(text) for text in call.args)]

    def restart(self) -> None:
        """Stop everything and open the journal again."""
        self.close()
        self.workers = []
        self._open()

    def close(self) -> None:
        for worker in self.workers:
            worker.stop(5.0)
        self.journal.close()
