"""The calls of Windows' netioapi.h for Python programs, with one meaning on Windows and on Linux.

    def changed(context, row, notification_type):
        print(context, notification_type, row and row.interface_luid)

    handle = notify_ip_interface_change("unspec", changed, "my context", initial_notification=True)
    ...
    cancel_mib_change_notify2(handle)

On Windows they call the system; on Linux they stand on rtnetlink, and a LUID holds as long as the process. Every
failure is a `publisher.errors.NetioError` of the kind and with the code that Windows documents; on Windows its message
has the system's own text. Any thread may call.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue
from typing import Any, get_args

from ..errors import (
    CancelInsideCallbackError,
    InterfaceNotFoundError,
    InvalidHandleError,
    InvalidParameterError,
    NetioError,
    NotFoundError,
    SourceError,
)
from ..events import Family, IpInterfaceRow, NotificationType
from ..sources import Families
from .system import IfRow, IfStackRow, InvertedIfStackRow, System, refusal

__all__ = [
    "CancelInsideCallbackError",
    "IfRow",
    "IfStackRow",
    "InterfaceNotFoundError",
    "InvalidHandleError",
    "InvalidParameterError",
    "InvertedIfStackRow",
    "NetioError",
    "NotFoundError",
    "NotificationHandle",
    "cancel_mib_change_notify2",
    "get_if_entry2",
    "get_if_stack_table",
    "get_if_table2",
    "get_inverted_if_stack_table",
    "get_ip_interface_entry",
    "get_ip_interface_table",
    "notify_ip_interface_change",
]

# Given the caller's context, the row and the kind of notification; see `notify_ip_interface_change`.
Callback = Callable[[Any, IpInterfaceRow | None, NotificationType], None]


class NotificationHandle:
    """A registration, made by `notify_ip_interface_change` and ended by `cancel_mib_change_notify2`.

    It lives on when nothing refers to it any more; what is not cancelled ends with the process.
    """

    def __init__(self, callback: Callback, caller_context: Any) -> None:
        self._callback = callback
        self._context = caller_context
        self._told: SimpleQueue[tuple[IpInterfaceRow | None, NotificationType] | None] = SimpleQueue()
        self._unsubscribe: Callable[[], None] | None = None
        self._cancelling = threading.Lock()
        self._ended = False
        self._caller = _Caller(target=self._call, name="netioapi callback", daemon=True)

    def _begin(self, family: Families, initial: bool) -> None:
        unsubscribe = _system().subscribe(family, self._ring, initial)
        self._caller.start()
        self._unsubscribe = unsubscribe

    def _ring(self, row: IpInterfaceRow | None, notification_type: NotificationType) -> None:
        self._told.put((row, notification_type))

    def _call(self) -> None:
        while (told := self._told.get()) is not None and not self._ended:
            try:
                self._callback(self._context, *told)
            except Exception as error:  # noqa: BLE001 - a callback's failure is its own, and does not end the watching
                threading.excepthook(
                    threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
                )

    def _cancel(self) -> None:
        with self._cancelling:
            if self._unsubscribe is None:
                raise refusal(InvalidHandleError, "this registration was cancelled before")
            self._unsubscribe()
            self._unsubscribe = None
        self._ended = True
        self._told.put(None)
        self._caller.join()


class _Caller(threading.Thread):
    """The thread in which a registration's callbacks run."""


def notify_ip_interface_change(
    family: Families, callback: Callback, caller_context: Any = None, initial_notification: bool = False
) -> NotificationHandle:
    """NotifyIpInterfaceChange: call back for every change to an IP interface of this family, until cancelled.

    `callback(caller_context, row, notification_type)` runs in a thread of the registration's own, one call at a time,
    in the order in which the system told; it may take its time. `row` is `None` exactly for `initial_notification`,
    which says "registered" and comes once, if asked for, before or after this function returns. Otherwise only
    `family`, `interface_luid` and `interface_index` of the row mean something, and the others are `None`: ask
    `get_ip_interface_entry` for them. Changes of addresses alone are not told.

    An exception of the callback goes to `threading.excepthook` and does not end the watching. Raises
    InvalidParameterError for a family other than "unspec", "inet" and "inet6" or a callback that cannot be called.
    """
    _check_family(family, get_args(Families))
    if not callable(callback):
        raise refusal(InvalidParameterError, f"the callback {callback!r} cannot be called")
    handle = NotificationHandle(callback, caller_context)
    handle._begin(family, bool(initial_notification))
    return handle


def cancel_mib_change_notify2(notification_handle: NotificationHandle) -> None:
    """CancelMibChangeNotify2: end a registration. When this returns, no callback of it runs and none will.

    It waits for a running callback, so don't call it while holding what the callback needs. From inside a callback, of
    this registration or another, it raises CancelInsideCallbackError, where Windows would hang. Raises
    InvalidParameterError for `None`, and InvalidHandleError for what is no registration or was cancelled before.
    """
    if notification_handle is None:
        raise refusal(InvalidParameterError, "the handle is None")
    if not isinstance(notification_handle, NotificationHandle):
        raise refusal(InvalidHandleError, f"{notification_handle!r} is no registration")
    if isinstance(threading.current_thread(), _Caller):
        raise refusal(CancelInsideCallbackError, "a callback cannot cancel: it would wait for itself")
    notification_handle._cancel()


def get_ip_interface_entry(family: Family, luid: str | None = None, index: int | None = None) -> IpInterfaceRow:
    """GetIpInterfaceEntry: the row of one IP interface, by LUID, or by index where there is none or it is zero.

    Raises InterfaceNotFoundError when there is no such interface, NotFoundError when it is not in this family, and
    InvalidParameterError for a family other than "inet" and "inet6" or when both LUID and index are missing.
    """
    _check_family(family, get_args(Family))
    return _system().ip_interface(family, *_known_by(luid, index))


def get_ip_interface_table(family: Families = "unspec") -> list[IpInterfaceRow]:
    """GetIpInterfaceTable: the rows of every IP interface of the family; none is an empty list."""
    _check_family(family, get_args(Families))
    return _system().ip_interfaces(family)


def get_if_entry2(luid: str | None = None, index: int | None = None) -> IfRow:
    """GetIfEntry2: one interface, by LUID, or by index where there is none or it is zero; without statistics.

    Raises InterfaceNotFoundError, and InvalidParameterError when both are missing.
    """
    return _system().if_row(*_known_by(luid, index))


def get_if_table2() -> list[IfRow]:
    """GetIfTable2: every interface, without statistics. On Linux those that have no IP row at all are missing."""
    return _system().if_rows()


def get_if_stack_table() -> list[IfStackRow]:
    """GetIfStackTable: which interface is on top of which."""
    return _system().if_stack()


def get_inverted_if_stack_table() -> list[InvertedIfStackRow]:
    """GetInvertedIfStackTable: which interface is under which."""
    return _system().inverted_if_stack()


def _check_family(family: object, known: tuple[str, ...]) -> None:
    if family not in known:
        raise refusal(InvalidParameterError, f"the family {family!r} is none of {', '.join(known)}")


def _known_by(luid: str | None, index: int | None) -> tuple[str | None, int | None]:
    """The LUID, or the index where the LUID is missing or zero, as nf-netioapi-getipinterfaceentry has it."""
    if luid is not None and not re.fullmatch("[0-9a-f]{16}", luid):
        raise refusal(InvalidParameterError, f"the LUID {luid!r} is not 16 lower-case hexadecimal digits")
    if luid is not None and int(luid, 16):
        return luid, None
    if not index or not 0 < index < 1 << 32:
        raise refusal(InvalidParameterError, f"neither a LUID nor an index names an interface: {luid!r}, {index!r}")
    return None, index


@cache
def _system() -> System:
    """This operating system: one for the process, since a LUID has to mean the same in every call."""
    if sys.platform == "win32":
        from .windows import WindowsSystem

        return WindowsSystem()
    if sys.platform == "linux":
        from .linux import LinuxSystem

        return LinuxSystem()
    raise SourceError(f"publisher.netioapi is there on Linux and on Windows, not on {sys.platform!r}")
