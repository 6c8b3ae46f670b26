"""Checks of a destination that open nothing for writing, so that a publisher that runs is left alone."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

_STANDARD_OUTPUT = 1


def check_output() -> str:
    """Returns that standard output is there; raises OSError when it is closed."""
    os.fstat(_STANDARD_OUTPUT)
    return "writes to standard output"


def check_file(path: Path, rotates: bool) -> str:
    """Returns what the sink would do with this path, and the room on its disk; raises OSError for what it could not.

    `rotates` means that files are also made and renamed beside it.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        _require_writable(path.parent)
        return f"creates {path}; {_room(path)}"
    if stat.S_ISDIR(status.st_mode):
        raise _error(errno.EISDIR)
    _require_writable(path)
    if not stat.S_ISREG(status.st_mode):
        return f"writes to {path}"
    if rotates:
        _require_writable(path.parent)
    return f"appends to {path}, {status.st_size} bytes now; {_room(path)}"


def _require_writable(path: Path) -> None:
    if not path.exists():
        raise _error(errno.ENOENT)
    needed = os.W_OK | os.X_OK if path.is_dir() else os.W_OK
    if not os.access(path, needed):
        raise _error(errno.EACCES)


def _room(path: Path) -> str:
    free = shutil.disk_usage(path.parent).free
    if not free:
        raise _error(errno.ENOSPC)
    return f"{free // 1_000_000} MB are free there"


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
