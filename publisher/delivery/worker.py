"""The worker of a sink: opens it, sends it what the journal has for it, and tries again until it is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import JournalError, PublisherError
from ..events import Event
from ..journal.journal import Journal
from ..journal.positions import NumberedResend, Resend, ResendDeadLetters, ResendEvents, ResendSnapshot
from ..journal.requests import Request
from ..sink import Ended, Log, Rejected, Retry, Sink, SinkContext
from .backoff import Backoff
from .context import WorkerContext
from .dead_letters import Redelivery
from .inbox import Clock, Inbox
from .status import SinkStatus
from .subscription import Subscription

# What a sink may raise without ending its worker unseen: SystemExit, CancelledError of asyncio and a panic of a Rust
# library are no Exception. KeyboardInterrupt is raised in the main thread only.
_ANYTHING = BaseException
# Retry-After may have any value; a day is as long as a destination is left alone.
_LONGEST_WAIT = 86_400.0
# Of the time there is for stopping, this part is for what waits; the rest is for the last batch and for closing.
_STOP_SHARE = 0.6


class Worker:
    """Delivers the journal to one sink on a thread of its own: at least once, in order, and without touching others.

    The sink's thread owns the sink, its subscription and its position. The core's thread calls the public methods; they
    do not block, but for `join` and `stop`.
    """

    def __init__(
        self,
        name: str,
        make_sink: Callable[[SinkContext], Sink],
        *,
        destination: str,
        fingerprint: str,
        journal: Journal,
        log: Log,
        backoff: Backoff | None = None,
        clock: Clock | None = None,
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        """`make_sink` makes a new sink for each attempt to open; `fingerprint` distinguishes its configurations.

        `ended` is called on the sink's thread when that comes to its end.
        """
        self.name = name
        self.fingerprint = fingerprint
        self._make_sink = make_sink
        self._journal = journal
        self._log = log
        self._backoff = backoff or Backoff()
        self._clock = clock or Clock()
        self._ended = ended
        self._part = journal.sink(name, destination)
        self._subscription = Subscription(journal, self._part, log)
        self._redelivery = Redelivery(self._part, log)
        self._inbox = Inbox(self._clock)
        self._context = WorkerContext(name, journal, self._subscription, self._inbox, log)
        self._status = SinkStatus()
        self._failures = 0
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)

    def start(self) -> None:
        """Begins to deliver, unless the destination ended this very configuration before."""
        self._thread.start()

    def wake(self) -> None:
        """Wakes the worker: the journal has something new."""
        self._inbox.wake()

    def answer(self, request: Request) -> tuple[str, Resend | None]:
        """Returns the answer to a request, for people, and the resend that it leads to. Raises JournalError."""
        if self._status.state == "ended":
            return f"sink {self.name!r} ended: {self._status.error}; it starts again when its options change", None
        if request.kind == "replay":
            if request.since is None:
                again = ResendSnapshot("notification", self._journal.seq)
                return f"{self.name}: the snapshot is being sent again", again
            return f"{self.name}: the events after {request.since} are being sent again", ResendEvents(request.since)
        newest = self._journal.newest_dead_letter(self.name)
        wanted = ResendDeadLetters(0, newest)
        if request.dead_letter is not None:
            wanted = ResendDeadLetters(request.dead_letter - 1, min(newest, request.dead_letter))
        if wanted.after >= wanted.until:
            return f"{self.name}: no such dead letters", None
        return f"{self.name}: dead letters are being sent again", wanted

    def resend(self, numbered: NumberedResend) -> None:
        """Hands over a resend that the journal holds."""
        self._inbox.resend(numbered)

    def status(self) -> SinkStatus:
        """Returns its state now. Any thread."""
        state = "abandoned" if self._abandoned else self._status.state
        return replace(self._status, state=state, seq=self._subscription.seq, behind=self._subscription.behind)

    @property
    def alive(self) -> bool:
        """True while its thread runs."""
        return self._thread.is_alive()

    def retire(self, seconds: float) -> None:
        """Asks the worker to deliver what waits and to close its sink, within so many seconds."""
        self._inbox.stop(self._clock.monotonic() + seconds * _STOP_SHARE)

    def leave(self) -> None:
        """Ends what the worker may report: after its thread ended, or because it did not in time."""
        self._journal.revoke(self._part)
        if self.alive:
            self._abandoned = True
            self._log.error("did not stop in time and is abandoned; its position is kept")

    def join(self, seconds: float) -> None:
        """Waits for its thread, at most so many seconds."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def stop(self, seconds: float) -> bool:
        """Retires the worker and waits for it; returns whether the sink has everything.

        Nothing is tried again, and a sink that hangs is abandoned: its position is that of its last confirmed event.
        """
        self.retire(seconds)
        self.join(seconds)
        done = not self.alive and self.done
        self.leave()
        return done

    @property
    def done(self) -> bool:
        """True if the sink has everything, or takes nothing more."""
        return self._status.state == "ended" or (self._subscription.done and self._inbox.empty)

    def _run(self) -> None:
        """Opens, delivers and closes: the whole of the thread."""
        try:
            sink = self._open()
            if sink is None:
                return
            try:
                while not self._is_over():
                    self._rest(self._step(sink))
            finally:
                self._close(sink)
        except BaseException as error:
            self._status.error = f"internal error: {type(error).__name__}: {error}"
            raise
        finally:
            self._part.reading = None
            self._ended()

    def _open(self) -> Sink | None:
        """Returns a sink that is open, however long it takes; `None` when the worker is to stop before."""
        while self._inbox.stop_by is None and self._status.state != "ended":
            self._status.state = "opening"
            sink = None
            try:
                if reason := self._part.ended(self.fingerprint):
                    self._log.warning("stays stopped until its options change: %s", reason)
                    self._status.error, self._status.state = reason, "ended"
                    return None
                sink = self._make_sink(self._context)
                sink.open()
                self._subscription.begin(sink.cursor())
                self._redelivery.begin()
                self._status.dead_letters = self._part.count_dead_letters()
            except Ended as error:
                self._end(error)
                self._close(sink)
            except _ANYTHING as error:  # whatever a plugin raises concerns its own sink only
                pause = self._failed("cannot be opened", error, getattr(error, "after", None))
                self._close(sink)
                self._rest(pause, jobs=False)
            else:
                self._failures = 0
                self._status.state, self._status.error, self._status.next_attempt = "following", None, None
                return sink
        return None

    def _is_over(self) -> bool:
        """Returns whether the thread is to end: for good, or because it is to stop and cannot, or need not, go on."""
        if self._status.state == "ended" or self._abandoned:
            return True
        if self._inbox.stop_by is None:
            return False
        return self.done or self._failures > 0 or self._clock.monotonic() >= self._inbox.stop_by

    def _step(self, sink: Sink) -> float | None:
        """Sends one batch; returns the seconds until the next, `None` for when there is something new."""
        for resend in self._inbox.take():
            self._subscription.resend(resend)
            self._redelivery.request(resend)
        try:
            if self._redelivery.send_next(sink):
                self._status.dead_letters -= 1
            batch = self._subscription.next_batch(max(1, sink.batch_size))
        except _ANYTHING as error:
            return self._failed("cannot read the journal", error)
        if not batch:
            self._status.state = "following"
            return 0.0 if self._redelivery else None
        self._status.state = "sending"
        return self._send(sink, batch)

    def _send(self, sink: Sink, batch: Sequence[Event]) -> float:
        """Publishes a batch, and does what its outcome requires; returns the seconds until the next."""
        try:
            sink.publish(batch)
        except Retry as error:
            self._delivered(_before(batch, error.index))
            return self._failed("the destination asks to try again", error, error.after)
        except Rejected as error:
            return self._rejected(batch, error)
        except Ended as error:
            self._delivered(_before(batch, error.index))
            self._end(error)
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
        """Moves the position: these events are settled."""
        self._subscription.advance(events)
        self._failures = 0
        self._status.error = self._status.next_attempt = None

    def _rejected(self, batch: Sequence[Event], error: Rejected) -> float:
        """Puts the refused event into the dead letters and goes on after it."""
        if not 0 <= error.index < len(batch):
            return self._failed(f"the sink rejected event {error.index} of a batch of {len(batch)}", error)
        self._delivered(batch[: error.index])
        event = batch[error.index]
        try:
            self._part.add_dead_letter(event, error.reason)
        except JournalError as trouble:
            return self._failed("cannot keep a dead letter", trouble)
        self._log.warning("event %s was refused and is a dead letter: %s", event.id, error.reason)
        self._status.rejected += 1
        self._status.dead_letters += 1
        self._go_past([event])
        return 0.0

    def _failed(self, what: str, error: BaseException, after: float | None = None) -> float:
        """Logs and counts a failure; returns the seconds until the next attempt."""
        self._failures += 1
        self._status.failures += 1
        self._part.reading = None
        pause = self._backoff.delay(self._failures) if after is None else min(max(after, 0.0), _LONGEST_WAIT)
        reason = f"{type(error).__name__}: {error}"
        self._status.state, self._status.error = "retrying", reason
        self._status.next_attempt = time.time() + pause
        # What a library or the system reports is logged in a line; anything else may be a fault of the plugin.
        trace = None if isinstance(error, (PublisherError, OSError)) else error
        text = "%s (attempt %d, next in %.1f s): %s"
        self._log.warning(text, what, self._failures, pause, reason, exc_info=trace)
        return pause

    def _end(self, error: Ended) -> None:
        until = "its options change" if error.durable else "the next start"
        self._log.warning("stopped until %s: %s", until, error.reason)
        self._status.error, self._status.state = error.reason, "ended"
        if error.durable:
            self._part.end(self.fingerprint, error.reason)

    def _rest(self, pause: float | None, *, jobs: bool = True) -> None:
        """Waits so many seconds, or for news when it is `None`; runs the jobs that become due meanwhile."""
        until = None if pause is None else self._clock.monotonic() + pause
        while True:
            if jobs:
                self._run_jobs()
            if self._inbox.wait(until, jobs=jobs):
                return

    def _run_jobs(self) -> None:
        for job in self._inbox.take_jobs():
            try:
                job()
            except _ANYTHING as error:
                self._status.failures += 1
                reason = f"{type(error).__name__}: {error}"
                self._log.error("a job failed: %s", reason, exc_info=error)

    def _close(self, sink: Sink | None) -> None:
        if sink is not None:
            try:
                sink.close()
            except _ANYTHING as error:
                self._log.warning("could not be closed: %s: %s", type(error).__name__, error)
        if self._status.state not in ("ended", "retrying"):
            self._status.state = "stopped"


def _before(batch: Sequence[Event], index: int) -> Sequence[Event]:
    """Returns the events that a sink reports as safe; none when the index is out of range."""
    return batch[:index] if 0 <= index < len(batch) else []
