"""The calls of Windows' netioapi.h for Python programs, with one meaning on Windows and on Linux.

    from publisher.netioapi import cancel_mib_change_notify2, notify_ip_interface_change

    def changed(context, row, notification_type):
        print(context, notification_type, row and row.interface_luid)

    handle = notify_ip_interface_change("unspec", changed, "my context", initial_notification=True)
    ...
    cancel_mib_change_notify2(handle)

On Windows they call iphlpapi.dll. On Linux they read rtnetlink, and a LUID is that of every program on the host
(docs/linux.md, "Identities"). Each failure raises a `publisher.errors.NetioError` of the kind, and with the code, that
Windows documents for it; on Windows its message contains the system's own text. A family is "unspec", "inet" or
"inet6", or its number (`socket.AF_INET6`); rows have the strings. Any thread may call, and a child process after
`os.fork()`, which has none of the parent's registrations. Nothing is printed: messages go to the logger `publisher` of
the standard `logging`. docs/netioapi.md has all calls in one table.
"""

from ..errors import (
    CancelInsideCallbackError,
    InterfaceNotFoundError,
    InvalidHandleError,
    InvalidParameterError,
    NetioError,
    NotFoundError,
    NotSupportedError,
    SystemFailureError,
)
from .calls import (
    cancel_mib_change_notify2,
    get_if_entry2,
    get_if_stack_table,
    get_if_table2,
    get_inverted_if_stack_table,
    get_ip_forward_table2,
    get_ip_interface_entry,
    get_ip_interface_table,
    get_unicast_ip_address_entry,
    get_unicast_ip_address_table,
    initialize_ip_interface_entry,
    notify_ip_interface_change,
    notify_route_change2,
    notify_unicast_ip_address_change,
    set_ip_interface_entry,
)
from .conversions import (
    convert_interface_alias_to_luid,
    convert_interface_guid_to_luid,
    convert_interface_index_to_luid,
    convert_interface_luid_to_alias,
    convert_interface_luid_to_guid,
    convert_interface_luid_to_index,
    convert_interface_luid_to_name,
    convert_interface_name_to_luid,
)
from .registration import NotificationHandle
from .rows import IfRow, IfStackRow, InvertedIfStackRow, IpForwardRow, UnicastIpAddressRow

__all__ = [
    "CancelInsideCallbackError",
    "IfRow",
    "IfStackRow",
    "InterfaceNotFoundError",
    "InvalidHandleError",
    "InvalidParameterError",
    "InvertedIfStackRow",
    "IpForwardRow",
    "NetioError",
    "NotFoundError",
    "NotSupportedError",
    "NotificationHandle",
    "SystemFailureError",
    "UnicastIpAddressRow",
    "cancel_mib_change_notify2",
    "convert_interface_alias_to_luid",
    "convert_interface_guid_to_luid",
    "convert_interface_index_to_luid",
    "convert_interface_luid_to_alias",
    "convert_interface_luid_to_guid",
    "convert_interface_luid_to_index",
    "convert_interface_luid_to_name",
    "convert_interface_name_to_luid",
    "get_if_entry2",
    "get_if_stack_table",
    "get_if_table2",
    "get_inverted_if_stack_table",
    "get_ip_forward_table2",
    "get_ip_interface_entry",
    "get_ip_interface_table",
    "get_unicast_ip_address_entry",
    "get_unicast_ip_address_table",
    "initialize_ip_interface_entry",
    "notify_ip_interface_change",
    "notify_route_change2",
    "notify_unicast_ip_address_change",
    "set_ip_interface_entry",
]
