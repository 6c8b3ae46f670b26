"""The beginning with a journal: the claim on its files, a damaged one set aside, and the epoch, which is new or not."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from ..errors import JournalDamagedError, JournalError
from ..events import IpInterface
from ..table import new_epoch
from .contents import JournalContents, Meta, read_contents, salvage
from .file import JournalFile, Synchronous, put_meta
from .lock import JournalLock
from .mark import JournalMark, MarkFile
from .migrations import MARKED_VERSION
from .positions import ResendSnapshot, resend_to_all
from .recognition import recognise

Content = TypeVar("Content")

_SECOND = 1_000_000_000
_SUFFIXES = ("", "-wal", "-shm")
# The members of an interface that a boot begins anew: what they were before is compared with nothing.
_OF_A_BOOT = {"carrier_transitions": None, "last_change": None}
# Raised for content of the wrong kind, where it is read at opening.
_INVALID = (ArithmeticError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class Claim:
    """The journal's files as the last publisher left them: `mark` is `None` when none can be read."""

    mark: JournalMark | None
    restored: bool
    """Whether the mark was put there from a copy."""
    damaged: bool
    """Whether the file is to be set aside unread."""


@dataclass(frozen=True)
class Begun:
    """A journal that a publisher begins with."""

    node: str
    epoch: str
    reason: str | None
    """Why the epoch is new; `None` when the last one goes on."""
    set_aside: Path | None
    rows: list[IpInterface]


def claim(path: Path, lock: JournalLock, file: MarkFile) -> Claim:
    """Acquires the journal's lock and returns how the journal was left.

    A path that names something else is refused before anything is made beside it. Raises JournalError.
    """
    mark = file.read()
    if not lock.exists:
        recognise(path, mark.version if mark else None)
    lock.acquire()
    mark = file.read()
    found = recognise(path, mark.version if mark else None)
    restored = mark is not None and not _same_time(mark.anchor, lock.changed)
    if mark is None and found.kind == "journal" and found.version < MARKED_VERSION:
        mark = JournalMark("unmarked")
    if mark is None or restored:
        lock.sign()
    else:
        # The lock file is about to change: until the mark has its new time, a kill must not make it look restored.
        file.write(replace(mark, anchor=0))
        lock.sign()
        file.write(replace(mark, anchor=lock.changed))
    there = found.kind in ("journal", "damaged")
    damaged = there and (found.kind == "damaged" or (mark is not None and mark.state == "damaged"))
    return Claim(mark, restored, damaged)


def _same_time(kept: int, now: int) -> bool:
    """Returns whether two times are of one change; some file systems keep seconds only."""
    return kept in (0, now) or (now % _SECOND == 0 and kept // _SECOND == now // _SECOND)


def open_file(
    path: Path, synchronous: Synchronous, lock: JournalLock, use: Callable[[JournalFile, Path | None], Content]
) -> Content:
    """Opens the file, made if need be, and returns the result of `use`; a damaged file is set aside before.

    `use` gets the open file and the new path of a damaged one; it raises JournalDamagedError, or an error of Python for
    invalid content. Raises JournalError for what is not damage: no space, no permission, a newer version.
    """
    with suppress(JournalDamagedError):
        return _used(path, synchronous, lock, use, None)
    return new_file(path, synchronous, lock, use)


def new_file(
    path: Path, synchronous: Synchronous, lock: JournalLock, use: Callable[[JournalFile, Path | None], Content]
) -> Content:
    """Sets the file aside, and returns the result of `use` for a new one."""
    lock.unguard()
    return _used(path, synchronous, lock, use, _set_aside(path))


def _used(
    path: Path,
    synchronous: Synchronous,
    lock: JournalLock,
    use: Callable[[JournalFile, Path | None], Content],
    aside: Path | None,
) -> Content:
    _create(path)
    lock.guard()
    try:
        file = JournalFile(path, synchronous)
        try:
            file.check()
            return use(file, aside)
        except BaseException:
            file.close()
            raise
    except _INVALID as error:
        raise JournalDamagedError(f"the journal {path} is damaged: {type(error).__name__}: {error}") from error


def _create(path: Path) -> None:
    """Makes an empty file that only its owner may read, unless there is one."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if os.name == "posix" and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be made or written: {error.strerror}") from error


def _set_aside(path: Path) -> Path:
    """Gives the file and its companions another name; returns the new name of the file itself."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = [f"{path.name}.damaged-{stamp}{number}" for number in ("", *(f"-{n}" for n in range(1, 1000)))]
    aside = next(candidate for name in names if not (candidate := path.with_name(name)).exists())
    try:
        for suffix in _SUFFIXES:
            companion = path.with_name(path.name + suffix)
            if companion.exists():
                companion.rename(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise JournalError(f"the damaged journal {path} cannot be set aside: {error.strerror}") from error
    return aside


def begin(file: JournalFile, node: str, left: Claim, set_aside: Path | None) -> Begun:
    """Goes on with the contents of the file, or begins a new epoch. Raises JournalError; see `read_contents`."""
    contents = read_contents(file)
    meta = contents.meta
    reason = _new_epoch_reason(file.path, contents, left, set_aside)
    with file.writing() as connection:
        salvaged = salvage(set_aside, connection) if set_aside else ""
        if reason is None and meta is not None:
            epoch = meta.epoch
        else:
            known = [meta.epoch if meta else "", salvaged, left.mark.epoch.strip("-") if left.mark else ""]
            epoch = new_epoch(after=max(known))
        if reason:
            connection.execute("DELETE FROM events")
            connection.execute("DELETE FROM positions")
            connection.execute("DELETE FROM resends")
        elif meta and meta.node != node:
            # Under another name this host is new to every subscriber.
            resend_to_all(connection, ResendSnapshot("notification", contents.seq))
        connection.execute("DELETE FROM status")  # of a publisher that was killed
        put_meta(connection, epoch=epoch, node=node, boot=boot_id(), clean="0")
    rows = contents.rows
    if meta is None or not meta.boot or meta.boot != boot_id():
        rows = [row.replaced({"interface": row.interface.replaced(_OF_A_BOOT)}) for row in rows]
    return Begun(node, epoch, reason, set_aside, rows)


def _new_epoch_reason(path: Path, contents: JournalContents, left: Claim, set_aside: Path | None) -> str | None:
    if set_aside:
        return f"the journal was damaged and is set aside as {set_aside}"
    if contents.meta is None:
        return "there was no journal"
    if left.mark is None:
        return f"the journal's mark {path.name}.mark is missing or unreadable, so it may be an older copy"
    if left.restored:
        return "the journal was copied or restored, or its lock file was replaced, so it may be an older copy"
    if left.mark.state != "unmarked" and (left.mark.epoch != contents.meta.epoch or contents.seq < left.mark.seq):
        newest, had = f"{contents.meta.epoch}-{contents.seq}", f"{left.mark.epoch}-{left.mark.seq}"
        return f"the journal is older than it was: its newest event is {newest}, and it had {had}"
    if _may_lack_commits(contents.meta, left.mark):
        return "the system was started anew and the journal had not been closed, so its last events may be lost"
    return None


def _may_lack_commits(meta: Meta, mark: JournalMark) -> bool:
    """Returns whether the journal was not closed before a boot: commits are not synced one by one."""
    unclosed = meta.clean != "1" and meta.boot != boot_id()
    marked_open = mark.unclosed and mark.boot != boot_word()
    return unclosed or marked_open or (not boot_id() and (meta.clean != "1" or mark.unclosed))


def boot_word() -> str:
    """Returns the boot id as one word for the mark."""
    return "".join(boot_id().split()) or "-"


if sys.platform == "win32":

    def boot_id() -> str:
        """Returns a text that differs after every boot; empty when the system has none.

        Windows has no boot id: the minute in which it started, by its clock now. A clock that is set makes
        it differ too, which costs a snapshot and nothing else.
        """
        import ctypes
        import time

        tick_count = ctypes.WinDLL("kernel32").GetTickCount64
        tick_count.restype = ctypes.c_uint64
        return f"minute {int(time.time() - tick_count() / 1000) // 60}"

else:

    def boot_id() -> str:
        """Returns a text that differs after every boot (random(4), /proc interfaces); empty when there is none."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        except OSError:
            return ""
