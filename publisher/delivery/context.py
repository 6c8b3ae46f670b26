"""What a worker gives its sink."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from ..events import Cause, Event
from ..journal.journal import Journal
from ..sink import Log
from .subscription import Subscription

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class Thread(Protocol):
    """What a sink may ask of its worker."""

    name: str

    def request_snapshot(self, cause: Cause) -> None: ...

    def call(self, job: Callable[[], object], delay: float = 0.0) -> None: ...


class WorkerContext:
    """A SinkContext, which says what each of these promises."""

    def __init__(self, worker: Thread, journal: Journal, feed: Subscription, log: FilteringBoundLogger) -> None:
        self.name = worker.name
        self.node = journal.node
        self.epoch = journal.epoch
        # Sinks log as with the standard library's loggers: positional arguments, no fields.
        self.log = cast("Log", log)
        self._worker, self._journal, self._feed = worker, journal, feed

    def request_snapshot(self) -> None:
        self._worker.request_snapshot("notification")

    def call(self, job: Callable[[], object], delay: float = 0.0) -> None:
        self._worker.call(job, delay)

    def snapshot(self) -> Sequence[Event]:
        return self._journal.snapshot()

    def events_since(self, epoch: str, seq: int) -> list[Event] | None:
        return self._feed.events_since(epoch, seq)
