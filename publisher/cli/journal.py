"""Finds the journal of the running service, for the commands that read it or leave a request in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..config.settings import Settings
from ..errors import JournalError
from ..journal.lock import holder
from ..journal.requests import JournalClient
from ..terminal import echo


def find_journal(settings: Settings) -> Path:
    """Returns the journal that a service holds, else the first that exists, else this process's own.

    A journal that this user may not read is passed over. Raises JournalError when services hold several.
    """
    readable = [path for path in settings.journals if _exists(path) and not _is_hidden(path)]
    held = [(path, process) for path in readable if (process := _holder(path))]
    if len(held) > 1:
        listed = " and ".join(f"{path} (process {process})" for path, process in held)
        raise JournalError(f"several services run, on the journals {listed}: name the configuration of one (--config)")
    return next(iter([*(path for path, _ in held), *readable]), settings.journals[0])


def hidden_journals(settings: Settings) -> list[Path]:
    """Returns the journals that may be there, and that this user may not read."""
    return [path for path in settings.journals if _is_hidden(path)]


def tell_hidden(settings: Settings) -> None:
    """Prints a line for each journal that was passed over because this user may not read it."""
    for path in hidden_journals(settings):
        echo(f"publisher: the journal {path} was passed over: {_ASK_ITS_USER}", err=True)


@contextmanager
def opened_journal(settings: Settings) -> Iterator[JournalClient]:
    """Opens the journal that `find_journal` returns for a block; raises JournalError.

    Where a service of another user may hold a journal that this user may not read, a line on standard error says so.
    """
    path = find_journal(settings)
    if path in hidden_journals(settings):
        raise JournalError(f"the journal {path} cannot be read: {_ASK_ITS_USER}")
    tell_hidden(settings)
    with closing(JournalClient.open(path)) as journal:
        yield journal


_ADMINISTRATOR = "administrator" if sys.platform == "win32" else "root"
_ASK_ITS_USER = f"it is another user's; run this command as that user, or as {_ADMINISTRATOR}"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _is_hidden(path: Path) -> bool:
    try:
        path.stat()  # from Python 3.14 on, exists() is False where this user may not look
    except PermissionError:  # of its directory
        return True
    except OSError:
        return False
    return not os.access(path, os.R_OK)


def _holder(path: Path) -> str | None:
    try:
        return holder(path)
    except JournalError:  # its lock file is another user's
        return None
