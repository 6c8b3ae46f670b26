"""One run of the program: what it is given, and how it ended. And the program itself, found and checked."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from publisher import ConfigurationError, PublisherError

from .options import CommandOptions

_NOT_HERE = "give its whole path, or install it"
_REMEDIES = {
    errno.ENOENT: _NOT_HERE,
    errno.ENOTDIR: "one of its directories is a file: correct the path",
    errno.EACCES: "make it executable (chmod +x) and its directories accessible for the user that runs it",
    errno.EISDIR: "it is a directory: name a program in it",
    errno.E2BIG: "shorten its arguments and environment, or let it read a file",
    errno.ECHILD: "its exit status was lost: something else here waits for every child, or ignores SIGCHLD",
    errno.ENOEXEC: "begin a script with a line like #!/bin/sh",
}


class CommandError(PublisherError):
    """The program cannot be run."""


class Account(NamedTuple):
    """A user of the system, and the groups."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str


@dataclass(frozen=True)
class Invocation:
    """One run of a program: its arguments, environment, standard input and limits."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    data: bytes
    seconds: float
    umask: int = 0o022
    account: Account | None = None
    """The user to become; None for the present one."""


class Ending(NamedTuple):
    """The end of a run: the exit status, or minus the number of a signal."""

    status: int
    timed_out: bool = False


def find_program(command: str, path: str) -> str:
    """Returns the path of the program: a name is looked up in `path`, a relative path begins here.

    Raises CommandError for one that is not there, is a directory, or may not be run.
    """
    separators = tuple(filter(None, (os.sep, os.altsep)))
    is_path = any(separator in command for separator in separators)
    try:
        wanted = str(Path(command).expanduser().absolute()) if is_path else command
    except RuntimeError:  # of expanduser
        raise CommandError(f"cannot run {command}: no home is known for {Path(command).parts[0]}; name it") from None
    if found := shutil.which(wanted, path=path):
        return found
    raise CommandError(explain(_reason(Path(wanted)) if is_path else errno.ENOENT, wanted))


def explain(error: OSError | int, thing: str) -> str:
    """Returns what the system refused, and what to do about it."""
    number = error if isinstance(error, int) else error.errno or 0
    remedy = _REMEDIES.get(number)
    return f"cannot run {thing}: {os.strerror(number)}" + (f"; {remedy}" if remedy else "")


def require_directory(directory: Path) -> None:
    """Raises CommandError unless the working directory is there."""
    if not directory.is_dir():
        raise CommandError(f"directory {directory}: there is no such directory; make it, or name another")


def _reason(path: Path) -> int:
    try:
        return errno.EISDIR if path.is_dir() else (path.stat() and errno.EACCES)
    except OSError as error:
        return error.errno or errno.ENOENT


def account_for(options: CommandOptions) -> Account | None:
    """Returns the user to become; None when the program runs as the present one.

    Raises ConfigurationError for a user that does not exist, and for another one unless this is root.
    """
    if sys.platform == "win32" or options.user is None:
        return None
    import pwd

    try:
        entry = pwd.getpwnam(options.user)
    except KeyError:
        raise ConfigurationError(f"user {options.user!r}: there is no such user; make it, or name another") from None
    if entry.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise ConfigurationError(
            f"user {options.user!r}: only root runs programs as another user; run publisher as root, or as that user"
        )
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir, entry.pw_shell)
