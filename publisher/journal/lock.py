"""One publisher per journal: a lock that the system lets go of when its holder dies."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from ..errors import JournalError, JournalInUseError

# The command line's look at the lock (`holder`) takes it for an instant: whoever starts just then tries again.
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.05
# Windows locks bytes against reading too, so the locked one lies far behind the process id.
_LOCKED_BYTE = 1 << 30


class JournalLock:
    """A lock file beside the journal, which holds the process id of the publisher that has the journal."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._path = _lock_path(journal)
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; raises JournalInUseError when another publisher has it, JournalError when it cannot be made.

        The directory is made if need be.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise JournalError(f"cannot lock the journal {self._journal}: {error.strerror} ({self._path})") from error
        try:
            if not _lock_patiently(descriptor):
                raise JournalInUseError(
                    f"the journal {self._journal} is in use by another publisher (process {_read_pid(descriptor)}): "
                    f"stop that one, or give this one a journal of its own (journal.path)"
                )
            _write_pid(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise JournalError(f"cannot lock the journal {self._journal}: {error.strerror} ({self._path})") from error
        except JournalInUseError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the lock go; harmless when repeated. The file stays: removing it would race with the next holder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(journal: Path) -> str | None:
    """The process id of the publisher that holds this journal, as text; `None` when none does."""
    try:
        descriptor = os.open(_lock_path(journal), os.O_RDWR)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"cannot see who holds the journal {journal}: {error.strerror}") from error
    try:
        return None if _try_lock(descriptor) else _read_pid(descriptor)
    finally:
        os.close(descriptor)


def _lock_path(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}.lock")


def _lock_patiently(descriptor: int) -> bool:
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        if _try_lock(descriptor):
            return True
    return False


def _write_pid(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, str(os.getpid()).encode())


def _read_pid(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, 20).decode("ascii", "replace") or "unknown"


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        """Whether this descriptor has the lock now; it ends with the descriptor."""
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        """Whether this descriptor has the lock now; it ends with the descriptor."""
        # flock belongs to the open file, so a second journal in this process is refused too; lockf's does not.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
