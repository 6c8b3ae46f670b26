"""The journal's file: its connections, and its errors."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Literal

from ..errors import JournalDamagedError, JournalError
from .checkpoint import Checkpointer
from .migrations import check_version, identify, prepare

_LOG = logging.getLogger("publisher.journal")
Synchronous = Literal["normal", "full"]
Row = tuple[Any, ...]
Write = Callable[[sqlite3.Connection], object]
Stamp = tuple[int, int, int]

# A bit in the schema makes a statement that is right an error (ERROR) or a value that was taken one that is not
# (CONSTRAINT, MISMATCH); one in a length makes it absurd (TOOBIG).
_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_TOOBIG,
    }
)
# The index of the log is a memory map that the connections share: 9p without a cache, some FUSE file systems and old
# CIFS mounts have none.
_NO_SHARED_MEMORY = frozenset({sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMLOCK})
# Another process (the command line) holds the file for milliseconds; ten seconds is for one that is suspended.
_BUSY_SECONDS = 10.0
# The core receives nothing while it waits: what was lost by then is healed by a resync, as with a full disk. Once a
# commit failed, the next tries are short.
_WRITER_BUSY_SECONDS = 2.0
_TRY_BUSY_SECONDS = 0.1
_COARSE_NS = 3_000_000_000
# A log that was checkpointed whole is cut to this size when it is used again.
_LOG_BYTES = 8 << 20


class DiskFullError(JournalError):
    """The disk has no space left for the journal."""


class JournalFile:
    """One SQLite file in WAL mode. Every error is a JournalError that names the file.

    There are three connections: the core's thread writes (`writing`, `look`), the sinks' threads read (`reading`,
    `query`) under a lock of theirs, and a thread of its own makes checkpoints. None waits for another's disk access,
    but for the one write of each new sink (`writing_apart`).
    """

    def __init__(self, path: Path, synchronous: Synchronous = "normal", *, owned: bool = True) -> None:
        """Opens a file that exists; raises JournalError, and JournalDamagedError when it is no journal.

        `owned`: by the publisher that holds the lock. Anybody else makes no schema and no checkpoints.
        """
        self.path = path
        self._synchronous = synchronous
        self._log_path = f"{path}-wal"
        self.damaged = False
        """Whether damage showed since it was opened."""
        self._read_lock = threading.Lock()
        with self._errors("opened"):
            self._writer = _owner(path, synchronous) if owned else _connect(path, _BUSY_SECONDS)
            try:
                prepare(self._writer, path) if owned else check_version(self._writer, path)
                self._reader = _connect(path, _BUSY_SECONDS)
            except BaseException:
                self._writer.close()
                raise
        self._checkpointer = Checkpointer(path) if owned else None
        self._closed = False

    @contextmanager
    def writing(self, size: int | None = None) -> Iterator[sqlite3.Connection]:
        """Opens a transaction for a block, which commits it at its end. One thread.

        `size` is about the number of bytes that it writes, where that is known.
        """
        self._check_open()
        writer = self._writer
        try:
            try:
                writer.execute("BEGIN IMMEDIATE")
                yield writer
                writer.execute("COMMIT")
            finally:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._noted("written", error) from error
        if self._checkpointer and self._checkpointer.committed(size):
            with suppress(JournalError):  # It is committed; a disk that is full shows at the next commit.
                self._empty_log("PASSIVE")

    @contextmanager
    def writing_apart(self) -> Iterator[sqlite3.Connection]:
        """Opens a transaction as `writing` does, over a connection of its own. Any thread; the writer waits for it."""
        with self._errors("written"):
            self._check_open()
            with closing(_connect(self.path, _WRITER_BUSY_SECONDS)) as connection:
                _prepare_to_write(connection, self._synchronous)
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Waits a tenth of a second, in a block, for another process that writes. The writer's thread."""
        self._be_patient(_TRY_BUSY_SECONDS)
        try:
            yield
        finally:
            self._be_patient(_WRITER_BUSY_SECONDS)

    def _be_patient(self, seconds: float) -> None:
        with self._errors("written"):
            self._check_open()
            self._writer.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def version(self) -> int:
        """Returns a number that is another after each commit of another process. The writer's thread."""
        return int(self.look("PRAGMA data_version")[0][0])

    def stamp(self) -> Stamp | None:
        """Returns what differs after any process wrote a commit; None while that cannot be told. Any thread.

        It is the inode, the size and the time of the write-ahead log: one call where `version` reads the database. None
        while the log is younger than the time of some file systems is coarse (2 s, FAT), and on Windows, where the time
        of a file that is open is late.
        """
        if sys.platform == "win32":
            return None
        try:
            log = os.stat(self._log_path)  # noqa: PTH116 - a third of the cost of a Path's
        except OSError:
            return None
        is_old = time.time_ns() - log.st_mtime_ns > _COARSE_NS
        return (log.st_ino, log.st_size, log.st_mtime_ns) if is_old else None

    def look(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Returns all rows of a SELECT, without waiting for a sink that reads. The writer's thread."""
        with self._errors("read"):
            self._check_open()
            return self._writer.execute(sql, parameters).fetchall()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Reads everything in a block as of one moment. Any thread."""
        with self._read_lock, self._errors("read"):
            self._check_open()
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                self._reader.execute("ROLLBACK")

    @contextmanager
    def reading_apart(self) -> Iterator[sqlite3.Connection]:
        """Reads as `reading` does, over a connection of its own: a long look holds up no sink. Any thread.

        It is SQLite that opens and closes the file: to close it in another way releases the locks of this process.
        """
        with self._errors("read"):
            self._check_open()
            with closing(_connect(self.path, _BUSY_SECONDS)) as connection:
                connection.execute("PRAGMA query_only = 1")
                connection.execute("BEGIN")
                yield connection

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Returns all rows of a SELECT. Any thread."""
        with self.reading() as connection:
            return connection.execute(sql, parameters).fetchall()

    def check(self) -> None:
        """Looks for damage where the last publisher did not end well; raises JournalDamagedError."""
        if self.query("SELECT 1 FROM meta WHERE name = 'clean' AND value = '1'"):
            return
        verdict = self.query("PRAGMA quick_check(1)")[0][0]
        if verdict != "ok":
            raise JournalDamagedError(f"the journal {self.path} is damaged: {verdict}")

    def limit_log(self, most: int) -> None:
        """Has the write-ahead log emptied before it takes more than so many bytes."""
        if self._checkpointer:
            self._checkpointer.limit(most)
        # Below the size at which a checkpoint is due: else each commit would ask for one.
        self._writer.execute(f"PRAGMA journal_size_limit = {min(_LOG_BYTES, most // 3)}")

    def empty_log(self) -> None:
        """Moves the whole log into the database; raises JournalError. The writer's thread."""
        self._empty_log("RESTART")

    def vacuum(self, pages: int) -> None:
        """Gives so many free pages back, in a transaction of its own; raises JournalError. The writer's thread."""
        with self._errors("written"):
            self._check_open()
            # `execute` would take the first of its steps, which are one page each.
            self._writer.executescript(f"PRAGMA incremental_vacuum({pages})")

    def _empty_log(self, how: str) -> None:
        with self._errors("written"):
            self._check_open()
            with self._checkpointer.paused() if self._checkpointer else nullcontext():
                self._writer.execute(f"PRAGMA wal_checkpoint({how})").fetchall()

    def close(self) -> None:
        """Releases the file; harmless when repeated. Later calls raise JournalError. The writer's thread."""
        if self._checkpointer:
            self._checkpointer.close()
        with self._read_lock:
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
            raise self._noted(what, error) from error

    def _noted(self, what: str, error: sqlite3.Error) -> JournalError:
        """Returns the error of SQLite as one that names the file, and notes damage."""
        journal_error = explained(self.path, what, error)
        self.damaged |= isinstance(journal_error, JournalDamagedError)
        return journal_error


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    # mode=rw: a file that was removed meanwhile is an error, and not silently made anew with other permissions.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None, check_same_thread=False)


def _owner(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    """Returns the connection of the journal's writer: in WAL mode, or without a log where the file system has none."""
    try:
        connection = _in_mode(path, "wal")
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) not in _NO_SHARED_MEMORY:
            raise
        text = (
            "the file system of the journal %s offers no memory that processes share: there is no write-ahead log, and "
            "each commit waits for the disk; journal.path may name a directory on a local disk"
        )
        _LOG.warning(text, path)
        connection = _in_mode(path, "truncate")
    _prepare_to_write(connection, synchronous)
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    return connection


def _prepare_to_write(connection: sqlite3.Connection, synchronous: Synchronous) -> None:
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")


def _in_mode(path: Path, mode: str) -> sqlite3.Connection:
    """Returns a connection in a journal mode of SQLite; a file that has a log is taken out of WAL mode without it."""
    connection = _connect(path, min(_BUSY_SECONDS, _WRITER_BUSY_SECONDS))
    try:
        if mode != "wal":
            # A log that only one connection uses needs no shared index; one that was left is moved into the file.
            connection.execute("PRAGMA locking_mode = exclusive")
        identify(connection)
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("PRAGMA locking_mode = normal")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def put_meta(connection: sqlite3.Connection, **values: str) -> None:
    """Inserts or replaces facts about the journal."""
    connection.executemany("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", values.items())


def explained(path: Path, what: str, error: sqlite3.Error) -> JournalError:
    """Returns the error of SQLite as one that names the file; `what` could not be done: opened, read, written."""
    code = getattr(error, "sqlite_errorcode", None)
    # Python reports text that is no UTF-8 without a code.
    undecodable = code is None and str(error).startswith("Could not decode")
    if undecodable or (code is not None and code & 0xFF in _DAMAGE):
        return JournalDamagedError(f"the journal {path} is damaged: {error}")
    if code is not None and code in _NO_SHARED_MEMORY:
        return JournalError(
            f"the journal {path} cannot be {what}: its file system offers no memory that processes share, "
            f"as some shares and container mounts do not ({error}): set journal.path to a directory on a local disk"
        )
    kind = DiskFullError if code == sqlite3.SQLITE_FULL else JournalError
    return kind(f"the journal {path} cannot be {what}: {error}")
