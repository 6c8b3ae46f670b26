"""`publisher.netioapi` on Linux: the same meaning over the Linux source."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterable
from contextlib import closing

from ..errors import InterfaceNotFoundError, NotFoundError, SourceError
from ..events import Event, Family, IpInterface, IpInterfaceRow
from ..sources import Families, Resync, Source, SourceContext, open_source
from ..sources.luids import MemoryLuids
from ..table import Table
from .system import IfRow, IfStackRow, InvertedIfStackRow, Ring, refusal


class LinuxSystem:
    """One watch for all registrations, so that a LUID means the same in all of them; without one, each call reads anew.

    Assignments of LUIDs are made by one source at a time: the watch's while there is one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._luids = MemoryLuids()
        self._watch: _Watch | None = None

    def subscribe(self, family: Families, ring: Ring, initial: bool) -> Callable[[], None]:
        subscriber = _Subscriber(family, ring)
        with self._lock:
            if self._watch is None or self._watch.failed:
                self._watch = _Watch(self._source())
                atexit.register(self._watch.close)
            else:
                self._watch.read()
            if initial:
                ring(None, "initial_notification")
            watch = self._watch
            watch.add(subscriber)
        return lambda: self._unsubscribe(watch, subscriber)

    def ip_interface(self, family: Family, luid: str | None, index: int | None) -> IpInterfaceRow:
        found = _of(self._read(), luid, index)
        for entry in found:
            if entry.family == family:
                return entry.row
        raise refusal(NotFoundError, f"the interface {luid or index} is not in the family {family}")

    def ip_interfaces(self, family: Families) -> list[IpInterfaceRow]:
        return [entry.row for entry in self._read() if family in ("unspec", entry.family)]

    def if_row(self, luid: str | None, index: int | None) -> IfRow:
        return _if_row(_of(self._read(), luid, index)[0])

    def if_rows(self) -> list[IfRow]:
        return list({entry.luid: _if_row(entry) for entry in self._read()}.values())

    def if_stack(self) -> list[IfStackRow]:
        rows = self.if_rows()
        index_of = {row.interface_luid: row.interface_index for row in rows}
        return [
            IfStackRow(row.interface_index, index_of[lower])
            for row in rows
            for lower in row.interface.lower
            if lower in index_of
        ]

    def inverted_if_stack(self) -> list[InvertedIfStackRow]:
        return sorted(InvertedIfStackRow(lower, higher) for higher, lower in self.if_stack())

    def _read(self) -> Iterable[IpInterface]:
        with self._lock:
            if self._watch is not None and not self._watch.failed:
                return self._watch.read()
            with closing(self._source()) as source:
                [first, *_] = next(iter(source.updates()))
                return first.rows if isinstance(first, Resync) else ()

    def _source(self) -> Source:
        import structlog  # here, since only a source needs it

        return open_source("linux", SourceContext(structlog.get_logger(), self._luids), {})

    def _unsubscribe(self, watch: _Watch, subscriber: _Subscriber) -> None:
        with self._lock:
            if watch.remove(subscriber):
                return
            if self._watch is watch:
                self._watch = None
            watch.close()
            atexit.unregister(watch.close)


class _Subscriber:
    """Who is told of a family's events."""

    def __init__(self, family: Families, ring: Ring) -> None:
        self._family = family
        self._ring = ring

    def tell(self, event: Event) -> None:
        if event.row is None or self._family not in ("unspec", event.row.family) or _only_addresses(event):
            return
        key = IpInterfaceRow(
            family=event.row.family,
            interface_luid=event.row.interface_luid,
            interface_index=event.row.interface_index,
        )
        self._ring(key, event.notification_type)


class _Watch:
    """Follows a source in a thread and tells its events to subscribers. Made when the first rows are there."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._table = Table()
        self._subscribers: list[_Subscriber] = []
        self._changed = threading.Condition()
        self._readings = 0
        self._failure: SourceError | None = None
        self._thread = threading.Thread(target=self._follow, name="netioapi watch", daemon=True)
        self._thread.start()
        self._wait_for_reading(0)

    @property
    def failed(self) -> bool:
        """Whether the source gave up; nobody is told anything more then."""
        return self._failure is not None

    def read(self) -> list[IpInterface]:
        """The rows now: the source reads them anew."""
        before = self._readings
        self._source.resync()
        self._wait_for_reading(before)
        with self._changed:
            return self._table.rows

    def add(self, subscriber: _Subscriber) -> None:
        with self._changed:
            self._subscribers.append(subscriber)

    def remove(self, subscriber: _Subscriber) -> bool:
        """Whether others are left; when this returns, the subscriber is told nothing more."""
        with self._changed:
            self._subscribers.remove(subscriber)
            return bool(self._subscribers)

    def close(self) -> None:
        self._source.close()
        self._thread.join()

    def _follow(self) -> None:
        try:
            for updates in self._source.updates():
                with self._changed:
                    for update in updates:
                        for event in self._table.apply(update):
                            self._tell(event)
                        self._readings += isinstance(update, Resync)
                    self._changed.notify_all()
        except SourceError as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _tell(self, event: Event) -> None:
        for subscriber in self._subscribers:
            subscriber.tell(event)

    def _wait_for_reading(self, before: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._readings > before or self._failure is not None)
            if self._failure is not None:
                raise SourceError(f"the IP interfaces are followed no more: {self._failure}") from self._failure


def _of(rows: Iterable[IpInterface], luid: str | None, index: int | None) -> list[IpInterface]:
    """The interface's rows, of every family."""
    found = [row for row in rows if (row.luid == luid if luid else row.row.interface_index == index)]
    if not found:
        raise refusal(InterfaceNotFoundError, f"there is no interface {luid or index}")
    return found


def _if_row(entry: IpInterface) -> IfRow:
    return IfRow(entry.luid, entry.row.interface_index, entry.interface)


def _only_addresses(event: Event) -> bool:
    """NotifyIpInterfaceChange does not tell of addresses, so neither does this."""
    return bool(event.changed) and all(member.startswith("addresses.") for member in event.changed)
