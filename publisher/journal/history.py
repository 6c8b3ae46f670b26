"""The history in a journal: reads events backwards, a slice at a time, and parses those that may be wanted."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime
from typing import NamedTuple

from ..events import Event
from ..history import Flap, FlapCounter, HistoryPage, HistoryQuery, times_down
from .event_log import logged_event

Reading = Callable[[], AbstractContextManager[sqlite3.Connection]]
"""Opens a journal for reading everything in a block as of one moment."""
Seen = Callable[[Event], Event | None]
"""Returns an event as a sink gets it; `None` for one that it does not get."""

# A slice is read at once: longer ones would keep the writer from emptying its log.
_SLICE_EVENTS = 4096
_PART_EVENTS = 256
_PART_BYTES = 1 << 20
_PAGE_BYTES = 4 << 20
# Of more interfaces all events are parsed: a statement takes a limited number of parameters.
_MOST_LUIDS = 500


class _Bytes(NamedTuple):
    """A condition on the bytes of an event, which passes all that are wanted and few others."""

    sql: str
    parameters: tuple[bytes, ...]


class JournalHistory:
    """The events of a journal, newest first. Any thread; each call reads the journal anew.

    The cost of a call is bounded by the journal's size: the database looks at the bytes of each event, and only those
    that may be wanted are parsed. Raises JournalError.
    """

    def __init__(self, reading: Reading, seen: Seen | None = None) -> None:
        self._reading = reading
        self._seen = seen

    def page(self, query: HistoryQuery) -> HistoryPage:
        """Returns the newest events that a question asks for."""
        found: list[Event] = []
        size = 0
        for event in self.events(query):
            size += len(event.json_bytes)
            if len(found) == query.limit or (found and size > _PAGE_BYTES):
                return HistoryPage(tuple(found), more=True)
            found.append(event)
        return HistoryPage(tuple(found), more=False)

    def flaps(self, since: datetime) -> dict[str, tuple[Flap, ...]]:
        """Returns how often the link of each interface went down since a moment, by LUID, oldest first."""
        counter = FlapCounter()
        for event in self.events(HistoryQuery(since=since, kinds=("link_down",))):
            if event.luid and event.family and (count := times_down(event)):
                counter.add(event.luid, event.family, Flap(event.time, count))
        return counter.flaps()

    def events(self, query: HistoryQuery, luids: Collection[str] = ()) -> Iterator[Event]:
        """Yields every event that a question asks for, newest first, whatever its limit: of these interfaces, if any.

        The clock may have been set back: an event before `since` does not end it, 4,096 of them do.
        """
        for epoch, seq, data in self._candidates(query, luids):
            event = logged_event(epoch, seq, data)
            seen = event if self._seen is None else self._seen(event)
            if seen is not None and query.takes(seen) and (not luids or seen.luid in luids):
                yield seen

    def ends(self) -> tuple[Event, Event] | None:
        """Returns the oldest and the newest event; `None` when there is none."""
        with self._reading() as connection:
            epoch, seqs = _epoch(connection), _span(connection)
            sql = "SELECT data FROM events WHERE seq = ?"
            found = [(seq, data) for seq in seqs for (data,) in connection.execute(sql, (seq,)).fetchall()]
        if len(found) < len(seqs):
            return None
        oldest, newest = (logged_event(epoch, seq, data) for seq, data in found)
        return oldest, newest

    def names(self) -> dict[str, list[str]]:
        """Returns each name of each interface in the events, by LUID, the newest name first."""
        found: dict[tuple[str, str], int] = {}
        for epoch, luid, name, seq in self._named():
            key = _decoded(luid, name) or _named_in(self._event(epoch, seq))
            if key is not None:
                found[key] = max(found.get(key, 0), seq)
        names: dict[str, list[str]] = {}
        for key in sorted(found, key=found.__getitem__, reverse=True):
            names.setdefault(key[0], []).append(key[1])
        return names

    def _named(self) -> Iterator[tuple[str, bytes, bytes, int]]:
        """Yields the epoch, LUIDs and names as bytes, and the newest seq that has both, of each slice."""
        upper = None
        while True:
            with self._reading() as connection:
                oldest, newest = _span(connection)
                upper = newest + 1 if upper is None else upper
                if upper <= oldest:
                    return
                lower = max(oldest, upper - _SLICE_EVENTS)
                epoch, rows = _epoch(connection), connection.execute(_SELECT_NAMES, (lower, upper)).fetchall()
            upper = lower
            yield from ((epoch, *row) for row in rows)

    def _event(self, epoch: str, seq: int) -> Event | None:
        with self._reading() as connection:
            found = connection.execute("SELECT data FROM events WHERE seq = ?", (seq,)).fetchone()
        return logged_event(epoch, seq, found[0]) if found else None

    def _candidates(self, query: HistoryQuery, luids: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """Yields the epoch, the seq and the bytes of the events that may be wanted."""
        wanted, since = _condition(query, luids), _since(query.since)
        upper = query.before
        while True:
            with self._reading() as connection:
                oldest, newest = _span(connection)
                upper = newest + 1 if upper is None else min(upper, newest + 1)
                lower = max(oldest, upper - _SLICE_EVENTS)
                if upper <= oldest or not _happened(connection, lower, upper, since):
                    return
                epoch = _epoch(connection)
                found, upper = _part(connection, lower, upper, wanted)
            for seq, data in found:
                yield epoch, seq, data


def _span(connection: sqlite3.Connection) -> tuple[int, int]:
    """Returns the seq of the oldest and of the newest event; 1 and 0 when there is none."""
    # In one query without subqueries, both would take a look at each event.
    sql = "SELECT coalesce((SELECT min(seq) FROM events), 1), coalesce((SELECT max(seq) FROM events), 0)"
    oldest, newest = connection.execute(sql).fetchone()
    return oldest, newest


def _epoch(connection: sqlite3.Connection) -> str:
    found = connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
    return str(found[0]) if found else ""


def _part(
    connection: sqlite3.Connection, lower: int, upper: int, wanted: _Bytes
) -> tuple[list[tuple[int, bytes]], int]:
    """Returns the newest of a slice's wanted events, and the seq that the next part ends before."""
    sql = f"SELECT seq, data FROM events WHERE seq >= ? AND seq < ?{wanted.sql} ORDER BY seq DESC LIMIT ?"
    found, size = [], 0
    with closing(connection.execute(sql, (lower, upper, *wanted.parameters, _PART_EVENTS))) as rows:
        for seq, data in rows:
            found.append((seq, data))
            size += len(data)
            if len(found) == _PART_EVENTS or size >= _PART_BYTES:
                return found, seq
    return found, lower


def _happened(connection: sqlite3.Connection, lower: int, upper: int, since: _Bytes | None) -> bool:
    """Returns whether an event of a slice may have happened since a moment."""
    if since is None:
        return True
    sql = f"SELECT 1 FROM events WHERE seq >= ? AND seq < ?{since.sql} ORDER BY seq DESC LIMIT 1"
    return connection.execute(sql, (lower, upper, *since.parameters)).fetchone() is not None


def _text(mark: str) -> str:
    return f"x'{mark.encode().hex()}'"


def _after(mark: str, length: int) -> str:
    """Returns the SQL for so many bytes after the first place of this text, which JSON has nowhere in a string."""
    return f"substr(data, instr(data, {_text(mark)}) + {len(mark)}, {length})"


_TIME, _LUID, _FAMILY = ',"time":"', ',"luid":"', ',"family":"'
# Events of an older journal have no kinds: they are parsed. The names of all kinds together take 240 bytes.
_KINDS = ',"kinds":['
_OLDER = f"instr(data, {_text(_KINDS)}) = 0"


def _condition(query: HistoryQuery, luids: Collection[str]) -> _Bytes:
    """Returns the condition for what the bytes can show. A quotation mark in a JSON string is always escaped, so that
    `,"luid":"` can only be the member itself."""
    sql, parameters = "", []
    wanted = [query.luid] if query.luid is not None else [*luids] if len(luids) <= _MOST_LUIDS else []
    if wanted:
        sql += f" AND {_after(_LUID, 16)} IN ({', '.join('?' * len(wanted))})"
        parameters += [luid.encode() for luid in wanted]
    if query.family is not None:
        family = f'{query.family}"'.encode()
        sql += f" AND {_after(_FAMILY, len(family))} = ?"
        parameters.append(family)
    if query.kinds:
        found = [f"instr({_after(_KINDS, 300)}, ?)" for _ in query.kinds]
        sql += f" AND ({' OR '.join(found)} OR {_OLDER})"
        parameters += [f'"{kind}"'.encode() for kind in query.kinds]
    if since := _since(query.since):
        sql += since.sql
        parameters += since.parameters
    return _Bytes(sql, tuple(parameters))


def _since(since: datetime | None) -> _Bytes | None:
    """Returns the condition for events since a moment, to the second."""
    if since is None:
        return None
    second = since.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
    return _Bytes(f" AND {_after(_TIME, 19)} >= ?", (second.encode(),))


_NAME, _END = ',"interface":{"alias":"', '",'
# A name of 256 characters takes 1,536 bytes, when each of them is an escape.
# The limit keeps SQLite from looking for the name twice: the inner statement is not merged into the outer one.
_SELECT_NAMES = f"""
SELECT luid, substr(named, 1, instr(named, {_text(_END)}) - 1) AS name, max(seq) FROM (
    SELECT seq, {_after(_LUID, 16)} AS luid, {_after(_NAME, 1600)} AS named
    FROM events WHERE seq >= ? AND seq < ? LIMIT -1)
GROUP BY luid, name"""
_IS_LUID = re.compile(rb"[0-9a-f]{16}")


def _decoded(luid: bytes, name: bytes) -> tuple[str, str] | None:
    """Returns a LUID and a name; `None` when these bytes are none, as of a name that has a quotation mark in it."""
    try:
        return (luid.decode("ascii"), str(json.loads(b'"%b"' % name))) if _IS_LUID.fullmatch(luid) else None
    except ValueError:
        return None


def _named_in(event: Event | None) -> tuple[str, str] | None:
    return (event.luid, event.interface.alias) if event and event.luid and event.interface else None
