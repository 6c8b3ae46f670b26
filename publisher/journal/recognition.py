"""Recognition of the file that a journal's path names, by its bytes alone: nothing is opened for writing or changed."""

from __future__ import annotations

import os
import sqlite3
import stat
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple

from ..errors import JournalError
from .migrations import APPLICATION_ID, VERSION, too_new


class Recognised(NamedTuple):
    """The file that a path names. "damaged" is a journal with damage that SQLite itself does not report."""

    kind: Literal["absent", "empty", "journal", "damaged"]
    version: int = 0


_MAGIC = b"SQLite format 3\0"
# https://www.sqlite.org/fileformat.html: the header of the database, of the write-ahead log, and of its frames.
_HEADER_BYTES = 100
# The last member of both is a checksum; the first of a frame, which is part of it, begins with the number of the page.
_LOG_HEADER = struct.Struct(">I4xI4x8s8s")
_FRAME_HEADER = struct.Struct(">8s8s8s")
_BIG_ENDIAN = 0x377F0683
_FIRST = (1).to_bytes(4)
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class _FirstPage(NamedTuple):
    """The members of the database's header that identify it."""

    magic: bytes
    formats: bytes
    version: int
    application: int

    @classmethod
    def of(cls, page: bytes) -> _FirstPage:
        """Reads page 1, which may be short."""
        page = page.ljust(_HEADER_BYTES, b"\0")
        version, application = struct.unpack_from(">I4xI", page, 60)
        return cls(page[:16], page[18:20], version, application)


def recognise(path: Path, marked: int | None = None) -> Recognised:
    """Returns the kind of the file, and the version of a journal.

    `marked` is the version of the journal that was here last, by its mark. An empty file is taken as a journal to be
    made, as SQLite does. Raises JournalError for anything else, and for a journal of a newer version. Not to be called
    in a process that has the file open: to close a file releases SQLite's locks on it (fcntl(2)).
    """
    try:
        refuse_special(path)
        if not path.stat().st_size:
            return Recognised("empty")
        with path.open("rb", buffering=0) as file:
            main = _FirstPage.of(file.read(_HEADER_BYTES))
        newest = _logged(path) or main
    except FileNotFoundError:
        return Recognised("absent")
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be read: {error.strerror}") from error
    return _judged(path, main, newest, marked)


def _judged(path: Path, main: _FirstPage, newest: _FirstPage, marked: int | None) -> Recognised:
    ours = APPLICATION_ID in (main.application, newest.application)
    if not ours and marked is not None:
        # The mark shows that a journal was here. A single bit is damage; any other number is another program's.
        ours = main.magic != _MAGIC or _bits(main.application, APPLICATION_ID) == 1
    if not ours:
        raise not_a_journal(path, "a database of another program" if main.magic == _MAGIC else "no database")
    if APPLICATION_ID not in (main.application, newest.application):
        return Recognised("damaged")
    if newest.version > VERSION:
        if marked == VERSION and _bits(newest.version, VERSION) == 1:
            return Recognised("damaged")
        raise too_new(path, newest.version)
    # With an unknown number here SQLite opens the file for reading only, which looks like a missing permission.
    return Recognised("journal" if {*newest.formats} <= {1, 2} else "damaged", newest.version)


def refuse_foreign(path: Path) -> None:
    """Raises JournalError unless the path names a journal. The file may be open in this process."""
    refuse_special(path)
    # Before the database: a checkpoint moves it from here to there.
    logged = _logged(path)
    # As SQLite sees the file without its log, locks and index: nothing is made, and nothing of another's is released.
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        try:
            [application] = connection.execute("PRAGMA application_id").fetchone()
        except sqlite3.DatabaseError as error:
            match getattr(error, "sqlite_errorcode", 0):
                case sqlite3.SQLITE_NOTADB:
                    raise not_a_journal(path, "no database") from error
                case sqlite3.SQLITE_CORRUPT:
                    # During a checkpoint the first page is already new and the file still short: only together with
                    # its log can it be judged, which whoever opens it does.
                    return
                case _:
                    raise
    if APPLICATION_ID not in (application, logged and logged.application):
        raise not_a_journal(path, "a database of another program" if path.stat().st_size else "an empty file")


def not_a_journal(path: Path, found: str) -> JournalError:
    """Returns the error for a path that names something else."""
    return JournalError(
        f"{path} is no journal of publisher but {found}, and it was left as it is: "
        "set journal.path to another file, which the publisher makes"
    )


def refuse_special(path: Path) -> None:
    """Raises JournalError for anything but a regular file; to open a pipe would wait for its writer. Raises OSError."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise not_a_journal(path, next((name for matches, name in _KINDS if matches(mode)), "no regular file"))


def _logged(path: Path) -> _FirstPage | None:
    """Returns the newest header in the write-ahead log, None when there is none: the database may not have had it yet.

    A kill may leave the header of the last frame without its page, in whose place is one of a log before: its checksum
    shows that, and SQLite leaves it out, too.
    """
    try:
        log = path.with_name(f"{path.name}-wal").open("rb", buffering=0)
    except FileNotFoundError:
        return None
    with log:
        head = log.read(_LOG_HEADER.size)
        if len(head) < _LOG_HEADER.size:
            return None
        magic, page_bytes, salts, before = _LOG_HEADER.unpack(head)
        if not 512 <= page_bytes <= 65536:
            return None
        # The place of each frame with the first page, and the checksum before it.
        found: list[tuple[int, bytes]] = []
        while len(frame := log.read(_FRAME_HEADER.size)) == _FRAME_HEADER.size:
            begin, frame_salts, checksum = _FRAME_HEADER.unpack(frame)
            if frame_salts != salts:  # from before the log was begun anew
                break
            if begin.startswith(_FIRST):
                found.append((log.tell() - len(frame), before))
            before = checksum
            log.seek(page_bytes, os.SEEK_CUR)
        for place, before in reversed(found):
            log.seek(place)
            frame = log.read(_FRAME_HEADER.size + page_bytes)
            if len(frame) < _FRAME_HEADER.size + page_bytes:  # torn, or a checkpoint has emptied the log meanwhile
                continue
            begin, _, checksum = _FRAME_HEADER.unpack_from(frame)
            page = frame[_FRAME_HEADER.size :]
            if checksum == _checksum(before, begin + page, magic):
                return _FirstPage.of(page)
    return None


def _checksum(before: bytes, data: bytes, magic: int) -> bytes:
    """Returns the checksum of a log after more data (fileformat.html, 4.2); the data has whole pairs of numbers."""
    first, second = struct.unpack(">2I", before)
    for one, other in struct.iter_unpack(">2I" if magic == _BIG_ENDIAN else "<2I", data):
        first = (first + one + second) & 0xFFFF_FFFF
        second = (second + other + first) & 0xFFFF_FFFF
    return struct.pack(">2I", first, second)


def _bits(one: int, other: int) -> int:
    """Returns the number of bits that differ."""
    return (one ^ other).bit_count()
