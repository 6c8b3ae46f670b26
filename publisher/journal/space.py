"""The journal's space on the disk: its bound, and the end of the disk."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from .file import Row

# The most that the write-ahead log takes, of a journal that has the default bound.
_LOG_BYTES = 16 << 20
_MARGIN_BYTES = 1 << 18


class DiskSpace:
    """Decides how much the events may take. The core's thread.

    The bound counts the whole file and its log. Near the end of the disk the journal keeps as much space free in its
    own file as it takes to move a whole log into it: with less, the log could neither grow nor be emptied.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._log_path = path.with_name(f"{path.name}-wal")
        self.log_bytes = min(_LOG_BYTES, max_bytes // 4)
        """The most that the log may take."""
        self._step_bytes = max_bytes // 64
        # Between two looks the file grows by up to three steps, and the log by as much.
        self._file_bytes = max_bytes - self.log_bytes - 6 * self._step_bytes
        self.tight = False
        """Whether the disk was near its end at the last look."""

    def event_bytes(self, connection: sqlite3.Connection, kept: int) -> int:
        """Returns the bytes of events to keep, of so many that are kept."""
        page_bytes, pages, free_pages = _pages(lambda sql: connection.execute(sql).fetchall())
        used = (pages - free_pages) * page_bytes
        needed = 2 * self.log_bytes + _MARGIN_BYTES - free_pages * page_bytes
        missing = max(0, needed - self._free_bytes())
        self.tight = missing > 0
        room = min(self._file_bytes, used - missing)
        # A page holds whole events, so that the file takes more than they do: their share tells how much.
        return kept if used <= room + self._step_bytes else max(0, kept * room // used)

    def surplus_pages(self, select: Callable[[str], list[Row]]) -> int:
        """Returns the number of free pages that the file can give back; raises JournalError."""
        page_bytes, _, free_pages = _pages(select)
        return 0 if self.tight else max(0, free_pages - 4 * self._step_bytes // page_bytes)

    def _free_bytes(self) -> int:
        """Returns the disk's free space, to which the log's is added: the log is written over again."""
        try:
            free = shutil.disk_usage(self._path.parent).free
            return free + (self._log_path.stat().st_size if self._log_path.exists() else 0)
        except OSError:  # The directory was removed, or the share is away: whoever looks after that finds it.
            return 1 << 62


def _pages(select: Callable[[str], list[Row]]) -> tuple[int, int, int]:
    """Returns the size of a page, the number of pages, and the number of those that are free."""
    size, count, free = (int(select(f"PRAGMA {name}")[0][0]) for name in ("page_size", "page_count", "freelist_count"))
    return size, count, free
