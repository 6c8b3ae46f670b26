"""The events that the journal keeps, and the rows that they lead to."""

from __future__ import annotations

import sqlite3
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import accumulate
from operator import attrgetter
from weakref import WeakValueDictionary

from ..errors import JournalDamagedError
from ..events import Event, IpInterface, event_id
from .file import DiskFullError, JournalFile, Write, put_meta
from .rows import apply_events, put_rows, select_rows
from .space import DiskSpace

# The tail that sinks follow is read from memory: no more than this many events and bytes of JSON are held for it.
_RECENT_EVENTS = 2048
_RECENT_BYTES = 2 << 20
# No more than about so many bytes of events are read from the file at once, unless fewer are asked for.
_READ_BYTES = 4 << 20
# Old events are deleted many at a time: the file holds at most this fraction more than it must.
_TRIM_FRACTION = 64
# After a full disk no transaction takes more events: each has to fit into what was made free.
_PART = 64
# Pages that are given back at once, once a second: to move them is quick, and nothing waits long for it.
_GIVEN_BACK = 512
# Events that a healthy sink has yet to read are kept beyond the bounds, up to this many times them.
_MOST_TIMES = 2


class RowTexts(list[bytes]):
    """Rows as JSON, in a list that can be referred to weakly."""


class EventLog:
    """Events in the order of `seq`, the newest of them in memory too, and the rows as the newest event left them.

    The core's thread appends; any may read, and gets what was committed last. `unread` is asked before events are
    deleted: the last event before those that a healthy sink has yet to read, given the newest. `committed` is called
    with the newest event after each commit, before readers are shown it.
    """

    def __init__(
        self,
        file: JournalFile,
        epoch: str,
        max_events: int,
        max_bytes: int,
        unread: Callable[[int], int],
        committed: Callable[[int], object],
    ) -> None:
        self.epoch = epoch
        self._unread = unread
        self._committed = committed
        self._file = file
        self._max_events = max_events
        self._space = DiskSpace(file.path, max_bytes)
        self._step_bytes = max_bytes // _TRIM_FRACTION
        self._looked: int | None = None
        self._surplus = False
        file.limit_log(self._space.log_bytes)
        self._state = threading.Lock()
        self._recent: list[Event] = []
        self._recent_positions: list[int] = []
        # All sinks begin with the snapshot of one moment: while one of them holds it, the next gets the same.
        self._texts: WeakValueDictionary[int, RowTexts] = WeakValueDictionary()
        with file.reading() as connection:
            self.seq, self._position = newest_event(connection)
            self.oldest, self._oldest_position = _first(connection) or (self.seq + 1, self._position)
            self.known = bool(connection.execute("SELECT 1 FROM meta WHERE name = 'known'").fetchone())

    def replace_rows(self, rows: Iterable[IpInterface]) -> None:
        """Makes these the rows; raises JournalError."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM rows")
            put_rows(connection, rows)
            put_meta(connection, known="1")
        self.known = True

    def put_rows(self, rows: Iterable[IpInterface]) -> None:
        """Writes rows that changed without an event; raises JournalError."""
        with self._file.writing() as connection:
            put_rows(connection, rows)

    def append(self, events: Sequence[Event], also: Sequence[Write] = ()) -> None:
        """Writes events, the rows they lead to and what else is given, all or none of it.

        Events must be of this epoch and follow the newest one. Raises JournalError when they could not be written,
        and nothing is changed then. On a full disk room is made first, and a long list is written in parts: then the
        first events may be written although it raises.
        """
        self._refuse_disorder(events)
        try:
            self._append(events, also)
        except DiskFullError:
            self._make_room()
            *parts, last = [events[start : start + _PART] for start in range(0, len(events), _PART)] or [events]
            for part in parts:
                self._append(part, ())
            self._append(last, also)

    @property
    def gives_back(self) -> bool:
        """True while `give_back` has more to do."""
        return self._surplus

    def give_back(self) -> None:
        """Gives some of the file's free pages back to the disk; raises JournalError."""
        if self._surplus:
            pages = self._space.surplus_pages(self._file.look)
            self._surplus = pages > _GIVEN_BACK
            if pages:
                self._file.vacuum(min(pages, _GIVEN_BACK))

    def _append(self, events: Sequence[Event], also: Sequence[Write]) -> None:
        if not events:
            self._write(also)
            return
        texts = [event.json_bytes for event in events]
        positions = [*accumulate(map(len, texts), initial=self._position)]
        position = positions[-1]
        records = zip(map(_SEQ, events), positions[1:], texts, strict=True)
        with self._file.writing(position - self._position) as connection:
            connection.executemany("INSERT INTO events (seq, position, data) VALUES (?, ?, ?)", records)
            apply_events(connection, events)
            if not self.known:
                put_meta(connection, known="1")
            for write in also:
                write(connection)
            oldest = self._trim(connection, events[-1].seq, position)
        self._committed(events[-1].seq)  # before any sink sees them
        with self._state:
            self.known = True
            self.seq, self._position = events[-1].seq, position
            self.oldest, self._oldest_position = oldest or (self.oldest, self._oldest_position)
            self._remember(events, positions[:-1])

    def _make_room(self) -> None:
        """Empties the log, then deletes the older half of the events, but none that a healthy sink has yet to read.

        What is deleted is free space in the file. To delete takes space in the log, which is emptied before and after;
        on a disk that has no room for that, the emptied log may be enough.
        """
        with suppress(DiskFullError):
            self._file.empty_log()
            half = self.oldest + (self.seq - self.oldest) // 2
            keep_from = min(half, self._unread(self.seq) + 1)
            with self._file.writing() as connection:
                connection.execute("DELETE FROM events WHERE seq < ?", (keep_from,))
                oldest = _first(connection)
            with self._state:
                self.oldest, self._oldest_position = oldest or (self.seq + 1, self._position)
            self._file.empty_log()

    def _write(self, also: Sequence[Write]) -> None:
        if also:
            with self._file.writing() as connection:
                for write in also:
                    write(connection)

    def read(self, after: int, limit: int, most_bytes: int = _READ_BYTES) -> list[Event]:
        """Returns at most `limit` events after the one of this `seq`, oldest first; recent ones from memory.

        Of the file they are fewer when they are large, but for one about `most_bytes`: events of an interface with
        thousands of addresses have 400 kB each.
        """
        with self._state:
            recent = self._recent
            if after >= self.seq:
                return []
            if recent and recent[0].seq <= after + 1:
                start = bisect_right(recent, after, key=_SEQ)
                return recent[start : start + limit]
        found, size = [], 0
        with self._file.reading() as connection:
            for seq, data, length in connection.execute(_SELECT_EVENTS, (after, limit)):
                found.append((seq, data))
                size += length
                if size >= most_bytes:
                    break
        return [logged_event(self.epoch, seq, data) for seq, data in found]

    def holds(self, seq: int) -> bool:
        """Returns whether there is an event of this seq, or a later one. Any thread."""
        # A reader of the file may see a commit an instant before `seq` does.
        return seq <= self.seq or seq <= self._file.query("SELECT coalesce(max(seq), 0) FROM events")[0][0]

    def rows(self) -> tuple[int, RowTexts]:
        """Returns the newest event's seq and the rows it led to, as sorted JSON; readers at one `seq` share them."""
        with self._file.reading() as connection:
            seq = newest_event(connection)[0]
            texts = self._texts.get(seq)
            if texts is None:
                texts = self._texts[seq] = RowTexts(select_rows(connection))
        return seq, texts

    def _refuse_disorder(self, events: Sequence[Event]) -> None:
        newest = self.seq
        for event in events:
            if event.epoch != self.epoch or event.seq <= newest:
                raise ValueError(f"event {event.id} does not follow {self.epoch}-{newest:016d}")
            newest = event.seq

    def _trim(self, connection: sqlite3.Connection, seq: int, position: int) -> tuple[int, int] | None:
        """Deletes the oldest events once there are too many; returns the oldest left and the position before it."""
        too_many = seq - self.oldest >= self._max_events + self._max_events // _TRIM_FRACTION
        if not too_many and self._looked is not None and position - self._looked < self._step_bytes:
            return None
        self._looked = position
        kept = position - self._oldest_position
        most = self._space.event_bytes(connection, kept)
        if not too_many and kept <= most:
            return None
        keep_from = self._first_within(connection, seq, position, most, 1)
        unread = self._unread(seq) + 1
        if unread < keep_from:
            keep_from = max(unread, self._first_within(connection, seq, position, most, _MOST_TIMES))
        connection.execute("DELETE FROM events WHERE seq < ?", (keep_from,))
        self._surplus = True
        return _first(connection)

    def _first_within(self, connection: sqlite3.Connection, seq: int, position: int, most: int, times: int) -> int:
        """Returns the oldest event within so many times the bounds: the newest stays, however big it is."""
        sql = "SELECT position - length(data) FROM events WHERE seq >= ? ORDER BY seq LIMIT 1"

        def before(number: int) -> int:
            return int(connection.execute(sql, (number,)).fetchone()[0])

        # Positions grow with `seq`: some seventeen rows are read, and not all that wait for a sink.
        candidates = range(max(self.oldest, seq - times * self._max_events + 1), seq)
        return candidates.start + bisect_left(candidates, position - times * most, key=before)

    def _remember(self, events: Sequence[Event], positions: Sequence[int]) -> None:
        """Holds the newest events for the sinks that follow closely; `positions` are those before each of them."""
        self._recent += events
        self._recent_positions += positions
        first = bisect_left(self._recent_positions, self._position - _RECENT_BYTES)
        first = min(max(first, len(self._recent) - _RECENT_EVENTS), len(self._recent) - 1)
        del self._recent[:first], self._recent_positions[:first]


_SEQ = attrgetter("seq")
_SELECT_EVENTS = "SELECT seq, data, length(data) FROM events WHERE seq > ? ORDER BY seq LIMIT ?"


def newest_event(connection: sqlite3.Connection) -> tuple[int, int]:
    """Returns the newest event's seq and position; zeros when there is none."""
    found = connection.execute("SELECT seq, position FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return found or (0, 0)


def _first(connection: sqlite3.Connection) -> tuple[int, int] | None:
    """Returns the oldest event's seq, and the position before it; `None` when there is none."""
    sql = "SELECT seq, position - length(data) FROM events ORDER BY seq LIMIT 1"
    found: tuple[int, int] | None = connection.execute(sql).fetchone()
    return found


def decoded_event(data: bytes) -> Event:
    """Returns the event that was written; raises JournalDamagedError."""
    try:
        return Event.from_json(data)
    except (TypeError, ValueError) as error:
        raise JournalDamagedError(f"the journal holds an invalid event: {error}") from error


def logged_event(epoch: str, seq: int, data: bytes) -> Event:
    """Returns the event that was written with this number; raises JournalDamagedError, also when it is another."""
    event = decoded_event(data)
    if (event.id, event.epoch, event.seq) != (event_id(epoch, seq), epoch, seq):
        raise JournalDamagedError(f"the journal holds the event {event.id} as {event_id(epoch, seq)}")
    return event
