"""Reads a file of events from its end: the end of the last whole line, and the last event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from publisher import Cursor

_CHUNK = 1 << 16
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
    """Yields the lines that end in a line feed, last first; reads the file in chunks."""
    position = end_of_last_line(file)
    tail = b""
    while position > 0:
        start = max(0, position - _CHUNK)
        file.seek(start)
        head, *lines = (file.read(position - start) + tail).split(b"\n")
        yield from (line for line in reversed(lines) if line)
        tail, position = head, start
    if tail:
        yield tail


class Place(NamedTuple):
    """The position after a line. In the middle of a snapshot it is not `complete`: the rest is missing."""

    cursor: Cursor
    complete: bool


def place_of(line: bytes) -> Place | None:
    """Returns the position after this line; `None` when the line is no event."""
    try:
        event = json.loads(line)
        snapshot = event["snapshot"]
        complete = snapshot is None or snapshot["position"] == snapshot["count"]
        return Place(Cursor(str(event["epoch"]), int(event["seq"])), complete)
    except (ValueError, KeyError, TypeError):
        return None  # a line of another program
