"""Brings updates into the journal, and keeps what fits in memory while the disk does not take them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import JournalDamagedError, JournalError
from ..journal.journal import Journal
from ..sources import Resync, Update
from ..table import Stamp, Table
from ..watcher import Step, Watcher

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class Recorder:
    """Updates on their way to the journal: `take` by the thread that follows the source, `write` by one other.

    At most `limit` events wait while the journal cannot be written. Beyond that they are dropped and counted, and
    when it can be written again a resync with cause `overrun` brings it to the rows as they are then. An event has
    no reader before it is written, so a dropped one's number is given anew.
    """

    def __init__(self, journal: Journal, watcher: Watcher, log: FilteringBoundLogger, limit: int = 50_000) -> None:
        self.dropped = 0
        self.trouble: str | None = None
        self._journal = journal
        self._watcher = watcher
        self._log = log
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: list[Step] = []
        self._size = 0
        self._lost = False

    def begin(self, first: Update) -> None:
        """Write the source's first update: the baseline of a new epoch, else what changed while nobody watched."""
        step = self._watcher.step([first])
        if not self._journal.known:
            self._journal.replace_rows(self._watcher.table.rows)
        elif step.events:
            self._journal.append(step.events)

    def take(self, updates: Iterable[Update]) -> None:
        """Bring updates into the table, and its events among those that wait."""
        with self._lock:
            step = self._watcher.step(updates)
            self._waiting.append(step)
            self._size += len(step.events)
            self._bound()

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return self._size

    def write(self) -> tuple[bool, bool]:
        """Write what waits; say whether there is something new in the journal, and whether something was lost.

        Raises JournalDamagedError; that the journal cannot be written is told by `trouble`.
        """
        with self._lock:
            steps, self._waiting, self._size = self._waiting, [], 0
        events = [event for step in steps for event in step.events]
        try:
            if events:
                self._journal.append(events)
            healed = self._heal()
        except JournalDamagedError:
            # Keeping events would not help: the next start sets the file aside and begins anew.
            raise
        except JournalError as error:
            # It may be the healing that failed, after the events were written.
            written = bool(events) and self._journal.seq >= events[-1].seq
            self._put_back([] if written else steps)
            self._degraded(str(error))
            return written, False
        self._recovered()
        return bool(events) or healed, healed or any(step.overrun for step in steps)

    def _heal(self) -> bool:
        """After a loss: bring the journal to the table's rows, by a table that knows what the journal knows."""
        if not self._lost:
            return False
        with self._lock:
            old = self._watcher.table.stamp
            stamp = Stamp(old.node, old.epoch, self._journal.seq, old.clock)
            table = Table(self._journal.rows(), stamp)
            events = table.apply(Resync(tuple(self._watcher.table.rows), "overrun"))
            if events:
                self._journal.append(events)
            self._watcher.table = table
            self._waiting, self._size, self._lost = [], 0, False
        return True

    def _put_back(self, steps: list[Step]) -> None:
        with self._lock:
            self._waiting = steps + self._waiting
            self._size += sum(len(step.events) for step in steps)
            self._bound()

    def _bound(self) -> None:
        """Drop what waits when it is too much, or when earlier events are lost already."""
        if self._lost or self._size > self._limit:
            self.dropped += self._size
            self._waiting, self._size, self._lost = [], 0, True

    def _degraded(self, reason: str) -> None:
        if self.trouble is None:
            self._log.error("the journal cannot be written: events are kept in memory", reason=reason)
        self.trouble = reason

    def _recovered(self) -> None:
        if self.trouble is not None:
            self._log.warning("the journal can be written again", dropped=self.dropped)
        self.trouble = None
