"""The rows of the journal: each as the newest event left it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from ..errors import JournalDamagedError
from ..events import Event, IpInterface
from .file import JournalFile

# An update in place: INSERT OR REPLACE deletes and inserts, which costs 20 µs of the 50 of a commit of one event.
_PUT_ROW = "INSERT INTO rows (luid, family, data) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET data = excluded.data"


def put_rows(connection: sqlite3.Connection, rows: Iterable[IpInterface]) -> None:
    """Inserts or replaces these rows."""
    connection.executemany(_PUT_ROW, map(_row_values, rows))


def _row_values(row: IpInterface) -> tuple[str, str, bytes]:
    return row.luid, row.family, row.__pydantic_serializer__.to_json(row)


def apply_events(connection: sqlite3.Connection, events: Sequence[Event]) -> None:
    """Brings the rows to where the events lead; of several events about one row only the last counts."""
    last = {(event.luid, event.family): event for event in events}
    removed = [key for key, event in last.items() if event.notification_type == "delete_instance"]
    if removed:
        connection.executemany("DELETE FROM rows WHERE luid = ? AND family = ?", removed)
    there = [event for event in last.values() if event.notification_type != "delete_instance"]
    connection.executemany(_PUT_ROW, [(event.luid, event.family, event.ip_interface_json) for event in there])


def read_rows(file: JournalFile) -> list[IpInterface]:
    """Returns the rows, sorted; raises JournalDamagedError when they are no rows."""
    with file.reading() as connection:
        found = select_rows(connection)
    return [decoded_row(data) for data in found]


def select_rows(connection: sqlite3.Connection) -> list[bytes]:
    """Returns the rows as JSON, sorted by LUID and family."""
    return [data for (data,) in connection.execute("SELECT data FROM rows ORDER BY luid, family")]


def decoded_row(data: bytes) -> IpInterface:
    """Returns the row that was written; raises JournalDamagedError."""
    try:
        return IpInterface.model_validate_json(data)
    except (TypeError, ValueError) as error:
        raise JournalDamagedError(f"the journal holds an invalid row: {error}") from error
