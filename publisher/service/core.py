"""The core: brings a source's updates through the filter and the table into the journal, and wakes the workers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from operator import attrgetter

from ..delivery.supervisor import Supervisor
from ..errors import JournalDamagedError, JournalError
from ..events import Interface
from ..journal.journal import Journal
from ..sink import Log
from ..sources import Source, Update
from ..table import Stamp, Table
from ..watcher import InterfaceFilter, step

# How often a journal that takes nothing is tried again.
_TRY_SECONDS = 1.0


_SILENT = attrgetter("carrier_transitions", "last_change", "last_link_speed", "best_link_speed")


class Core:
    """The table over the journal. One thread, that of the service, calls everything; others read the attributes.

    While the disk takes nothing, updates are dropped, in no memory at all. When the journal can be written again, the
    table goes on from the journal's rows, and a resync with cause `overrun` is requested, as after any loss.
    """

    def __init__(
        self, journal: Journal, source: Source, supervisor: Supervisor, interfaces: InterfaceFilter, log: Log
    ) -> None:
        self.interfaces = interfaces
        self.trouble: str | None = None
        """Why the journal takes nothing; `None` while it does."""
        self.dropped = 0
        """The number of updates that came while the journal took nothing."""
        self._journal = journal
        self._source = source
        self._supervisor = supervisor
        self._log = log
        self._table = self._table_of_journal()
        self._try_at = 0.0
        self._told = 0

    def begin(self, updates: Sequence[Update]) -> None:
        """Applies the source's first list: the baseline of a new epoch, else the changes since the last run.

        Members of interfaces that make no event are written, too: the next start counts the transitions of the carrier
        from them. Raises JournalError.
        """
        before = {row.key: row.interface for row in self._table.rows}
        events, _ = step(updates[:1], self._table, self.interfaces)
        if not self._journal.known:
            self._journal.replace_rows(self._table.rows)
        self._journal.append(events)
        told = {event.key for event in events}
        self._journal.put_rows(
            [row for row in self._table.rows if row.key not in told and _differ(before.get(row.key), row.interface)]
        )
        self.apply(updates[1:])

    def apply(self, updates: Sequence[Update]) -> None:
        """Writes the events of a list of updates, in one transaction; raises JournalDamagedError."""
        if not updates:
            return
        if self.trouble is not None:
            self.dropped += len(updates)
            return
        events, overrun = step(updates, self._table, self.interfaces)
        newest = events[-1].seq if events else self._journal.seq
        try:
            marks = self._journal.append(events, self._supervisor.snapshots_after_loss(newest) if overrun else {})
        except JournalError as error:
            self.dropped += len(updates)
            self._supervisor.wake()  # of a long list, the first events may have been written
            self.degrade(error)
            return
        for sink, mark in marks.items():
            self._supervisor.resend(sink, mark)
        if events:
            self._supervisor.wake()

    def rename(self, node: str) -> None:
        """Gives this host another name in every event from now on; `seq` goes on.

        Raises JournalError, and nothing is changed then. The supervisor's next change replaces every worker.
        """
        if self.trouble is not None:
            raise JournalError(self.trouble)
        self._journal.rename(node, self._supervisor.names)
        self._table.stamp.node = node

    def degrade(self, error: JournalError) -> None:
        """Notes that the journal takes nothing. Raises damage: only a new start can set the file aside."""
        if isinstance(error, JournalDamagedError):
            raise error
        if self.trouble is None:
            self._log.error("the journal takes nothing, and changes are lost until it does: %s", error)
            self._journal.note_stuck(stuck=True)
        self.trouble = str(error)
        self._try_at = time.monotonic() + _TRY_SECONDS

    def recover(self) -> None:
        """Tries the journal again, once a second, and has everything read anew when it can be written."""
        if self.trouble is None or time.monotonic() < self._try_at:
            return
        try:
            self._journal.probe()
            self._table = self._table_of_journal()
        except JournalError as error:
            self.degrade(error)
            return
        self.trouble = None
        self._journal.note_stuck(stuck=False)
        lost, self._told = self.dropped - self._told, self.dropped
        text = "the journal can be written again; %d updates were lost, and all interfaces are read anew"
        self._log.warning(text, lost)
        self._source.resync("overrun")

    def _table_of_journal(self) -> Table:
        journal = self._journal
        return Table(journal.rows(), Stamp(journal.node, journal.epoch, journal.seq))


def _differ(before: Interface | None, after: Interface) -> bool:
    return before is not None and _SILENT(before) != _SILENT(after)
