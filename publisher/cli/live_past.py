"""The changes of this host from before a live table was opened, as the journal of its service has them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ..config.settings import Settings
from ..errors import JournalError
from ..history import HistoryQuery
from ..journal.history import JournalHistory
from ..journal.view import JournalView
from ..terminal.live.interfaces import InterfaceKey, ToldChange, told_change
from ..terminal.live.model import PageRequest
from ..text import joined
from .journal import find_journal, hidden_journals

_PAGE_EVENTS = 100


class JournalPast:
    """The changes in a journal that a service writes, or wrote. The thread that reads it; raises JournalError."""

    def __init__(self, path: Path, node: str) -> None:
        self._path = path
        self._node = node
        self._history = JournalHistory(self._reading)

    def flaps(self, since: float) -> Mapping[InterfaceKey, Sequence[tuple[float, int]]]:
        """Returns when links went down since this time, and how often, in order."""
        found = self._history.flaps(datetime.fromtimestamp(since, UTC))
        return {
            InterfaceKey(self._node, luid): [(flap.time.timestamp(), flap.count) for flap in flaps]
            for luid, flaps in found.items()
        }

    def page(self, request: PageRequest) -> tuple[Sequence[ToldChange], bool]:
        """Returns the changes of an interface, newest first, and whether there are more."""
        query = HistoryQuery(luid=request.key.luid, before=request.before, limit=_PAGE_EVENTS)
        events, more = self._history.page(query)
        told = [told_change(change) for change in joined(reversed(events))]
        # The service may have another name for this host.
        return [change._replace(key=request.key) for change in reversed(told) if change], more

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(JournalView(self._path)) as view, view.reading() as connection:
            yield connection


def find_past(settings: Settings) -> JournalPast | str:
    """Returns the changes before, or a sentence that says why there are none."""
    try:
        path = find_journal(settings)
    except JournalError as error:
        return str(error)
    if path in (hidden := hidden_journals(settings)):
        return f"the journal {path} is another user's"
    if path.exists():
        return JournalPast(path, settings.node)
    others = f"; {hidden[0]} is another user's" if hidden else ""
    return f"there is no journal at {path}{others}"
