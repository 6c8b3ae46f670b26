"""The progress of a sink: its position, dead letters and status, as the outcomes of its deliveries leave them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..errors import JournalError
from ..events import Event
from ..journal.dead_letters import KEPT
from ..journal.sink_journal import SinkJournal
from ..sink import Log
from .backoff import Backoff, pause
from .calls import Failed, Finished, Outcome, Refused
from .status import SinkStatus
from .subscription import SinkSubscription
from .trouble import Troubles


class Progress:
    """Settles outcomes. The sink's thread; `status` may be read by any."""

    def __init__(
        self,
        part: SinkJournal,
        subscription: SinkSubscription,
        fingerprint: str,
        log: Log,
        mask: Callable[[str], str],
        backoff: Backoff,
        monotonic: Callable[[], float],
    ) -> None:
        self.status = SinkStatus()
        self.troubles = Troubles(log, mask, monotonic)
        self.astray = False
        """Whether the destination is to be asked for its last event before the next attempt."""
        self._part = part
        self._subscription = subscription
        self._fingerprint = fingerprint
        self._log = log
        self._mask = mask
        self._backoff = backoff

    def settle(self, batch: Sequence[Event], outcome: Outcome) -> float:
        """Does what the outcome of a batch requires; returns the seconds until the next."""
        match outcome:
            case Failed(safe, what, error, after):
                self._delivered(batch[:safe])
                return self.failed(what, error, after)
            case Refused(index, reason):
                return self._refused(batch, index, self._mask(reason))
            case Finished(safe, reason, durable):
                self._delivered(batch[:safe])
                self.end(reason, durable=durable)
            case None:
                self._delivered(batch)
        return 0.0

    def _delivered(self, events: Sequence[Event]) -> None:
        if events:
            self._go_past(events)
            self.status.delivered += len(events)
            self.status.last_delivery = time.time()

    def _go_past(self, events: Sequence[Event]) -> None:
        """Moves the position: these events are settled."""
        self._subscription.advance(events)
        self.works()

    def works(self) -> None:
        self.troubles.over()
        self.status.error = self.status.next_attempt = None

    def _refused(self, batch: Sequence[Event], index: int, reason: str) -> float:
        """Puts the refused event into the dead letters and goes on after it."""
        self._delivered(batch[:index])
        event = batch[index]
        try:
            self._part.add_dead_letter(event, reason)
        except JournalError as trouble:
            return self.failed("cannot keep a dead letter", trouble)
        self.status.rejected += 1
        self._log_refused(event, reason)
        self._count_dead_letter()
        self._go_past([event])
        return 0.0

    def _log_refused(self, event: Event, reason: str) -> None:
        """Logs a warning for the first and each tenth, hundredth, thousandth, ... event; all are dead letters."""
        count = self.status.rejected
        log = self._log.warning if str(count).strip("0") == "1" else self._log.debug
        log("event %s was refused and is a dead letter, number %d since the start: %s", event.id, count, reason)

    def _count_dead_letter(self) -> None:
        status = self.status
        if status.dead_letters < KEPT:
            status.dead_letters += 1
            return
        if not status.dead_letters_dropped:
            text = "only the newest %d dead letters are kept, and older ones are dropped from now on"
            self._log.warning(text, KEPT)
        status.dead_letters_dropped += 1

    def failed(self, what: str, error: BaseException, after: float | None = None) -> float:
        """Logs and counts a failure; returns the seconds until the next attempt."""
        text = self.troubles.add(error)
        self.status.failures += 1
        self._part.reading = None
        self.astray = True
        wait = pause(self._backoff.delay(self.troubles.failures), after)
        self.status.state, self.status.error = "retrying", text
        self.status.next_attempt = time.time() + wait
        self.troubles.report(what, error, text, wait)
        return wait

    def end(self, reason: str, *, durable: bool) -> None:
        until = "its options change" if durable else "the next start"
        reason = self._mask(reason)
        self._log.warning("stopped until %s: %s", until, reason)
        self.status.error, self.status.state = reason, "ended"
        if durable:
            self._part.end(self._fingerprint, reason)
