"""Linux: the calls, with the same meaning as on Windows."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Generic, TypeVar

from ..errors import InterfaceNotFoundError, NotFoundError, NotSupportedError, SourceError
from ..events import Event, Family, IpInterface, IpInterfaceRow, NotificationType
from ..sources import Families, SourceContext
from ..sources.luids import LuidStore, MemoryLuids
from .linux_rows import (
    address_rows,
    changed_addresses,
    changed_routes,
    default_route,
    found,
    if_row,
    of_other_notifications,
    route_rows,
    stack_of,
)
from .rows import IfRow, IfStackRow, InvertedIfStackRow, IpForwardRow, UnicastIpAddressRow
from .shared_source import EventReceiver, ForkedSource, SharedSource
from .system import AddressReceiver, NameKind, Receiver, RouteReceiver, Unsubscribe, netio_errors, refusal

if sys.platform == "linux":
    from ..sources.linux.source import LinuxSource
    from .linux_reading import read_link, read_links, read_rows

assert sys.platform == "linux"

T = TypeVar("T")
Row = TypeVar("Row")


def own_source(luids: LuidStore) -> ForkedSource:
    """Opens the source of this host. It logs to the standard `logging`, and so prints nothing by itself."""
    return LinuxSource(SourceContext(logging.getLogger("publisher.netioapi"), luids))


class LinuxSystem:
    """The calls on Linux, for the network namespace of the calling thread.

    Registrations share one source, that of the first one's namespace, and so do calls while there is a registration;
    without one a call reads the kernel itself. One after the other, all share the LUIDs, so a LUID means the same in
    each call. The lock guards which source is shared and the number of its users, and is held by whoever assigns LUIDs
    without a source.
    """

    def __init__(
        self,
        open_source: Callable[[LuidStore], ForkedSource] = own_source,
        read: Callable[[LuidStore], list[IpInterface]] = read_rows,
    ) -> None:
        self._open_source = open_source
        self._read_rows = read
        self._luids = MemoryLuids()
        self._lock = threading.Lock()
        self._shared: SharedSource | None = None

    def subscribe(self, family: Families, receiver: Receiver, initial: bool) -> Unsubscribe:
        """Calls the receiver for each change of an IP interface from now on."""
        return self._subscribe(_Receiver(family, receiver, _interface_keys), initial)

    def subscribe_addresses(self, family: Families, receiver: AddressReceiver, initial: bool) -> Unsubscribe:
        """Calls the receiver for each change of a unicast address from now on; of its row the key is set."""
        return self._subscribe(_Receiver(family, receiver, _address_keys), initial)

    def subscribe_routes(self, family: Families, receiver: RouteReceiver, initial: bool) -> Unsubscribe:
        """Calls the receiver for each change of a default route from now on; of its row the key is set."""
        return self._subscribe(_Receiver(family, receiver, _route_keys), initial)

    def ip_interface(self, family: Family, luid: str | None, index: int | None) -> IpInterfaceRow:
        """Returns the row; raises InterfaceNotFoundError or NotFoundError."""
        for entry in found(self._rows(), luid, index):
            if entry.family == family:
                return entry.row
        raise refusal(NotFoundError, f"the interface {luid or index} has no row of the family {family}")

    def ip_interfaces(self, family: Families) -> list[IpInterfaceRow]:
        """Returns the rows of the family."""
        return [entry.row for entry in self._rows() if family in ("unspec", entry.family)]

    def addresses(self, family: Families) -> list[UnicastIpAddressRow]:
        """Returns the unicast addresses of the family."""
        return [row for entry in self._rows() if family in ("unspec", entry.family) for row in address_rows(entry)]

    def default_routes(self, family: Families) -> list[IpForwardRow]:
        """Returns the default routes of the family."""
        return [row for entry in self._rows() if family in ("unspec", entry.family) for row in route_rows(entry)]

    def if_row(self, luid: str | None, index: int | None) -> IfRow:
        """Returns the interface with its counters; raises InterfaceNotFoundError."""

        def one(rows: list[IpInterface]) -> IfRow:
            entry = found(rows, luid, index)[0]
            return if_row(entry, *read_link(entry.row.interface_index))

        return self._read(one)

    def if_rows(self) -> list[IfRow]:
        """Returns each interface that has a row in a family, without counters."""

        def each(rows: list[IpInterface]) -> list[IfRow]:
            links = read_links()
            by_luid = {entry.luid: entry for entry in rows}
            return [if_row(entry, links.get(entry.row.interface_index)) for entry in by_luid.values()]

        return self._read(each)

    def if_stack(self) -> list[IfStackRow]:
        """Returns the pairs of neighbours in the stack, the higher first."""
        return stack_of(self._rows())

    def inverted_if_stack(self) -> list[InvertedIfStackRow]:
        """Returns the same pairs, the lower first."""
        return sorted(InvertedIfStackRow(lower, higher) for higher, lower in self.if_stack())

    def luid_of_index(self, index: int) -> str:
        """Returns the LUID of an index; raises InterfaceNotFoundError."""
        return found(self._rows(), None, index)[0].luid

    def index_of(self, luid: str) -> int:
        """Returns the index of a LUID; raises InterfaceNotFoundError."""
        return found(self._rows(), luid, None)[0].row.interface_index

    def luid_of(self, kind: NameKind, name: str) -> str:
        """Returns the LUID of an alias or a name, which are one here; raises InterfaceNotFoundError."""
        _check_kind(kind)
        for entry in self._rows():
            if entry.interface.alias == name:
                return entry.luid
        raise refusal(InterfaceNotFoundError, f"no interface has the {kind} {name!r}")

    def name_of(self, kind: NameKind, luid: str) -> str:
        """Returns the name of the link; raises InterfaceNotFoundError."""
        _check_kind(kind)
        return found(self._rows(), luid, None)[0].interface.alias

    def after_fork(self) -> None:
        """Forgets the shared source, whose thread is the parent's, and the lock. The LUIDs stay known."""
        self._lock = threading.Lock()
        shared, self._shared = self._shared, None
        if shared is not None:
            with contextlib.suppress(OSError):  # the parent was closing it: a descriptor may be closed already
                shared.abandon()

    def _rows(self) -> list[IpInterface]:
        return self._read(lambda rows: rows)

    def _read(self, action: Callable[[list[IpInterface]], T]) -> T:
        """Returns what the action makes of the rows of now, in the namespace in which they were read."""
        with netio_errors():
            with self._lock:
                shared = self._live()
                if shared is None:
                    rows = self._read_rows(self._luids)
                else:
                    asked = self._ask(shared, lambda shared: action(shared.rows()))
            if shared is None:
                return action(rows)
            try:
                return asked.result()
            finally:
                self._release(shared)

    def _live(self) -> SharedSource | None:
        return None if self._shared is None or self._shared.failure is not None else self._shared

    def _subscribe(self, receiver: EventReceiver, initial: bool) -> Unsubscribe:
        with netio_errors():
            with self._lock:
                shared = self._live() or SharedSource(self._open_source(self._luids))
                added = self._ask(shared, lambda shared: shared.add(receiver, initial))
                self._shared = shared
            try:
                added.result()
            except BaseException:
                self._unsubscribe(shared, receiver)
                raise
        return lambda: self._unsubscribe(shared, receiver)

    def _ask(self, shared: SharedSource, action: Callable[[SharedSource], T]) -> Future[T]:
        """Requests an action after a new reading. The caller holds the lock, and is a user until it releases it."""
        asked = shared.ask(action)
        shared.users += 1
        return asked

    def _release(self, shared: SharedSource) -> None:
        with self._lock:
            shared.users -= 1
            if not shared.users:
                # Under the lock, so that two sources never assign LUIDs at the same time.
                shared.close()
                if self._shared is shared:
                    self._shared = None

    def _unsubscribe(self, shared: SharedSource, receiver: EventReceiver) -> None:
        # A source that failed calls no receiver any more.
        with contextlib.suppress(SourceError):
            shared.ask(lambda shared: shared.remove(receiver), new_reading=False).result()
        self._release(shared)


class _Receiver(Generic[Row]):
    """A receiver of the keys that changed, the family of these, and how they are found in an event."""

    def __init__(
        self,
        family: Families,
        receiver: Callable[[Row | None, NotificationType], None],
        keys: Callable[[Event, IpInterfaceRow], Iterable[tuple[Row, NotificationType]]],
    ) -> None:
        self.ended = False
        self._family = family
        self._receiver = receiver
        self._keys = keys

    def confirm(self) -> None:
        self._receiver(None, "initial_notification")

    def receive(self, event: Event) -> None:
        if event.row is not None and self._family in ("unspec", event.row.family):
            for key, kind in self._keys(event, event.row):
                self._receiver(key, kind)


def _interface_keys(event: Event, row: IpInterfaceRow) -> Iterator[tuple[IpInterfaceRow, NotificationType]]:
    if not of_other_notifications(event):
        key = IpInterfaceRow(family=row.family, interface_luid=row.interface_luid, interface_index=row.interface_index)
        yield key, event.notification_type


def _address_keys(event: Event, row: IpInterfaceRow) -> Iterator[tuple[UnicastIpAddressRow, NotificationType]]:
    for address, kind in changed_addresses(event).items():
        key = UnicastIpAddressRow(
            family=row.family,
            address=address,
            interface_luid=row.interface_luid,
            interface_index=row.interface_index,
        )
        yield key, kind


def _route_keys(event: Event, row: IpInterfaceRow) -> Iterator[tuple[IpForwardRow, NotificationType]]:
    for next_hop, kind in changed_routes(event).items():
        yield default_route(row, next_hop=next_hop), kind


def _check_kind(kind: NameKind) -> None:
    if kind == "guid":
        raise refusal(NotSupportedError, "Linux gives interfaces no GUIDs: use the LUID")
