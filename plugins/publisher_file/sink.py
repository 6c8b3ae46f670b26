"""The file sink."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from publisher import Cursor, Ended, Event, FileLock, InUseError, Retry, Sink, SinkContext, SinkOptions

from .appender import Appender
from .check import check_file, check_standard_output, refuse_foreign
from .errors import FileSinkError, explain, in_use
from .lines import lines_from_end, lines_of, place_of
from .options import STANDARD_OUTPUT, FileOptions
from .rotation import Archive


class FileSink(Sink):
    """Appends each event to a file as a line of JSON, or writes it to standard output.

    The file itself holds the position: after a crash no line is missing and none is there twice. A file that is moved
    or deleted is created anew, so logrotate works with it. A regular file has one writer: the lock beside it,
    `.NAME.lock`, keeps others out.
    """

    Options: ClassVar[type[SinkOptions]] = FileOptions
    max_pause = 10.0
    options: FileOptions

    def __init__(self, options: FileOptions, context: SinkContext) -> None:
        super().__init__(options, context)
        self._name = "standard output" if options.path == STANDARD_OUTPUT else options.destination
        # Made absolute once: each system call gives the interpreter to another of the sinks' threads.
        self._destination = Path(options.destination)
        self._aim()
        self._file: Appender | None = None
        self._access = options.access
        self._since: datetime | None = None
        self._may_rotate = True

    def open(self) -> None:
        """Locks and opens the file. Raises FileSinkError, also while another process writes to it.

        A file that has no lines of JSON is another program's: it is an error, and nothing is changed.
        """
        try:
            self._open()
        except InUseError as error:
            raise in_use(self._name, error) from None
        except OSError as error:
            raise FileSinkError(explain(error, self.options.destination)) from error
        if self._file and self._file.whole and not self._locked and not self._file.locked:
            folder = self._lock.path.parent
            self.context.log.warning(
                "%s is not protected against a second writer: no file can be made in %s", self._path, folder
            )
        if not self._file or not self._file.whole:
            # The present reader of a pipe or a terminal did not receive the earlier lines.
            self.context.request_snapshot()
        elif self._rotates:
            self._tidy()

    def publish(self, events: Sequence[Event]) -> None:
        """Appends the events; raises Retry when the file takes nothing, Ended when a pipe has lost its reader."""
        done = 0
        self._may_rotate = True
        try:
            while done < len(events):
                file = self._file_for(events[done])
                count = self._fitting(file, events[done:])
                self._append(file, events[done : done + count])
                done += count
        except (BrokenPipeError, ConnectionResetError) as error:  # a pipe's; a socket's with unread data
            raise Ended(f"nobody reads {self._name} any more", index=done, durable=False) from error
        except InUseError as error:  # a symbolic link leads to another file now
            raise Retry(str(in_use(self._name, error)), index=done) from None
        except FileSinkError as error:  # the file of this name is another program's now
            raise Retry(str(error), index=done) from None
        except OSError as error:
            raise Retry(explain(error, self._name), index=done) from error

    def close(self) -> None:
        """Closes the file and releases its lock."""
        self._close_file()
        self._lock.release()
        self._locked = False

    def cursor(self) -> Cursor | None:
        """Returns the last event of the file, or of its newest rotated one.

        Where the last snapshot is cut short, that is the event before it, and a snapshot is requested.
        """
        if not self._file or not self._file.whole:
            return None
        cut_short = False
        with self._path.open("rb") as file:
            places = filter(None, map(place_of, lines_from_end(file)))
            while (place := next(places, None)) and not place.complete:
                cut_short = True
        if cut_short:
            self.context.request_snapshot()
        return place.cursor if place else self._archived_cursor()

    def check(self) -> str:
        """Returns where the sink would write, and the free space there; raises FileSinkError. Opens nothing."""
        try:
            if self.options.path == STANDARD_OUTPUT:
                return check_standard_output()
            return check_file(self._path, rotates=self._rotates)
        except OSError as error:
            raise FileSinkError(explain(error, self._name)) from error

    @property
    def _rotates(self) -> bool:
        return self.options.max_size is not None or self.options.max_age is not None

    def _aim(self) -> None:
        """Finds the file itself: through a symbolic link, the link stays and its target is written and rotated."""
        self._path = _file_itself(self.options.destination)
        # A shell's `*` does not match the name of the lock.
        self._lock = FileLock(self._path.with_name(f".{self._path.name}.lock"))
        self._archive = Archive(self._path, self.options.keep, sync=self.options.fsync != "off")
        self._locked = False

    def _acquire_lock(self) -> None:
        # Pipes and devices may have several writers.
        if self._locked or (self._path.exists() and not self._path.is_file()):
            return
        try:
            self._lock.acquire()
            self._locked = True
        except OSError:
            folder = self._lock.path.parent
            if self._lock.path.exists() or os.access(folder, os.W_OK) or not self._path.exists():
                raise
            # The file may be in a directory that publisher may not write, like /var/log: its own lock must do.

    def _archived_cursor(self) -> Cursor | None:
        try:
            return self._archive.cursor()
        except OSError as error:
            self.context.log.warning("the rotated files of %s cannot be read: %s", self._path, error)
            return None

    def _open(self) -> Appender:
        self._close_file()
        if self.options.path == STANDARD_OUTPUT:
            self._file = Appender.standard_output()
            return self._file
        if self._path != _file_itself(self.options.destination):
            self._lock.release()
            self._aim()
        refuse_foreign(self._path)
        self._acquire_lock()
        self._file = Appender.open(self._path, self._access)
        self._since = _first_time(self._path) if self._file.size else None
        return self._file

    def _close_file(self) -> None:
        if self._file:
            self._access = self._file.access or self._access
            self._file.close()
        self._file = None

    def _file_for(self, event: Event) -> Appender:
        """Returns the file for this event: a new one when the old one was moved, is full, or is too old."""
        file = self._file
        if file is None or not file.is_at(self._destination):
            file = self._open()
        if self._is_due(file, event):
            file = self._rotate()
        return file

    def _is_due(self, file: Appender, event: Event) -> bool:
        size = file.size if self._rotates and self._may_rotate else 0
        if not size:
            return False
        too_large = self.options.max_size is not None and size + len(event.json_bytes) + 1 > self.options.max_size
        age = event.time - self._since if self._since else None
        return too_large or (self.options.max_age is not None and age is not None and age >= self.options.max_age)

    def _rotate(self) -> Appender:
        self._close_file()
        try:
            self._archive.rotate()
        except OSError as error:
            # Windows does not rename a file that another program reads. Better a file too large than none.
            self._may_rotate = False
            self.context.log.warning("%s is not rotated and grows: %s", self._path, error)
        file = self._open()
        self._tidy()
        return file

    def _tidy(self) -> None:
        try:
            self._archive.tidy()
        except OSError as error:
            self.context.log.warning("the rotated files of %s are not compressed: %s", self._path, error)

    def _fitting(self, file: Appender, events: Sequence[Event]) -> int:
        """Returns how many of these events go into the file in one write: at least one."""
        if self.options.fsync == "always":
            return 1
        if self.options.max_size is None or not self._may_rotate or not file.whole:
            return len(events)
        room = self.options.max_size - file.size
        for index, event in enumerate(events):
            room -= len(event.json_bytes) + 1
            if room < 0:
                return max(index, 1)
        return len(events)

    def _append(self, file: Appender, events: Sequence[Event]) -> None:
        data = b"".join(event.json_bytes + b"\n" for event in events)
        file.append(data, sync=self.options.fsync != "off")
        self._since = self._since or events[0].time


def _file_itself(path: str) -> Path:
    # Path.resolve raises RuntimeError for links that lead in a circle; opening the file says it better.
    return Path(os.path.realpath(path))


def _first_time(path: Path) -> datetime | None:
    """Returns the time of the file's first event; `None` when its first line is no event."""
    with path.open("rb") as file:
        place = place_of(next(lines_of(file), b""))
    return place.time if place else None
