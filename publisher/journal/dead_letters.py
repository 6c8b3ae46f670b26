"""Dead letters: the events that a sink's destination refused for good, as the journal keeps them."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import JournalDamagedError
from ..events import Event
from .event_log import decoded_event
from .file import Row

_LOG = logging.getLogger("publisher.journal")
# A destination that refuses everything must not fill the disk.
KEPT = 10_000
# In seconds since 1970; a time beyond it has no date to show.
_YEAR_10000 = 253_402_300_800


@dataclass(frozen=True)
class DeadLetter:
    """An event that a sink's destination refused for good. `time` is in seconds since 1970."""

    id: int
    sink: str
    time: float
    reason: str
    event: Event


def select_dead_letters(connection: sqlite3.Connection, sink: str | None, after: int = 0) -> Iterator[DeadLetter]:
    """Returns the dead letters of one sink, or all, with numbers greater than `after`, oldest first.

    One that is damaged is logged and left out: it costs the others nothing.
    """
    # Bytes: text that is not UTF-8 would end the reading of all of them.
    columns = "id, CAST(sink AS BLOB), time, CAST(reason AS BLOB), CAST(data AS BLOB)"
    sql = f"SELECT {columns} FROM dead_letters WHERE (:sink IS NULL OR sink = :sink) AND id > :after ORDER BY id"
    for row in connection.execute(sql, {"sink": sink, "after": after}):
        try:
            yield _decoded(row)
        except (JournalDamagedError, TypeError, UnicodeDecodeError) as error:
            _LOG.error("dead letter %s of sink %r cannot be read and is left out: %s", row[0], row[1], error)


def _decoded(row: Row) -> DeadLetter:
    number, sink, when, reason, data = row
    if not (isinstance(when, float) and 0 <= when < _YEAR_10000):
        raise TypeError(f"its time is {when!r}")
    return DeadLetter(number, sink.decode(), when, reason.decode(), decoded_event(data))


def delete_dead_letters(connection: sqlite3.Connection, sink: str, number: int | None) -> int:
    """Deletes a dead letter of a sink, or all of them when `number` is `None`; returns the count of those deleted."""
    sql = "DELETE FROM dead_letters WHERE sink = :sink AND (:number IS NULL OR id = :number)"
    return connection.execute(sql, {"sink": sink, "number": number}).rowcount


def discarded(sink: str, count: int) -> str:
    """Returns the answer to a request to discard dead letters."""
    return f"{sink}: {count} dead letter{'' if count == 1 else 's'} dropped"


def insert_dead_letter(connection: sqlite3.Connection, sink: str, event: Event, reason: str) -> None:
    """Keeps an event that was refused; only the newest 10,000 of a sink are kept."""
    connection.execute(
        "INSERT INTO dead_letters (sink, time, reason, data) VALUES (?, ?, ?, ?)",
        (sink, time.time(), reason, event.json_bytes),
    )
    connection.execute(
        "DELETE FROM dead_letters WHERE sink = :sink AND id <= "
        "(SELECT id FROM dead_letters WHERE sink = :sink ORDER BY id DESC LIMIT 1 OFFSET :kept)",
        {"sink": sink, "kept": KEPT},
    )
