"""The schema of the journal's file, and the steps that bring an older file to it, in place."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ..errors import JournalDamagedError, JournalError
from ..sink import Cursor
from .lifetimes import convert_lifetimes
from .luids import TABLE, migrate_luids
from .positions import POSITIONS, Position, SnapshotDue, Tail
from .salted import salted

APPLICATION_ID = 0x69706A31  # "ipj1"
VERSION = 4
# From this version on a journal has a mark beside it (mark.py).
MARKED_VERSION = 3
# With row ids: without, a row of more than a quarter of a page is kept in pages of its own, and an update writes three
# pages in place of one.
_ROWS = """
CREATE TABLE rows (luid TEXT NOT NULL, family TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (luid, family));
"""
_PLACES = """
CREATE TABLE places (
    type TEXT NOT NULL, place TEXT NOT NULL, sink TEXT NOT NULL, node TEXT NOT NULL, options TEXT NOT NULL,
    emptying INTEGER NOT NULL, PRIMARY KEY (type, place)) WITHOUT ROWID;
"""
# Events' `position` is the number of bytes of events in this epoch up to and with this one, so that the size of
# those that are kept is one subtraction.
SCHEMA = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (seq INTEGER PRIMARY KEY, position INTEGER NOT NULL, data BLOB NOT NULL);
{_ROWS}
{TABLE};
CREATE TABLE positions (sink TEXT PRIMARY KEY, destination TEXT NOT NULL, position BLOB NOT NULL);
CREATE TABLE resends (id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE ended (sink TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, time REAL NOT NULL,
    reason TEXT NOT NULL, data BLOB NOT NULL);
CREATE INDEX dead_letters_of_sink ON dead_letters (sink, id);
CREATE TABLE requests (id INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT NOT NULL, result TEXT);
CREATE TABLE status (only INTEGER PRIMARY KEY CHECK (only = 1), data TEXT NOT NULL);
{_PLACES}
"""


def identify(connection: sqlite3.Connection) -> None:
    """Makes an empty file one of ours, before anything else is written: whoever finds it later knows whose it is."""
    if not connection.execute("PRAGMA page_count").fetchone()[0]:
        connection.execute("PRAGMA auto_vacuum = incremental")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Makes the schema in an empty file, or migrates an older one, in one transaction.

    Raises JournalDamagedError for a file that is no journal, and JournalError for one of a newer version.
    """
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
    version = _version(connection, path)
    if version < VERSION:
        _migrate(connection, version)
    check_schema(connection, path)


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raises JournalError unless the file has the schema of today, and JournalDamagedError when it is no journal."""
    version = _version(connection, path)
    if version < VERSION:
        raise JournalError(
            f"the journal {path} has version {version}, and {VERSION} is read here: "
            "start the publisher once, which brings it to this version"
        )


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Raises JournalDamagedError when a table of today is missing or has another definition."""
    with closing(sqlite3.connect(":memory:")) as made:
        made.executescript(SCHEMA)
        expected, found = _definitions(made), _definitions(connection)
    for name, definition in expected.items():
        if found.get(name) != definition:
            raise JournalDamagedError(f"the journal {path} is damaged: {name} is not defined as {definition!r}")


def too_new(path: Path, version: int) -> JournalError:
    """Returns the error for a journal of a newer version."""
    return JournalError(
        f"the journal {path} was written by a newer publisher, in version {version}, and this one knows versions up "
        f"to {VERSION}; it was left as it is: use the publisher that wrote it, or another journal.path"
    )


def _definitions(connection: sqlite3.Connection) -> dict[str, str]:
    found = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    return {name: " ".join(sql.split()).replace("( ", "(") for name, sql in found}


def _version(connection: sqlite3.Connection, path: Path) -> int:
    application, version = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("application_id", "user_version")
    )
    if application != APPLICATION_ID or version < 1:
        raise JournalDamagedError(
            f"the file {path} is no journal of publisher (application id {application}, version {version})"
        )
    if version > VERSION:
        raise too_new(path, version)
    return version


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in _STEPS[version - 1 :]:
            step(connection)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _to_version_2(connection: sqlite3.Connection) -> None:
    """Turns cursors and owed snapshots into positions, and lifetimes into moments."""
    convert_lifetimes(connection)
    connection.execute(
        "CREATE TABLE positions (sink TEXT PRIMARY KEY, destination TEXT NOT NULL, position BLOB NOT NULL)"
    )
    connection.execute(
        "CREATE TABLE resends (id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, data BLOB NOT NULL)"
    )
    newest = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
    for sink, destination, epoch, seq, owed in connection.execute("SELECT * FROM cursors").fetchall():
        confirmed = Cursor(epoch, seq)
        position: Position = SnapshotDue(owed, newest, confirmed) if owed else Tail(confirmed)
        row = (sink, destination, POSITIONS.dump_json(position))
        connection.execute("INSERT INTO positions (sink, destination, position) VALUES (?, ?, ?)", row)
    connection.execute("DROP TABLE cursors")


def _to_version_3(connection: sqlite3.Connection) -> None:
    """Adds the places where sinks keep something; knows interfaces by other facts; salts the hashes of options."""
    connection.execute(_PLACES)
    migrate_luids(connection)
    for sink, fingerprint in connection.execute("SELECT sink, fingerprint FROM ended").fetchall():
        connection.execute("UPDATE ended SET fingerprint = ? WHERE sink = ?", (salted(fingerprint), sink))


def _to_version_4(connection: sqlite3.Connection) -> None:
    """Keeps the rows in a table with row ids."""
    rows = connection.execute("SELECT luid, family, data FROM rows").fetchall()
    connection.execute("DROP TABLE rows")
    connection.execute(_ROWS)
    connection.executemany("INSERT INTO rows (luid, family, data) VALUES (?, ?, ?)", rows)


# The step at index n brings version n + 1 to version n + 2.
_STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_to_version_2, _to_version_3, _to_version_4)
