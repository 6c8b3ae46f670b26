"""Lock files: one process holds one, and the operating system releases it when that process ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from .errors import PublisherError

# `holder` holds the lock for an instant; an `acquire` at that moment tries again.
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.05
# Windows locks bytes against reading too, so the locked one is far behind the process id.
_LOCKED_BYTE = 1 << 30
_PID_BYTES = 20


class InUseError(PublisherError):
    """Another holder has the lock. `process` is its process id, as text."""

    def __init__(self, path: Path, process: str) -> None:
        super().__init__(f"{path} is locked by process {process}")
        self.process = process


class FileLock:
    """A lock file, which holds the process id of its holder. Two locks of one process exclude each other, too.

        lock = FileLock(path.with_name(f".{path.name}.lock"))
        lock.acquire()  # raises InUseError
        ...
        lock.release()

    The file stays after `release`: removing it would race with the next holder.
    """

    def __init__(self, path: Path, *, mode: int = 0o600) -> None:
        self.path = path
        self._mode = mode
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Acquires the lock, waiting at most a quarter of a second. Its directory must exist.

        Raises InUseError when another holder has it, OSError when the file cannot be made.
        """
        self.take()
        try:
            self.sign()
        except BaseException:
            self.release()
            raise

    def take(self) -> None:
        """Acquires the lock as `acquire` does, and leaves the file's content as it is: `sign` follows."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, self._mode)
        try:
            if not _lock_patiently(descriptor):
                raise InUseError(self.path, _read_pid(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def sign(self) -> None:
        """Writes this process's id into the file."""
        _write_pid(self._held())

    @property
    def changed(self) -> int:
        """The time of the file's last change (`st_ctime_ns`)."""
        return os.fstat(self._held()).st_ctime_ns

    @property
    def removed(self) -> bool:
        """True if the path no longer names the file that is locked: another process could lock a new one."""
        return not names_file(self.path, self._held())

    def _held(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"the lock {self.path} is not held")
        return self._descriptor

    def release(self) -> None:
        """Releases the lock; does nothing when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(path: Path) -> str | None:
    """Returns the process id of the lock's holder, as text; `None` when it is free. Raises OSError."""
    try:
        # For reading only: whoever looks needs no right to write, and the disk may be read-only.
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return None if _try_lock(descriptor, shared=True) else _read_pid(descriptor)
    finally:
        os.close(descriptor)


def names_file(path: Path, descriptor: int) -> bool:
    """Returns whether the path names the open file, and not another or none."""
    try:
        there = path.stat()
    except OSError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def _lock_patiently(descriptor: int) -> bool:
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        if _try_lock(descriptor):
            return True
    return False


def _write_pid(descriptor: int) -> None:
    # Written over what is there: to empty the file first would ask a full disk for its space again.
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, f"{os.getpid():<{_PID_BYTES}}".encode())
    os.ftruncate(descriptor, _PID_BYTES)


def _read_pid(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, _PID_BYTES).decode("ascii", "replace").strip() or "unknown"


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int, *, shared: bool = False) -> bool:  # noqa: ARG001 - msvcrt has no shared lock
        """Locks the open file; returns whether that succeeded. Closing the descriptor releases it."""
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int, *, shared: bool = False) -> bool:
        """Locks the open file; returns whether that succeeded. Closing the descriptor releases it.

        A shared lock needs no right to write, on NFS either: flock(2).
        """
        # flock belongs to the open file, so a second lock in this process is refused too; lockf's does not.
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
