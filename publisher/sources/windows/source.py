"""The source on Windows: notifications ring, and the truth is read outside the callback.

`NotifyIpInterfaceChange` tells of IP interfaces and not of their addresses, which `NotifyUnicastIpAddressChange` tells
of; both carry a key and no state. So a flap that is over before it is read shows as nothing here.
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
from ...events import Cause, Family, IpInterface
from .. import Remove, Resync, SourceContext, Update, Upsert
from .calls import Iphlpapi, Told, load
from .iphlpapi import FAMILIES, FAMILY_NAMES, NOTIFICATION_TYPES
from .reading import Reading
from .rows import luid_text

# How often an interface that was told of and cannot be read yet is tried again: for about 12 s in all.
_TRIES = 20
_FIRST_DELAY, _LONGEST_DELAY = 0.01, 1.0


class _Key(NamedTuple):
    luid: int
    family: Family


@dataclass
class _Wanted:
    """An IP interface that is to be read: what was told of it, and how often it could not be read."""

    deleted: bool = False
    expected: bool = False
    tries: int = 0
    due: float = 0.0

    def put_off(self, now: float) -> None:
        self.deleted = False
        self.due = now + _delay(self.tries)
        self.tries += 1


class _Rung(NamedTuple):
    told: frozenset[tuple[_Key, str]]
    causes: list[Cause]
    woken: bool
    closed: bool


class _Bell:
    """Rung by callbacks and other threads, waited for by one. Holds each key and kind once, so it cannot grow."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._told: set[tuple[_Key, str]] = set()
        self._causes: list[Cause] = []
        self._woken = False
        self._closed = False

    def ip_interface(self, told: Told | None) -> None:
        """The ring of NotifyIpInterfaceChange."""
        if told is not None:
            self._ring(told, NOTIFICATION_TYPES.get(told.type, "parameter_notification"))

    def address(self, told: Told | None) -> None:
        """The ring of NotifyUnicastIpAddressChange, whose kinds are the address's."""
        if told is not None:
            self._ring(told, "address")

    def _ring(self, told: Told, kind: str) -> None:
        if family := FAMILY_NAMES.get(told.family):
            rung = (_Key(told.luid, family), kind)
            with self._condition:
                if rung not in self._told:
                    self._told.add(rung)
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

    def wait(self, timeout: float) -> _Rung:
        """What rang since the last time, after at most `timeout` seconds."""
        with self._condition:
            self._condition.wait_for(lambda: bool(self._told or self._causes) or self._woken or self._closed, timeout)
            rung = _Rung(frozenset(self._told), self._causes, self._woken, self._closed)
            self._told.clear()
            self._causes, self._woken = [], False
            return rung


class WindowsSource:
    """The IP interfaces of this Windows; raises SourceError on another system."""

    def __init__(self, context: SourceContext) -> None:
        self._log = context.log
        self._iphlpapi: Iphlpapi = load()
        self._family = FAMILIES[context.families]
        self._families: tuple[Family, ...] = ("inet", "inet6") if context.families == "unspec" else (context.families,)
        self._reconcile_seconds = context.reconcile_seconds
        self._idle_seconds = math.inf if context.idle_seconds is None else context.idle_seconds
        self._bell = _Bell()
        self._wanted: dict[_Key, _Wanted] = {}
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
            while not (rung := self._bell.wait(self._patience(min(reconcile_at, idle_until)))).closed:
                self._note(rung.told)
                updates = list(self._changes())
                if rung.causes or time.monotonic() >= reconcile_at:
                    reconcile_at = time.monotonic() + self._reconcile_seconds
                    updates += self._resync(rung.causes or ["reconcile"])
                if updates or rung.woken or time.monotonic() >= idle_until:
                    yield updates
                    idle_until = time.monotonic() + self._idle_seconds

    def wake(self) -> None:
        """Makes `updates()` yield soon."""
        self._bell.wake()

    def resync(self, cause: Cause = "reconcile") -> None:
        """Requests a `Resync(rows, cause)`."""
        self._bell.resync(cause)

    def close(self) -> None:
        """Ends `updates()`, which cancels the registrations in its own thread."""
        self._bell.close()

    def _register(self, registrations: ExitStack) -> None:
        try:
            told = self._iphlpapi.notify_ip_interface_change(self._family, self._bell.ip_interface)
            registrations.callback(told.cancel)
            told = self._iphlpapi.notify_unicast_ip_address_change(self._family, self._bell.address)
            registrations.callback(told.cancel)
        except NetioError as error:
            raise SourceError(f"Windows takes no registration for changes: {error}") from error

    def _begin(self) -> Resync:
        try:
            return Resync(self._read_all(), "startup")
        except NetioError as error:
            raise SourceError(f"the IP interfaces of Windows cannot be read: {error}") from error

    def _patience(self, next_at: float) -> float:
        """Seconds until something is due. At most one: an untimed wait on Windows swallows Ctrl+C."""
        due = [next_at]
        if self._lost:
            due.append(self._again_at)
        else:
            due.extend(wanted.due for wanted in self._wanted.values())
        return max(0.0, min(1.0, min(due) - time.monotonic()))

    def _note(self, told: Iterable[tuple[_Key, str]]) -> None:
        for key, kind in told:
            wanted = self._wanted.setdefault(key, _Wanted())
            wanted.due = 0.0
            wanted.deleted |= kind == "delete_instance"
            wanted.expected |= kind in {"add_instance", "parameter_notification"}
            wanted.tries = 0

    def _changes(self) -> Iterator[Update]:
        """Reads what is due. Trouble in reading makes everything be read again, until that works."""
        if self._lost and time.monotonic() >= self._again_at:
            yield from self._resync(["overrun"])
        if not self._lost:
            yield from self._due()

    def _due(self) -> list[Update]:
        now = time.monotonic()
        luids = sorted({key.luid for key, wanted in self._wanted.items() if wanted.due <= now})
        reading = Reading(self._iphlpapi, self._families)
        try:
            updates = [update for luid in luids for update in self._interface(reading, luid, now)]
        except NetioError as error:
            self._failed(error)
            return []
        if luids:
            self._failures = 0
        return updates

    def _interface(self, reading: Reading, luid: int, now: float) -> Iterator[Update]:
        for family in self._families:
            key = _Key(luid, family)
            row = _read(reading, key)
            if row is not None:
                self._wanted.pop(key, None)
                yield Upsert(row)
            else:
                yield from self._absent(key, now)

    def _absent(self, key: _Key, now: float) -> Iterator[Update]:
        """Told of and not readable: gone, unless it was told as there. Then it is held and tried again."""
        wanted = self._wanted.pop(key, _Wanted(deleted=True))
        held = wanted.expected and wanted.tries < _TRIES
        if wanted.deleted or not held:
            yield Remove(luid_text(key.luid), key.family)
        if held:
            wanted.put_off(now)
            self._wanted[key] = wanted

    def _resync(self, causes: Iterable[Cause]) -> Iterator[Update]:
        try:
            rows = self._read_all()
        except NetioError as error:
            self._failed(error)
        else:
            self._lost = False
            # What these rows show was read; what was told as there and is not among them is still held.
            shown = {_Key(int(row.luid, 16), row.family) for row in rows}
            self._wanted = {key: wanted for key, wanted in self._wanted.items() if wanted.expected and key not in shown}
            # One read answers every request, and each cause is reported.
            yield from (Resync(rows, cause) for cause in causes)

    def _read_all(self) -> tuple[IpInterface, ...]:
        return Reading(self._iphlpapi, self._families).everything()

    def _failed(self, error: NetioError) -> None:
        if not self._failures:
            self._log.warning("reading the IP interfaces failed, trying again", error=str(error))
        self._lost = True
        self._again_at = time.monotonic() + _delay(self._failures)
        self._failures += 1


def _read(reading: Reading, key: _Key) -> IpInterface | None:
    """The IP interface as it is now, or `None` where there is no such one (any more, or yet)."""
    try:
        return reading.ip_interface(key.luid, key.family)
    except (InterfaceNotFoundError, NotFoundError):
        return None


def _delay(tries: int) -> float:
    """Seconds to wait after so many failures: doubling from 10 ms to 1 s."""
    return float(min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(tries, 10)))
