"""Finds the journal of the running service, for the commands that read it or leave a request in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..config.settings import Settings
from ..errors import JournalError
from ..journal.lock import holder
from ..journal.requests import JournalClient


def find_journal(settings: Settings) -> Path:
    """Returns the journal that a service holds, else the first that exists, else this process's own.

    A journal in a directory that this user may not read is passed over.
    """
    existing = [path for path in settings.journals if _exists(path)]
    held = [path for path in existing if _is_held(path)]
    return next(iter([*held, *existing]), settings.journals[0])


@contextmanager
def opened_journal(path: Path) -> Iterator[JournalClient]:
    """Opens a journal for a block; raises JournalError."""
    try:
        opened = JournalClient.open(path)
    except PermissionError as error:
        raise JournalError(
            f"the journal {path} cannot be read: {error.strerror}; run this command as the service's user"
        ) from None
    with closing(opened) as journal:
        yield journal


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False


def _is_held(path: Path) -> bool:
    try:
        return holder(path) is not None
    except JournalError:  # another user's lock file: the journal cannot be read either
        return False
