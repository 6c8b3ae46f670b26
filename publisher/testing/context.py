"""What a worker gives to a sink, without the worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import structlog
from structlog.testing import CapturingLogger

from ..events import Event
from .events import EPOCH, make_snapshot

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class FakeSinkContext:
    """A `SinkContext` for a sink under test: what the sink asks for is kept, and done when the test says so.

    `snapshots_requested` counts; `jobs` are run by `run_jobs`; `journal` are the events that `events_since` knows;
    `logged` are the calls of the logger, as structlog's CapturedCall.
    """

    def __init__(self, name: str = "sink", *, node: str = "testnode", epoch: str = EPOCH) -> None:
        self.name = name
        self.node = node
        self.epoch = epoch
        self.journal: list[Event] = []
        self.rows_now: Sequence[Event] | None = None
        self.snapshots_requested = 0
        self.jobs: list[tuple[float, Callable[[], object]]] = []
        self._calls = CapturingLogger()
        self.log = cast("FilteringBoundLogger", _logger(self._calls).bind(sink=name))

    @property
    def logged(self) -> list[Any]:
        return self._calls.calls

    def request_snapshot(self) -> None:
        self.snapshots_requested += 1

    def call(self, job: Callable[[], object], delay: float = 0.0) -> None:
        self.jobs.append((delay, job))

    def run_jobs(self) -> int:
        """Run what `call` was given, at once whatever the delay; says how many jobs there were."""
        jobs, self.jobs = self.jobs, []
        for _, job in jobs:
            job()
        return len(jobs)

    def snapshot(self) -> list[Event]:
        """`rows_now` when the test has set it, else the default snapshot at the journal's newest `seq`."""
        if self.rows_now is not None:
            return list(self.rows_now)
        return make_snapshot(seq=self.journal[-1].seq if self.journal else 0, epoch=self.epoch, node=self.node)

    def events_since(self, epoch: str, seq: int) -> list[Event] | None:
        if epoch != self.epoch or (self.journal and seq + 1 < self.journal[0].seq):
            return None
        return [event for event in self.journal if event.seq > seq]


def _logger(calls: CapturingLogger) -> Any:
    return structlog.wrap_logger(calls, processors=[], wrapper_class=structlog.make_filtering_bound_logger(0))
