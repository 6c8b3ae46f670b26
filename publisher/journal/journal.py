"""The durable log: events, the rows they lead to, LUIDs, and how far each sink has come."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import MappingProxyType

from ..errors import JournalDamagedError, JournalError
from ..events import Cause, Event, IpInterface, LostEvents, Moment, SnapshotEvents
from ..table import now
from .beginning import Begun, begin, boot_word, claim, new_file, open_file
from .dead_letters import DeadLetter, delete_dead_letters, select_dead_letters
from .event_log import EventLog
from .file import JournalFile, Synchronous, put_meta
from .history import JournalHistory, Seen
from .lock import JournalLock, real_path
from .luid_store import JournalLuids
from .luids import select_luids
from .mark import JournalMark, MarkFile, State
from .places import PlaceRegister
from .positions import NumberedResend, Resend, ResendSnapshot, insert_resend, resend_to_all
from .recognition import refuse_special
from .requests import RequestQueue
from .rows import decoded_row, read_rows
from .sink_journal import PendingWrites, SinkJournal

_LOG = logging.getLogger("publisher.journal")


class Journal:
    """Events in the order of `seq`, in one SQLite file that one publisher holds at a time.

    The core's thread opens, writes and closes it. Any thread reads, and gets what was committed last. Every method
    that touches the file raises JournalError when that fails, JournalDamagedError when the file is invalid.
    """

    def __init__(
        self, file: JournalFile, lock: JournalLock, mark: MarkFile, begun: Begun, *, max_events: int, max_bytes: int
    ) -> None:
        """Called by `open` only."""
        self.path = file.path
        self.node = begun.node
        self.epoch = begun.epoch
        self.set_aside = begun.set_aside
        """The new path of a damaged journal that was found at opening."""
        self.new_epoch_reason = begun.reason
        """Why a new epoch began at opening; `None` when the journal goes on."""
        self.luids = JournalLuids(file)
        self.places = PlaceRegister(file)
        self._file = file
        self._lock = lock
        self._mark = mark
        self._pending = PendingWrites()
        self.requests = RequestQueue(file, self._pending)
        self._sinks: list[SinkJournal] = []
        self.events = EventLog(file, begun.epoch, max_events, max_bytes, self._unread, mark.advance)
        """The events and rows, for those that follow them."""
        # The rows as they were read at opening, to look for damage: they are used once after opening.
        self._first_rows: list[IpInterface] | None = begun.rows
        self._closed = False

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        node: str,
        max_events: int = 100_000,
        max_bytes: int = 64 << 20,
        synchronous: Synchronous = "normal",
    ) -> Journal:
        """Returns the journal of this path, made if need be, with its directory; only its owner may read it.

        A damaged one is set aside and a new one begun; an older one is migrated. Raises JournalInUseError when another
        publisher has it, and JournalError when it cannot be made or written, is of a newer version, or is no journal:
        then nothing was changed.
        """
        with suppress(OSError):  # recognised as a whole below; here under the name that the user gave
            refuse_special(path)
        path = real_path(path)
        lock, mark = JournalLock(path), MarkFile(path)
        with ExitStack() as undo:
            undo.callback(mark.release)
            undo.callback(lock.release)
            left = claim(path, lock, mark)

            def use(file: JournalFile, aside: Path | None) -> tuple[JournalFile, Begun]:
                return file, begin(file, node, left, aside)

            opened = new_file if left.damaged else open_file
            file, begun = opened(path, synchronous, lock, use)
            undo.callback(file.close)
            journal = cls(file, lock, mark, begun, max_events=max_events, max_bytes=max_bytes)
            mark.write(JournalMark("open", begun.epoch, journal.seq, boot_word(), lock.changed), durably=True)
            undo.pop_all()
        return journal

    @property
    def seq(self) -> int:
        """The newest event's seq; 0 when a new epoch has none yet."""
        return self.events.seq

    @property
    def known(self) -> bool:
        """True once the rows were known; until then there is no snapshot to send."""
        return self.events.known

    def rows(self) -> list[IpInterface] | None:
        """Returns the rows as the newest event left them, sorted; `None` when nothing was ever known."""
        if not self.known:
            return None
        rows, self._first_rows = self._first_rows, None
        return read_rows(self._file) if rows is None else rows

    def replace_rows(self, rows: Iterable[IpInterface]) -> None:
        """Makes these the rows: the baseline of a new epoch. The core's thread."""
        self.events.replace_rows(rows)
        self._first_rows = None

    def put_rows(self, rows: Sequence[IpInterface]) -> None:
        """Writes rows that changed without an event, if there are any. The core's thread."""
        if rows:
            self.events.put_rows(rows)
            self._first_rows = None

    def rename(self, node: str, sinks: Iterable[str]) -> None:
        """Gives this host another name, which it has in the snapshots from now on. The core's thread.

        These sinks, and all that have a position, get the snapshot after the newest event: under another name this host
        is new to every subscriber. Raises JournalError, and nothing is changed then.
        """
        self.commit()
        with self._file.writing() as connection:
            put_meta(connection, node=node)
            resend_to_all(connection, ResendSnapshot("notification", self.seq), sinks)
        self.node = node

    def append(
        self, events: Sequence[Event], resends: Mapping[str, Resend] = MappingProxyType({})
    ) -> dict[str, NumberedResend]:
        """Writes events, the rows they lead to, resends by sink, and what the sinks reported: all or none of it.

        Events must be of this epoch and follow the newest one. Returns the resends with their numbers. The core's
        thread. Raises JournalError when it could not be written, and nothing is changed then.
        """
        kept: dict[str, NumberedResend] = {}

        def keep(connection: sqlite3.Connection) -> None:
            kept.update({sink: insert_resend(connection, sink, resend) for sink, resend in resends.items()})

        with self._pending.taken() as writes:
            self.events.append(events, (*writes, keep) if resends else writes)
        if events:
            self._first_rows = None
        return kept

    def commit(self) -> None:
        """Writes what the sinks reported. The core's thread. Raises JournalError."""
        self._look_around()
        if not self._pending.empty:
            self.append(())
        self.events.give_back()

    def note_stuck(self, *, stuck: bool) -> None:
        """Notes beside the journal that it takes nothing, for the command line: the status in it is old then."""
        self._mark.note("stuck" if stuck else "open")

    def probe(self) -> None:
        """Writes something, to see whether the disk takes it. The core's thread. Raises JournalError."""
        self._look_around()
        with self._file.hurried(), self._pending.taken() as writes:
            self.events.append((), (*writes, lambda connection: put_meta(connection, clean="0")))

    def snapshot(
        self,
        cause: Cause = "notification",
        lost: int | None = None,
        only: Callable[[IpInterface], bool] | None = None,
    ) -> SnapshotEvents[bytes]:
        """Returns the rows as `initial_notification` events, position 0 first, as of the newest event.

        `lost` is the first event that it makes up for, up to its own `seq`; position 0 says so. Rows for which `only`
        returns False are left out.
        """
        seq, rows = self.events.rows()
        if only is not None:
            return self._snapshot(seq, cause, [row for row in rows if only(decoded_row(row))], lost)
        return self._snapshot(seq, cause, rows, lost)

    def mark_of_loss(self, seq: int, lost: int | None) -> SnapshotEvents[bytes]:
        """Returns a snapshot of no rows as of this event, for a sink that takes none: its position 0 says of a loss."""
        return self._snapshot(seq, "overrun", [], lost)

    def _snapshot(self, seq: int, cause: Cause, rows: list[bytes], lost: int | None) -> SnapshotEvents[bytes]:
        gap = None if lost is None else LostEvents(first=lost, last=max(lost, seq))
        return SnapshotEvents(Moment(self.node, self.epoch, seq, now()), cause, rows, decoded_row, gap)

    def known_luids(self) -> frozenset[str]:
        """Returns the LUIDs of the rows, and of every interface that had one assigned."""
        with self._file.reading() as connection:
            return select_luids(connection)

    def history(self, seen: Seen | None = None) -> JournalHistory:
        """Returns the history of the events, as a sink sees them: of those for which `seen` returns one. Any thread."""
        return JournalHistory(self._file.reading_apart, seen)

    def sink(self, name: str, destination: str) -> SinkJournal:
        """Returns the part of one worker, after what an earlier one reported was written. The core's thread."""
        with suppress(JournalError):  # A disk that takes nothing: the sink may be sent some events again.
            self.commit()
        part = SinkJournal(name, destination, self._file, self._pending)
        self._sinks.append(part)
        return part

    def revoke(self, part: SinkJournal) -> None:
        """Ends a worker's part: nothing that it reports from now on is written. The core's thread."""
        part.revoke()
        if part in self._sinks:
            self._sinks.remove(part)

    def dead_letters(self, sink: str | None = None) -> list[DeadLetter]:
        """Returns the dead letters of one sink, or all, oldest first."""
        with self._file.reading() as connection:
            return [*select_dead_letters(connection, sink)]

    def discard_dead_letters(self, sink: str, number: int | None) -> int:
        """Deletes a dead letter, or all of a sink's; returns their count. The core's thread. Raises JournalError."""
        self.commit()
        with self._file.writing() as connection:
            return delete_dead_letters(connection, sink, number)

    def newest_dead_letter(self, sink: str) -> int:
        """Returns the number of a sink's newest dead letter, 0 when it has none. The core's thread."""
        self.commit()
        return int(self._file.look("SELECT coalesce(max(id), 0) FROM dead_letters WHERE sink = ?", (sink,))[0][0])

    def close(self) -> None:
        """Writes what the sinks reported, marks a clean end unless damage showed, and releases the file in any case.

        Harmless when repeated; later calls raise JournalError, as does this when the mark could not be written.
        """
        if self._closed:
            return
        self._closed = True
        state: State = "open"
        try:
            with self._pending.taken() as writes, self._file.writing() as connection:
                for write in writes:
                    write(connection)
                connection.execute("DELETE FROM status")
                if not self._file.damaged:
                    put_meta(connection, clean="1")
            state = "closed"
        finally:
            self._file.close()
            self._mark.close("damaged" if self._file.damaged else state)
            self._lock.release()

    def _look_around(self) -> None:
        """Looks for what happened beside the publisher; raises JournalDamagedError when it must start anew."""
        if self._closed:
            raise JournalError(f"the journal {self.path} is closed")
        if self._lock.journal_removed:
            raise JournalDamagedError(
                f"the journal {self.path} was removed or replaced while the publisher had it, so nothing more would be "
                "kept: start the publisher again, which begins a new journal"
            )
        if self._file.damaged:
            raise JournalDamagedError(f"the journal {self.path} is damaged; it is set aside at the next start")
        if self._lock.restore():
            self._mark.anchor(self._lock.changed)
            _LOG.warning("the lock file of the journal %s was removed, and is made anew", self.path)

    def _unread(self, newest: int) -> int:
        return min((part.unread(newest) for part in self._sinks), default=newest)
