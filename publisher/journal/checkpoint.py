"""Checkpoints of the journal's write-ahead log, in a thread of their own, so that no commit waits for the disk."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_LOG = logging.getLogger("publisher.journal")
# A checkpoint writes each changed page once, however often it changed: 16 MiB between two are cheaper than SQLite's 4.
_DUE_BYTES = 16 << 20
# A log of this size is emptied although the writer must wait for it: a steady stream of commits can keep a passive
# checkpoint from ever reaching the log's end (https://www.sqlite.org/wal.html, "Checkpoint starvation").
_MOST_BYTES = 2 * _DUE_BYTES
# A reader with an open transaction keeps the log from being emptied: tried again each time it has grown by this.
_STEP_BYTES = 8 << 20
# To ask for the size of the log takes as long as a tenth of a commit. So it is asked once it may have grown by so much,
# where a commit takes a page for each of its tables, and a few more, and up to three times its bytes.
_LOOK_BYTES = 256 << 10
_COMMIT_BYTES = 32 << 10
_COMMIT_TIMES = 3
# To empty the log, SQLite waits for its readers with the writer's lock held: no commit waits longer than this.
_BUSY_SECONDS = 0.05


class Checkpointer:
    """Moves the write-ahead log into the database when it has grown. `committed` is called by the writer's thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log_path = f"{path}-wal"
        self._wanted = threading.Event()
        self._running = threading.Lock()
        self._most = _MOST_BYTES
        self._due = self._first_due
        self._unseen = 0
        self._hindered = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def committed(self, written: int | None) -> bool:
        """Requests a checkpoint when the log has grown enough; never blocks. Returns whether the log is too large.

        It is when this thread does not get its turn: the writer must then make the checkpoint. `written` are the bytes
        of the commit, about, where they are known: then the log is looked at only when it may have grown by a step.
        """
        if written is not None:
            self._unseen += _COMMIT_BYTES + _COMMIT_TIMES * written
            if self._unseen < self._step:
                return False
        self._unseen = 0
        size = self._size()
        if size >= self._due:
            self._wanted.set()
        return size >= self._most + self._most // 3

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Runs a block while this thread makes none: of two checkpoints at once, the second moves nothing."""
        with self._running:
            yield

    def limit(self, most: int) -> None:
        """Has the log emptied before it takes more than so many bytes."""
        self._most = min(_MOST_BYTES, most - most // 4)
        self._due = self._first_due

    @property
    def _first_due(self) -> int:
        return min(_DUE_BYTES, self._most // 2)

    @property
    def _step(self) -> int:
        return min(_LOOK_BYTES, self._first_due // 16)

    def close(self) -> None:
        """Ends the thread, after the checkpoint that is running; harmless when repeated."""
        self._closed = True
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._closed:
                return
            if self._size() < self._due:
                continue  # a commit asked while the last checkpoint ran, and the next one cut the log
            try:
                with self._running:
                    self._checkpoint()
            except sqlite3.Error as error:
                # The next commit asks again; the disk may be full, and then the log stays as it is.
                _LOG.debug("the journal %s cannot be checkpointed now: %s", self._path, error)

    def _checkpoint(self) -> None:
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as connection:
            whole = _checkpoint(connection, "PASSIVE")
            if self._size() >= self._most:
                # Its space is kept: on a disk that others fill, a log that was cut to nothing could take no commit.
                whole = _checkpoint(connection, "RESTART")
                self._report(hindered=not whole)
        step = min(_STEP_BYTES, self._first_due)
        self._due = self._first_due if whole else max(self._first_due, self._size() + step)

    def _report(self, *, hindered: bool) -> None:
        if hindered and not self._hindered:
            text = "the log of the journal %s grows: another process has the journal open and reads it without an end"
            _LOG.warning(text, self._path)
        self._hindered = hindered

    def _size(self) -> int:
        try:
            return os.stat(self._log_path).st_size  # noqa: PTH116 - once a commit, and Path.stat takes twice as long
        except OSError:
            return 0


def _checkpoint(connection: sqlite3.Connection, mode: str) -> bool:
    """Returns whether the whole log is in the database now; a busy reader is no error."""
    busy, pages, moved = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    return not busy and pages == moved
