"""Errors of the file sink, with what to do about them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from publisher import InUseError, PublisherError

_REMEDIES = {
    errno.EACCES: "give the user that runs publisher the right to write there, or choose another path",
    errno.EPERM: "give the user that runs publisher the right to write there, or choose another path",
    errno.EROFS: "choose a path on a file system that is not read-only",
    errno.ENOENT: "create the directory, or choose another path",
    errno.ENOTDIR: "one of its directories is a file: choose another path",
    errno.ENXIO: "it is a socket or a device that is not there: name a file or a pipe",
    errno.EISDIR: "it is a directory: name a file in it",
    errno.ENOSPC: "free some space there; nothing is lost meanwhile",
    errno.EDQUOT: "free some space there; nothing is lost meanwhile",
    errno.EFBIG: "the system limits the size of files: set max_size below that limit",
}


class FileSinkError(PublisherError):
    """The file cannot be opened or written."""


_NO_READER = "nobody reads this pipe yet; it is tried again until its reader is there"


def explain(error: OSError, path: Path | str) -> str:
    """Returns what failed, for which file, and what to do about it."""
    if error.errno == errno.ENXIO and Path(path).is_fifo():
        return f"cannot write to {path}: {_NO_READER}"
    remedy = _REMEDIES.get(error.errno or 0)
    return f"cannot write to {path}: {error.strerror or error}" + (f"; {remedy}" if remedy else "")


def not_ours(path: Path | str) -> FileSinkError:
    """Returns an error for a file that something else than lines of JSON is in."""
    return FileSinkError(
        f"cannot write to {path}: neither its first nor its last line is JSON, so it is another program's file, and it "
        "stays as it is; name another file, or move this one away"
    )


def in_use(path: Path | str, error: InUseError) -> FileSinkError:
    """Returns an error that names who has the file's lock, and what to do about it."""
    if not error.process:
        return FileSinkError(
            f"cannot write to {path}: another process, or another sink, writes to that file by another name; "
            "stop it, or give this sink another path"
        )
    if error.process == str(os.getpid()):
        return FileSinkError(
            f"cannot write to {path}: another sink of this publisher writes to it; give one of them another path"
        )
    return FileSinkError(
        f"cannot write to {path}: process {error.process} writes to it; "
        "stop that publisher, or give this sink another path"
    )
