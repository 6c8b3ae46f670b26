"""One publisher per journal: a lock file beside the journal."""

from __future__ import annotations

from pathlib import Path

from ..errors import JournalError, JournalInUseError
from ..lock import FileLock, InUseError
from ..lock import holder as lock_holder


class JournalLock:
    """The lock file of a journal, which holds the process id of the publisher that has the journal."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._path = _lock_path(journal)
        self._lock = FileLock(self._path)

    def acquire(self) -> None:
        """Acquires the lock; makes the journal's directory where it is missing.

        Raises JournalInUseError when another publisher has it, JournalError when the lock file cannot be made.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire()
        except InUseError as error:
            raise JournalInUseError(
                f"the journal {self._journal} is in use by another publisher (process {error.process}): "
                f"stop that one, or give this one a journal of its own (journal.path)"
            ) from None
        except OSError as error:
            raise JournalError(f"cannot lock the journal {self._journal}: {error.strerror} ({self._path})") from error

    def release(self) -> None:
        """Releases the lock; does nothing when it is not held."""
        self._lock.release()


def holder(journal: Path) -> str | None:
    """Returns the process id of the publisher that holds this journal, as text; `None` when none does."""
    try:
        return lock_holder(_lock_path(journal))
    except OSError as error:
        raise JournalError(f"cannot see who holds the journal {journal}: {error.strerror}") from error


def _lock_path(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}.lock")
