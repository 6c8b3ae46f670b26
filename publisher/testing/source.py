"""A source that says what a test tells it to."""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator

from ..events import IpInterface, Key
from ..sources import Remove, Resync, Update, Upsert

_END = object()


class ScriptedSource:
    """A `Source`: reports `rows` as its first resync, then what `send` is given, until `close`.

    It remembers the rows that its updates lead to, and reports them when asked to `reconcile`. An exception given to
    `send` is raised from `updates()`. All methods may be called from any thread.
    """

    def __init__(self, rows: Iterable[IpInterface] = (), *then: Update | Exception) -> None:
        self._script: queue.SimpleQueue[Update | Exception | object] = queue.SimpleQueue()
        self._rows: dict[Key, IpInterface] = {}
        self.reconciles = 0
        self.closed = False
        self.send(Resync(tuple(rows), "startup"), *then)

    @property
    def rows(self) -> list[IpInterface]:
        """The rows as the updates sent so far leave them, sorted by LUID and family."""
        return [self._rows[key] for key in sorted(self._rows)]

    def send(self, *updates: Update | Exception) -> None:
        """Report these next."""
        for update in updates:
            self._remember(update)
            self._script.put(update)

    def updates(self) -> Iterator[Update]:
        while (update := self._script.get()) is not _END:
            if isinstance(update, Exception):
                raise update
            yield update  # type: ignore[misc]  # what is neither the end nor an exception is an update

    def reconcile(self) -> None:
        self.reconciles += 1
        self.send(Resync(tuple(self.rows), "reconcile"))

    def close(self) -> None:
        self.closed = True
        self._script.put(_END)

    def _remember(self, update: Update | Exception) -> None:
        match update:
            case Upsert(row):
                self._rows[row.key] = row
            case Remove(luid, family):
                self._rows.pop(Key(luid, family), None)
            case Resync(rows, _):
                self._rows = {row.key: row for row in rows}
            case _:
                pass
