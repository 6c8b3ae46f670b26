"""Appends to a file so that all of a batch is in it, or nothing of it."""

from __future__ import annotations

import os
import select
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from publisher import InUseError

from .lines import end_of_last_line, is_torn_event

# The descriptor, not sys.stdout: that may be absent, or replaced by a program's own stream.
STANDARD_OUTPUT_DESCRIPTOR = 1


class Access(NamedTuple):
    """The mode and the owner of a file; a mode that is not `exact` is limited by the umask of the process."""

    mode: int
    exact: bool = True
    owner: tuple[int, int] | None = None

    @classmethod
    def of(cls, status: os.stat_result) -> Access:
        """Returns the access that a file has."""
        return cls(stat.S_IMODE(status.st_mode), owner=(status.st_uid, status.st_gid))

    def give(self, descriptor: int) -> None:
        """Gives an open file this access, as far as this process may. Raises OSError."""
        if sys.platform == "win32":  # its files have the access of their directory
            return
        if self.owner not in (None, os.fstat(descriptor)[4:6]):
            with suppress(PermissionError):  # only root gives files away
                os.fchown(descriptor, *self.owner)
        if self.exact:
            os.fchmod(descriptor, self.mode)


def _open(path: Path, access: Access) -> int:
    # O_NONBLOCK: to open a pipe that nobody reads would wait for a reader. O_BINARY: Windows would write line feeds as
    # two bytes.
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, access.mode)
    try:
        access.give(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(path: Path, descriptor: int) -> bool:
    """Locks an open file; returns whether it could be. Raises InUseError when another writer has it."""
    if sys.platform == "win32":  # there, a lock keeps readers out as well
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUseError(path, "") from None
    except OSError:  # a file system without such locks
        return False
    return True


class Appender:
    """An open destination: a regular file, a pipe or device, or standard output.

    `whole` is True for a regular file, which can be truncated after a failed write; `locked` when this writer excludes
    others that open the file, by whatever name.
    """

    def __init__(self, descriptor: int, *, owned: bool) -> None:
        self.descriptor = descriptor
        self._owned = owned
        self._cut_to: int | None = None
        self.locked = False
        self._opened = os.fstat(descriptor)
        self.whole = owned and stat.S_ISREG(self._opened.st_mode)

    @classmethod
    def standard_output(cls) -> Appender:
        """Returns standard output, which `close` leaves open; raises OSError when it is closed."""
        os.fstat(STANDARD_OUTPUT_DESCRIPTOR)
        return cls(STANDARD_OUTPUT_DESCRIPTOR, owned=False)

    @classmethod
    def open(cls, path: Path, access: Access) -> Appender:
        """Opens the file, or creates it with this access; removes a line that a crash left half written.

        Raises OSError: ENXIO for a pipe that nobody reads. Raises InUseError when another writer has the file, which
        the caller excludes, too, where it can: another writer's line would look like one half written.
        """
        opened = cls(_open(path, access), owned=True)
        try:
            if opened.whole:
                opened.locked = _lock(path, opened.descriptor)
                opened._mend(path)
            elif sys.platform != "win32":
                os.set_blocking(opened.descriptor, True)
        except BaseException:
            opened.close()
            raise
        return opened

    @property
    def access(self) -> Access | None:
        """The access to a regular file, for its successor; `None` for everything else."""
        return Access.of(os.fstat(self.descriptor)) if self.whole else None

    @property
    def size(self) -> int:
        """The size of a regular file in bytes; 0 for everything else."""
        return os.fstat(self.descriptor).st_size if self.whole else 0

    def is_at(self, path: Path) -> bool:
        """Returns whether the file still has this name: it may have been moved or deleted."""
        if not self.whole:
            return True
        try:
            return os.path.samestat(self._opened, path.stat())
        except FileNotFoundError:
            return False

    def append(self, data: bytes, *, sync: bool) -> None:
        """Writes all of the data, in one write where the system allows it. Raises OSError; a file is then unchanged."""
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
        """Closes the descriptor, unless it is standard output."""
        if self._owned:
            with suppress(OSError):  # what had to be on the disk was synced; nothing can be done about the rest
                os.close(self.descriptor)
        self._owned = False

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except BlockingIOError:  # another program may have made the pipe of standard output non-blocking
                select.select([], [self.descriptor], [])

    def _cut(self) -> None:
        """Truncates what a failed write left. When that fails too, it is tried again before the next write."""
        if self.whole and self._cut_to is not None:
            os.ftruncate(self.descriptor, self._cut_to)
        self._cut_to = None

    def _mend(self, path: Path) -> None:
        """Truncates a torn last line. A line of another program is completed with a line feed."""
        with path.open("rb") as file:
            end = end_of_last_line(file)
            if end == self.size:
                return
            torn = is_torn_event(file, end)
        if torn:
            os.ftruncate(self.descriptor, end)
        else:
            self._write(b"\n")
