"""The file sink."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from publisher import Cursor, Ended, Event, Retry, Sink, SinkContext, SinkOptions

from .appender import Appender
from .check import check_file, check_output
from .errors import FileSinkError, explain
from .lines import lines_from_end, place_of
from .options import STANDARD_OUTPUT, FileOptions
from .rotation import Archive


class FileSink(Sink):
    """Append each event to a file as a line of JSON, or write it to standard output.

    The file itself says which event was the last, so after a crash no line is missing and none is there twice.
    A file that is moved or deleted is made anew, so logrotate works with it.
    """

    Options: ClassVar[type[SinkOptions]] = FileOptions
    options: FileOptions

    def __init__(self, options: FileOptions, context: SinkContext) -> None:
        super().__init__(options, context)
        self._path = Path(options.destination)
        self._archive = Archive(self._path, options.keep, sync=options.fsync != "off")
        self._file: Appender | None = None
        self._since: datetime | None = None
        self._may_rotate = True

    def open(self) -> None:
        try:
            self._open()
        except OSError as error:
            raise FileSinkError(explain(error, self.options.destination)) from error
        if not self._file or not self._file.whole:
            # Whoever reads a pipe or a terminal now did not see what was written to it last time.
            self.context.request_snapshot()
        elif self._rotates:
            self._tidy()

    def publish(self, events: Sequence[Event]) -> None:
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
        except OSError as error:
            raise Retry(explain(error, self._name), index=done) from error

    def close(self) -> None:
        if self._file:
            self._file.close()
        self._file = None

    def cursor(self) -> Cursor | None:
        """Where the file ends, or the newest one put away; where a snapshot was cut short, what came before it."""
        if not self._file or not self._file.whole:
            return None
        cut_short = False
        with self._path.open("rb") as file:
            places = filter(None, map(place_of, lines_from_end(file)))
            while (place := next(places, None)) and not place.complete:
                cut_short = True
        if cut_short:
            self.context.request_snapshot()
        return place.cursor if place else self._cursor_put_away()

    def check(self) -> str:
        """Returns where the sink would write, and the room there. Raises FileSinkError. Opens nothing."""
        try:
            return check_output() if self.options.path == STANDARD_OUTPUT else check_file(self._path, self._rotates)
        except OSError as error:
            raise FileSinkError(explain(error, self._name)) from error

    @property
    def _name(self) -> str:
        return "standard output" if self.options.path == STANDARD_OUTPUT else str(self._path)

    @property
    def _rotates(self) -> bool:
        return self.options.max_size is not None or self.options.max_age is not None

    def _cursor_put_away(self) -> Cursor | None:
        try:
            return self._archive.cursor()
        except OSError as error:
            self.context.log.warning("the archives of %s cannot be read: %s", self._path, error)
            return None

    def _open(self) -> Appender:
        self.close()
        if self.options.path == STANDARD_OUTPUT:
            self._file = Appender.standard_output()
        else:
            self._file = Appender.open(self._path)
            self._since = _first_time(self._path) if self._file.size else None
        return self._file

    def _file_for(self, event: Event) -> Appender:
        """Where this event goes: a new file when the old one was moved, is full, or is too old."""
        file = self._file
        if file is None or not file.is_at(self._path):
            file = self._open()
        if self._is_due(file, event):
            file = self._rotate()
        return file

    def _is_due(self, file: Appender, event: Event) -> bool:
        size = file.size
        if not size or not self._may_rotate:
            return False
        too_large = self.options.max_size is not None and size + len(event.json_bytes) + 1 > self.options.max_size
        age = event.time - self._since if self._since else None
        return too_large or (self.options.max_age is not None and age is not None and age >= self.options.max_age)

    def _rotate(self) -> Appender:
        self.close()
        try:
            self._archive.put_away()
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
            self.context.log.warning("the archives of %s are not compressed: %s", self._path, error)

    def _fitting(self, file: Appender, events: Sequence[Event]) -> int:
        """How many of these events go into the file in one write: at least one."""
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


def _first_time(path: Path) -> datetime | None:
    """The time of the file's first event; None when its first line is none."""
    with path.open("rb") as file:
        line = file.readline()
    try:
        return datetime.fromisoformat(json.loads(line)["time"])
    except (ValueError, KeyError, TypeError):
        return None
