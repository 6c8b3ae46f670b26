"""Redelivery of dead letters on request."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from ..errors import JournalDamagedError, described
from ..events import Event
from ..journal.positions import NumberedResend, ResendDeadLetters
from ..journal.sink_journal import SinkJournal
from ..sink import Log
from .calls import Failed, Finished, Outcome, Refused


class Redelivery:
    """Sends dead letters of one sink again, each once for each request. The sink's thread."""

    def __init__(self, part: SinkJournal, log: Log, mask: Callable[[str], str] = str) -> None:
        self._part = part
        self._log = log
        self._mask = mask
        self._requests: deque[tuple[int, ResendDeadLetters]] = deque()
        self._newest = 0

    def __bool__(self) -> bool:
        return bool(self._requests)

    def begin(self) -> None:
        """Goes on with the requests that a stop left unfinished; raises JournalError."""
        for resend in self._part.resends():
            self.request(resend)

    def request(self, numbered: NumberedResend) -> None:
        """Takes a request for dead letters; one that the journal already handed over is ignored."""
        number, resend = numbered
        if isinstance(resend, ResendDeadLetters) and number > self._newest:
            self._newest = number
            self._requests.append((number, resend))

    def send_next(self, send: Callable[[Sequence[Event]], Outcome]) -> bool:
        """Sends the next one; returns whether it was delivered, and is no dead letter any more.

        One that is refused again stays. When the destination cannot be reached now, all that are left stay and wait
        to be requested: newer events must not wait for old ones. Raises JournalError.
        """
        if not self._requests:
            return False
        number, wanted = self._requests[0]
        try:
            letter = self._part.next_dead_letter(wanted.after)
        except JournalDamagedError as error:
            self._log.error("dead letters cannot be read and stay: %s", error)
            self._finish(number)
            return False
        if letter is None or letter.id > wanted.until:
            self._finish(number)
            return False
        self._requests[0] = number, ResendDeadLetters(letter.id, wanted.until)
        match send([letter.event]):
            case None:
                self._part.remove_dead_letter(letter.id)
                return True
            case Refused(_, reason):
                self._log.warning("dead letter %d was refused again: %s", letter.id, self._mask(reason))
            case Failed(_, _, trouble):
                self._stay(number, described(trouble))
            case Finished(reason=reason):
                self._stay(number, reason)
        return False

    def _stay(self, number: int, reason: str) -> None:
        text = "dead letters cannot be delivered now and stay; request them again later: %s"
        self._log.warning(text, self._mask(reason))
        self._finish(number)

    def _finish(self, number: int) -> None:
        self._requests.popleft()
        self._part.settle(number)
