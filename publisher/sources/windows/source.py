"""The source of Windows: notifications name what changed, and the rows are read outside the callbacks.

`NotifyIpInterfaceChange` reports IP interfaces without their addresses, and `NotifyUnicastIpAddressChange` reports the
addresses; both carry a key and no state. So a change that is undone before it is read is not seen here.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from ...errors import InterfaceNotFoundError, NetioError, NotFoundError, SourceError
from ...events import Cause, Family, IpInterface, Key
from .. import Remove, Resync, SourceContext, Update, Upsert, Validator
from .calls import Iphlpapi, Notification, load
from .iphlpapi import FAMILIES, FAMILY_NAMES, NOTIFICATION_TYPES
from .reader import WindowsReader
from .rows import luid_text

# How often an interface that was reported and cannot be read yet is read again: for about 12 s in all.
_TRIES = 20
_FIRST_DELAY, _LONGEST_DELAY = 0.01, 1.0


@dataclass
class _Due:
    """An IP interface that is to be read: the kinds of change that were reported, and how often reading failed."""

    removed: bool = False
    expected: bool = False
    tries: int = 0
    at: float = 0.0

    def put_off(self, now: float) -> None:
        self.removed = False
        self.at = now + _delay(self.tries)
        self.tries += 1


class _Taken(NamedTuple):
    """Everything that was added to `_Pending` since it was last taken."""

    changes: frozenset[tuple[Key, str]]
    causes: tuple[Cause, ...]
    woken: bool
    closed: bool


class _Pending:
    """Changes and requests from other threads for the source's thread.

    The callbacks run in threads of the system, several at once, so they only add a key here. Each key and kind is held
    once, so that no number of changes makes it grow.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._changes: set[tuple[Key, str]] = set()
        self._causes: list[Cause] = []
        self._woken = False
        self._closed = False

    def add_ip_interface(self, notification: Notification | None) -> None:
        """Adds what NotifyIpInterfaceChange reports."""
        if notification is not None:
            self._add(notification, NOTIFICATION_TYPES.get(notification.type, "parameter_notification"))

    def add_address(self, notification: Notification | None) -> None:
        """Adds what NotifyUnicastIpAddressChange reports: the kind of change is the address's, not the interface's."""
        if notification is not None:
            self._add(notification, "address")

    def _add(self, notification: Notification, kind: str) -> None:
        if family := FAMILY_NAMES.get(notification.family):
            change = (Key(luid_text(notification.luid), family), kind)
            with self._condition:
                if change not in self._changes:
                    self._changes.add(change)
                    self._condition.notify()

    def wake(self) -> None:
        with self._condition:
            self._woken = True
            self._condition.notify()

    def resync(self, cause: Cause) -> None:
        with self._condition:
            if cause not in self._causes:
                self._causes.append(cause)
            self._condition.notify()

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify()

    def take(self, timeout: float) -> _Taken:
        """Takes everything, as soon as there is something, and at the latest after `timeout` seconds."""
        with self._condition:
            self._condition.wait_for(self._any, timeout)
            taken = _Taken(frozenset(self._changes), tuple(self._causes), self._woken, self._closed)
            self._changes.clear()
            self._causes.clear()
            self._woken = False
            return taken

    def _any(self) -> bool:
        return bool(self._changes or self._causes or self._woken or self._closed)


class WindowsSource:
    """The IP interfaces of this Windows; raises SourceError on another system."""

    def __init__(self, context: SourceContext) -> None:
        self._log = context.log
        self._iphlpapi: Iphlpapi = load()
        self._family = FAMILIES[context.families]
        self._families: tuple[Family, ...] = ("inet", "inet6") if context.families == "unspec" else (context.families,)
        self._reconcile_seconds = context.reconcile_seconds
        self._idle_seconds = math.inf if context.idle_seconds is None else context.idle_seconds
        self._pending = _Pending()
        self.validator = Validator(context.log)
        self._due: dict[Key, _Due] = {}
        self._last: dict[Key, IpInterface] = {}
        self._lost = False
        self._failures = 0
        self._again_at = 0.0

    def updates(self) -> Iterator[Sequence[Update]]:
        """Yields lists of updates: registers, reads everything, then reads what changed.

        Raises SourceError if it cannot begin.
        """
        with ExitStack() as registrations:
            self._register(registrations)
            yield [self._begin()]
            reconcile_at = time.monotonic() + self._reconcile_seconds
            idle_until = time.monotonic() + self._idle_seconds
            while not (taken := self._pending.take(self._wait(min(reconcile_at, idle_until)))).closed:
                self._note(taken.changes)
                updates = self._changes()
                if taken.causes or time.monotonic() >= reconcile_at:
                    reconcile_at = time.monotonic() + self._reconcile_seconds
                    updates += self._resync(taken.causes or ("reconcile",))
                if updates or taken.woken or time.monotonic() >= idle_until:
                    yield updates
                    idle_until = time.monotonic() + self._idle_seconds

    def wake(self) -> None:
        """Makes `updates()` yield soon."""
        self._pending.wake()

    def resync(self, cause: Cause = "reconcile") -> None:
        """Requests a `Resync(rows, cause)`."""
        self._pending.resync(cause)

    def close(self) -> None:
        """Ends `updates()`, which cancels the registrations in its own thread."""
        self._pending.close()

    def _register(self, registrations: ExitStack) -> None:
        try:
            registration = self._iphlpapi.notify_ip_interface_change(self._family, self._pending.add_ip_interface)
            registrations.callback(registration.cancel)
            registration = self._iphlpapi.notify_unicast_ip_address_change(self._family, self._pending.add_address)
            registrations.callback(registration.cancel)
        except NetioError as error:
            raise SourceError(f"Windows refused the registration for changes: {error}") from error

    def _begin(self) -> Resync:
        try:
            return Resync(self._read_all(), "startup")
        except NetioError as error:
            raise SourceError(f"the IP interfaces of Windows cannot be read: {error}") from error

    def _wait(self, next_at: float) -> float:
        """Returns the seconds until something is due. At most one: an untimed wait on Windows swallows Ctrl+C."""
        if self._lost:
            next_at = min(next_at, self._again_at)
        else:
            next_at = min([next_at, *(due.at for due in self._due.values())])
        return max(0.0, min(1.0, next_at - time.monotonic()))

    def _note(self, changes: Iterable[tuple[Key, str]]) -> None:
        for key, kind in changes:
            due = self._due.setdefault(key, _Due())
            due.at = 0.0
            due.removed |= kind == "delete_instance"
            due.expected |= kind in {"add_instance", "parameter_notification"}
            due.tries = 0

    def _changes(self) -> list[Update]:
        """Reads what is due. After a failure everything is read again, until that works."""
        updates: list[Update] = []
        if self._lost and time.monotonic() >= self._again_at:
            updates += self._resync(("overrun",))
        if not self._lost:
            updates += self._read_due()
        return updates

    def _read_due(self) -> list[Update]:
        now = time.monotonic()
        luids = sorted({key.luid for key, due in self._due.items() if due.at <= now})
        reader = self._reader()
        try:
            updates = [update for luid in luids for update in self._interface(reader, luid, now)]
        except NetioError as error:
            self._failed(error)
            return []
        if luids:
            self._failures = 0
        return updates

    def _interface(self, reader: WindowsReader, luid: str, now: float) -> Iterator[Update]:
        """Reads one interface in each family: what it shares, like its name, may have changed in both."""
        for family in self._families:
            key = Key(luid, family)
            try:
                row = reader.ip_interface(key)
            except (InterfaceNotFoundError, NotFoundError):
                yield from self._absent(key, now)
                continue
            self._due.pop(key, None)
            if row is not None:
                self._last[key] = row
                yield Upsert(row)

    def _absent(self, key: Key, now: float) -> Iterator[Update]:
        """Removes what cannot be read. If it was reported as existing, it is held and read again for a while.

        An interface may be reported before it can be read (docs/windows.md, rule 11).
        """
        due = self._due.pop(key, _Due(removed=True))
        held = due.expected and due.tries < _TRIES
        if due.removed or not held:
            self._last.pop(key, None)
            yield Remove(key.luid, key.family)
        if held:
            due.put_off(now)
            self._due[key] = due

    def _resync(self, causes: Iterable[Cause]) -> list[Update]:
        """Reads everything once, for each of the causes."""
        try:
            rows = self._read_all()
        except NetioError as error:
            self._failed(error)
            return []
        self._lost = False
        # What these rows show was read; what was reported as existing and is not among them is still held.
        self._due = {key: due for key, due in self._due.items() if due.expected and key not in self._last}
        return [Resync(rows, cause) for cause in causes]

    def _read_all(self) -> tuple[IpInterface, ...]:
        rows = self._reader().everything()
        self._last = {row.key: row for row in rows}
        return rows

    def _reader(self) -> WindowsReader:
        return WindowsReader(self._iphlpapi, self._families, self.validator, self._last)

    def _failed(self, error: NetioError) -> None:
        if not self._failures:
            self._log.warning("the IP interfaces could not be read; everything is read again until it works: %s", error)
        self._lost = True
        self._again_at = time.monotonic() + _delay(self._failures)
        self._failures += 1


def _delay(tries: int) -> float:
    """Returns the seconds to wait after so many failures: doubling from 10 ms to 1 s."""
    return float(min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(tries, 10)))
