"""The durable log: events, the rows they lead to, LUIDs, and how far each sink has come."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import MappingProxyType

from ..errors import JournalError
from ..events import Cause, Event, IpInterface, Moment, SnapshotEvents
from ..table import new_epoch, now
from .dead_letters import DeadLetter, delete_dead_letters, select_dead_letters
from .event_log import EventLog, decoded_row, read_rows
from .file import JournalFile, Synchronous, open_file, put_meta
from .lock import JournalLock
from .luids import JournalLuids
from .places import PlaceRegister
from .positions import NumberedResend, Resend, insert_resend
from .requests import RequestQueue
from .sink_journal import PendingWrites, SinkJournal


class Journal:
    """Events in the order of `seq`, in one SQLite file that one publisher holds at a time.

    The core's thread opens, writes and closes it. Any thread reads, and gets what was committed last. Every method
    that touches the file raises JournalError when that fails, JournalDamagedError when the file is invalid.
    """

    def __init__(
        self, file: JournalFile, lock: JournalLock, node: str, epoch: str, *, max_events: int, max_bytes: int
    ) -> None:
        """Called by `open` only."""
        self.path = file.path
        self.node = node
        self.epoch = epoch
        self.set_aside: Path | None = None
        """The new path of a damaged journal that was found at opening."""
        self.new_epoch_reason: str | None = None
        """Why a new epoch began at opening; `None` when the journal goes on."""
        self.luids = JournalLuids(file)
        self.places = PlaceRegister(file)
        self._file = file
        self._lock = lock
        self._pending = PendingWrites()
        self.requests = RequestQueue(file, self._pending)
        self._sinks: list[SinkJournal] = []
        self.events = EventLog(file, epoch, max_events, max_bytes, self._unread)
        """The events and rows, for those that follow them."""
        # The rows as they were read at opening, to look for damage: they are used once after opening.
        self._first_rows: list[IpInterface] | None = None
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
        publisher has it, and JournalError when it cannot be made or written, or is of a newer version.
        """
        with ExitStack() as undo:
            lock = JournalLock(path)
            lock.acquire()
            undo.callback(lock.release)
            file, rows, aside = open_file(path, synchronous, read_rows)
            undo.callback(file.close)
            epoch, reason = _begin(file, node, aside)
            journal = cls(file, lock, node, epoch, max_events=max_events, max_bytes=max_bytes)
            undo.pop_all()
        journal.set_aside, journal.new_epoch_reason, journal._first_rows = aside, reason, rows
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
        self.append(())

    def probe(self) -> None:
        """Writes something, to see whether the disk takes it. The core's thread. Raises JournalError."""
        with self._pending.taken() as writes:
            self.events.append((), (*writes, lambda connection: put_meta(connection, clean="0")))

    def snapshot(self, cause: Cause = "notification") -> SnapshotEvents[bytes]:
        """Returns the rows as `initial_notification` events, position 0 first, as of the newest event."""
        seq, rows = self.events.rows()
        return SnapshotEvents(Moment(self.node, self.epoch, seq, now()), cause, rows, decoded_row)

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
            return select_dead_letters(connection, sink)

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
        try:
            with self._pending.taken() as writes, self._file.writing() as connection:
                for write in writes:
                    write(connection)
                connection.execute("DELETE FROM status")
                if not self._file.damaged:
                    put_meta(connection, clean="1")
        finally:
            self._file.close()
            self._lock.release()

    def _unread(self, newest: int) -> int:
        return min((part.unread(newest) for part in self._sinks), default=newest)


def _begin(file: JournalFile, node: str, set_aside: Path | None) -> tuple[str, str | None]:
    """Goes on with what the file has, or begins a new epoch; returns the epoch and why it is new."""
    meta: dict[str, str] = dict(file.look("SELECT name, value FROM meta"))
    reason = _new_epoch_reason(meta, set_aside)
    epoch = new_epoch() if reason else meta["epoch"]
    with file.writing() as connection:
        if reason:
            connection.execute("DELETE FROM events")
        if reason or meta["node"] != node:
            # Under another name this host is new to every subscriber, so every sink gets the snapshot.
            connection.execute("DELETE FROM positions")
            connection.execute("DELETE FROM resends")
        connection.execute("DELETE FROM status")  # of a publisher that was killed
        put_meta(connection, epoch=epoch, node=node, boot=boot_id(), clean="0")
    return epoch, reason


def _new_epoch_reason(meta: dict[str, str], set_aside: Path | None) -> str | None:
    if set_aside:
        return f"the journal was damaged and is set aside as {set_aside}"
    if "epoch" not in meta:
        return "there was no journal"
    if meta["clean"] != "1" and (meta["boot"] != boot_id() or not meta["boot"]):
        return "the system was started anew and the journal had not been closed, so its last events may be lost"
    return None


if sys.platform == "win32":

    def boot_id() -> str:
        """Returns a text that differs after every boot; empty when the system has none.

        Windows has no boot id: the minute in which it started, by its clock now. A clock that is set makes
        it differ too, which costs a snapshot and nothing else.
        """
        import ctypes
        import time

        tick_count = ctypes.WinDLL("kernel32").GetTickCount64
        tick_count.restype = ctypes.c_uint64
        return f"minute {int(time.time() - tick_count() / 1000) // 60}"

else:

    def boot_id() -> str:
        """Returns a text that differs after every boot (random(4), /proc interfaces); empty when there is none."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        except OSError:
            return ""
