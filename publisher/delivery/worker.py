"""A sink's worker: opens the sink, sends it what the journal has for it, and tries again until it is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import JournalError, PublisherError
from ..events import Cause, Event
from ..journal.journal import Journal
from ..sink import Ended, Rejected, Retry, Sink, SinkContext
from .backoff import Backoff, Clock
from .context import WorkerContext
from .dead_letters import Redelivery
from .jobs import Jobs
from .status import SinkStatus
from .subscription import Subscription

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Backoff", "Clock", "SinkStatus", "Worker"]

# What a sink may raise without being an error of ours; a plugin that calls sys.exit() must not end its worker unseen.
_ANYTHING = (Exception, SystemExit)
# Retry-After may say anything; a day is as long as a destination is left alone.
_LONGEST_WAIT = 86_400.0
_CONFIRM_AGAIN_SECONDS = 5.0
# Of the time there is for stopping, this part is for what waits; the rest is for the last batch and for closing.
_STOP_SHARE = 0.6


class Worker:
    """Delivers the journal to one sink on a thread of its own: at least once, in order, and without touching others.

    The methods may be called from any thread and do not block, but for `stop`.
    """

    def __init__(
        self,
        name: str,
        make_sink: Callable[[SinkContext], Sink],
        *,
        destination: str,
        fingerprint: str,
        journal: Journal,
        log: FilteringBoundLogger,
        backoff: Backoff | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`make_sink` makes a new sink for each attempt to open; `fingerprint` tells its configurations apart."""
        self.name = name
        self._make_sink = make_sink
        self.fingerprint = fingerprint
        self._journal = journal
        self._log = log
        self._backoff = backoff or Backoff()
        self._clock = clock or Clock()
        self._feed = Subscription(journal, name, destination, log)
        self._context = WorkerContext(self, journal, self._feed, log)
        self._status = SinkStatus()
        self._changed = threading.Condition()
        self._news = False
        self._stop_by: float | None = None
        self._jobs = Jobs(self._clock)
        self._resending = Redelivery(journal, name, log)
        self._failures = 0
        self._confirming = False
        self._left_behind = False
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)

    def start(self) -> None:
        """Begin to deliver, unless the destination ended this very configuration before."""
        reason = self._journal.ended(self.name, self.fingerprint)
        if reason is not None:
            self._log.warning("the destination ended this sink: it rests until its options change", reason=reason)
            self._status.state, self._status.error = "ended", reason
            return
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the journal."""
        with self._changed:
            self._news = True
            self._changed.notify()

    def request_snapshot(self, cause: Cause) -> None:
        """Send the snapshot, after the events there are now."""
        self._feed.request_snapshot(cause)
        self.wake()

    def request_replay(self, since: int | None) -> None:
        """Send the events after this one again, or the snapshot when it is `None` or they are no longer kept."""
        if since is None:
            self._feed.request_snapshot("notification")
        else:
            self._feed.request_replay(since)
        self.wake()

    def retry_dead_letters(self, number: int | None = None) -> None:
        """Send one dead letter again, or all there are now; what is delivered is one no longer."""
        self._resending.request(number)
        self.wake()

    def call(self, job: Callable[[], object], delay: float = 0.0) -> None:
        """Run a job on the sink's thread while the sink is open, between two batches, after `delay` seconds."""
        self._jobs.add(job, delay)
        with self._changed:
            self._changed.notify()

    def status(self) -> SinkStatus:
        """How it is doing now."""
        seq, behind = self._feed.seq, self._feed.behind
        return SinkStatus(**(self._status.__dict__ | {"seq": seq, "behind": behind}))

    def stop(self, timeout: float) -> bool:
        """Deliver what waits and close the sink, within so many seconds; say whether it has everything.

        Nothing is tried again, and a sink that hangs is left behind: the cursor says how far it came.
        """
        with self._changed:
            self._stop_by = self._clock.monotonic() + timeout * _STOP_SHARE
            self._changed.notify()
        if self._thread.ident is None:
            return True
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._left_behind = True
            self._status.state = "abandoned"
            self._log.error("the sink does not come to an end and is left behind", seconds=timeout)
            return False
        return self._feed.done

    def _run(self) -> None:
        """The thread: open, deliver, close."""
        sink = self._open()
        if sink is None:
            return
        try:
            while not self._is_over():
                self._rest(self._step(sink))
        finally:
            self._close(sink)

    def _open(self) -> Sink | None:
        """A sink that is open, however long it takes; `None` when the worker is to stop before."""
        while self._stop_by is None and self._status.state != "ended":
            self._status.state = "opening"
            sink = None
            try:
                sink = self._make_sink(self._context)
                sink.open()
                self._feed.begin(sink.cursor())
                self._status.dead_letters = self._journal.count_dead_letters(self.name)
            except Ended as error:
                self._end(error.reason)
                self._close(sink)
            except _ANYTHING as error:  # whatever a plugin raises is its sink's trouble alone
                pause = self._failed("the sink cannot be opened", error, getattr(error, "after", None))
                self._close(sink)
                self._rest(pause, jobs=False)
            else:
                self._failures, self._status.state, self._status.error = 0, "following", None
                self._status.next_attempt = None
                return sink
        return None

    def _is_over(self) -> bool:
        """Whether the thread is to end: for good, or because it is to stop and cannot, or need not, go on."""
        if self._status.state == "ended" or self._left_behind:
            return True
        if self._stop_by is None:
            return False
        return self._feed.done or self._failures > 0 or self._clock.monotonic() >= self._stop_by

    def _step(self, sink: Sink) -> float | None:
        """Send one batch; seconds until the next, `None` for when there is something new."""
        with self._changed:
            self._news = False
        try:
            if self._resending.send_next(sink):
                self._status.dead_letters -= 1
            batch = self._feed.next_batch(sink.batch_size)
        except _ANYTHING as error:
            return self._failed("the journal cannot be read", error)
        if not batch:
            self._status.state = "following"
            return 0.0 if self._resending else None
        self._status.state = "sending"
        return self._send(sink, batch)

    def _send(self, sink: Sink, batch: Sequence[Event]) -> float:
        """Publish a batch, and do what its outcome asks for; seconds until the next."""
        try:
            sink.publish(batch)
        except Retry as error:
            self._delivered(_before(batch, error.index))
            return self._failed("the destination asks for a retry", error, error.after)
        except Rejected as error:
            return self._rejected(batch, error)
        except Ended as error:
            self._delivered(_before(batch, error.index))
            self._end(error.reason)
        except _ANYTHING as error:  # the one place where a sink's failure is contained
            return self._failed("delivery failed", error)
        else:
            self._delivered(batch)
        return 0.0

    def _delivered(self, events: Sequence[Event]) -> None:
        if events:
            self._go_past(events)
            self._status.delivered += len(events)
            self._status.last_delivery = time.time()

    def _go_past(self, events: Sequence[Event]) -> None:
        """These events are settled: the cursor moves."""
        if self._left_behind:
            return  # Another worker may have the sink's cursor by now.
        self._feed.advance(events)
        if self._feed.unconfirmed and not self._confirming:
            self._confirm_later()
        self._failures = 0
        self._status.error = self._status.next_attempt = None

    def _confirm_later(self) -> None:
        self._confirming = True
        self._jobs.add(self._confirm_again, _CONFIRM_AGAIN_SECONDS)

    def _confirm_again(self) -> None:
        self._confirming = False
        if self._feed.unconfirmed:
            self._feed.confirm()
        if self._feed.unconfirmed:
            self._confirm_later()

    def _rejected(self, batch: Sequence[Event], error: Rejected) -> float:
        """Put the refused event to the dead letters and go on after it."""
        if not 0 <= error.index < len(batch):
            return self._failed(f"the sink rejected event {error.index} of {len(batch)}", error)
        self._delivered(batch[: error.index])
        event = batch[error.index]
        if self._left_behind:
            return 0.0
        try:
            self._journal.add_dead_letter(self.name, event, error.reason)
        except JournalError as trouble:
            return self._failed("a dead letter cannot be kept", trouble)
        self._log.warning("the destination refused an event: it is a dead letter", id=event.id, reason=error.reason)
        self._status.rejected += 1
        self._status.dead_letters += 1
        self._go_past([event])
        return 0.0

    def _failed(self, what: str, error: BaseException, after: float | None = None) -> float:
        """Log and count a failure; seconds until the next attempt."""
        self._failures += 1
        self._status.failures += 1
        pause = self._backoff.delay(self._failures) if after is None else min(max(after, 0.0), _LONGEST_WAIT)
        reason = f"{type(error).__name__}: {error}"
        self._status.state, self._status.error = "retrying", reason
        self._status.next_attempt = time.time() + pause
        # What a library or the system says is told in a line; anything else may be a fault of the plugin.
        trace = None if isinstance(error, (PublisherError, OSError)) else error
        self._log.warning(what, reason=reason, attempt=self._failures, retry_in=round(pause, 3), exc_info=trace)
        return pause

    def _end(self, reason: str) -> None:
        self._log.warning("the destination wants nothing more: the sink rests until its options change", reason=reason)
        self._status.state, self._status.error = "ended", reason
        try:
            self._journal.end(self.name, self.fingerprint, reason)
        except JournalError as error:
            self._log.warning("the sink will be tried again at the next start", reason=str(error))

    def _rest(self, pause: float | None, *, jobs: bool = True) -> None:
        """Wait so many seconds, or for something new when it is `None`; run the jobs that become due meanwhile."""
        until = None if pause is None else self._clock.monotonic() + pause
        while True:
            if jobs:
                self._run_jobs()
            with self._changed:
                now = self._clock.monotonic()
                if self._stop_by is not None or (self._news if until is None else now >= until):
                    return
                moments = [moment for moment in (until, self._jobs.next_due if jobs else None) if moment is not None]
                self._clock.wait(self._changed, max(0.0, min(moments) - now) if moments else None)

    def _run_jobs(self) -> None:
        for job in self._jobs.take_due():
            try:
                job()
            except _ANYTHING as error:
                self._status.failures += 1
                self._log.error("a job of the sink failed", reason=f"{type(error).__name__}: {error}", exc_info=error)

    def _close(self, sink: Sink | None) -> None:
        if sink is not None:
            try:
                sink.close()
            except _ANYTHING as error:
                self._log.warning("the sink did not close well", reason=f"{type(error).__name__}: {error}")
        if self._status.state not in ("ended", "abandoned", "retrying"):
            self._status.state = "stopped"


def _before(batch: Sequence[Event], index: int) -> Sequence[Event]:
    """The events that a sink says are safe; none when it says nonsense."""
    return batch[:index] if 0 <= index < len(batch) else []
