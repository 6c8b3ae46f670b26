"""One worker's part of the journal: its position, its resends, its dead letters, its end; and the writes of all."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple
from weakref import WeakSet

from ..errors import JournalError
from ..events import Event
from .dead_letters import DeadLetter, insert_dead_letter, select_dead_letters
from .file import JournalFile, Write
from .positions import POSITIONS, NumberedResend, Position, ResendSnapshot, SnapshotDue, position_json, select_resends
from .salted import is_of, salted

_LOG = logging.getLogger("publisher.journal")
_INVALID = "the journal holds an invalid %s of sink %r, so the sink gets the snapshot: %s"
# Dead letters wait in memory for the next transaction, which a full disk puts off: no more than these for a sink.
_MOST_WAITING = 256
_MOST_WAITING_BYTES = 4 << 20
_PATIENCE_SECONDS = 60.0

# An update in place, as of a row of the table `rows`.
_PUT_POSITION = (
    "INSERT INTO positions (sink, destination, position) VALUES (?, ?, ?) "
    "ON CONFLICT DO UPDATE SET destination = excluded.destination, position = excluded.position"
)


class PositionRow(NamedTuple):
    """A row of the table of positions."""

    sink: str
    destination: str
    position: bytes


class PendingWrites:
    """Writes that go into the core's next transaction, so that a position costs no commit of its own. Any thread.

    A write replaces an earlier one with the same key, and a position that of the same sink. The lock is held for a
    dictionary's assignment, never for I/O.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writes: dict[Hashable, Write] = {}
        # Apart from the rest: those of all sinks are one statement.
        self._positions: dict[str, PositionRow] = {}
        self._revoked: WeakSet[object] = WeakSet()

    def put(self, owner: object, writes: Mapping[Hashable, Write], position: PositionRow | None = None) -> None:
        """Adds writes that are made together, in one transaction; ignores those of an owner that was revoked."""
        with self._lock:
            if owner not in self._revoked:
                self._writes |= writes
                if position is not None:
                    self._positions[position.sink] = position

    def revoke(self, owner: object) -> None:
        """Ignores what this owner puts from now on; what it put before is written."""
        with self._lock:
            self._revoked.add(owner)

    @property
    def empty(self) -> bool:
        """True if nothing waits."""
        return not (self._writes or self._positions)

    def waiting(self) -> list[Hashable]:
        """Returns the keys of the waiting writes, but for positions."""
        with self._lock:
            return list(self._writes)

    @contextmanager
    def taken(self) -> Iterator[tuple[Write, ...]]:
        """Hands out all waiting writes for one transaction; when the block fails, they wait again."""
        with self._lock:
            writes, self._writes = self._writes, {}
            positions, self._positions = self._positions, {}
        taken = [*writes.values()]
        if positions:
            taken.append(partial(_put_positions, rows=positions.values()))
        try:
            yield tuple(taken)
        except BaseException:
            with self._lock:
                self._writes = writes | self._writes
                self._positions = positions | self._positions
            raise


def _put_positions(connection: sqlite3.Connection, rows: Iterable[PositionRow]) -> None:
    connection.executemany(_PUT_POSITION, rows)


class SinkJournal:
    """The place of one worker's reading and reports. Reports go into the core's next transaction, within a second.

    Called on the sink's thread, unless a method documents another. Reading and `begin` raise JournalError; reporting
    does not.
    """

    def __init__(self, sink: str, destination: str, file: JournalFile, pending: PendingWrites) -> None:
        self.sink = sink
        self.destination = destination
        self.reading: int | None = None
        """The last event that the sink read, as long as it is healthy: events after it are kept. The core reads it."""
        self.patience_seconds = _PATIENCE_SECONDS
        """A sink that has read nothing for so long has had its chance: the journal no longer waits for it."""
        self._file = file
        self._pending = pending
        self._seen: tuple[int | None, float] = (None, 0.0)

    def place(self) -> tuple[Position | None, list[NumberedResend]]:
        """Returns the position and the resends that are not done, as of one moment."""
        with self._file.reading() as connection:
            return self._position(connection), list(self._resends(connection))

    def resends(self) -> list[NumberedResend]:
        """Returns the requested resends that are not done, oldest first."""
        return self.place()[1]

    def _position(self, connection: sqlite3.Connection) -> Position | None:
        sql = "SELECT position FROM positions WHERE sink = ? AND destination = ?"
        found = connection.execute(sql, (self.sink, self.destination)).fetchone()
        try:
            return POSITIONS.validate_json(found[0]) if found else None
        except (TypeError, ValueError) as error:
            _LOG.error(_INVALID, "position", self.sink, error)
            return SnapshotDue("overrun", 0, None)

    def _resends(self, connection: sqlite3.Connection) -> Iterator[NumberedResend]:
        for number, resend in select_resends(connection, self.sink):
            if resend is None:
                _LOG.error(_INVALID, "resend", self.sink, f"row {number}")
                resend = ResendSnapshot("overrun", 0)
            yield NumberedResend(number, resend)

    def begin(self, position: Position) -> None:
        """Writes the position of a sink that the journal has no place for; it is in the file when this returns.

        Nothing may be sent before. What the sink gets by then would be nothing that the next start knows of, if the
        publisher were killed before the core's next transaction.
        """
        with self._file.writing_apart() as connection:
            _put_positions(connection, [self._row(position)])

    def report(self, position: Position, done: Iterable[int] = ()) -> None:
        """Hands over the new position, which includes these resends."""
        self._pending.put(self, self._settled(done), self._row(position))

    def _row(self, position: Position) -> PositionRow:
        return PositionRow(self.sink, self.destination, position_json(position))

    def settle(self, number: int) -> None:
        """Reports a resend as done."""
        self._put(self._settled((number,)))

    def add_dead_letter(self, event: Event, reason: str) -> None:
        """Hands over an event that the destination refused; raises JournalError when too many wait for the disk."""
        letters = ("letter", self.sink)
        waiting = [key[3] for key in self._pending.waiting() if isinstance(key, tuple) and key[:2] == letters]
        if len(waiting) >= _MOST_WAITING or sum(waiting) >= _MOST_WAITING_BYTES:
            raise JournalError(f"{len(waiting)} dead letters of sink {self.sink!r} wait for the journal to be written")
        key = (*letters, event.id, len(event.json_bytes))
        self._put({key: partial(insert_dead_letter, sink=self.sink, event=event, reason=reason)})

    def remove_dead_letter(self, number: int) -> None:
        """Reports a dead letter as delivered; harmless when there is none of this number."""
        sql = "DELETE FROM dead_letters WHERE id = ?"
        self._put({("delivered letter", number): lambda connection: connection.execute(sql, (number,))})

    def next_dead_letter(self, after: int) -> DeadLetter | None:
        """Returns the sink's first dead letter with a greater number."""
        with self._file.reading() as connection:
            return next(select_dead_letters(connection, self.sink, after), None)

    def count_dead_letters(self) -> int:
        """Returns the number of the sink's dead letters."""
        return int(self._file.query("SELECT count(*) FROM dead_letters WHERE sink = ?", (self.sink,))[0][0])

    def end(self, fingerprint: str, reason: str) -> None:
        """Reports that the destination ended the sink, as long as its options have this fingerprint."""
        row = (self.sink, salted(fingerprint), reason)
        sql = "INSERT OR REPLACE INTO ended (sink, fingerprint, reason) VALUES (?, ?, ?)"
        self._put({("ended", self.sink): lambda connection: connection.execute(sql, row)})

    def ended(self, fingerprint: str) -> str | None:
        """Returns why the destination ended a sink with these options; `None` when it did not."""
        found = self._file.query("SELECT fingerprint, reason FROM ended WHERE sink = ?", (self.sink,))
        return next((str(reason) for kept, reason in found if is_of(str(kept), fingerprint)), None)

    def revoke(self) -> None:
        """Ignores what is reported from now on: the worker was abandoned, and another may have its place. The core."""
        self._pending.revoke(self)

    def unread(self, newest: int) -> int:
        """Returns the last event before those to be kept for this sink: `newest` when none are. The core's thread."""
        reading, now = self.reading, time.monotonic()
        if reading is None:
            return newest
        if self._seen[0] != reading:
            self._seen = (reading, now)
        return reading if now - self._seen[1] < self.patience_seconds else newest

    def _settled(self, numbers: Iterable[int]) -> dict[Hashable, Write]:
        return {("resend", number): partial(_delete_resend, number=number) for number in numbers}

    def _put(self, writes: Mapping[Hashable, Write]) -> None:
        self._pending.put(self, writes)


def _delete_resend(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("DELETE FROM resends WHERE id = ?", (number,))
