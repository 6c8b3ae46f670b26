"""The durable log: events, the rows they lead to, and how far each sink has come."""

from __future__ import annotations

import sqlite3
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from .boot import boot_id
from .control import (
    DeadLetter,
    Desk,
    JournalClient,
    Request,
    decoded_event,
    decoded_row,
    read_dead_letters,
    read_luids,
    write_luid,
)
from .events import Cause, Event, IpInterface
from .identity import LuidAssignment
from .journal_file import JournalFile, Synchronous, open_file
from .journal_lock import JournalLock
from .sink import Cursor
from .table import Stamp, new_epoch

__all__ = ["DeadLetter", "Journal", "JournalClient", "Request"]

# The tail that sinks follow is read from memory: no more than this many events and bytes of JSON are held for it.
_RECENT_EVENTS = 2048
_RECENT_BYTES = 2 << 20
# Old events go many at a time: the file holds at most this fraction more than it must.
_TRIM_FRACTION = 64
# A destination that refuses everything must not fill the disk.
_DEAD_LETTERS_KEPT = 10_000


class Journal:
    """Events in the order of `seq`, in one SQLite file that one publisher holds at a time. Any thread.

    One thread appends. What is read while another thread writes is what was committed last. Every method that
    touches the file raises JournalError when that fails, JournalDamagedError when the file says nonsense.
    """

    def __init__(self, file: JournalFile, lock: JournalLock, node: str, max_events: int, max_bytes: int) -> None:
        self.path = file.path
        self.node = node
        self.epoch = ""
        self.set_aside: Path | None = None
        """Where a damaged journal was moved to."""
        self.new_epoch_reason: str | None = None
        """Why a new epoch began at opening; `None` when the journal goes on."""
        self._file = file
        self._lock = lock
        self._desk = Desk(file)
        self._max_events, self._max_bytes = max_events, max_bytes
        self._state = threading.Lock()
        self._recent: deque[Event] = deque()
        self._recent_bytes = 0
        self._seq = self._position = 0
        self._oldest = self._oldest_position = 0
        self._known = False
        # The rows as they were read at opening, until the first change: whoever opens a journal asks for them.
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
        lock = JournalLock(path)
        lock.acquire()
        try:
            opened = open_file(path, synchronous, _read_rows)
            journal = cls(opened.file, lock, node, max_events, max_bytes)
            journal.set_aside = opened.set_aside
            try:
                journal._begin(opened.content)
            except BaseException:
                opened.file.close()
                raise
        except BaseException:
            lock.release()
            raise
        return journal

    @property
    def seq(self) -> int:
        """The newest event's; 0 when a new epoch has none yet."""
        return self._seq

    @property
    def known(self) -> bool:
        """Whether the rows were ever known; until then there is no snapshot to send."""
        return self._known

    def oldest(self) -> int:
        """The oldest event's that is kept; `seq + 1` when none is."""
        return self._oldest

    def rows(self) -> list[IpInterface] | None:
        """The rows as the newest event left them, sorted; `None` when nothing was ever known."""
        if not self._known:
            return None
        return self._first_rows if self._first_rows is not None else _read_rows(self._file)

    def replace_rows(self, rows: Iterable[IpInterface]) -> None:
        """Make these the rows: the baseline of a new epoch."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM rows")
            connection.executemany(_PUT_ROW, [(row.luid, row.family, _row_json(row)) for row in rows])
            _put_meta(connection, known="1")
        self._first_rows, self._known = None, True

    def append(self, events: Sequence[Event]) -> None:
        """Write events and the rows they lead to, all or none of them.

        Events must be of this epoch and follow the newest one; a number may be left out. Raises JournalError when
        they could not be written, and nothing is changed then.
        """
        if not events:
            return
        self._refuse_disorder(events)
        position, records = self._position, []
        for event in events:
            position += len(event.json_bytes)
            records.append((event.seq, position, event.json_bytes))
        with self._file.writing() as connection:
            connection.executemany("INSERT INTO events (seq, position, data) VALUES (?, ?, ?)", records)
            _write_rows(connection, events)
            if not self._known:
                _put_meta(connection, known="1")
            oldest = self._trim(connection, events[-1].seq, position)
        with self._state:
            self._first_rows, self._known = None, True
            self._seq, self._position = events[-1].seq, position
            self._oldest, self._oldest_position = oldest or (self._oldest_or(events[0].seq), self._oldest_position)
            self._remember(events)

    def read(self, after: int, limit: int) -> list[Event]:
        """At most `limit` events that follow the one of this `seq`, oldest first; from memory where they are recent."""
        with self._state:
            recent = self._recent
            if after >= self._seq:
                return []
            if recent and recent[0].seq <= after + 1:
                start = bisect_right(recent, after, key=lambda event: event.seq)
                return list(islice(recent, start, start + limit))
        found = self._file.query("SELECT data FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        return [decoded_event(data) for (data,) in found]

    def snapshot(self, cause: Cause = "notification") -> list[Event]:
        """The rows as `initial_notification` events, position 0 first, at the newest event that they contain."""
        with self._file.reading() as connection:
            rows = _select_rows(connection)
            seq = _newest(connection)[0]
        return Stamp(self.node, self.epoch, seq).snapshot([decoded_row(data) for data in rows], cause)

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
        """Mark a clean end and let the file go, in any case; raises JournalError when the mark could not be written.

        Harmless when repeated. Whatever is asked of the journal later raises JournalError.
        """
        if self._closed:
            return
        self._closed = True
        try:
            with self._file.writing() as connection:
                connection.execute("DELETE FROM status")
                _put_meta(connection, clean="1")
        finally:
            self._file.close()
            self._lock.release()

    def _begin(self, rows: list[IpInterface]) -> None:
        """Go on with what the file has, or with a new epoch."""
        meta: dict[str, str] = dict(self._file.query("SELECT name, value FROM meta"))
        self.new_epoch_reason = _new_epoch_reason(meta, self.set_aside)
        self.epoch = new_epoch() if self.new_epoch_reason else meta["epoch"]
        with self._file.writing() as connection:
            if self.new_epoch_reason:
                connection.execute("DELETE FROM events")
            if self.new_epoch_reason or meta["node"] != self.node:
                # Under another name this host is new to every subscriber, so every sink gets the snapshot.
                connection.execute("DELETE FROM cursors")
            _put_meta(connection, epoch=self.epoch, node=self.node, boot=boot_id(), clean="0")
            self._seq, self._position = _newest(connection)
            self._oldest, self._oldest_position = _first(connection) or (self._seq + 1, self._position)
        self._known = "known" in meta
        self._first_rows = rows if self._known else None

    def _refuse_disorder(self, events: Sequence[Event]) -> None:
        newest = self._seq
        for event in events:
            if event.epoch != self.epoch or event.seq <= newest:
                raise ValueError(f"event {event.id} does not follow {self.epoch}-{newest:016d}")
            newest = event.seq

    def _oldest_or(self, first: int) -> int:
        """The oldest event's seq, when the first of a batch may be it."""
        return first if self._oldest > self._seq else self._oldest

    def _trim(self, connection: sqlite3.Connection, seq: int, position: int) -> tuple[int, int] | None:
        """Delete the oldest events once there are too many; the oldest that is left and the position before it."""
        spare_events, spare_bytes = self._max_events // _TRIM_FRACTION, self._max_bytes // _TRIM_FRACTION
        too_many = seq - self._oldest >= self._max_events + spare_events
        too_big = position - self._oldest_position > self._max_bytes + spare_bytes
        if not (too_many or too_big):
            return None
        # The newest stays, however big it is.
        connection.execute(
            "DELETE FROM events WHERE seq < ?1 AND (seq <= ?1 - ?2 OR seq < "
            "(SELECT seq FROM events WHERE position - length(data) >= ?3 - ?4 ORDER BY seq LIMIT 1))",
            (seq, self._max_events, position, self._max_bytes),
        )
        return _first(connection)

    def _remember(self, events: Sequence[Event]) -> None:
        """Hold the newest events for the sinks that follow closely."""
        for event in events:
            self._recent.append(event)
            self._recent_bytes += len(event.json_bytes)
        while len(self._recent) > _RECENT_EVENTS or (self._recent_bytes > _RECENT_BYTES and len(self._recent) > 1):
            self._recent_bytes -= len(self._recent.popleft().json_bytes)


_PUT_ROW = "INSERT OR REPLACE INTO rows (luid, family, data) VALUES (?, ?, ?)"


def _write_rows(connection: sqlite3.Connection, events: Sequence[Event]) -> None:
    """Bring the rows to where the events lead; of several events about one row only the last counts."""
    last = {(event.luid, event.family): event for event in events}
    gone = [key for key, event in last.items() if event.notification_type == "delete_instance"]
    if gone:
        connection.executemany("DELETE FROM rows WHERE luid = ? AND family = ?", gone)
    there = [event for event in last.values() if event.notification_type != "delete_instance"]
    connection.executemany(_PUT_ROW, [(event.luid, event.family, _row_json_of(event)) for event in there])


def _row_json_of(event: Event) -> bytes:
    if event.row is None or event.interface is None:
        raise ValueError(f"event {event.id} carries no row: a snapshot is never written")
    return _row_json(IpInterface(row=event.row, interface=event.interface, addresses=event.addresses))


def _row_json(row: IpInterface) -> bytes:
    return row.__pydantic_serializer__.to_json(row)


def _read_rows(file: JournalFile) -> list[IpInterface]:
    with file.reading() as connection:
        found = _select_rows(connection)
    return [decoded_row(data) for data in found]


def _select_rows(connection: sqlite3.Connection) -> list[bytes]:
    return [data for (data,) in connection.execute("SELECT data FROM rows ORDER BY luid, family")]


def _newest(connection: sqlite3.Connection) -> tuple[int, int]:
    """The newest event's seq and position; zeros when there is none."""
    found = connection.execute("SELECT seq, position FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return found or (0, 0)


def _first(connection: sqlite3.Connection) -> tuple[int, int] | None:
    """The oldest event's seq, and the position before it."""
    sql = "SELECT seq, position - length(data) FROM events ORDER BY seq LIMIT 1"
    found: tuple[int, int] | None = connection.execute(sql).fetchone()
    return found


def _put_meta(connection: sqlite3.Connection, **values: str) -> None:
    connection.executemany("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", values.items())


def _new_epoch_reason(meta: dict[str, str], set_aside: Path | None) -> str | None:
    if set_aside:
        return f"the journal was damaged and is set aside as {set_aside}"
    if "epoch" not in meta:
        return "there was no journal"
    if meta["clean"] != "1" and (meta["boot"] != boot_id() or not meta["boot"]):
        return "the system was started anew and the journal had not been closed, so its last events may be lost"
    return None
