"""One publisher per journal: a lock file beside the journal, and a lock on the journal's file itself."""

from __future__ import annotations

import errno
import os
import struct
import sys
from pathlib import Path

from ..errors import JournalError, JournalInUseError
from ..lock import FileLock, InUseError, names_file
from ..lock import holder as lock_holder


class JournalLock:
    """The locks of a journal. The lock file holds the process id of the publisher that has the journal.

    The lock on the journal's file refuses a second publisher also when the lock file was removed, and for a second
    name of the same file. The core's thread.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._path = _lock_path(journal)
        self._lock = FileLock(self._path)
        self._guard: int | None = None

    @property
    def exists(self) -> bool:
        """True if there is a lock file."""
        return self._path.exists()

    def acquire(self) -> None:
        """Acquires the lock file; makes the journal's directory where it is missing. `sign` follows.

        Raises JournalInUseError when another publisher has it, JournalError when the lock file cannot be made.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.take()
        except InUseError as error:
            raise _in_use(self._journal, f"process {error.process}") from None
        except OSError as error:
            raise self._failed(error) from error

    def sign(self) -> None:
        """Writes this process's id into the lock file; raises JournalError."""
        try:
            self._lock.sign()
        except OSError as error:
            raise self._failed(error) from error

    @property
    def changed(self) -> int:
        """The time of the lock file's last change (`st_ctime_ns`)."""
        return self._lock.changed

    def guard(self) -> None:
        """Locks the journal's file, which must exist; raises JournalError, JournalInUseError when another has it.

        To close any descriptor of the file releases SQLite's locks on it: `guard` comes before SQLite opens the file,
        and `unguard` after SQLite has closed it.
        """
        try:
            self._guard = os.open(self._journal, os.O_RDWR)
            if not _lock_beyond_data(self._guard):
                raise _in_use(self._journal, "its lock file was removed")
        except OSError as error:
            raise JournalError(f"the journal {self._journal} cannot be locked: {error.strerror}") from error

    def unguard(self) -> None:
        """Releases the journal's file; does nothing when it is not locked."""
        if self._guard is not None:
            os.close(self._guard)
            self._guard = None

    @property
    def journal_removed(self) -> bool:
        """True if the path no longer names the file that was opened."""
        return self._guard is not None and not names_file(self._journal, self._guard)

    def restore(self) -> bool:
        """Makes the lock file anew when it was removed; returns whether it did. Raises JournalError."""
        if not self._lock.removed:
            return False
        removed, self._lock = self._lock, FileLock(self._path)
        removed.release()
        self.acquire()
        self.sign()
        return True

    def release(self) -> None:
        """Releases both locks; does nothing when they are not held."""
        self.unguard()
        self._lock.release()

    def _failed(self, error: OSError) -> JournalError:
        return JournalError(
            f"cannot lock the journal {self._journal}: {error.strerror} ({self._path}); to have it elsewhere: "
            "journal.path in publisher.toml, or the variable PUBLISHER_JOURNAL__PATH"
        )


def holder(journal: Path) -> str | None:
    """Returns the process id of the publisher that holds this journal, as text; `None` when none does."""
    try:
        return lock_holder(_lock_path(journal))
    except OSError as error:
        raise JournalError(f"cannot see who holds the journal {journal}: {error.strerror}") from error


def refuse_held(journal: Path) -> None:
    """Raises JournalInUseError when a publisher holds this journal, JournalError when that cannot be seen."""
    if process := holder(journal):
        raise _in_use(journal, f"process {process}")


def _in_use(journal: Path, why: str) -> JournalInUseError:
    return JournalInUseError(
        f"the journal {journal} is in use by another publisher ({why}): "
        f"stop that one, or give this one a journal of its own (journal.path)"
    )


def real_path(journal: Path) -> Path:
    """Returns the path without symbolic links: the lock and the log lie beside the file, whatever its names."""
    return Path(os.path.realpath(journal))


def _lock_path(journal: Path) -> Path:
    journal = real_path(journal)
    return journal.with_name(f"{journal.name}.lock")


if sys.platform == "linux":
    import fcntl

    # Far beyond SQLite's locks, which begin at 1 GiB, and beyond the largest database (281 TB).
    _BEYOND_DATA = 1 << 60

    def _lock_beyond_data(descriptor: int) -> bool:
        """Locks a byte of the open file, until it is closed; returns whether that succeeded.

        An open file description lock (fcntl(2)): unlike SQLite's own, it is not released when another descriptor of
        the file is closed in this process. flock(2) would do here, but on NFS it excludes SQLite's locks.
        """
        wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, _BEYOND_DATA, 1, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
        except OSError as error:
            # A file system or kernel without such locks: the lock file alone excludes a second publisher there.
            return error.errno not in (errno.EAGAIN, errno.EACCES)
        return True

else:

    def _lock_beyond_data(_: int) -> bool:
        """Returns True: Windows refuses to remove a lock file that is open."""
        return True
