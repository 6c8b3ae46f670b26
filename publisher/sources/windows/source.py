"""The source of Windows: notifications name what changed, and the rows are read outside the callbacks.

`NotifyIpInterfaceChange` reports IP interfaces, `NotifyUnicastIpAddressChange` their addresses, and
`NotifyRouteChange2` their routes; each carries a key and no state. So a change that is undone before it is read is not
seen here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from ...errors import NetioError, SourceError
from ...events import Cause, Family, IpInterface, Key
from .. import Remove, Resync, SourceContext, Update, Upsert, Validator
from .calls import Iphlpapi, Registration, load
from .iphlpapi import FAMILIES
from .pending import Pending
from .reader import Absent, Reading, Undescribed, WindowsReader

# How often an interface that was reported and cannot be read yet is read again: for about 12 s in all.
_TRIES = 18
# At the start what is listed and cannot be described yet delays everything, for at most a second: without its row it
# would be taken for removed.
_TRIES_AT_START = 8
_FIRST_DELAY, _LONGEST_DELAY = 0.01, 1.0
# The initial notification is there to confirm a registration (docs/windows.md, rule 3).
_CONFIRMED_WITHIN = 5.0


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


class WindowsSource:
    """The IP interfaces of this Windows; raises SourceError on another system."""

    def __init__(self, context: SourceContext) -> None:
        self._log = context.log
        self._iphlpapi: Iphlpapi = load()
        self._family = FAMILIES[context.families]
        self._families: tuple[Family, ...] = ("inet", "inet6") if context.families == "unspec" else (context.families,)
        self._reconcile_seconds = context.reconcile_seconds
        self._idle_seconds = math.inf if context.idle_seconds is None else context.idle_seconds
        self._pending = Pending()
        self._confirmed_by = math.inf
        self.validator = Validator(context.log)
        self.unconfirmed = 0
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
                self._check_confirmations()
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
        calls, pending = self._iphlpapi, self._pending
        try:
            registration = calls.notify_ip_interface_change(self._family, pending.add_ip_interface, initial=True)
            registrations.callback(self._cancel, registration)
            registration = calls.notify_unicast_ip_address_change(self._family, pending.add_address, initial=True)
            registrations.callback(self._cancel, registration)
            registration = calls.notify_route_change2(self._family, pending.add_route, initial=True)
            registrations.callback(self._cancel, registration)
        except NetioError as error:
            raise SourceError(f"Windows refused the registration for changes: {error}") from error
        self._confirmed_by = time.monotonic() + _CONFIRMED_WITHIN

    def _cancel(self, registration: Registration) -> None:
        try:
            registration.cancel()
        except NetioError as error:
            self._log.warning("a registration for changes stays until the process ends, which tries again: %s", error)

    def _check_confirmations(self) -> None:
        """Warns once of each registration that Windows has not confirmed in time."""
        if time.monotonic() < self._confirmed_by:
            return
        self._confirmed_by = math.inf
        for function in self._pending.unconfirmed:
            self.unconfirmed += 1
            self._log.warning(
                "%s: Windows has not confirmed the registration within %g s; its changes may be seen only by the "
                "reading of everything, every %g s",
                function,
                _CONFIRMED_WITHIN,
                self._reconcile_seconds,
            )

    def _begin(self) -> Resync:
        try:
            for tries in range(_TRIES_AT_START):
                reading = self._reader().everything()
                if not reading.undescribed:
                    break
                time.sleep(_delay(tries))
        except NetioError as error:
            raise SourceError(f"the IP interfaces of Windows cannot be read: {error}") from error
        for key, (why,) in reading.undescribed.items():
            self._log.warning("the IP interface %s %s is left out for now: it exists, but %s", *key, why)
        return Resync(self._take(reading), "startup")

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
            match reader.ip_interface(key):
                case Absent(why):
                    yield from self._absent(key, why, now)
                case Undescribed(why):
                    self._undescribed(key, why, now)
                case row:
                    self._due.pop(key, None)
                    if row is not None:
                        self._last[key] = row
                        yield Upsert(row)

    def _absent(self, key: Key, why: str, now: float) -> Iterator[Update]:
        """Removes what does not exist. If it was reported as existing, it is held and read again for a while.

        An interface may be reported before it can be read (docs/windows.md, rule 11).
        """
        due = self._due.pop(key, _Due(removed=True))
        held = due.expected and due.tries < _TRIES
        if due.removed or not held:
            self._remove(key, why)
            yield Remove(key.luid, key.family)
        if held:
            due.put_off(now)
            self._due[key] = due

    def _undescribed(self, key: Key, why: str, now: float) -> None:
        """Leaves the row as it was, and has it read again for a while."""
        due = self._due.setdefault(key, _Due())
        due.put_off(now)
        if due.tries > _TRIES:
            del self._due[key]
            self._log.warning("the IP interface %s %s stays as it was: it exists, but %s", *key, why)

    def _remove(self, key: Key, why: str) -> None:
        if row := self._last.pop(key, None):
            name = row.interface.alias
            self._log.info("the IP interface %s %s (%s) is removed: %s", *key, name, why)

    def _resync(self, causes: Iterable[Cause]) -> list[Update]:
        """Reads everything once, for each of the causes."""
        try:
            rows = self._take(self._reader().everything())
        except NetioError as error:
            self._failed(error)
            return []
        self._lost = False
        self._hold(time.monotonic())
        return [Resync(rows, cause) for cause in causes]

    def _hold(self, now: float) -> None:
        """Keeps due what was reported as existing and is not among the rows that were read: it is read again."""
        self._due = {key: due for key, due in self._due.items() if due.expected and key not in self._last}
        for key, due in list(self._due.items()):
            due.put_off(now)
            if due.tries > _TRIES:
                del self._due[key]

    def _take(self, reading: Reading) -> tuple[IpInterface, ...]:
        for key, (why,) in reading.absent.items():
            self._remove(key, why)
        for key in reading.undescribed:
            self._due.setdefault(key, _Due()).expected = True
        self._last = {row.key: row for row in reading.rows}
        return reading.rows

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
