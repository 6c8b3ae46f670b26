"""The journal's file: its schema, its connections, and what happens when it is damaged."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from ..errors import JournalDamagedError, JournalError

Synchronous = Literal["normal", "full"]
Row = tuple[Any, ...]
Content = TypeVar("Content")

_SCHEMA_VERSION = 1
_APPLICATION_ID = 0x69706A31  # "ipj1"
# Events' `position` is how many bytes of events there were in this epoch up to and with this one, so that
# the size of those that are kept is one subtraction.
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (seq INTEGER PRIMARY KEY, position INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE rows (luid TEXT, family TEXT, data BLOB NOT NULL, PRIMARY KEY (luid, family)) WITHOUT ROWID;
CREATE TABLE luids (luid TEXT PRIMARY KEY, key BLOB NOT NULL, name BLOB NOT NULL, last_seen REAL NOT NULL);
CREATE TABLE cursors (
    sink TEXT PRIMARY KEY, destination TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL, owed TEXT);
CREATE TABLE ended (sink TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, time REAL NOT NULL,
    reason TEXT NOT NULL, data BLOB NOT NULL);
CREATE INDEX dead_letters_of_sink ON dead_letters (sink, id);
CREATE TABLE requests (id INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT NOT NULL, result TEXT);
CREATE TABLE status (only INTEGER PRIMARY KEY CHECK (only = 1), data TEXT NOT NULL);
"""
# A checkpoint waits for the disk and writes each page once, however often it changed: four times SQLite's 1,000
# made appends in batches twice as quick. The file beside the journal is of 16 MiB then.
_CHECKPOINT_PAGES = 4000
_SUFFIXES = ("", "-wal", "-shm")
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# Another process (the command line) holds the file for milliseconds; ten seconds is for one that is suspended.
_BUSY_SECONDS = 10.0


class JournalFile:
    """One SQLite file in WAL mode, open for one writer at a time and for reading beside it. Any thread.

    There are two connections: one writes, under a lock; the other reads, under its own, so that a sink that reads
    far back does not hold up the writer. Every error is a JournalError that names the file.
    """

    def __init__(self, path: Path, synchronous: Synchronous = "normal") -> None:
        """Open a file that exists; raises JournalError, and JournalDamagedError when it is no journal."""
        self.path = path
        self.damaged = False
        """Whether damage showed since it was opened."""
        self._synchronous = synchronous
        self._write_lock, self._read_lock = threading.Lock(), threading.Lock()
        with self._errors("opened"):
            self._writer = _connect(path)
            try:
                _prepare(self._writer, synchronous)
                self._reader = _connect(path)
            except BaseException:
                self._writer.close()
                raise
        self._closed = False

    @contextmanager
    def writing(self, *, durably: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction, committed at the end of the block.

        With `durably=False` a power cut may take it, also under `synchronous="full"`: for what may be done twice.
        """
        with self._write_lock, self._errors("written"):
            self._check_open()
            relaxed = not durably and self._synchronous == "full"
            if relaxed:
                self._writer.execute("PRAGMA synchronous = normal")
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                if relaxed:
                    self._writer.execute("PRAGMA synchronous = full")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """What is read in the block is of one moment."""
        with self._read_lock, self._errors("read"):
            self._check_open()
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                self._reader.execute("ROLLBACK")

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a SELECT."""
        with self.reading() as connection:
            return connection.execute(sql, parameters).fetchall()

    def check(self) -> None:
        """Look for damage where the last publisher did not end well; raises JournalDamagedError."""
        if self.query("SELECT 1 FROM meta WHERE name = 'clean' AND value = '1'"):
            return
        verdict = self.query("PRAGMA quick_check(1)")[0][0]
        if verdict != "ok":
            raise JournalDamagedError(f"the journal {self.path} is damaged: {verdict}")

    def close(self) -> None:
        """Let go of the file; harmless when repeated. Later calls raise JournalError."""
        with self._write_lock, self._read_lock:
            self._closed = True
            self._reader.close()
            self._writer.close()

    def _check_open(self) -> None:
        if self._closed:
            raise JournalError(f"the journal {self.path} is closed")

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            explained = _explained(self.path, what, error)
            self.damaged |= isinstance(explained, JournalDamagedError)
            raise explained from error


class Opened(NamedTuple, Generic[Content]):
    """A file that was opened, what was read of it, and where a damaged one before it was set aside to."""

    file: JournalFile
    content: Content
    set_aside: Path | None


def open_file(path: Path, synchronous: Synchronous, read: Callable[[JournalFile], Content]) -> Opened[Content]:
    """The file, made if need be, and what `read` read of it, which raises JournalDamagedError when it is no good.

    Raises JournalError for what is not damage: no space, no permission.
    """
    _create(path)
    try:
        return Opened(*_read(path, synchronous, read), None)
    except JournalDamagedError:
        aside = _set_aside(path)
    _create(path)
    file, content = _read(path, synchronous, read)
    _salvage_luids(aside, file)
    return Opened(file, content, aside)


def _read(path: Path, synchronous: Synchronous, read: Callable[[JournalFile], Content]) -> tuple[JournalFile, Content]:
    file = JournalFile(path, synchronous)
    try:
        file.check()
        return file, read(file)
    except BaseException:
        file.close()
        raise


def _create(path: Path) -> None:
    """An empty file that only its owner may read, unless there is one."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if os.name == "posix" and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be made or written: {error.strerror}") from error


def _connect(path: Path) -> sqlite3.Connection:
    # mode=rw: a file that was removed meanwhile is an error, and not silently made anew with other permissions.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _prepare(connection: sqlite3.Connection, synchronous: Synchronous) -> None:
    """Make the schema in an empty file; raises JournalDamagedError for one that is not ours."""
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID};"
            f"PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
        )
    found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    if found != [_APPLICATION_ID, _SCHEMA_VERSION]:
        raise JournalDamagedError(f"the file is no journal of this version (application id and version: {found})")


def _set_aside(path: Path) -> Path:
    """Give the file and its companions another name; the new name of the file itself."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = [f"{path.name}.damaged-{stamp}{number}" for number in ("", *(f"-{n}" for n in range(1, 1000)))]
    aside = next(candidate for name in names if not (candidate := path.with_name(name)).exists())
    try:
        for suffix in _SUFFIXES:
            companion = path.with_name(path.name + suffix)
            if companion.exists():
                companion.rename(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise JournalError(f"the damaged journal {path} cannot be set aside: {error.strerror}") from error
    return aside


def _salvage_luids(aside: Path, file: JournalFile) -> None:
    """Keep which interface has which LUID, where the damaged file still tells: others know interfaces by it."""
    columns = "luid, key, name, last_seen"
    try:
        with closing(_connect(aside)) as damaged:
            found = damaged.execute(f"SELECT {columns} FROM luids").fetchall()
    except sqlite3.Error:
        return  # The part that tells is damaged too: they are given anew.
    with file.writing() as connection:
        connection.executemany(f"INSERT OR REPLACE INTO luids ({columns}) VALUES (?, ?, ?, ?)", found)


def put_meta(connection: sqlite3.Connection, **values: str) -> None:
    """Insert or replace facts about the journal."""
    connection.executemany("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", values.items())


def _explained(path: Path, what: str, error: sqlite3.Error) -> JournalError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGE:
        return JournalDamagedError(f"the journal {path} is damaged: {error}")
    return JournalError(f"the journal {path} cannot be {what}: {error}")
