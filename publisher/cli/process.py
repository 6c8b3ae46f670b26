"""The process of a command: its standard streams, and the line and the exit status with which it fails."""

from __future__ import annotations

import atexit
import errno
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from ..errors import ConfigurationError, PublisherError, refusal
from ..terminal import echo
from ..terminal.screen import discard

# The threads of sinks, which docs/architecture.md lists.
_ABANDONED = ("sink ", "loop of sink ", "leaver ")


def open_standard_streams() -> None:
    """Opens the null device for each standard stream that is closed, and lets the output take any character.

    Without it the next file that is opened gets the free number, and what is printed is written into that file.
    `publisher.service.log_file` knows a missing standard error by the name of the null device.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):  # no /dev: the stream stays closed
                # The lowest free number: this one. Windows has reserved it under pythonw.exe, and another is returned.
                if (opened := os.open(os.devnull, os.O_RDWR)) != number:
                    os.close(opened)
    with suppress(OSError):
        sys.stdin = sys.stdin or open(os.devnull)  # noqa: PTH123, SIM115 - as the interpreter does; open to the end
        sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 - the same
        sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115 - the same
    for stream in (sys.stdout, sys.stderr):
        # An alias may hold a character that the terminal's encoding lacks: its escape is shown, instead of an error.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def fail(error: Exception) -> NoReturn:
    """Prints what ended the command on one line, and exits: 2 for wrong usage or configuration, else 1.

    Takes the errors that publisher raises on purpose, and what the system refuses; raises any other again.
    """
    text = str(error) if isinstance(error, PublisherError) else refusal(error)
    if text is None:
        raise error
    _say(text)
    end(2 if isinstance(error, ConfigurationError) else 1)


_CURES = {
    errno.ENOENT: "make its folder first",
    errno.EACCES: "choose a place where this user may write",
    errno.EPERM: "choose a place where this user may write",
    errno.EROFS: "choose a place that is not read-only",
    errno.ENOSPC: "make room there",
}


def not_written(path: Path, error: OSError) -> str:
    """Returns the words for a file or folder that the system did not make or write, with what to do."""
    cure = _CURES.get(error.errno or 0)
    return f"{path} cannot be written: {error.strerror}{f'; {cure}' if cure else ''}"


def end(status: int) -> NoReturn:
    """Exits with this status; with 1 instead of 0 when standard output does not take what is left."""
    try:
        sys.stdout.flush()
    except OSError as error:
        discard(sys.stdout)
        if status == 0:
            _say(f"standard output cannot be written: {error.strerror}")
            status = 1
    try:
        sys.stderr.flush()
    except OSError:  # a full disk: there is no other place to tell of it
        discard(sys.stderr)
    if any(thread.daemon and thread.name.startswith(_ABANDONED) for thread in threading.enumerate()):
        _end_beside_threads(status)
    sys.exit(status)


def _end_beside_threads(status: int) -> NoReturn:
    """Exits at once, after what is registered for the end: a sink that did not stop in time still runs.

    The interpreter ends such a thread where it is. Where that is inside pydantic's extension, the C library aborts the
    whole process (pthread_exit through frames that cannot be unwound): SIGABRT instead of the exit status.
    """
    atexit._run_exitfuncs()
    os._exit(status)


def _say(text: str) -> None:
    """Prints an error, with its priority where standard error is systemd's journal."""
    from ..service.logs import is_journal

    echo(f"{'<3>' if is_journal(sys.stderr, os.environ) else ''}publisher: {text}", err=True)
