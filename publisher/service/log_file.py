"""The log file of a process that has no standard error: under pythonw.exe, as a service, or started with 2>&-."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Literal, TextIO

LOG_NAME = "publisher.log"
_MAX_BYTES = 1 << 20


class LogFile(io.TextIOBase):
    """A log of bounded size: a full file becomes `publisher.log.1`, in place of the one before, and a new one begins.

    Only its user may read it. One thread at a time writes: logging's handler has a lock. Other processes may write into
    the same file. Raises OSError when it cannot be opened or written.
    """

    def __init__(self, path: Path, max_bytes: int = _MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = self._opened("ab")

    def write(self, text: str) -> int:
        """Appends the text; characters that UTF-8 cannot hold become escapes."""
        if self._file.closed and not self.closed:  # it was full, and a new one could not be opened
            self._file = self._opened("ab")
        data = text.encode(errors="backslashreplace")
        if self._is_full(data):
            self._rotate(data)
        self._file.write(data)
        return len(text)

    def close(self) -> None:
        """Closes the file; harmless when repeated."""
        self._file.close()
        super().close()

    def _is_full(self, data: bytes) -> bool:
        return bool(size := self._file.tell()) and size + len(data) > self._max_bytes

    def _rotate(self, data: bytes) -> None:
        self._file.close()
        self._file = self._opened("ab")
        if not self._is_full(data):  # another process has begun a new one
            return
        self._file.close()
        try:
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        except OSError:  # Windows: another program has one of them open. The bound matters more than the older lines.
            self._file = self._opened("wb")
        else:
            self._file = self._opened("ab")

    def _opened(self, mode: Literal["ab", "wb"]) -> io.FileIO:
        return io.FileIO(self.path, mode, opener=lambda path, flags: os.open(path, flags | os.O_APPEND, 0o600))


def is_missing(stream: TextIO | None) -> bool:
    """Returns whether the process has no such standard stream: the command put the null device in its place, or none.

    A stream that the user leads to the null device (2>/dev/null) has another name, and is not missing.
    """
    return stream is None or getattr(stream, "name", None) == os.devnull


def log_file_beside(journal: Path) -> Path:
    """Returns the path of the log file of a service with this journal; raises OSError in a folder that was removed."""
    return journal.absolute().with_name(LOG_NAME)
