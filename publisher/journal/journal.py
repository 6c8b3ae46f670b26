"""The durable log: events, the rows they lead to, and how far each sink has come."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..events import Cause, Event, IpInterface
from ..sink import Cursor
from ..snapshot import Moment, SnapshotEvents
from ..sources.luids import LuidAssignment
from ..table import new_epoch, now
from .boot import boot_id
from .event_log import EventLog, read_rows
from .file import JournalFile, Synchronous, open_file, put_meta
from .lock import JournalLock
from .requests import (
    DeadLetter,
    JournalClient,
    Request,
    RequestQueue,
    decoded_row,
    read_dead_letters,
    read_luids,
    write_luid,
)

__all__ = ["DeadLetter", "Journal", "JournalClient", "Request"]

# A destination that refuses everything must not fill the disk.
_DEAD_LETTERS_KEPT = 10_000


class Journal:
    """Events in the order of `seq`, in one SQLite file that one publisher holds at a time. Any thread.

    One thread appends. What is read while another thread writes is what was committed last. Every method that
    touches the file raises JournalError when that fails, JournalDamagedError when the file says nonsense.
    """

    def __init__(self, file: JournalFile, lock: JournalLock, node: str, log: EventLog) -> None:
        """Made by `open`."""
        self.path = file.path
        self.node = node
        self.epoch = log.epoch
        self.set_aside: Path | None = None
        """Where a damaged journal was moved to."""
        self.new_epoch_reason: str | None = None
        """Why a new epoch began at opening; `None` when the journal goes on."""
        self._file = file
        self._lock = lock
        self._log = log
        self._desk = RequestQueue(file)
        # The rows as they were read at opening, to look for damage: whoever opens a journal asks for them once.
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
        """The journal of this path, made if need be, with its directory; only its owner may read it.

        A damaged one is set aside and a new one begun. Raises JournalInUseError when another publisher has it, and
        JournalError when it cannot be made or written.
        """
        with ExitStack() as undo:
            lock = JournalLock(path)
            lock.acquire()
            undo.callback(lock.release)
            file, rows, aside = open_file(path, synchronous, read_rows)
            undo.callback(file.close)
            epoch, reason = _begin(file, node, aside)
            journal = cls(file, lock, node, EventLog(file, epoch, max_events, max_bytes))
            undo.pop_all()
        journal.set_aside, journal.new_epoch_reason, journal._first_rows = aside, reason, rows
        return journal

    @property
    def seq(self) -> int:
        """The newest event's; 0 when a new epoch has none yet."""
        return self._log.seq

    @property
    def known(self) -> bool:
        """Whether the rows were ever known; until then there is no snapshot to send."""
        return self._log.known

    def oldest(self) -> int:
        """The oldest event's that is kept; `seq + 1` when none is."""
        return self._log.oldest

    def rows(self) -> list[IpInterface] | None:
        """The rows as the newest event left them, sorted; `None` when nothing was ever known."""
        if not self.known:
            return None
        rows, self._first_rows = self._first_rows, None
        return read_rows(self._file) if rows is None else rows

    def replace_rows(self, rows: Iterable[IpInterface]) -> None:
        """Make these the rows: the baseline of a new epoch."""
        self._log.replace_rows(rows)
        self._first_rows = None

    def append(self, events: Sequence[Event]) -> None:
        """Write events and the rows they lead to, all or none of them.

        Events must be of this epoch and follow the newest one. Raises JournalError when they could not be written,
        and nothing is changed then.
        """
        self._log.append(events)
        self._first_rows = None

    def read(self, after: int, limit: int) -> list[Event]:
        """At most `limit` events that follow the one of this `seq`, oldest first; from memory where they are recent."""
        return self._log.read(after, limit)

    def snapshot(self, cause: Cause = "notification") -> SnapshotEvents[bytes]:
        """The rows as `initial_notification` events, position 0 first, at the newest event that they contain."""
        seq, rows = self._log.rows()
        return SnapshotEvents(Moment(self.node, self.epoch, seq, now()), cause, rows, decoded_row)

    def cursor(self, sink: str, destination: str) -> Cursor | None:
        """The last event that the sink confirmed; `None` when it is new, or now writes somewhere else."""
        sql = "SELECT epoch, seq FROM cursors WHERE sink = ? AND destination = ?"
        found = self._file.query(sql, (sink, destination))
        return Cursor(*found[0]) if found else None

    def confirm(self, sink: str, destination: str, cursor: Cursor, owed: Cause | None = None) -> None:
        """The sink has everything up to this event. `owed`: but not yet all of the snapshot with this cause."""
        with self._file.writing(durably=False) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO cursors (sink, destination, epoch, seq, owed) VALUES (?, ?, ?, ?, ?)",
                (sink, destination, cursor.epoch, cursor.seq, owed),
            )

    def owe(self, sink: str, cause: Cause) -> None:
        """Note that the sink is to get the snapshot, whatever happens before it has it."""
        with self._file.writing(durably=False) as connection:
            connection.execute("UPDATE cursors SET owed = ? WHERE sink = ?", (cause, sink))

    def owed(self, sink: str, destination: str) -> Cause | None:
        """The cause of the snapshot that the sink did not get to the end of."""
        sql = "SELECT owed FROM cursors WHERE sink = ? AND destination = ?"
        found = self._file.query(sql, (sink, destination))
        return found[0][0] if found else None

    def end(self, sink: str, fingerprint: str, reason: str) -> None:
        """The destination wants nothing more, as long as the sink's options have this fingerprint."""
        with self._file.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO ended VALUES (?, ?, ?)", (sink, fingerprint, reason))

    def ended(self, sink: str, fingerprint: str) -> str | None:
        """Why a sink with these options ended; `None` when it did not."""
        found = self._file.query("SELECT reason FROM ended WHERE sink = ? AND fingerprint = ?", (sink, fingerprint))
        return found[0][0] if found else None

    def load_luids(self) -> list[LuidAssignment]:
        """Which interface has which LUID."""
        return read_luids(self._file)

    def save_luids(self, assignments: Iterable[LuidAssignment]) -> None:
        """Insert or replace by LUID; they are in the file before this returns."""
        with self._file.writing() as connection:
            for assignment in assignments:
                write_luid(connection, assignment)

    def add_dead_letter(self, sink: str, event: Event, reason: str) -> None:
        """Keep an event that the sink's destination refuses; only the newest 10,000 of a sink are kept."""
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO dead_letters (sink, time, reason, data) VALUES (?, ?, ?, ?)",
                (sink, time.time(), reason, event.json_bytes),
            )
            connection.execute(
                "DELETE FROM dead_letters WHERE sink = ?1 AND id <= "
                "(SELECT id FROM dead_letters WHERE sink = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                (sink, _DEAD_LETTERS_KEPT),
            )

    def dead_letters(self, sink: str | None = None) -> list[DeadLetter]:
        """Those of one sink, or all, oldest first."""
        return read_dead_letters(self._file, sink)

    def count_dead_letters(self, sink: str) -> int:
        """How many a sink has."""
        return int(self._file.query("SELECT count(*) FROM dead_letters WHERE sink = ?", (sink,))[0][0])

    def next_dead_letter(self, sink: str, after: int) -> DeadLetter | None:
        """The sink's first dead letter whose number is greater."""
        return next(iter(read_dead_letters(self._file, sink, after, 1)), None)

    def remove_dead_letter(self, number: int) -> None:
        """Forget one; harmless when there is none of this number."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM dead_letters WHERE id = ?", (number,))

    def take_requests(self) -> list[tuple[int, Request]]:
        """What the command line asks for, once, with numbers; what a crash left unanswered comes again."""
        return self._desk.take_requests()

    def finish_request(self, number: int, text: str) -> None:
        """Answer a request of the command line."""
        self._desk.finish_request(number, text)

    def put_status(self, status: dict[str, Any]) -> None:
        """Tell the command line how the service is doing, in JSON values."""
        self._desk.put_status(status)

    def close(self) -> None:
        """Mark a clean end, unless damage showed, and let the file go in any case.

        Harmless when repeated; whatever is asked of the journal later raises JournalError, as does this when the
        mark could not be written.
        """
        if self._closed:
            return
        self._closed = True
        try:
            with self._file.writing() as connection:
                connection.execute("DELETE FROM status")
                if not self._file.damaged:
                    put_meta(connection, clean="1")
        finally:
            self._file.close()
            self._lock.release()


def _begin(file: JournalFile, node: str, set_aside: Path | None) -> tuple[str, str | None]:
    """Go on with what the file has, or with a new epoch: its name, and why it is new."""
    meta: dict[str, str] = dict(file.query("SELECT name, value FROM meta"))
    reason = _new_epoch_reason(meta, set_aside)
    epoch = new_epoch() if reason else meta["epoch"]
    with file.writing() as connection:
        if reason:
            connection.execute("DELETE FROM events")
        if reason or meta["node"] != node:
            # Under another name this host is new to every subscriber, so every sink gets the snapshot.
            connection.execute("DELETE FROM cursors")
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
