"""The table of LUIDs in the journal's file, of any version. Each row is validated when it is read. No state."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from ..events import luid_parts
from ..sources.assignments import MOST_NAMED, LuidAssignment
from ..sources.identity import HARDWARE_KINDS, hardware_id

_LOG = logging.getLogger("publisher.journal")
TABLE = """CREATE TABLE luids (
    luid TEXT PRIMARY KEY, kind TEXT NOT NULL, name BLOB NOT NULL, first_name BLOB NOT NULL, address BLOB NOT NULL,
    port TEXT NOT NULL, shared INTEGER NOT NULL, seen INTEGER NOT NULL)"""
_COLUMNS = "luid, kind, name, first_name, address, port, shared, seen"
_SELECT = f"SELECT {_COLUMNS} FROM luids"
_PRUNE = """DELETE FROM luids WHERE luid IN (
    SELECT luid FROM luids WHERE (shared OR address = x'') AND luid NOT IN (SELECT luid FROM rows)
    ORDER BY seen DESC LIMIT -1 OFFSET ?)"""

_LUID = "[0-9a-f]{10}000000"
_Luid = Annotated[str, Field(pattern=f"^{_LUID}$")]
_Name = Annotated[bytes, Field(min_length=1, max_length=255)]
_Text = Annotated[str, Field(max_length=255)]


class _LuidRow(NamedTuple):
    """A row of the table."""

    luid: _Luid
    kind: _Text
    name: _Name
    first_name: _Name
    address: Annotated[bytes, Field(max_length=32)]
    port: _Text
    shared: Literal[0, 1]
    seen: Annotated[int, Field(ge=0, lt=1 << 62)]


class _OldLuidRow(NamedTuple):
    """A row of the table in versions 1 and 2 of the schema."""

    luid: _Luid
    key: Annotated[bytes, Field(max_length=600)]
    name: _Name
    last_seen: float


_ROW = TypeAdapter(_LuidRow)
_OLD_ROW = TypeAdapter(_OldLuidRow)


class ReadLuids(NamedTuple):
    """The assignments in a file, and the number of rows that are invalid and were left out."""

    assignments: list[LuidAssignment]
    invalid: int


def read_luids(connection: sqlite3.Connection) -> ReadLuids:
    """Returns the valid assignments of a journal's file of any version: for reading, for migrating and for salvage.

    What does not fit is left out and counted: numbers that are text, text that is not UTF-8, LUIDs that are none.
    Raises sqlite3.Error where the table itself cannot be read. Nothing is written.
    """
    columns = {row[1] for row in connection.execute("PRAGMA table_info(luids)").fetchall()}
    if "last_seen" in columns:
        return _read_old(connection)
    found: list[LuidAssignment] = []
    invalid = 0
    with _as_stored(connection):
        for row in connection.execute(_SELECT):
            try:
                valid = _ROW.validate_python(row, strict=True)
            except ValidationError:
                invalid += 1
            else:
                found.append(LuidAssignment(*valid[:6], shared=bool(valid.shared), seen=valid.seen))
    return ReadLuids(found, invalid)


def prune_luids(connection: sqlite3.Connection) -> None:
    """Deletes the oldest assignments beyond the bound."""
    connection.execute(_PRUNE, (MOST_NAMED,))


def check_luids(connection: sqlite3.Connection) -> None:
    """Reads the whole table and keeps nothing: `load_luids` validates the rows. Raises sqlite3.Error for damage."""
    with _as_stored(connection):
        for _ in connection.execute(_SELECT):
            pass


def select_luids(connection: sqlite3.Connection) -> frozenset[str]:
    """Returns the LUIDs of the rows and of the assignments, as far as they are valid."""
    found = connection.execute("SELECT luid FROM rows UNION SELECT luid FROM luids")
    return frozenset(luid for (luid,) in found if isinstance(luid, str) and re.fullmatch(_LUID, luid))


def write_luids(
    connection: sqlite3.Connection, assignments: Iterable[LuidAssignment], removed: Iterable[str] = ()
) -> None:
    """Inserts or replaces by LUID, and deletes the removed ones."""
    connection.executemany(
        f"INSERT OR REPLACE INTO luids ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(a.luid, a.kind, a.name, a.first_name, a.address, a.port, a.shared, a.seen) for a in assignments],
    )
    connection.executemany("DELETE FROM luids WHERE luid = ?", [(luid,) for luid in removed])


def migrate_luids(connection: sqlite3.Connection) -> None:
    """Turns the table of versions 1 and 2 into that of version 3; each interface keeps its LUID."""
    assignments, invalid = read_luids(connection)
    if invalid:
        _LOG.warning("%d rows of the table luids are invalid and are left out", invalid)
    connection.execute("DROP TABLE luids")
    connection.execute(TABLE)
    write_luids(connection, assignments)


def _read_old(connection: sqlite3.Connection) -> ReadLuids:
    """Returns the assignments of versions 1 and 2, the newest of each name: no more than are kept in memory.

    Of several of one name it is the one that was there at the end: what went was seen later than what stayed.
    """
    present: set[str] = set()
    with suppress(sqlite3.DatabaseError):  # damaged, and the LUIDs may be whole
        present = {row[0] for row in connection.execute("SELECT luid FROM rows").fetchall()}
    seen = connection.execute("SELECT count(*) FROM luids").fetchone()[0]
    hardware: list[LuidAssignment] = []
    named: dict[tuple[int, str, bytes], LuidAssignment] = {}
    invalid = 0
    with _as_stored(connection):
        for row in connection.execute("SELECT luid, key, name, last_seen FROM luids ORDER BY last_seen DESC"):
            seen -= 1
            try:
                found = _from_old(_OLD_ROW.validate_python(row, strict=True), seen)
            except ValueError:
                invalid += 1
                continue
            name = found.if_type, found.kind, found.name
            if found.address:
                hardware.append(found)
            elif found.luid in present or (name not in named and len(named) < MOST_NAMED):
                named[name] = found
    return ReadLuids([*hardware, *named.values()], invalid)


def _from_old(row: _OldLuidRow, seen: int) -> LuidAssignment:
    """Returns the assignment; raises ValueError when the key is none.

    Keys were `type/kind/mac=hexadecimal` or `type/kind/name=Latin-1`. Tunnels had an address that means nothing.
    """
    if_type, kind, known_by = row.key.decode("utf-8", "surrogatepass").split("/", 2)
    how, _, value = known_by.partition("=")
    if how not in ("mac", "name") or int(if_type) != luid_parts(row.luid).if_type:
        raise ValueError(f"{row.key!r} identifies no interface")
    name = value.encode("latin-1") if how == "name" else row.name
    address = bytes.fromhex(value) if how == "mac" and kind in HARDWARE_KINDS else b""
    return LuidAssignment(row.luid, kind, name, name, hardware_id(address), seen=seen)


@contextmanager
def _as_stored(connection: sqlite3.Connection) -> Iterator[None]:
    """Reads text of any bytes; what is not UTF-8 is no valid text for the models, and no error of SQLite."""
    before = connection.text_factory
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        connection.text_factory = before
