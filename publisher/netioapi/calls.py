"""The calls and their arguments' checks; the system behind them is `linux.py` or `windows.py`."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue
from typing import Any, get_args

from ..errors import CancelInsideCallbackError, InvalidHandleError, InvalidParameterError, SourceError
from ..events import Family, IpInterfaceRow, NotificationType
from ..sources import Families
from .system import IfRow, IfStackRow, InvertedIfStackRow, System, refusal

# Receives the caller's context, the row and the kind of notification; see `notify_ip_interface_change`.
Callback = Callable[[Any, IpInterfaceRow | None, NotificationType], None]


class NotificationHandle:
    """A registration, made by `notify_ip_interface_change` and ended by `cancel_mib_change_notify2`.

    It stays registered when nothing refers to the handle any more. A registration that is not cancelled ends with the
    process.
    """

    def __init__(self, callback: Callback, caller_context: Any) -> None:
        self._callback = callback
        self._context = caller_context
        # From the system's threads to the registration's own, so that callbacks run one at a time and in order.
        self._notifications: SimpleQueue[tuple[IpInterfaceRow | None, NotificationType] | None] = SimpleQueue()
        self._unsubscribe: Callable[[], None] | None = None
        # Held while cancelling, so that exactly one of several threads that cancel succeeds.
        self._cancelling = threading.Lock()
        self._cancelled = False
        self._thread = _CallbackThread(target=self._run, name="publisher netioapi callback", daemon=True)

    def _begin(self, system: System, family: Families, initial: bool) -> None:
        unsubscribe = system.subscribe(family, self._receive, initial)
        self._thread.start()
        self._unsubscribe = unsubscribe

    def _receive(self, row: IpInterfaceRow | None, notification_type: NotificationType) -> None:
        self._notifications.put((row, notification_type))

    def _run(self) -> None:
        while (notification := self._notifications.get()) is not None and not self._cancelled:
            try:
                self._callback(self._context, *notification)
            except Exception as error:  # noqa: BLE001 - whatever a callback raises is reported, and the next one runs
                threading.excepthook(
                    threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
                )

    def _cancel(self) -> None:
        with self._cancelling:
            if self._unsubscribe is None:
                raise refusal(InvalidHandleError, "this registration is already cancelled")
            self._unsubscribe()
            self._unsubscribe = None
        self._cancelled = True
        self._notifications.put(None)
        self._thread.join()


class _CallbackThread(threading.Thread):
    """The thread in which a registration's callbacks run."""


def notify_ip_interface_change(
    family: Families, callback: Callback, caller_context: Any = None, initial_notification: bool = False
) -> NotificationHandle:
    """NotifyIpInterfaceChange: calls back for each change of an IP interface of this family, until it is cancelled.

    `callback(caller_context, row, notification_type)` runs in a thread of the registration's own, one call at a time
    and in the order of the changes; it may block. `row` is `None` exactly for `initial_notification`, which confirms
    the registration and comes once, if asked for, before or after this function returns. For the other kinds only
    `family`, `interface_luid` and `interface_index` of the row are set: call `get_ip_interface_entry` for the rest. A
    change of addresses alone is not reported.

    An exception of the callback goes to `threading.excepthook`, and the next change calls back again. Raises
    InvalidParameterError for a family other than "unspec", "inet" and "inet6" and for a callback that is not callable.
    """
    _check_family(family, get_args(Families))
    if not callable(callback):
        raise refusal(InvalidParameterError, f"the callback {callback!r} is not callable")
    handle = NotificationHandle(callback, caller_context)
    handle._begin(_system(), family, bool(initial_notification))
    return handle


def cancel_mib_change_notify2(notification_handle: NotificationHandle) -> None:
    """CancelMibChangeNotify2: ends a registration. After it returns, no callback of the registration runs.

    Waits for a running callback, so do not call it while you hold a lock that the callback needs. What is queued and
    not called back yet is dropped. From inside a callback, of this registration or another, it raises
    CancelInsideCallbackError, where Windows would hang. Raises InvalidParameterError for `None`, and InvalidHandleError
    for an object that is no registration or is already cancelled.
    """
    if notification_handle is None:
        raise refusal(InvalidParameterError, "the handle is None")
    if not isinstance(notification_handle, NotificationHandle):
        raise refusal(InvalidHandleError, f"{notification_handle!r} is no registration")
    if isinstance(threading.current_thread(), _CallbackThread):
        raise refusal(CancelInsideCallbackError, "a callback cannot cancel: it would wait for itself")
    notification_handle._cancel()


def get_ip_interface_entry(family: Family, luid: str | None = None, index: int | None = None) -> IpInterfaceRow:
    """GetIpInterfaceEntry: returns the row of one IP interface, by LUID; by index if the LUID is missing or zero.

    Raises InterfaceNotFoundError when there is no such interface, NotFoundError when it is not in this family, and
    InvalidParameterError for a family other than "inet" and "inet6" or when both LUID and index are missing.
    """
    _check_family(family, get_args(Family))
    return _system().ip_interface(family, *_known_by(luid, index))


def get_ip_interface_table(family: Families = "unspec") -> list[IpInterfaceRow]:
    """GetIpInterfaceTable: returns the row of each IP interface of the family; an empty list when there is none."""
    _check_family(family, get_args(Families))
    return _system().ip_interfaces(family)


def get_if_entry2(luid: str | None = None, index: int | None = None) -> IfRow:
    """GetIfEntry2: returns one interface, by LUID; by index if the LUID is missing or zero. Without statistics.

    Raises InterfaceNotFoundError, and InvalidParameterError when both are missing.
    """
    return _system().if_row(*_known_by(luid, index))


def get_if_table2() -> list[IfRow]:
    """GetIfTable2: returns each interface, without statistics. On Linux, those without any IP row are left out."""
    return _system().if_rows()


def get_if_stack_table() -> list[IfStackRow]:
    """GetIfStackTable: returns the pairs of interfaces of which one is directly on top of the other."""
    return _system().if_stack()


def get_inverted_if_stack_table() -> list[InvertedIfStackRow]:
    """GetInvertedIfStackTable: returns the same pairs as `get_if_stack_table`, the lower interface first."""
    return _system().inverted_if_stack()


def _check_family(family: object, known: tuple[str, ...]) -> None:
    if family not in known:
        raise refusal(InvalidParameterError, f"the family {family!r} is none of {', '.join(known)}")


def _known_by(luid: str | None, index: int | None) -> tuple[str | None, int | None]:
    """Returns the LUID, or the index if the LUID is missing or zero, as nf-netioapi-getipinterfaceentry documents."""
    if luid is not None and not re.fullmatch("[0-9a-f]{16}", luid):
        raise refusal(InvalidParameterError, f"the LUID {luid!r} is not 16 lower-case hexadecimal digits")
    if luid is not None and int(luid, 16):
        return luid, None
    if not index or not 0 < index < 1 << 32:
        raise refusal(InvalidParameterError, f"neither a LUID nor an index names an interface: {luid!r}, {index!r}")
    return None, index


@cache
def _system() -> System:
    """Returns this operating system: one object for the process, since a LUID has to mean the same in each call."""
    if sys.platform == "win32":
        from .windows import WindowsSystem

        return WindowsSystem()
    if sys.platform == "linux":
        from .linux import LinuxSystem

        return LinuxSystem()
    raise SourceError(f"publisher.netioapi works on Linux and on Windows, not on {sys.platform!r}")
