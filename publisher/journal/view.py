"""A journal that is only read: nothing is made, changed or locked by whoever looks."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import JournalError
from .file import Row, explained
from .lock import holder, real_path
from .migrations import check_version
from .recognition import refuse_foreign, refuse_special

# A log without its index (`-shm`), as in a copy: SQLite would have to make the index, in the journal's directory.
_REFUSED = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})
# A service that opens the journal makes the log before the index, and one that closes it removes the index first.
# So long that may take: on a machine that stalls, seconds; without a service, that of a command that writes.
_SERVICE_SECONDS, _BETWEEN_SECONDS = 20.0, 1.0
_PAUSE_SECONDS = 0.01


class JournalView:
    """The journal of another process, or of none, opened for reading. One thread at a time.

    Every error is a JournalError that names the file, JournalDamagedError when it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = real_path(path)
        self._log = self._file.with_name(f"{self._file.name}-wal")
        self._index = self._file.with_name(f"{self._file.name}-shm")
        # Of a journal without a log, which a service may be writing: SQLite's locks are needed, and nothing is made.
        self._rollback = self._file.with_name(f"{self._file.name}-journal")
        with self._errors():
            refuse_special(path)
            refuse_foreign(self._file)
            self._connection = self._connect()
        try:
            with self.reading() as connection:
                check_version(connection, self.path)
        except BaseException:
            self._connection.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Reads everything in a block as of one moment."""
        with self._errors():
            self._begin()
            try:
                yield self._connection
            finally:
                self._connection.execute("ROLLBACK")

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Returns all rows of a SELECT."""
        with self.reading() as connection:
            return connection.execute(sql, parameters).fetchall()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Releases the file for a block, in which this process writes to it.

        SQLite shares one index (`-shm`) among the connections of a process: while this one has it for reading only, no
        other can write ("attempt to write a readonly database").
        """
        self._connection.close()
        try:
            yield
        finally:
            with self._errors():
                self._connection = self._connect()

    def close(self) -> None:
        """Releases the file."""
        self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        """Opens the file.

        A journal that a service holds, or that was not closed, has a log beside it: `-wal`. Without its data the file
        is whole, and `immutable` keeps SQLite from making a log and an index (`-wal`, `-shm`) that would stay behind.
        With one, the index is read as it is, and built in memory when no service keeps it up to date.
        """
        self._immutable = not self._logged
        how = "immutable=1" if self._immutable else "readonly_shm=1"
        uri = f"{self._file.absolute().as_uri()}?mode=ro&{how}"
        return sqlite3.connect(uri, uri=True, isolation_level=None)

    @property
    def _logged(self) -> bool:
        """True if the file alone may not be whole. An empty log without an index is left by a look at a closed journal.

        SQLite makes a log for a connection that only reads, when a service has removed its own in that moment.
        """
        if self._index.exists() or self._rollback.exists():
            return True
        try:
            return self._log.stat().st_size > 0
        except FileNotFoundError:
            return False

    def _begin(self) -> None:
        """Begins to read; waits a moment for a service that is about to open or close the journal."""
        began = time.monotonic()
        while not self._has_begun(last=self._is_long(time.monotonic() - began)):
            time.sleep(_PAUSE_SECONDS)
            self._reconnect()

    def _is_long(self, seconds: float) -> bool:
        """Returns whether a wait of so many seconds is in vain."""
        if seconds <= _BETWEEN_SECONDS:
            return False
        return seconds > _SERVICE_SECONDS or self._index.exists() or holder(self._file) is None

    def _has_begun(self, *, last: bool) -> bool:
        if self._immutable and self._logged:  # a service has opened the journal meanwhile
            self._reconnect()
        try:
            self._connection.execute("BEGIN")
            self._connection.execute("PRAGMA user_version").fetchone()  # the first look at the file, log and index
        except sqlite3.Error as error:
            if last or not _refused(error):
                raise
            return False
        return True

    def _reconnect(self) -> None:
        self._connection.close()
        self._connection = self._connect()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if _refused(error):
                if not os.access(self._file, os.R_OK):  # SQLite has no word for it
                    raise JournalError(f"the journal {self.path} cannot be read: permission denied") from error
                raise JournalError(
                    f"the journal {self.path} cannot be read: {error}; it was not closed, and its index "
                    f"({self._index.name}) is missing: start the publisher once"
                ) from error
            raise explained(self.path, "read", error) from error
        except OSError as error:
            raise JournalError(f"the journal {self.path} cannot be read: {error.strerror}") from error


def _refused(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _REFUSED
