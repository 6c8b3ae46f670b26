"""Appending to a file so that all of it is there or nothing."""

from __future__ import annotations

import os
import select
import stat
from contextlib import suppress
from pathlib import Path

from .lines import end_of_last_line, is_torn_event

# The descriptor: what Python wraps around it may be absent, or somebody's capture.
_STANDARD_OUTPUT = 1


class Appender:
    """An open destination: a file, a device, or standard output. `whole` says that it is a file, which can be cut."""

    def __init__(self, descriptor: int, *, owned: bool) -> None:
        self.descriptor = descriptor
        self._owned = owned
        self._cut_to: int | None = None
        self.whole = owned and stat.S_ISREG(os.fstat(descriptor).st_mode)

    @classmethod
    def standard_output(cls) -> Appender:
        """Standard output, which is left open by `close`; raises OSError when it is closed."""
        os.fstat(_STANDARD_OUTPUT)
        return cls(_STANDARD_OUTPUT, owned=False)

    @classmethod
    def open(cls, path: Path) -> Appender:
        """The file, made if absent, without the line that a crash left half written; raises OSError."""
        # O_BINARY: Windows would write line feeds as two bytes.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        opened = cls(os.open(path, flags, 0o644), owned=True)
        try:
            if opened.whole:
                opened._mend(path)
        except BaseException:
            opened.close()
            raise
        return opened

    @property
    def size(self) -> int:
        """Bytes in the file; 0 for what is none."""
        return os.fstat(self.descriptor).st_size if self.whole else 0

    def is_at(self, path: Path) -> bool:
        """Whether the file is still the one of this name: it may have been moved or deleted."""
        if not self.whole:
            return True
        try:
            return os.path.samestat(os.fstat(self.descriptor), path.stat())
        except FileNotFoundError:
            return False

    def append(self, data: bytes, *, sync: bool) -> None:
        """Write it all, in one write where the system takes it so; raises OSError, and then a file is as it was."""
        self._cut()
        before = self.size
        try:
            self._write(data)
            if sync and self.whole:
                os.fsync(self.descriptor)
        except BaseException:
            self._cut_to = before
            self._cut()
            raise

    def close(self) -> None:
        if self._owned:
            with suppress(OSError):  # what had to be on the disk was synced; nothing can be done about the rest
                os.close(self.descriptor)
        self._owned = False

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except BlockingIOError:  # standard output may be a pipe that somebody made non-blocking
                select.select([], [self.descriptor], [])

    def _cut(self) -> None:
        """Take back what was written of something that failed; if that fails too, before anything else is written."""
        if self.whole and self._cut_to is not None:
            os.ftruncate(self.descriptor, self._cut_to)
        self._cut_to = None

    def _mend(self, path: Path) -> None:
        """Cut a torn last line off; what is no event of ours is ended with a line feed instead of being destroyed."""
        with path.open("rb") as file:
            end = end_of_last_line(file)
            if end == self.size:
                return
            torn = is_torn_event(file, end)
        if torn:
            os.ftruncate(self.descriptor, end)
        else:
            self._write(b"\n")
