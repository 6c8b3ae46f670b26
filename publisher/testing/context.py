"""A sink's context for tests, without a worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from ..events import Event
from ..history import Flap, HistoryPage, HistoryQuery, flaps_of, page_of
from ..sink import Log
from .events import EPOCH, make_snapshot


class FakeSinkContext:
    """A `SinkContext` for a sink under test: keeps the sink's requests for the test.

    - `snapshots_requested` counts the calls of `request_snapshot`;
    - `jobs` holds the arguments of `call`, as (delay, job); `run_jobs` runs them;
    - `journal` holds the events that `events_since`, `history` and `flaps` return; `rows_now` the snapshot, when the
      test sets it; `status_now` the answer of `status`;
    - `trouble` is what the sink has told by `unreachable`;
    - `logged` holds the log records, oldest first: `[record.getMessage() for record in context.logged]`.
    """

    def __init__(self, name: str = "sink", *, node: str = "testnode", epoch: str = EPOCH) -> None:
        self.name = name
        self.node = node
        self.epoch = epoch
        self.journal: list[Event] = []
        self.rows_now: Sequence[Event] | None = None
        self.status_now: dict[str, Any] = {"running": True, "journal": "journal.sqlite3", "healthy": True, "sinks": {}}
        self.snapshots_requested = 0
        self.trouble: str | None = None
        self.jobs: list[tuple[float, Callable[[], object]]] = []
        self.logged: list[logging.LogRecord] = []
        self.log: Log = _logger(f"publisher.sink.{name}", self.logged)

    def request_snapshot(self) -> None:
        """Counts the request."""
        self.snapshots_requested += 1

    def call(self, job: Callable[[], object], delay: float = 0.0) -> None:
        """Keeps the job for `run_jobs`."""
        self.jobs.append((delay, job))

    def unreachable(self, reason: str | None) -> None:
        """Keeps the reason."""
        self.trouble = reason

    def run_jobs(self) -> int:
        """Runs the jobs that wait, at once whatever their delay; returns how many there were."""
        jobs, self.jobs = self.jobs, []
        for _, job in jobs:
            job()
        return len(jobs)

    def snapshot(self) -> list[Event]:
        """Returns `rows_now` when the test has set it, else the default snapshot at the journal's newest `seq`."""
        if self.rows_now is not None:
            return list(self.rows_now)
        return make_snapshot(seq=self.journal[-1].seq if self.journal else 0, epoch=self.epoch, node=self.node)

    def events_since(self, epoch: str, seq: int) -> list[Event] | None:
        """Returns the events of `journal` after this one; `None` when it does not reach back so far."""
        if epoch != self.epoch or (self.journal and seq + 1 < self.journal[0].seq):
            return None
        return [event for event in self.journal if event.seq > seq]

    def luids(self) -> frozenset[str]:
        """Returns the LUIDs of the snapshot and of the events in `journal`."""
        events = [*self.snapshot(), *self.journal]
        return frozenset(event.luid for event in events if event.luid is not None)

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Returns the events of `journal` that the question asks for, newest first."""
        return page_of(self.journal, query)

    def flaps(self, since: datetime) -> dict[str, tuple[Flap, ...]]:
        """Returns how often the links of the events in `journal` went down."""
        return flaps_of(self.journal, since)

    def status(self) -> dict[str, Any]:
        """Returns `status_now`."""
        return self.status_now


class _Records(logging.Handler):
    """Appends each record to a list."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)


def _logger(name: str, records: list[logging.LogRecord]) -> logging.Logger:
    # Made directly, not by getLogger: two tests with one sink's name must not share their records.
    logger = logging.Logger(name, logging.DEBUG)
    logger.addHandler(_Records(records))
    return logger
