"""A source for tests: it yields what the test gives it."""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator, Sequence

from ..events import Cause, IpInterface, Key
from ..sources import Remove, Resync, SourceContext, Update, Upsert


class _End:
    """The end of the script."""


class ScriptedSource:
    """A `Source`: yields `rows` as its first resync, then what `send` gets, until `close`.

    Each call of `send` is one list of updates. The source remembers the rows that its updates lead to, and yields them
    after `resync`. An exception given to `send` is raised from `updates()`. `idle_seconds` is the longest time between
    two lists. All methods may be called from any thread.
    """

    def __init__(
        self, rows: Iterable[IpInterface] = (), *then: Update | Exception, idle_seconds: float | None = None
    ) -> None:
        self.idle_seconds = idle_seconds
        self.resyncs: list[Cause] = []
        """The cause of each `resync` so far."""
        self.closed = False
        self._script: queue.SimpleQueue[list[Update] | Exception | _End] = queue.SimpleQueue()
        self._rows: dict[Key, IpInterface] = {}
        self.send(Resync(tuple(rows), "startup"))
        if then:
            self.send(*then)

    def open(self, context: SourceContext) -> ScriptedSource:
        """Returns this source, with the idle time of the context: `Plugins(sources={"scripted": source.open})`."""
        self.idle_seconds = context.idle_seconds
        return self

    @property
    def rows(self) -> list[IpInterface]:
        """The rows that the updates sent so far lead to, sorted by LUID and family."""
        return [self._rows[key] for key in sorted(self._rows)]

    def send(self, *updates: Update | Exception) -> None:
        """Makes `updates()` yield these next, as one list; an exception is raised after those before it."""
        together: list[Update] = []
        for update in updates:
            if isinstance(update, Exception):
                if together:
                    self._script.put(together)
                together = []
                self._script.put(update)
            else:
                self._remember(update)
                together.append(update)
        if together:
            self._script.put(together)

    def updates(self) -> Iterator[Sequence[Update]]:
        while not isinstance(entry := self._next(), _End):
            if isinstance(entry, Exception):
                raise entry
            yield entry

    def wake(self) -> None:
        self._script.put([])

    def resync(self, cause: Cause = "reconcile") -> None:
        self.resyncs.append(cause)
        self.send(Resync(tuple(self.rows), cause))

    def close(self) -> None:
        self.closed = True
        self._script.put(_End())

    def _next(self) -> list[Update] | Exception | _End:
        try:
            return self._script.get(timeout=self.idle_seconds)
        except queue.Empty:
            return []

    def _remember(self, update: Update) -> None:
        match update:
            case Upsert(row):
                self._rows[row.key] = row
            case Remove(luid, family):
                self._rows.pop(Key(luid, family), None)
            case Resync(rows, _):
                self._rows = {row.key: row for row in rows}
