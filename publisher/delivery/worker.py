"""The worker of a sink: opens it, sends it what the journal has for it, and tries again until it is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..errors import PluginError, described, text_of
from ..events import Event
from ..journal.journal import Journal
from ..journal.positions import NumberedResend, Resend, ResendDeadLetters, ResendEvents, ResendSnapshot
from ..journal.requests import Request
from ..sink import Log, Sink, SinkContext
from .activity import Activity
from .backoff import Backoff
from .calls import ANYTHING, Failed, Finished, Outcome, Refused, cursor_of, outcome_of, published, returns_nothing
from .context import Report, WorkerContext
from .dead_letters import Redelivery
from .inbox import Clock, Inbox
from .jobs import Jobs
from .progress import Progress
from .selection import Selection
from .status import SinkStatus
from .subscription import SinkSubscription
from .watched import WatchedDescriptor

# Of the time there is for stopping, this part is for what waits; the rest is for the last batch and for closing.
_STOP_SHARE = 0.6


@dataclass
class _Attempt:
    """One attempt to open: the sink that was made, or the reason why none is."""

    sink: Sink | None = None
    ended: str | None = None


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
        selection: Selection = Selection(),  # noqa: B008 - it is frozen
        backoff: Backoff | None = None,
        clock: Clock | None = None,
        mask: Callable[[str], str] = str,
        changed: Callable[[], object] = lambda: None,
        report: Report = dict,
    ) -> None:
        """`make_sink` makes a new sink for each attempt to open; `fingerprint` distinguishes its configurations.

        `selection` is the part of the journal that the sink gets. `mask` takes the sink's secrets out of texts that are
        shown or kept. `changed` is called on the sink's thread when the sink is open, and when the thread comes to its
        end. `report` returns the state of the service, on any thread.
        """
        self.name = name
        self.fingerprint = fingerprint
        self._make_sink = make_sink
        self._journal = journal
        self._log = log
        self._mask = mask
        self._clock = clock or Clock()
        self._changed = changed
        self._part = journal.sink(name, destination)
        self._takes_snapshots = selection.snapshot
        self._subscription = SinkSubscription(journal, self._part, log, selection, self._clock)
        self._redelivery = Redelivery(self._part, log, mask)
        self.inbox = Inbox(self._clock)
        """The crossing from other threads; the supervisor wakes it in turn with those of the others."""
        self._context = WorkerContext(name, journal, self._subscription, self.inbox, log, self._clock, report)
        self._progress = Progress(
            self._part, self._subscription, fingerprint, log, mask, backoff or Backoff(), self._clock.monotonic
        )
        self._status = self._progress.status
        self._activity = Activity(log, self._clock.monotonic)
        self._jobs = Jobs(self.inbox, self._activity, log, mask, self._clock)
        self._watched = WatchedDescriptor(self.inbox, self._jobs, log)
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)

    def start(self) -> None:
        """Begins to deliver, unless the destination ended this very configuration before."""
        self._thread.start()

    def answer(self, request: Request) -> tuple[str, Resend | None]:
        """Returns the answer to a request, for people, and the resend that it leads to. Raises JournalError."""
        if self._status.state == "ended":
            return f"sink {self.name!r} ended: {self._status.error}; it starts again when its options change", None
        if request.kind == "replay":
            if request.since is None and not self._takes_snapshots:
                return (
                    f"{self.name}: takes no snapshot (snapshot = false): name the event to begin after, with --since",
                    None,
                )
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
        self.inbox.resend(numbered)

    def dead_letters_changed(self) -> None:
        """Has the dead letters counted again: some were deleted. The core's thread."""
        if self.alive:
            self.inbox.call(self._count_dead_letters, 0.0)
        else:
            self._count_dead_letters()

    def status(self) -> SinkStatus:
        """Returns its state now. Any thread."""
        state = "abandoned" if self._abandoned else self._status.state
        error = self._activity.trouble or self._status.error or self._unreachable()
        seq, behind = self._subscription.seq, self._subscription.behind
        failures = self._status.failures + self._jobs.failures
        return replace(self._status, state=state, seq=seq, behind=behind, error=error, failures=failures)

    def _unreachable(self) -> str | None:
        reason = self._context.trouble
        return None if reason is None else self._mask(text_of(reason))

    @property
    def rest(self) -> int | None:
        """The number of the wait that the worker is in, None while it works: in one wait its status stays the same."""
        rests = self.inbox.rests
        return rests if self.inbox.is_resting else None

    def look(self) -> None:
        """Logs a call of the sink that does not return. The core's thread, once a second while the worker works."""
        self._activity.look()

    @property
    def node(self) -> str:
        """The host's name when the worker was made: its sink keeps that name."""
        return self._context.node

    @property
    def alive(self) -> bool:
        """True while its thread runs."""
        return self._thread.is_alive()

    def retire(self, seconds: float) -> None:
        """Asks the worker to deliver what waits and to close its sink, within so many seconds."""
        self.inbox.stop(self._clock.monotonic() + seconds * _STOP_SHARE)

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
        return self._is_ended or (self._subscription.done and self.inbox.empty)

    @property
    def _is_ended(self) -> bool:
        return self._status.state == "ended"

    def _run(self) -> None:
        """Opens, delivers and closes: the whole of the thread."""
        try:
            sink = self._open()
            if sink is None:
                return
            try:
                while not self._is_over():
                    self._rest(self._step(sink), sink)
            finally:
                self._close(sink)
        except BaseException as error:  # noqa: BLE001 - the last chance to say that this sink gets nothing any more
            self._status.error, self._status.state = f"internal error: {described(error)}", "failed"
            text = "stopped until the next start; this is a bug in publisher: please report it: %s"
            self._log.error(text, described(error), exc_info=error)
        finally:
            self._part.reading = None
            self.inbox.close()
            self._changed()

    def _open(self) -> Sink | None:
        """Returns a sink that is open, however long it takes; `None` when the worker is to stop before."""
        while self.inbox.stop_by is None and self._status.state != "ended":
            self._status.state = "opening"
            attempt = _Attempt()
            match outcome_of(lambda: self._begin(attempt), 1, "cannot be opened"):  # noqa: B023 - called at once
                case None if attempt.ended is not None:
                    self._log.warning("stays stopped until its options change: %s", attempt.ended)
                    self._status.error, self._status.state = attempt.ended, "ended"
                case None:
                    self._progress.works()
                    self._status.state = "following"
                    self._changed()
                    return attempt.sink
                case Finished(_, reason, durable):
                    self._progress.end(reason, durable=durable)
                    self._close(attempt.sink)
                case Refused(_, reason):
                    self._try_again(attempt.sink, "cannot be opened", PluginError(reason))
                case Failed(_, what, error, after):
                    self._try_again(attempt.sink, what, error, after)
        return None

    def _try_again(self, sink: Sink | None, what: str, error: BaseException, after: float | None = None) -> None:
        wait = self._progress.failed(what, error, after)
        self._close(sink)
        self._rest(wait)

    def _begin(self, attempt: _Attempt) -> None:
        """Opens a sink, and finds the place in the journal from which it goes on. Raises whatever the sink raises."""
        attempt.ended = self._part.ended(self.fingerprint)
        if attempt.ended is not None:
            return
        self._subscription.enter()
        self._context.unreachable(None)
        with self._activity.within("__init__"):
            attempt.sink = self._make_sink(self._context)
        with self._activity.within("open"):
            returns_nothing(attempt.sink.open)
        with self._activity.within("cursor"):
            own = cursor_of(attempt.sink)
        self._subscription.begin(own)
        self._redelivery.begin()
        self._count_dead_letters()

    def _count_dead_letters(self) -> None:
        self._status.dead_letters = self._part.count_dead_letters()

    def _is_over(self) -> bool:
        """Returns whether the thread is to end: for good, or because it is to stop and cannot, or need not, go on."""
        if self._is_ended or self._abandoned:
            return True
        if self.inbox.stop_by is None:
            return False
        return self.done or self._progress.troubles.failures > 0 or self._clock.monotonic() >= self.inbox.stop_by

    def _step(self, sink: Sink) -> float | None:
        """Sends one batch; returns the seconds until the next, `None` for when there is something new."""
        for resend in self.inbox.take():
            self._subscription.resend(resend)
            self._redelivery.request(resend)
        try:
            if self._progress.astray:
                self._locate(sink)
        except ANYTHING as error:
            return self._progress.failed("the destination cannot be asked for its last event", error)
        try:
            if self._redelivery.send_next(lambda events: self._publish(sink, events)):
                self._status.dead_letters -= 1
            batch = self._subscription.next_batch(_batch_size(sink), at_once=self.inbox.stop_by is not None)
        except ANYTHING as error:
            return self._progress.failed("cannot use the journal", error)
        if batch:
            self._status.state = "sending"
            pause = self._progress.settle(batch, self._publish(sink, batch))
            # When it has all, what the journal takes from now on is news: there is no need to look for more.
            if pause or self._is_ended or not self._subscription.done:
                return pause
        self._status.state = "following"
        return 0.0 if self._redelivery else self._subscription.pause

    def _locate(self, sink: Sink) -> None:
        """Goes on where the destination says that it is: after a failure it may have lost events, or have more."""
        if type(sink).cursor is not Sink.cursor:
            with self._activity.within("cursor"):
                self._subscription.go_to(cursor_of(sink))
        self._progress.astray = False

    def _publish(self, sink: Sink, events: Sequence[Event]) -> Outcome:
        with self._activity.within("publish"):
            return published(sink, events)

    def _rest(self, seconds: float | None, sink: Sink | None = None) -> None:
        """Waits so many seconds, or for news when it is `None`; an open sink has its jobs and its descriptor."""
        until = None if seconds is None else self._clock.monotonic() + seconds
        while True:
            if sink is None:
                waited = self.inbox.wait(until, jobs=False)
            else:
                self._jobs.run(waiting=seconds == 0.0)
                descriptor = None if seconds == 0.0 else self._watched.of(sink)
                waited = self.inbox.wait(until, jobs=True, descriptor=descriptor)
                if waited in ("readable", "closed"):
                    self._watched.found(sink, waited)
            if waited == "over":
                return

    def _close(self, sink: Sink | None) -> None:
        if sink is not None:
            try:
                with self._activity.within("close"):
                    returns_nothing(sink.close)
            except ANYTHING as error:
                self._log.warning("could not be closed: %s", self._mask(described(error)))
        if self._status.state not in ("ended", "retrying"):
            self._status.state = "stopped"


def _batch_size(sink: Sink) -> int:
    size: object = sink.batch_size
    return max(1, size) if isinstance(size, int) else Sink.batch_size
