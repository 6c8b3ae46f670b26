"""Checks a destination without opening it, so that a publisher that writes there is left alone."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from .appender import STANDARD_OUTPUT_DESCRIPTOR


def check_standard_output() -> str:
    """Returns a line for people; raises OSError when standard output is closed."""
    os.fstat(STANDARD_OUTPUT_DESCRIPTOR)
    return "writes to standard output"


def check_file(path: Path, *, rotates: bool) -> str:
    """Returns a line for people: whether the file is there, its size, and the free space on its disk.

    `rotates` means that files are also created and renamed beside it. Raises OSError for what a sink could not do.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        _require_writable(path.parent)
        return f"creates {path}; {_free_space(path)}"
    if stat.S_ISDIR(status.st_mode):
        raise _error(errno.EISDIR)
    _require_writable(path)
    if not stat.S_ISREG(status.st_mode):
        return f"writes to {path}"
    if rotates:
        _require_writable(path.parent)
    return f"appends to {path}, {status.st_size} bytes now; {_free_space(path)}"


def _require_writable(path: Path) -> None:
    if not path.exists():
        raise _error(errno.ENOENT)
    needed = os.W_OK | os.X_OK if path.is_dir() else os.W_OK
    if not os.access(path, needed):
        raise _error(errno.EACCES)


def _free_space(path: Path) -> str:
    free = shutil.disk_usage(path.parent).free
    if not free:
        raise _error(errno.ENOSPC)
    return f"{free // 1_000_000} MB are free there"


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
