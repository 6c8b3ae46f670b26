"""The calls; the system behind them is `linux.py` or `windows.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ..errors import InvalidHandleError, InvalidParameterError, NotFoundError, NotSupportedError
from ..events import IpInterfaceRow, NotificationType
from ..sources import Families
from .arguments import FamilyNumber, any_family, check_callback, checked_address, known_by, one_family, shown
from .process import Process
from .registration import NotificationHandle
from .rows import IfRow, IfStackRow, InvertedIfStackRow, IpForwardRow, UnicastIpAddressRow
from .system import System, refusal

# Receives the caller's context, the row and the kind of notification; see `notify_ip_interface_change`.
Callback = Callable[[Any, IpInterfaceRow | None, NotificationType], None]
AddressCallback = Callable[[Any, UnicastIpAddressRow | None, NotificationType], None]
RouteCallback = Callable[[Any, IpForwardRow | None, NotificationType], None]

_process = Process()


def system() -> System:
    """Returns the system behind the calls of this process."""
    return _process.system()


def notify_ip_interface_change(
    family: Families | FamilyNumber,
    callback: Callback,
    caller_context: Any = None,
    initial_notification: bool = False,
) -> NotificationHandle:
    """NotifyIpInterfaceChange: calls back for each change of an IP interface of this family, until it is cancelled.

    `callback(caller_context, row, notification_type)` runs in a thread of the registration's own, one call at a time
    and in the order of the changes; it may block, and may make any call of this module. `row` is `None` exactly for
    `initial_notification`, which confirms the registration and comes once, if asked for, before or after this function
    returns. For the other kinds only `family`, `interface_luid` and `interface_index` of the row are set: call
    `get_ip_interface_entry` for the rest. A change of addresses or routes alone may not be reported: register with
    `notify_unicast_ip_address_change` or `notify_route_change2` for those.

    Whatever the callback raises goes to `threading.excepthook`, SystemExit as the cause of a RuntimeError, and the next
    change calls back again. Raises InvalidParameterError for a family other than "unspec", "inet" and "inet6" or their
    numbers, and for a callback that is not callable or is a coroutine function.
    """
    family = any_family(family)
    check_callback(callback)
    handle = NotificationHandle(callback, caller_context)
    handle._begin(lambda receive: system().subscribe(family, receive, bool(initial_notification)))
    return handle


def notify_unicast_ip_address_change(
    family: Families | FamilyNumber,
    callback: AddressCallback,
    caller_context: Any = None,
    initial_notification: bool = False,
) -> NotificationHandle:
    """NotifyUnicastIpAddressChange: calls back for each change of a unicast address of this family.

    All is as with `notify_ip_interface_change`, and the handle is cancelled in the same way. Of the row only `family`,
    `address`, `interface_luid` and `interface_index` are set: call `get_unicast_ip_address_entry` for the rest. A
    lifetime that only counts down or is refreshed is no change.
    """
    family = any_family(family)
    check_callback(callback)
    handle = NotificationHandle(callback, caller_context)
    handle._begin(lambda receive: system().subscribe_addresses(family, receive, bool(initial_notification)))
    return handle


def notify_route_change2(
    family: Families | FamilyNumber,
    callback: RouteCallback,
    caller_context: Any = None,
    initial_notification: bool = False,
) -> NotificationHandle:
    """NotifyRouteChange2, of default routes alone: calls back for each change of one of this family.

    All is as with `notify_ip_interface_change`, and the handle is cancelled in the same way. Of the row only `family`,
    `destination_prefix`, `next_hop`, `interface_luid` and `interface_index` are set: call `get_ip_forward_table2` for
    the rest. Changes of other routes are not reported. On Linux these are the default routes of the table `main`.
    """
    family = any_family(family)
    check_callback(callback)
    handle = NotificationHandle(callback, caller_context)
    handle._begin(lambda receive: system().subscribe_routes(family, receive, bool(initial_notification)))
    return handle


def cancel_mib_change_notify2(notification_handle: NotificationHandle) -> None:
    """CancelMibChangeNotify2: ends a registration. After it returns, no callback of the registration runs.

    Waits for a running callback, so do not call it while you hold a lock that the callback needs, nor in a thread that
    the callback joins: that would wait for ever, as on Windows. What is queued and not called back yet is dropped.

    A callback may cancel another registration. Where it would wait for itself (its own registration; another one whose
    callback is cancelling this one, also over a third) it raises CancelInsideCallbackError, where Windows would hang.
    Raises InvalidParameterError for `None`, and InvalidHandleError for an object that is no registration of this
    process or is already cancelled.
    """
    if notification_handle is None:
        raise refusal(InvalidParameterError, "the handle is None")
    if not isinstance(notification_handle, NotificationHandle):
        raise refusal(InvalidHandleError, f"{shown(notification_handle)} is no registration")
    notification_handle._cancel(_process.waits)


def get_ip_interface_entry(
    family: Families | FamilyNumber, luid: str | None = None, index: int | None = None
) -> IpInterfaceRow:
    """GetIpInterfaceEntry: returns the row of one IP interface, by LUID; by index if the LUID is missing or zero.

    Raises InterfaceNotFoundError when there is no such interface, NotFoundError when it is not in this family, and
    InvalidParameterError for a family other than "inet" and "inet6" or when both LUID and index are missing.
    """
    family = one_family(family)
    return system().ip_interface(family, *known_by(luid, index))


def get_ip_interface_table(family: Families | FamilyNumber = "unspec") -> list[IpInterfaceRow]:
    """GetIpInterfaceTable: returns the row of each IP interface of the family; an empty list when there is none."""
    return system().ip_interfaces(any_family(family))


def get_unicast_ip_address_entry(
    address: str, luid: str | None = None, index: int | None = None
) -> UnicastIpAddressRow:
    """GetUnicastIpAddressEntry: returns the row of one address of an interface, by LUID or index as above.

    `address` is text without a prefix length and without a zone ("192.0.2.1", "fe80::1"), and has the row's family.
    Raises NotFoundError when the interface has no such address, InterfaceNotFoundError when there is no such interface,
    and InvalidParameterError.
    """
    family, text = checked_address(address)
    luid, index = known_by(luid, index)
    for row in system().addresses(family):
        if row.address == text and (row.interface_luid == luid if luid else row.interface_index == index):
            return row
    system().if_row(luid, index)  # raises when there is no such interface
    raise refusal(NotFoundError, f"the interface {luid or index} has no address {text}")


def get_unicast_ip_address_table(family: Families | FamilyNumber = "unspec") -> list[UnicastIpAddressRow]:
    """GetUnicastIpAddressTable: returns each unicast address of the family; an empty list when there is none."""
    return system().addresses(any_family(family))


def get_ip_forward_table2(family: Families | FamilyNumber = "unspec") -> list[IpForwardRow]:
    """GetIpForwardTable2, of default routes alone: returns those of the family; an empty list when there is none.

    The routes of each family are sorted by metric, the best first. `metric` is the complete one on both systems, so the
    metrics of different interfaces can be compared.
    """
    return sorted(system().default_routes(any_family(family)), key=_preference)


def _preference(row: IpForwardRow) -> tuple[str, bool, int, str, str]:
    """Returns the key to sort by; a route whose metric is not known is the last one."""
    return row.family, row.metric is None, row.metric or 0, row.interface_luid, row.next_hop or ""


def get_if_entry2(luid: str | None = None, index: int | None = None) -> IfRow:
    """GetIfEntry2: returns one interface with its counters, by LUID; by index if the LUID is missing or zero.

    Raises InterfaceNotFoundError, and InvalidParameterError when both are missing.
    """
    return system().if_row(*known_by(luid, index))


def get_if_table2() -> list[IfRow]:
    """GetIfTable2: returns each interface, without counters. On Linux, those without any IP row are left out."""
    return system().if_rows()


def get_if_stack_table() -> list[IfStackRow]:
    """GetIfStackTable: returns the pairs of interfaces of which one is directly on top of the other."""
    return system().if_stack()


def get_inverted_if_stack_table() -> list[InvertedIfStackRow]:
    """GetInvertedIfStackTable: returns the same pairs as `get_if_stack_table`, the lower interface first."""
    return system().inverted_if_stack()


_NO_CHANGES = (
    "publisher changes no host. Use netsh or Set-NetIPInterface on Windows, ip(8) or sysctl(8) on Linux; "
    "get_ip_interface_entry reads the row"
)


def initialize_ip_interface_entry(*_row: object) -> NoReturn:
    """InitializeIpInterfaceEntry: raises NotSupportedError. It prepares a row for SetIpInterfaceEntry alone."""
    raise refusal(NotSupportedError, f"initialize_ip_interface_entry only serves set_ip_interface_entry: {_NO_CHANGES}")


def set_ip_interface_entry(*_row: object) -> NoReturn:
    """SetIpInterfaceEntry: raises NotSupportedError. It would change the host's settings; publisher changes none."""
    raise refusal(NotSupportedError, f"set_ip_interface_entry would change the settings of this host: {_NO_CHANGES}")
