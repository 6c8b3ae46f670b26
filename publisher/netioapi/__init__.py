"""The calls of Windows' netioapi.h for Python programs, with one meaning on Windows and on Linux.

    from publisher.netioapi import cancel_mib_change_notify2, notify_ip_interface_change

    def changed(context, row, notification_type):
        print(context, notification_type, row and row.interface_luid)

    handle = notify_ip_interface_change("unspec", changed, "my context", initial_notification=True)
    ...
    cancel_mib_change_notify2(handle)

On Windows they call iphlpapi.dll. On Linux they read rtnetlink, and a LUID is that of every program on the host
(docs/linux.md, "Identities"). Each failure raises a `publisher.errors.NetioError` of the kind, and with the code, that
Windows documents for it; on Windows its message contains the system's own text. Any thread may call. Nothing is
printed: messages go to the logger `publisher` of the standard `logging`.
"""

from ..errors import (
    CancelInsideCallbackError,
    InterfaceNotFoundError,
    InvalidHandleError,
    InvalidParameterError,
    NetioError,
    NotFoundError,
)
from .calls import (
    NotificationHandle,
    cancel_mib_change_notify2,
    get_if_entry2,
    get_if_stack_table,
    get_if_table2,
    get_inverted_if_stack_table,
    get_ip_interface_entry,
    get_ip_interface_table,
    notify_ip_interface_change,
)
from .system import IfRow, IfStackRow, InvertedIfStackRow

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
