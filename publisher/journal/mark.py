"""The journal's mark: a small file beside it that shows when the journal went back, so that no id is used twice.

A journal goes back when its write-ahead log is deleted, an older copy is put in its place, or its directory is restored
from a backup. The mark has the newest event that the journal ever had. It is written after each commit, and not
synced: a kill takes nothing from the system's cache, and after another boot a journal that was not closed begins a new
epoch anyway. A mark that was restored together with the journal is known by its anchor: the time of the last change
(ctime, which no program can set) of the lock file, which is written once at each start.
"""

from __future__ import annotations

import logging
import os
import sys
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ..errors import JournalError
from .migrations import VERSION

_LOG = logging.getLogger("publisher.journal")
_MAGIC = "ipj-mark"
# Every mark has this size: a shorter one leaves nothing of a longer one, and it lies in one sector.
_BYTES = 200
_BEGINNING_BYTES = _BYTES - len("0123456789abcdef 01234567\n")

State = Literal["open", "stuck", "closed", "damaged", "unmarked"]


@dataclass(frozen=True)
class JournalMark:
    """The newest event that the journal had, and how it was left.

    `state` is "open" while a publisher has it, and after a kill; "stuck" then, if the journal takes nothing: to write
    the mark over needs no space on a full disk; "damaged" when damage showed; "unmarked" while a
    journal of a version without marks is migrated.
    """

    state: State = "open"
    epoch: Annotated[str, Field(pattern=r"^([0-9a-f]{16}|-)$")] = "-"
    seq: Annotated[int, Field(ge=0)] = 0
    boot: Annotated[str, Field(pattern=r"^\S+$")] = "-"
    anchor: Annotated[int, Field(ge=0)] = 0
    """The lock file's ctime in nanoseconds; 0 while the lock file is being written."""
    version: Annotated[int, Field(ge=1)] = VERSION

    @property
    def unclosed(self) -> bool:
        """True while a publisher has it, and after a kill."""
        return self.state in ("open", "stuck")

    @property
    def beginning(self) -> bytes:
        """The first part of its line: all but `seq` and the checksum."""
        text = f"{_MAGIC} {self.version} {self.state} {self.boot} {self.anchor} {self.epoch} "
        return text.encode().ljust(_BEGINNING_BYTES)


def _line(beginning: bytes, seq: int) -> bytes:
    """Returns the line of a mark, with its checksum."""
    data = b"%b%016d " % (beginning, seq)
    return b"%b%08x\n" % (data, zlib.crc32(data))


_MARKS = TypeAdapter(JournalMark)


def _decoded(data: bytes) -> JournalMark | None:
    """Returns the mark of a line; `None` when it is none."""
    text, checksum = data[: _BYTES - 9], data[_BYTES - 9 :]
    if checksum != b"%08x\n" % zlib.crc32(text):
        return None
    fields = text.decode("ascii", "replace").split()
    names = ("magic", "version", "state", "boot", "anchor", "epoch", "seq")
    values = dict(zip(names, fields, strict=False))
    if values.pop("magic", "") != _MAGIC:
        return None
    try:
        return _MARKS.validate_strings(values)
    except ValidationError:
        return None


class MarkFile:
    """The file of a journal's mark. The core's thread."""

    def __init__(self, journal: Path) -> None:
        self.path = journal.with_name(f"{journal.name}.mark")
        self._descriptor: int | None = None
        self._mark = JournalMark()
        self._beginning = b""
        self._seq = 0
        self._failed = False

    def read(self) -> JournalMark | None:
        """Returns the mark; `None` when there is none that can be read."""
        try:
            with self.path.open("rb") as file:
                return _decoded(file.read(_BYTES + 1))
        except OSError:
            return None

    def write(self, mark: JournalMark, *, durably: bool = False) -> None:
        """Replaces the mark; makes the file when it is missing. Raises JournalError."""
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)
                if os.fstat(self._descriptor).st_size > _BYTES:
                    os.ftruncate(self._descriptor, 0)
            self._mark, self._beginning = mark, mark.beginning
            self._put(self._beginning, mark.seq)
            if durably:
                os.fsync(self._descriptor)
        except OSError as error:
            raise JournalError(f"the journal's mark {self.path} cannot be written: {error.strerror}") from error

    def advance(self, seq: int) -> None:
        """Notes a committed event. A disk that takes it not is logged once: the journal itself has the event."""
        if self._descriptor is None:
            return
        try:
            self._put(self._beginning, seq)
        except OSError as error:
            if not self._failed:
                _LOG.warning("the journal's mark %s cannot be written: %s", self.path, error.strerror)
            self._failed = True

    def note(self, state: State) -> None:
        """Writes the state, as far as the disk takes it."""
        if self._descriptor is not None:
            with suppress(JournalError):
                self.write(replace(self._mark, state=state, seq=self._seq))

    def close(self, state: State) -> None:
        """Writes how the journal is left, durably, and releases the file; harmless when repeated."""
        if self._descriptor is not None:
            with suppress(JournalError):  # The next start then takes the journal for one that was not closed.
                self.write(replace(self._mark, state=state, seq=self._seq), durably=True)
            self.release()

    def release(self) -> None:
        """Releases the file as it is."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def anchor(self, changed: int) -> None:
        """Notes another ctime of the lock file; raises JournalError."""
        self.write(replace(self._mark, anchor=changed, seq=self._seq))

    def _put(self, beginning: bytes, seq: int) -> None:
        assert self._descriptor is not None, "called with the file open"
        _write_at_start(self._descriptor, _line(beginning, seq))
        self._seq = seq


if sys.platform == "win32":

    def _write_at_start(descriptor: int, data: bytes) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, data)

else:

    def _write_at_start(descriptor: int, data: bytes) -> None:
        os.pwrite(descriptor, data, 0)


_BINARY = getattr(os, "O_BINARY", 0)
