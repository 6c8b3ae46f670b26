"""The context of a sink: its access to its worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from ..events import Event
from ..history import Flap, HistoryPage, HistoryQuery
from ..journal.journal import Journal
from ..journal.positions import NumberedResend, ResendSnapshot
from ..sink import Log
from .inbox import Clock, Inbox
from .subscription import SinkSubscription

Report = Callable[[], dict[str, Any]]

# A sink that asks for a snapshot in each batch of one would get nothing else, and without a pause.
_SNAPSHOTS, _WITHIN_SECONDS = 3, 3.0


class WorkerContext:
    """A SinkContext over a worker's parts; that protocol has the promises of each method."""

    def __init__(
        self,
        name: str,
        journal: Journal,
        subscription: SinkSubscription,
        inbox: Inbox,
        log: Log,
        clock: Clock,
        report: Report = dict,
    ) -> None:
        """`report` returns the state of the service, for `status`."""
        self.name = name
        self.node = journal.node
        self.epoch = journal.epoch
        self.log = log
        self._journal, self._subscription, self._inbox = journal, subscription, inbox
        self._clock = clock
        self._history = subscription.history()
        self._report = report
        self._asked: deque[float] = deque(maxlen=_SNAPSHOTS)
        self.trouble: str | None = None
        """Why the destination cannot be reached, as the sink has told by `unreachable`. Any thread may read it."""

    def request_snapshot(self) -> None:
        now = self._clock.monotonic()
        if len(self._asked) == _SNAPSHOTS and now < self._asked[0] + _WITHIN_SECONDS:
            self._inbox.call(self.request_snapshot, self._asked[0] + _WITHIN_SECONDS - now)
            return
        self._asked.append(now)
        # Not numbered: only what the journal holds is. It is in the position as soon as the sink's thread takes it.
        self._inbox.resend(NumberedResend(0, ResendSnapshot("notification", self._journal.seq)))

    def call(self, job: Callable[[], object], delay: float = 0.0) -> None:
        self._inbox.call(job, delay)

    def unreachable(self, reason: str | None) -> None:
        self.trouble = reason

    def snapshot(self) -> Sequence[Event]:
        return self._subscription.snapshot()

    def events_since(self, epoch: str, seq: int) -> list[Event] | None:
        return self._subscription.events_since(epoch, seq)

    def luids(self) -> frozenset[str]:
        return self._journal.known_luids()

    def history(self, query: HistoryQuery) -> HistoryPage:
        return self._history.page(query)

    def flaps(self, since: datetime) -> dict[str, tuple[Flap, ...]]:
        return self._history.flaps(since)

    def status(self) -> dict[str, Any]:
        return self._report()


class IdleContext:
    """A SinkContext without a worker, for a sink that is not opened: nothing is sent, and no job runs.

    `luids` returns the LUIDs that a journal knows; it may raise JournalError.
    """

    def __init__(
        self,
        name: str,
        node: str,
        log: Log,
        epoch: str = "0" * 16,
        luids: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self.name = name
        self.node = node
        self.epoch = epoch
        self.log = log
        self._luids = luids

    def request_snapshot(self) -> None:
        """Does nothing: nothing is sent."""

    def call(self, job: Callable[[], object], delay: float = 0.0) -> None:
        """Does nothing: it is over before any job could run."""

    def unreachable(self, reason: str | None) -> None:
        """Does nothing: no status shows it."""

    def snapshot(self) -> Sequence[Event]:
        """Returns no events."""
        return []

    def events_since(self, epoch: str, seq: int) -> list[Event] | None:  # noqa: ARG002  # the contract of SinkContext
        """Returns no events."""
        return []

    def luids(self) -> frozenset[str]:
        """Returns the LUIDs that the journal knows, if there is one."""
        return self._luids()

    def history(self, query: HistoryQuery) -> HistoryPage:  # noqa: ARG002  # the contract of SinkContext
        """Returns no events."""
        return HistoryPage((), more=False)

    def flaps(self, since: datetime) -> dict[str, tuple[Flap, ...]]:  # noqa: ARG002  # the contract of SinkContext
        """Returns no flaps."""
        return {}

    def status(self) -> dict[str, Any]:
        """Returns the state of no service."""
        return {"running": False, "healthy": False}
