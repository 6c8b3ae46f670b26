"""Notifications and requests on their way from other threads to the source's thread."""

from __future__ import annotations

import threading
from typing import Literal, NamedTuple, get_args

from ...events import Cause, Key
from .iphlpapi import FAMILY_NAMES, NOTIFICATION_TYPES
from .notifications import AddressNotification, Notification, RouteNotification
from .rows import luid_text

Registered = Literal["NotifyIpInterfaceChange", "NotifyUnicastIpAddressChange", "NotifyRouteChange2"]


class Taken(NamedTuple):
    """Everything that was added to `Pending` since it was last taken."""

    changes: frozenset[tuple[Key, str]]
    causes: tuple[Cause, ...]
    woken: bool
    closed: bool


class Pending:
    """Changes and requests from other threads for the source's thread.

    The callbacks run in threads of the system, several at once, so they only add a key here. Each key and kind is held
    once, so that no number of changes makes it grow.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._changes: set[tuple[Key, str]] = set()
        self._causes: list[Cause] = []
        self._unconfirmed: list[Registered] = list(get_args(Registered))
        self._woken = False
        self._closed = False

    @property
    def unconfirmed(self) -> tuple[Registered, ...]:
        """The registrations whose initial notification has not come."""
        with self._condition:
            return tuple(self._unconfirmed)

    def add_ip_interface(self, notification: Notification | None) -> None:
        """Adds what NotifyIpInterfaceChange reports."""
        if notification is None:
            self._confirm("NotifyIpInterfaceChange")
        else:
            self._add(notification, NOTIFICATION_TYPES.get(notification.type, "parameter_notification"))

    def add_address(self, notification: AddressNotification | None) -> None:
        """Adds what NotifyUnicastIpAddressChange reports: the kind of change is the address's, not the interface's."""
        if notification is None:
            self._confirm("NotifyUnicastIpAddressChange")
        else:
            self._add(notification, "address")

    def add_route(self, notification: RouteNotification | None) -> None:
        """Adds what NotifyRouteChange2 reports: the kind of change is the route's, not the interface's."""
        if notification is None:
            self._confirm("NotifyRouteChange2")
        else:
            self._add(notification, "route")

    def _confirm(self, registered: Registered) -> None:
        with self._condition:
            if registered in self._unconfirmed:
                self._unconfirmed.remove(registered)

    def _add(self, notification: Notification | AddressNotification | RouteNotification, kind: str) -> None:
        if not notification.luid:
            # Without a LUID the interface cannot be read: GetIpInterfaceEntry would refuse the key each time.
            self.resync("reconcile")
        elif family := FAMILY_NAMES.get(notification.family):
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

    def take(self, timeout: float) -> Taken:
        """Takes everything, as soon as there is something, and at the latest after `timeout` seconds."""
        with self._condition:
            self._condition.wait_for(self._any, timeout)
            taken = Taken(frozenset(self._changes), tuple(self._causes), self._woken, self._closed)
            self._changes.clear()
            self._causes.clear()
            self._woken = False
            return taken

    def _any(self) -> bool:
        return bool(self._changes or self._causes or self._woken or self._closed)
