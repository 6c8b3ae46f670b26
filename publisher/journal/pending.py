"""Writes on their way to the journal: handed over by the sinks' threads, made by the core's thread."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from weakref import WeakSet

Write = Callable[[sqlite3.Connection], object]


class PendingWrites:
    """Writes that go into the core's next transaction, so that a position costs no commit of its own. Any thread.

    A write replaces an earlier one with the same key. The lock is held for a dictionary's assignment, never for I/O.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writes: dict[Hashable, Write] = {}
        self._revoked: WeakSet[object] = WeakSet()

    def put(self, owner: object, writes: Mapping[Hashable, Write]) -> None:
        """Adds writes that are made together, in one transaction; ignores those of an owner that was revoked."""
        with self._lock:
            if owner not in self._revoked:
                self._writes |= writes

    def revoke(self, owner: object) -> None:
        """Ignores what this owner puts from now on; what it put before is written."""
        with self._lock:
            self._revoked.add(owner)

    def count(self, wanted: Callable[[Hashable], bool]) -> int:
        """Returns the number of waiting writes with such a key."""
        with self._lock:
            return sum(map(wanted, self._writes))

    @contextmanager
    def taken(self) -> Iterator[tuple[Write, ...]]:
        """Hands out all waiting writes for one transaction; when the block fails, they wait again."""
        with self._lock:
            writes, self._writes = self._writes, {}
        try:
            yield tuple(writes.values())
        except BaseException:
            with self._lock:
                self._writes = writes | self._writes
            raise
