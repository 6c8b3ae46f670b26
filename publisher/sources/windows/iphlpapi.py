"""Declarations of iphlpapi.dll, as data: names of numbers, signatures and error codes.

The numbers are those of netioapi.h, nldef.h and ifdef.h, documented at
https://learn.microsoft.com/en-us/windows/win32/api/netioapi/. Importing this module loads no library.
"""

from __future__ import annotations

from ctypes import POINTER, c_int32, c_uint16, c_uint32, c_void_p
from typing import Any, NamedTuple

from ...errors import (
    InterfaceNotFoundError,
    InvalidHandleError,
    InvalidParameterError,
    NetioError,
    NotFoundError,
    NotSupportedError,
)
from ...events import (
    AdminStatus,
    DadState,
    Family,
    LinkLocalAddressBehavior,
    MediaConnectState,
    NotificationType,
    OperStatus,
    PrefixOrigin,
    RouterDiscoveryBehavior,
    SuffixOrigin,
)
from .structures import (
    BOOLEAN,
    HANDLE,
    SIZE_T,
    WCHAR,
    Guid,
    MibIfRow2,
    MibIfStackTable,
    MibIfTable2,
    MibInvertedIfStackTable,
    MibIpForwardTable2,
    MibIpInterfaceRow,
    MibIpInterfaceTable,
    MibUnicastIpAddressTable,
    NetLuid,
)

AF_UNSPEC, AF_INET, AF_INET6 = 0, 2, 23
FAMILIES: dict[str, int] = {"unspec": AF_UNSPEC, "inet": AF_INET, "inet6": AF_INET6}
FAMILY_NAMES: dict[int, Family] = {AF_INET: "inet", AF_INET6: "inet6"}

ERROR_FILE_NOT_FOUND = 2
ERROR_INVALID_HANDLE = 6
ERROR_NOT_SUPPORTED = 50
ERROR_INVALID_PARAMETER = 87
ERROR_PROC_NOT_FOUND = 127
ERROR_NOT_FOUND = 1168

# MIB_IF_ENTRY_LEVEL without statistics, which is faster (nf-netioapi-getifentry2ex).
MIB_IF_ENTRY_NORMAL_WITHOUT_STATISTICS = 2

NOTIFICATION_TYPES: dict[int, NotificationType] = {
    0: "parameter_notification",
    1: "add_instance",
    2: "delete_instance",
    3: "initial_notification",
}
# -1 has no name here: it is "unchanged", which is an argument of Set calls only.
ROUTER_DISCOVERY_BEHAVIORS: dict[int, RouterDiscoveryBehavior] = {0: "disabled", 1: "enabled", 2: "dhcp"}
LINK_LOCAL_ADDRESS_BEHAVIORS: dict[int, LinkLocalAddressBehavior] = {0: "always_off", 1: "delayed", 2: "always_on"}
OPER_STATUSES: dict[int, OperStatus] = {
    1: "up",
    2: "down",
    3: "testing",
    4: "unknown",
    5: "dormant",
    6: "not_present",
    7: "lower_layer_down",
}
ADMIN_STATUSES: dict[int, AdminStatus] = {1: "up", 2: "down", 3: "testing"}
MEDIA_CONNECT_STATES: dict[int, MediaConnectState] = {0: "unknown", 1: "connected", 2: "disconnected"}
DAD_STATES: dict[int, DadState] = {0: "invalid", 1: "tentative", 2: "duplicate", 3: "deprecated", 4: "preferred"}
PREFIX_ORIGINS: dict[int, PrefixOrigin] = {
    0: "other",
    1: "manual",
    2: "well_known",
    3: "dhcp",
    4: "router_advertisement",
}
SUFFIX_ORIGINS: dict[int, SuffixOrigin] = {
    0: "other",
    1: "manual",
    2: "well_known",
    3: "dhcp",
    4: "link_layer_address",
    5: "random",
}

# NL_ROUTE_PROTOCOL in the words of ip-route(8), where both systems mean one thing. NetMgmt has a word of its own, since
# it stands for what a user, a program or DHCP set (ns-netioapi-mib_ipforward_row2); 1, "not specified", has none.
ROUTE_PROTOCOLS: dict[int, str] = {
    2: "kernel",
    3: "netmgmt",
    4: "redirect",
    5: "egp",
    6: "ggp",
    7: "hello",
    8: "rip",
    9: "isis",
    10: "esis",
    11: "cisco",
    12: "bbn",
    13: "ospf",
    14: "bgp",
    15: "idpr",
    16: "eigrp",
    17: "dvmrp",
    18: "rpl",
    19: "dhcp",
    10002: "static",
    10006: "static",
    10007: "static",
}
# The numbers of NL_ROUTE_ORIGIN that say more exactly than the protocol what made a route.
PROTOCOLS_OF_ORIGINS: dict[int, str] = {2: "dhcp", 3: "ra", 4: "6to4"}

# The bit of `MibIfRow2.InterfaceAndOperStatusFlags` for a filter module.
FILTER_INTERFACE = 1 << 1


class Signature(NamedTuple):
    """The types of a function. With `fails` its result is an error code, 0 for success; without, it has none."""

    arguments: tuple[Any, ...]
    fails: bool = True


# Callbacks are passed as plain pointers: the registration keeps the callback object alive, ctypes would not.
_NOTIFY = Signature((c_uint16, c_void_p, c_void_p, BOOLEAN, POINTER(HANDLE)))

SIGNATURES: dict[str, Signature] = {
    "NotifyIpInterfaceChange": _NOTIFY,
    "NotifyUnicastIpAddressChange": _NOTIFY,
    "NotifyRouteChange2": _NOTIFY,
    "CancelMibChangeNotify2": Signature((HANDLE,)),
    "GetIpInterfaceEntry": Signature((POINTER(MibIpInterfaceRow),)),
    "GetIpInterfaceTable": Signature((c_uint16, POINTER(POINTER(MibIpInterfaceTable)))),
    "GetIfEntry2": Signature((POINTER(MibIfRow2),)),
    "GetIfEntry2Ex": Signature((c_int32, POINTER(MibIfRow2))),
    "GetIfTable2": Signature((POINTER(POINTER(MibIfTable2)),)),
    "GetIfStackTable": Signature((POINTER(POINTER(MibIfStackTable)),)),
    "GetInvertedIfStackTable": Signature((POINTER(POINTER(MibInvertedIfStackTable)),)),
    "GetUnicastIpAddressTable": Signature((c_uint16, POINTER(POINTER(MibUnicastIpAddressTable)))),
    "GetIpForwardTable2": Signature((c_uint16, POINTER(POINTER(MibIpForwardTable2)))),
    "ConvertInterfaceIndexToLuid": Signature((c_uint32, POINTER(NetLuid))),
    "ConvertInterfaceLuidToIndex": Signature((POINTER(NetLuid), POINTER(c_uint32))),
    "ConvertInterfaceLuidToAlias": Signature((POINTER(NetLuid), POINTER(WCHAR), SIZE_T)),
    "ConvertInterfaceAliasToLuid": Signature((POINTER(WCHAR), POINTER(NetLuid))),
    "ConvertInterfaceLuidToNameW": Signature((POINTER(NetLuid), POINTER(WCHAR), SIZE_T)),
    "ConvertInterfaceNameToLuidW": Signature((POINTER(WCHAR), POINTER(NetLuid))),
    "ConvertInterfaceLuidToGuid": Signature((POINTER(NetLuid), POINTER(Guid))),
    "ConvertInterfaceGuidToLuid": Signature((POINTER(Guid), POINTER(NetLuid))),
    "FreeMibTable": Signature((c_void_p,), fails=False),
}

# Any other code is a plain NetioError with that code.
ERRORS: dict[int, type[NetioError]] = {
    ERROR_FILE_NOT_FOUND: InterfaceNotFoundError,
    ERROR_INVALID_HANDLE: InvalidHandleError,
    ERROR_NOT_SUPPORTED: NotSupportedError,
    ERROR_INVALID_PARAMETER: InvalidParameterError,
    ERROR_NOT_FOUND: NotFoundError,
}
