"""Reads a file of events from its end: the end of the last whole line, and the last event."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, BinaryIO, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from publisher import Cursor
from publisher.untrusted import UntrustedError, parse_json, parse_model

_CHUNK = 1 << 16
# An event of 10,000 addresses has 3 MB. Of a longer line, which is of another program, no more is kept.
LONGEST_LINE = 16 << 20
_BEGINNING = b'{"schema_version":'


def end_of_last_line(file: BinaryIO) -> int:
    """Returns the offset just after the last line feed; 0 when there is none."""
    end = file.seek(0, 2)
    while end > 0:
        start = max(0, end - _CHUNK)
        file.seek(start)
        feed = file.read(end - start).rfind(b"\n")
        if feed >= 0:
            return start + feed + 1
        end = start
    return 0


def is_torn_event(file: BinaryIO, start: int) -> bool:
    """Returns whether the bytes from `start` on begin an event, or are the zeros that a power cut leaves."""
    file.seek(start)
    beginning = file.read(len(_BEGINNING))
    return _BEGINNING.startswith(beginning) or not beginning.strip(b"\0")


def lines_from_end(file: BinaryIO) -> Iterator[bytes]:
    """Yields the lines that end in a line feed, last first, but those of more than 16 MiB; reads the file in chunks."""
    position = end_of_last_line(file)
    later: list[bytes] = []  # the chunks of a line whose beginning was not read yet, last first
    size = 0
    while position > 0:
        start = max(0, position - _CHUNK)
        file.seek(start)
        beginning, *lines = file.read(position - start).split(b"\n")
        if lines:
            later.append(lines.pop())
            if size <= LONGEST_LINE:
                lines.append(b"".join(reversed(later)))
            yield from (line for line in reversed(lines) if line)
            later, size = [], 0
        size += len(beginning)
        if size > LONGEST_LINE:
            later = []
        later.append(beginning)
        position = start
    if later and size <= LONGEST_LINE:
        yield b"".join(reversed(later))


def lines_of(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """Yields the lines, first to last; one of more than 16 MiB in parts."""
    return iter(lambda: stream.readline(LONGEST_LINE + 1), b"")


def has_lines_of_json(file: BinaryIO) -> bool:
    """Returns whether a file may be appended to: its first or its last line is a JSON object, or one of our lines.

    One of the two may be another program's, or damaged. A file without a line, of which a crash left the beginning of
    an event, or zeros, may be appended to as well.
    """
    end = end_of_last_line(file)
    if end == 0 and is_torn_event(file, 0):
        return True
    file.seek(0)
    first, last = file.readline(LONGEST_LINE + 1), next(lines_from_end(file), b"")
    return not (first + last).strip() or _is_object(first) or _is_object(last)


def _is_object(line: bytes) -> bool:
    if line.startswith(_BEGINNING):
        return True
    try:
        return isinstance(parse_json(line, max_bytes=LONGEST_LINE), dict)
    except UntrustedError:
        return False


class FilePosition(NamedTuple):
    """The position after a line. In the middle of a snapshot it is not `complete`: the rest is missing."""

    cursor: Cursor
    complete: bool
    time: datetime


class _WrittenSnapshot(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    position: int
    count: int


class _WrittenEvent(BaseModel):
    """The members of a line by which the sink finds its position; those of other versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    epoch: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    seq: Annotated[int, Field(ge=0, lt=1 << 63)]
    time: AwareDatetime
    snapshot: _WrittenSnapshot | None


def place_of(line: bytes) -> FilePosition | None:
    """Returns the position after this line; `None` when the line is no event, whatever it is."""
    try:
        event = parse_model(line, _WrittenEvent, max_bytes=LONGEST_LINE)
    except UntrustedError:
        return None  # a line of another program
    complete = event.snapshot is None or event.snapshot.position == event.snapshot.count
    return FilePosition(Cursor(event.epoch, event.seq), complete, event.time)
