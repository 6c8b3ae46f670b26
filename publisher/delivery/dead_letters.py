"""Dead letters on their way once more, because somebody asked for it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ..journal.journal import Journal
from ..sink import Rejected, Sink

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class Redelivery:
    """Sends dead letters of one sink again, each once for each request. The worker's thread; `request` any thread."""

    def __init__(self, journal: Journal, sink: str, log: FilteringBoundLogger) -> None:
        self._journal = journal
        self._sink = sink
        self._log = log
        # The letters with numbers from the first to the second, bounds excluded and included.
        self._asked: deque[tuple[int, int]] = deque()

    def __bool__(self) -> bool:
        return bool(self._asked)

    def request(self, number: int | None) -> None:
        """Ask for one dead letter, or for all there are."""
        self._asked.append((0, 1 << 62) if number is None else (number - 1, number))

    def send_next(self, sink: Sink) -> bool:
        """Send the next one; whether it was delivered, and is no dead letter any more.

        One that is refused again stays. When the destination cannot be reached now, all that are left stay and wait
        to be asked for: newer events must not wait for old ones.
        """
        if not self._asked:
            return False
        after, until = self._asked.popleft()
        letter = self._journal.next_dead_letter(self._sink, after)
        if letter is None or letter.id > until:
            return False
        try:
            sink.publish([letter.event])
        except Rejected as error:
            self._log.warning("a dead letter was refused again", id=letter.event.id, reason=error.reason)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as in delivery: a sink's failure stays the sink's
            reason = f"{type(error).__name__}: {error}"
            self._log.warning("dead letters cannot be delivered now and stay", reason=reason)
            return False
        else:
            self._journal.remove_dead_letter(letter.id)
            self._asked.appendleft((letter.id, until))
            return True
        self._asked.appendleft((letter.id, until))
        return False
