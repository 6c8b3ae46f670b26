"""Linux: the calls over the Linux source, with the same meaning as on Windows."""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from ..errors import InterfaceNotFoundError, NotFoundError, SourceError
from ..events import Event, Family, IpInterface, IpInterfaceRow
from ..sources import Families, Resync, Source, SourceContext, Update, open_source
from ..sources.luids import LuidStore, MemoryLuids
from ..table import Table
from .system import IfRow, IfStackRow, InvertedIfStackRow, Receiver, refusal

T = TypeVar("T")


def own_source(luids: LuidStore) -> Source:
    """Opens the source of this host. It logs to the standard `logging`, and so prints nothing by itself."""
    log = logging.getLogger("publisher.netioapi")
    context = SourceContext(log, luids)
    return open_source("linux", context, {})


class LinuxSystem:
    """The calls on Linux, for the network namespace of the calling thread.

    Registrations and calls that overlap in time share one source, that of the first caller's namespace. All sources,
    one after the other, share the LUIDs, so a LUID means the same in each call. The lock guards which source is shared,
    and the number of its users.
    """

    def __init__(self, open_source: Callable[[LuidStore], Source] = own_source) -> None:
        self._open_source = open_source
        self._luids = MemoryLuids()
        self._lock = threading.Lock()
        self._shared: _SharedSource | None = None

    def subscribe(self, family: Families, receiver: Receiver, initial: bool) -> Callable[[], None]:
        """Calls the receiver for each change from now on; the function that it returns ends that."""
        of_family = _FamilyReceiver(family, receiver)
        shared, added = self._ask(lambda shared: shared.add(of_family, initial))
        try:
            added.result()
        except BaseException:
            self._release(shared)
            raise
        return lambda: self._unsubscribe(shared, of_family)

    def ip_interface(self, family: Family, luid: str | None, index: int | None) -> IpInterfaceRow:
        """Returns the row; raises InterfaceNotFoundError or NotFoundError."""
        for entry in _of(self._read(), luid, index):
            if entry.family == family:
                return entry.row
        raise refusal(NotFoundError, f"the interface {luid or index} has no row of the family {family}")

    def ip_interfaces(self, family: Families) -> list[IpInterfaceRow]:
        """Returns the rows of the family."""
        return [entry.row for entry in self._read() if family in ("unspec", entry.family)]

    def if_row(self, luid: str | None, index: int | None) -> IfRow:
        """Returns the interface; raises InterfaceNotFoundError."""
        return _if_row(_of(self._read(), luid, index)[0])

    def if_rows(self) -> list[IfRow]:
        """Returns each interface that has a row in a family."""
        return list({entry.luid: _if_row(entry) for entry in self._read()}.values())

    def if_stack(self) -> list[IfStackRow]:
        """Returns the pairs of neighbours in the stack, the higher first."""
        return stack_of(self.if_rows())

    def inverted_if_stack(self) -> list[InvertedIfStackRow]:
        """Returns the same pairs, the lower first."""
        return sorted(InvertedIfStackRow(lower, higher) for higher, lower in self.if_stack())

    def _read(self) -> list[IpInterface]:
        shared, rows = self._ask(_SharedSource.rows)
        try:
            return rows.result()
        finally:
            self._release(shared)

    def _ask(self, action: Callable[[_SharedSource], T]) -> tuple[_SharedSource, Future[T]]:
        """Requests an action after a new reading. The caller is a user of the source until it releases it."""
        with self._lock:
            if self._shared is None or self._shared.failure is not None:
                self._shared = _SharedSource(self._open_source(self._luids))
            self._shared.users += 1
            return self._shared, self._shared.ask(action)

    def _release(self, shared: _SharedSource) -> None:
        with self._lock:
            shared.users -= 1
            if not shared.users:
                # Under the lock, so that two sources never assign LUIDs at the same time.
                shared.close()
                if self._shared is shared:
                    self._shared = None

    def _unsubscribe(self, shared: _SharedSource, receiver: _FamilyReceiver) -> None:
        # A source that failed calls no receiver any more.
        with contextlib.suppress(SourceError):
            shared.ask(lambda shared: shared.remove(receiver), new_reading=False).result()
        self._release(shared)


class _FamilyReceiver:
    """A receiver, and the family whose changes it receives."""

    def __init__(self, family: Families, receiver: Receiver) -> None:
        self._family = family
        self._receiver = receiver

    def confirm(self) -> None:
        self._receiver(None, "initial_notification")

    def receive(self, event: Event) -> None:
        if event.row is None or self._family not in ("unspec", event.row.family) or only_addresses(event):
            return
        key = IpInterfaceRow(
            family=event.row.family,
            interface_luid=event.row.interface_luid,
            interface_index=event.row.interface_index,
        )
        self._receiver(key, event.notification_type)


class _Task(Generic[T]):
    """An action for the thread of a shared source, and its result for the requesting thread."""

    def __init__(self, action: Callable[[_SharedSource], T], new_reading: bool) -> None:
        self._action = action
        self.new_reading = new_reading
        self.result: Future[T] = Future()

    def run(self, shared: _SharedSource) -> None:
        self.result.set_result(self._action(shared))

    def refuse(self, error: SourceError) -> None:
        if not self.result.done():
            self.result.set_exception(error)


class _SharedSource:
    """A source that is followed in a thread of its own, which alone uses the table and the receivers.

    Other threads ask for an action. One that needs a new reading runs after the source has read everything once more,
    so it sees each change that happened before the request.
    """

    def __init__(self, source: Source) -> None:
        self.users = 0  # guarded by the lock of the LinuxSystem
        self.failure: SourceError | None = None
        self._source = source
        self._table = Table()
        self._receivers: list[_FamilyReceiver] = []
        self._asked: SimpleQueue[_Task[Any]] = SimpleQueue()
        self._waiting: list[_Task[Any]] = []
        self._thread = threading.Thread(target=self._run, name="publisher netioapi", daemon=True)

    def ask(self, action: Callable[[_SharedSource], T], *, new_reading: bool = True) -> Future[T]:
        """Returns the future result of an action, or the failure that ended the thread. The first call starts it."""
        task = _Task(action, new_reading)
        self._asked.put(task)
        if self._thread.ident is None:
            # Python does not wait for a daemon thread, and one that runs while the interpreter shuts down may crash it.
            atexit.register(self.close)
            self._thread.start()
        else:
            self._source.wake()
        if self.failure is not None:
            # The thread ended, and perhaps it did not see this task.
            self._refuse(self.failure)
        return task.result

    def close(self) -> None:
        """Ends the thread and waits for it."""
        atexit.unregister(self.close)
        self._source.close()
        self._thread.join()

    def rows(self) -> list[IpInterface]:
        """Returns the rows. In the source's thread only, as `add` and `remove`: `ask` for it."""
        return self._table.rows

    def add(self, receiver: _FamilyReceiver, initial: bool) -> None:
        """Adds a receiver, which first receives the initial notification if it is asked for."""
        if initial:
            receiver.confirm()
        self._receivers.append(receiver)

    def remove(self, receiver: _FamilyReceiver) -> None:
        """Removes a receiver, which is not called after that."""
        self._receivers.remove(receiver)

    def _run(self) -> None:
        failure = SourceError("the IP interfaces are no longer followed")
        try:
            self._follow()
        except SourceError as error:
            failure = error
        finally:
            # Also after an unexpected error: a task without an answer would block its caller for ever.
            for task in self._waiting:
                self._asked.put(task)
            self.failure = failure
            self._refuse(failure)

    def _follow(self) -> None:
        self._take_tasks()
        for updates in self._source.updates():
            self._apply(updates)
            if any(isinstance(update, Resync) for update in updates):
                self._answer()
            if self._take_tasks():
                self._source.resync("reconcile")

    def _apply(self, updates: Iterable[Update]) -> None:
        for update in updates:
            for event in self._table.apply(update):
                for receiver in self._receivers:
                    receiver.receive(event)

    def _answer(self) -> None:
        """Runs the tasks that waited for a new reading."""
        for task in self._waiting:
            task.run(self)
        self._waiting.clear()

    def _take_tasks(self) -> bool:
        """Runs the new tasks that need no new reading; returns True if there are some that do."""
        tasks = list(_all_of(self._asked))
        for task in tasks:
            if task.new_reading:
                self._waiting.append(task)
            else:
                task.run(self)
        return any(task.new_reading for task in tasks)

    def _refuse(self, failure: SourceError) -> None:
        """Answers each task in the queue with the failure; the queue gives each to one thread only."""
        for task in _all_of(self._asked):
            task.refuse(failure)


def _all_of(queue: SimpleQueue[T]) -> Iterable[T]:
    with contextlib.suppress(Empty):
        while True:
            yield queue.get_nowait()


def _of(rows: Iterable[IpInterface], luid: str | None, index: int | None) -> list[IpInterface]:
    """Returns the interface's rows, of each family."""
    found = [row for row in rows if (row.luid == luid if luid else row.row.interface_index == index)]
    if not found:
        raise refusal(InterfaceNotFoundError, f"there is no interface {luid or index}")
    return found


def _if_row(entry: IpInterface) -> IfRow:
    return IfRow(entry.luid, entry.row.interface_index, entry.interface)


def stack_of(rows: Sequence[IfRow]) -> list[IfStackRow]:
    """Returns the pairs of neighbours in the stack, by index; a neighbour that has no row is left out."""
    index_of = {row.interface_luid: row.interface_index for row in rows}
    return [
        IfStackRow(row.interface_index, index_of[lower])
        for row in rows
        for lower in row.interface.lower
        if lower in index_of
    ]


def only_addresses(event: Event) -> bool:
    """Returns True for a change of addresses alone: NotifyIpInterfaceChange does not report it, nor do we."""
    return bool(event.changed) and all(member.startswith("addresses.") for member in event.changed)
