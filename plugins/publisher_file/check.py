"""Checks a destination without opening it, so that a publisher that writes there is left alone."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from .appender import STANDARD_OUTPUT_DESCRIPTOR
from .errors import not_ours
from .lines import has_lines_of_json


def check_standard_output() -> str:
    """Returns a line for people; raises OSError when standard output is closed."""
    os.fstat(STANDARD_OUTPUT_DESCRIPTOR)
    return "writes to standard output"


def check_file(path: Path, *, rotates: bool) -> str:
    """Returns a line for people: whether the file is there, its size, and the free space on its disk.

    `rotates` means that files are also created and renamed beside it. Raises OSError for what a sink could not do, and
    FileSinkError for another program's file.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        _require(path.parent, os.W_OK | os.X_OK)
        return f"creates {path}; {_free_space(path)}"
    if stat.S_ISDIR(status.st_mode):
        raise _error(errno.EISDIR)
    if not stat.S_ISREG(status.st_mode):
        _require(path, os.W_OK)
        return f"writes to {path}"
    _require(path, os.R_OK | os.W_OK)  # the position is read from the file
    refuse_foreign(path)
    if rotates:
        _require(path.parent, os.W_OK | os.X_OK)
    return f"appends to {path}, {status.st_size} bytes now; {_free_space(path)}"


def refuse_foreign(path: Path) -> None:
    """Raises FileSinkError for a regular file with something else than lines of JSON; OSError when it cannot be read.

    A file that is not there, a pipe and a device are none.
    """
    if path.is_file():
        with path.open("rb") as file:
            if not has_lines_of_json(file):
                raise not_ours(path)


def _require(path: Path, rights: int) -> None:
    if not path.exists():
        raise _error(errno.ENOENT)
    if not os.access(path, rights):
        raise _error(errno.EACCES)


def _free_space(path: Path) -> str:
    free = shutil.disk_usage(path.parent).free
    if not free:
        raise _error(errno.ENOSPC)
    return f"{free // 1_000_000} MB are free there"


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
