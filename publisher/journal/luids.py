"""The LUIDs in the journal: which interface was given which, over restarts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ..sources.luids import LuidAssignment
from .file import JournalFile, Row


class JournalLuids:
    """A `LuidStore` in the journal. The core's thread."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file

    def load_luids(self) -> list[LuidAssignment]:
        """Returns every assignment; raises JournalError."""
        return [decoded_assignment(row) for row in self._file.query(SELECT_LUIDS)]

    def save_luids(self, assignments: Iterable[LuidAssignment]) -> None:
        """Inserts or replaces by LUID; they are in the file before this returns. Raises JournalError."""
        with self._file.writing() as connection:
            write_luids(connection, assignments)


SELECT_LUIDS = "SELECT luid, key, name, last_seen FROM luids ORDER BY luid"


def decoded_assignment(row: Row) -> LuidAssignment:
    """Returns the assignment of a row of the table."""
    luid, key, name, last_seen = row
    return LuidAssignment(luid, _decoded(key), _decoded(name), last_seen)


def write_luids(connection: sqlite3.Connection, assignments: Iterable[LuidAssignment]) -> None:
    """Inserts or replaces by LUID."""
    connection.executemany(
        "INSERT OR REPLACE INTO luids (luid, key, name, last_seen) VALUES (?, ?, ?, ?)",
        [(entry.luid, _encoded(entry.key), _encoded(entry.name), entry.last_seen) for entry in assignments],
    )


# An interface name need not be UTF-8; Python carries such bytes as lone surrogates, which SQLite refuses as text.
def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
