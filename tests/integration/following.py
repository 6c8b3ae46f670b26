"""A Linux source at work in a namespace, with its updates and the events they make, to be awaited."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import structlog

from publisher.events import Event
from publisher.identity import LuidStore, MemoryLuids
from publisher.sources import Resync, SourceContext, Update, open_source
from publisher.table import Table
from tests.netns import NetNs


class Following:
    """Iterates a LinuxSource in a thread of the namespace. `settled()` gives the events up to a moment of quiet."""

    def __init__(self, netns: NetNs, luids: LuidStore | None = None, **context: Any) -> None:
        log = structlog.get_logger()
        self.source: Any = open_source("linux", SourceContext(log, luids or MemoryLuids(), **context), {})
        self.table = Table()
        self.updates: queue.Queue[Update] = queue.Queue()
        self.thread_id = 0
        self.causes: list[str] = []
        """Why everything was read anew, each time so far."""
        self._error: BaseException | None = None
        self._thread = netns.thread(self._run)

    def __enter__(self) -> Following:
        first = self.update()
        assert isinstance(first, Resync)
        assert first.cause == "startup"
        self.table.apply(first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.source.close()
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self._error:
            raise self._error

    def update(self, timeout: float = 20) -> Update:
        """The next update."""
        return self.updates.get(timeout=timeout)

    def until(self, wanted: Callable[[Event], bool], timeout: float = 20) -> list[Event]:
        """The events up to and with the wanted one."""
        events: list[Event] = []
        deadline = time.monotonic() + timeout
        while not any(map(wanted, events)):
            try:
                update = self.update(deadline - time.monotonic())
            except (queue.Empty, ValueError):
                raise AssertionError(f"not among {[told(event) for event in events]}") from None
            events += self.table.apply(update)
        return events

    def settled(self) -> list[Event]:
        """All events of what was changed before: a reconcile is asked for, which comes after them."""
        self.source.reconcile()
        events: list[Event] = []
        while True:
            update = self.update()
            events += self.table.apply(update)
            if isinstance(update, Resync):
                self.causes.append(update.cause)
                if update.cause == "reconcile":
                    return events

    def _run(self) -> None:
        self.thread_id = threading.get_native_id()
        try:
            for update in self.source.updates():
                self.updates.put(update)
        except BaseException as error:  # noqa: BLE001 - raised again by the test's thread
            self._error = error


def told(event: Event) -> tuple[str, str, str | None, set[str]]:
    """An event as one would say it aloud: what, who, family, and which members."""
    alias = event.interface.alias if event.interface else ""
    return event.notification_type, alias, event.family, set(event.changed)
