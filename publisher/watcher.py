"""Watches: from the updates of a source through the filter and the table to events."""

from __future__ import annotations

import logging
import socket
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from types import TracebackType
from typing import NamedTuple, Self, get_args

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from .async_watch import AsyncWatch
from .client.subscription import StopEvent
from .errors import ConfigurationError
from .events import AnyEvent, IpInterface, SnapshotStarted
from .filters import passes
from .nodes import node_from
from .sources import Families, Remove, Resync, Source, SourceContext, Update, Upsert, open_source
from .sources.luids import LuidStore, MemoryLuids
from .table import Stamp, Table

# So often `stop` is looked at.
_STOP_WAIT_SECONDS = 0.05


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class InterfaceFilter:
    """The filter of interfaces: shell patterns for the alias, or LUIDs; `exclude` wins, an empty `include` is all."""

    include: tuple[str, ...] = Field(
        default=(), description="Shell patterns for the names of the interfaces that are watched, or LUIDs; empty: all"
    )
    exclude: tuple[str, ...] = Field(default=(), description="The same for those that are not watched; it wins")

    def keeps(self, row: IpInterface) -> bool:
        """Returns whether the interface passes."""
        return passes(row.interface.alias, row.luid, self.include, self.exclude)

    def apply(self, update: Update) -> Update:
        """Returns the update for the interfaces that pass: one that is renamed and no longer passes is removed."""
        if not (self.include or self.exclude):
            return update
        match update:
            case Upsert(row, cause) if not self.keeps(row):
                return Remove(row.luid, row.family, cause)
            case Resync(rows, cause):
                return Resync(tuple(row for row in rows if self.keeps(row)), cause)
            case _:
                return update


class Step(NamedTuple):
    """The result of one list of updates.

    `overrun`: a resync after an overrun was among them. A subscriber then needs a snapshot too, since it is
    unknown which changes were lost.
    """

    events: list[AnyEvent]
    overrun: bool = False


def step(updates: Iterable[Update], table: Table, interfaces: InterfaceFilter) -> Step:
    """Applies a list of updates to the table, for the interfaces that the filter keeps."""
    events: list[AnyEvent] = []
    overrun = False
    for update in updates:
        events += table.apply(interfaces.apply(update))
        overrun = overrun or (isinstance(update, Resync) and update.cause == "overrun")
    return Step(events, overrun)


def batches(source: Source, table: Table, interfaces: InterfaceFilter) -> Iterator[Sequence[AnyEvent]]:
    """Yields the snapshot, then the events of each list of updates, and after an overrun the snapshot again.

    Blocks while nothing happens; ends with the source, which stays open. Raises SourceError.
    """
    updates = source.updates()
    first = next(updates, None)
    if first is None:
        return  # closed before it began
    step(first[:1], table, interfaces)
    yield table.snapshot()
    for together in chain([first[1:]], updates):
        events, overrun = step(together, table, interfaces)
        if events:
            yield events
        if overrun:
            yield table.snapshot("overrun")


class _OpenSource:
    """The source of one watch: opened by the thread that iterates, closed by any."""

    def __init__(self, opened: Callable[[], Source]) -> None:
        self._open = opened
        self._source: Source | None = None
        self.closed = threading.Event()
        # Held while the source is opened, so that whoever closes meanwhile finds it. A signal handler may close, too.
        self._opening = threading.RLock()

    def open(self) -> Source | None:
        """Returns the source; `None` when it was closed before."""
        with self._opening:
            if not self.closed.is_set():
                self._source = self._open()
            source = self._source
        if source is not None and self.closed.is_set():
            source.close()
        return source

    def close(self) -> None:
        """Ends the source's updates."""
        self.closed.set()
        with self._opening:
            source = self._source
        if source is not None:
            source.close()

    def close_when(self, stop: StopEvent) -> None:
        """Closes it as soon as `stop` is set; returns then."""
        while not self.closed.wait(_STOP_WAIT_SECONDS):
            if stop.is_set():
                self.close()


class Watch(Iterator[AnyEvent]):
    """The IP interfaces of this host as a snapshot, then every change: an iterator of events. Made by `watch`.

    One thread iterates; `close` may be called by any, and ends the iteration at once. It closes itself when nobody
    refers to it any more.
    """

    def __init__(self, source: _OpenSource, events: Iterator[AnyEvent]) -> None:
        self._source = source
        self._events = events
        weakref.finalize(self, source.close).atexit = False

    @property
    def closed(self) -> bool:
        """True after `close`, and after the end."""
        return self._source.closed.is_set()

    def close(self) -> None:
        """Ends the iteration, also one that waits in another thread; harmless when repeated."""
        self._source.close()

    def __next__(self) -> AnyEvent:
        event = next(self._events)
        if self.closed:
            raise StopIteration
        return event

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()


def _events(opened: _OpenSource, interfaces: InterfaceFilter, snapshot: bool) -> Iterator[AnyEvent]:
    source = opened.open()
    if source is None:
        return
    try:
        for events in batches(source, Table(stamp=Stamp(node_from(socket.gethostname()))), interfaces):
            yield from events if snapshot else _tail(events)
    finally:
        opened.close()


def _tail(events: Iterable[AnyEvent]) -> Iterator[AnyEvent]:
    """Yields the changes alone, and position 0 of a snapshot without rows where messages were lost."""
    for event in events:
        if event.snapshot is None:
            yield event
        elif isinstance(event, SnapshotStarted) and event.cause == "overrun":
            yield event.replaced({"snapshot": event.snapshot.replaced({"count": 0})})


def watch(
    family: Families = "unspec",
    *,
    interfaces: InterfaceFilter | Collection[str] | str = (),
    source: Source | None = None,
    luids: LuidStore | None = None,
    snapshot: bool = True,
    stop: StopEvent | None = None,
) -> Watch:
    """Returns an iterator of every IP interface as a snapshot, then every change; it blocks while nothing happens.

    `interfaces` are those to watch: names, shell patterns or LUIDs, or a filter that leaves some out, too. `source` is
    the one of this operating system unless given, is opened with the first event, and is closed with the iterator.
    `luids` keeps the LUIDs of interfaces on Linux over renames; without it they are those of every program on the host
    (docs/linux.md, "Identities"). Without `snapshot` the changes come alone. The iteration ends when `stop` is set.
    Raises ConfigurationError for an argument of the wrong kind; iterating raises SourceError.

        for event in publisher.watch(family="inet"):
            print(event.notification_type, event.changed)
    """
    if family not in get_args(Families):
        raise ConfigurationError(f"family {family!r}: expected 'inet', 'inet6', or 'unspec' for both")
    if stop is not None and not hasattr(stop, "is_set"):
        raise ConfigurationError(f"stop {stop!r}: expected an event, like threading.Event()")
    if isinstance(source, str):
        raise ConfigurationError(f"source {source!r}: expected a Source, like publisher.testing.ScriptedSource")
    chosen = _filter_of(interfaces)
    opened = _OpenSource(lambda: source or _own_source(family, luids or MemoryLuids()))
    if stop is not None:
        # It may be of any library, so nothing can wait for it together with the source.
        threading.Thread(target=opened.close_when, args=(stop,), name="publisher watch stop", daemon=True).start()
    return Watch(opened, _events(opened, chosen, snapshot))


def _filter_of(interfaces: InterfaceFilter | Collection[str] | str) -> InterfaceFilter:
    if isinstance(interfaces, InterfaceFilter):
        return interfaces
    try:
        return InterfaceFilter((interfaces,) if isinstance(interfaces, str) else tuple(interfaces))
    except (TypeError, ValueError):
        raise ConfigurationError(f"interfaces {interfaces!r}: expected names of interfaces, or a filter") from None


def awatch(
    family: Families = "unspec",
    *,
    interfaces: InterfaceFilter | Collection[str] | str = (),
    source: Source | None = None,
    luids: LuidStore | None = None,
    snapshot: bool = True,
    stop: StopEvent | None = None,
) -> AsyncWatch:
    """Returns what `watch` returns, for asyncio. A wait that is cancelled ends at once, and loses no event.

    async for event in publisher.awatch(family="inet"):
        print(event.notification_type, event.changed)
    """
    return AsyncWatch(watch(family, interfaces=interfaces, source=source, luids=luids, snapshot=snapshot, stop=stop))


def _own_source(family: Families, luids: LuidStore) -> Source:
    return open_source("auto", SourceContext(logging.getLogger("publisher"), luids, family), {})
