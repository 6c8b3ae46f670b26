"""The functions of iphlpapi.dll as Python methods.

They raise an error class by the error code, free each table, and their callbacks only copy the key of the row.
"""

from __future__ import annotations

import atexit
import ctypes
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

from ...errors import NetioError, NotFoundError, SourceError
from .iphlpapi import (
    AF_UNSPEC,
    ERROR_NOT_FOUND,
    ERROR_NOT_SUPPORTED,
    ERROR_PROC_NOT_FOUND,
    ERRORS,
    MIB_IF_ENTRY_NORMAL_WITHOUT_STATISTICS,
    SIGNATURES,
)
from .notifications import (
    OnAddressNotification,
    OnNotification,
    OnRouteNotification,
    address_changed,
    ip_interface_changed,
    route_changed,
)
from .structures import (
    HANDLE,
    LONGEST_NAME,
    WCHAR,
    Guid,
    IpAddressPrefix,
    MibIfRow2,
    MibIfStackTable,
    MibIfTable2,
    MibInvertedIfStackTable,
    MibIpForwardRow2,
    MibIpForwardTable2,
    MibIpInterfaceRow,
    MibIpInterfaceTable,
    MibUnicastIpAddressRow,
    MibUnicastIpAddressTable,
    NetLuid,
)

Row = TypeVar("Row", bound=ctypes.Structure)


class Iphlpapi:
    """The functions that are used here. Any thread may call; each failure raises a NetioError of the code's kind.

    LUIDs and families are numbers, and rows are structures, as Windows has them. `load()` makes one.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._functions = dict(_declared(library))
        self._newer_entry = "GetIfEntry2Ex" in self._functions

    def ip_interface(self, family: int, luid: int, index: int = 0) -> MibIpInterfaceRow:
        """GetIpInterfaceEntry: by LUID, and by index only if the LUID is 0.

        Raises InterfaceNotFoundError or NotFoundError if the IP interface is absent. No other call decides that.
        """
        row = MibIpInterfaceRow(Family=family, InterfaceLuid=NetLuid(luid), InterfaceIndex=index)
        try:
            self.call("GetIpInterfaceEntry", ctypes.byref(row))
        except NetioError as error:
            if error.winerror_code == ERROR_NOT_SUPPORTED:
                # The family's transport is not installed (docs/windows.md, rule 12).
                raise NotFoundError(str(error), ERROR_NOT_SUPPORTED) from error
            raise
        return row

    def ip_interfaces(self, family: int) -> list[MibIpInterfaceRow]:
        """GetIpInterfaceTable."""
        return self._table("GetIpInterfaceTable", MibIpInterfaceTable, family)

    def if_entry(self, luid: int, index: int = 0, *, statistics: bool = False) -> MibIfRow2:
        """GetIfEntry2, or GetIfEntry2Ex for a row without statistics, where Windows has it (10 1703)."""
        row = MibIfRow2(InterfaceLuid=NetLuid(luid), InterfaceIndex=index)
        if self._newer_entry and not statistics:
            self.call("GetIfEntry2Ex", MIB_IF_ENTRY_NORMAL_WITHOUT_STATISTICS, ctypes.byref(row))
        else:
            self.call("GetIfEntry2", ctypes.byref(row))
        return row

    def if_table(self) -> list[MibIfRow2]:
        """GetIfTable2."""
        return self._table("GetIfTable2", MibIfTable2)

    def if_stack(self) -> list[tuple[int, int]]:
        """GetIfStackTable: pairs of indexes, the higher first."""
        rows = self._table("GetIfStackTable", MibIfStackTable)
        return [(row.HigherLayerInterfaceIndex, row.LowerLayerInterfaceIndex) for row in rows]

    def inverted_if_stack(self) -> list[tuple[int, int]]:
        """GetInvertedIfStackTable: pairs of indexes, the lower first."""
        rows = self._table("GetInvertedIfStackTable", MibInvertedIfStackTable)
        return [(row.LowerLayerInterfaceIndex, row.HigherLayerInterfaceIndex) for row in rows]

    def unicast_addresses(self, family: int) -> list[MibUnicastIpAddressRow]:
        """GetUnicastIpAddressTable."""
        return self._table("GetUnicastIpAddressTable", MibUnicastIpAddressTable, family)

    def default_routes(self, family: int) -> list[MibIpForwardRow2]:
        """GetIpForwardTable2: the rows of the default routes. Of the others one octet each is read."""
        return self._table("GetIpForwardTable2", MibIpForwardTable2, family, only=_default_routes)

    def luid_of(self, index: int) -> int:
        """ConvertInterfaceIndexToLuid."""
        luid = NetLuid()
        self.call("ConvertInterfaceIndexToLuid", index, ctypes.byref(luid))
        return int(luid.Value)

    def index_of(self, luid: int) -> int:
        """ConvertInterfaceLuidToIndex."""
        index = ctypes.c_uint32()
        self.call("ConvertInterfaceLuidToIndex", ctypes.byref(NetLuid(luid)), ctypes.byref(index))
        return index.value

    def text_of(self, function: str, luid: int) -> str:
        """ConvertInterfaceLuidToAlias or ConvertInterfaceLuidToNameW."""
        text = (WCHAR * LONGEST_NAME)()
        self.call(function, ctypes.byref(NetLuid(luid)), text, len(text))
        return bytes(text).decode("utf-16-le", errors="replace").partition("\0")[0]

    def luid_of_text(self, function: str, text: str) -> int:
        """ConvertInterfaceAliasToLuid or ConvertInterfaceNameToLuidW."""
        luid = NetLuid()
        units = f"{text}\0".encode("utf-16-le", errors="surrogatepass")
        self.call(function, (WCHAR * (len(units) // 2)).from_buffer_copy(units), ctypes.byref(luid))
        return int(luid.Value)

    def guid_of(self, luid: int) -> Guid:
        """ConvertInterfaceLuidToGuid."""
        guid = Guid()
        self.call("ConvertInterfaceLuidToGuid", ctypes.byref(NetLuid(luid)), ctypes.byref(guid))
        return guid

    def luid_of_guid(self, guid: Guid) -> int:
        """ConvertInterfaceGuidToLuid."""
        luid = NetLuid()
        self.call("ConvertInterfaceGuidToLuid", ctypes.byref(guid), ctypes.byref(luid))
        return int(luid.Value)

    def notify_ip_interface_change(
        self, family: int, on_notification: OnNotification, *, initial: bool = False
    ) -> Registration:
        """NotifyIpInterfaceChange, until the registration is cancelled."""
        callback = _callback(MibIpInterfaceRow, partial(ip_interface_changed, on_notification))
        return Registration(self, "NotifyIpInterfaceChange", callback, family, initial)

    def notify_unicast_ip_address_change(
        self, family: int, on_notification: OnAddressNotification, *, initial: bool = False
    ) -> Registration:
        """NotifyUnicastIpAddressChange, until the registration is cancelled; the kind of change is the address's."""
        callback = _callback(MibUnicastIpAddressRow, partial(address_changed, on_notification))
        return Registration(self, "NotifyUnicastIpAddressChange", callback, family, initial)

    def notify_route_change2(
        self, family: int, on_notification: OnRouteNotification, *, initial: bool = False
    ) -> Registration:
        """NotifyRouteChange2, until the registration is cancelled; of default routes, and the kind is the route's."""
        callback = _callback(MibIpForwardRow2, partial(route_changed, on_notification))
        return Registration(self, "NotifyRouteChange2", callback, family, initial)

    def call(self, name: str, *arguments: Any) -> None:
        """Calls the function of that name; raises NetioError by its error code, or when this Windows lacks it."""
        if name not in self._functions:
            raise NetioError(f"{name}: the iphlpapi.dll of this Windows has no such function", ERROR_PROC_NOT_FOUND)
        self._functions[name](*arguments)

    def _table(
        self,
        name: str,
        table_type: type[ctypes.Structure],
        *family: int,
        only: Callable[[Any], Iterable[Any]] = iter,
    ) -> list[Any]:
        """Returns copies of the rows of a table, or of those that `only` picks, and frees it, also after an error.

        A table of which nothing was found is empty, and so is that of a family whose transport is not installed.
        """
        pointer = ctypes.POINTER(table_type)()
        try:
            self.call(name, *family, ctypes.byref(pointer))
        except NetioError as error:
            if error.winerror_code == ERROR_NOT_FOUND:
                return []
            if error.winerror_code == ERROR_NOT_SUPPORTED and family and family != (AF_UNSPEC,):
                return []
            raise
        try:
            return _copies(only(_rows(pointer.contents)))
        finally:
            self.call("FreeMibTable", pointer)


class Registration:
    """A registration with the system, which calls back from the constructor on until `cancel()`.

    `atexit` keeps it alive, and cancels it before the process ends: Python crashes when the system calls a callback
    object that was collected (cpython#77587), and when it calls into an interpreter that was taken down.
    """

    def __init__(self, iphlpapi: Iphlpapi, function: str, callback: Any, family: int, initial: bool) -> None:
        self._iphlpapi = iphlpapi
        self._callback = callback
        self._handle: int | None = None
        self._cancelling = threading.Lock()
        handle = HANDLE()
        iphlpapi.call(function, family, ctypes.cast(callback, ctypes.c_void_p), None, initial, ctypes.byref(handle))
        self._handle = handle.value
        atexit.register(self.cancel)

    def cancel(self) -> None:
        """CancelMibChangeNotify2: after it returns, no callback runs. Harmless when repeated, from any thread.

        It waits for running callbacks, so never call it from one, nor while holding a lock that a callback needs
        (docs/windows.md, rule 8). Raises NetioError when the system refuses; then the registration stays as it is, and
        nothing of it is freed.
        """
        with self._cancelling:
            if self._handle is not None:
                self._iphlpapi.call("CancelMibChangeNotify2", self._handle)
                self._handle = None
        atexit.unregister(self.cancel)


def load(name: str = "iphlpapi.dll") -> Iphlpapi:
    """Loads the library of this Windows; raises SourceError on another system."""
    if sys.platform != "win32":
        raise SourceError(f"iphlpapi.dll is a library of Windows, and this is {sys.platform}: use the source 'auto'")
    return Iphlpapi(ctypes.WinDLL(name))


def error_text(code: int) -> str:
    """Returns the text of Windows for an error code (FormatMessage); an empty one on another system."""
    if sys.platform != "win32":
        return ""
    return ctypes.FormatError(code).strip()


def _declared(library: ctypes.CDLL) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, signature in SIGNATURES.items():
        # Older Windows lack GetIfEntry2Ex; a missing function is an error when it is called.
        if (function := getattr(library, name, None)) is not None:
            function.argtypes = signature.arguments
            function.restype = ctypes.c_uint32 if signature.fails else None
            yield name, partial(_checked, name, function) if signature.fails else function


def _checked(name: str, function: Callable[..., int], *arguments: Any) -> None:
    if code := function(*arguments):
        raise ERRORS.get(code, NetioError)(f"{name}: {error_text(code)} (error {code})", code)


def _rows(table: Any) -> Any:
    """Returns each row of a table. `Table` is declared with one row; its offset is where the rows begin."""
    rows = type(table.Table)._type_ * table.NumEntries
    return rows.from_address(ctypes.addressof(table) + type(table).Table.offset)


def _copies(rows: Iterable[Row]) -> list[Row]:
    return [type(row).from_buffer_copy(row) for row in rows]


def _default_routes(rows: Any) -> Iterator[Any]:
    """Yields the rows with a prefix length of 0; making a Python object of each row of a full table takes seconds."""
    row = MibIpForwardRow2
    octets = (ctypes.c_uint8 * ctypes.sizeof(rows)).from_address(ctypes.addressof(rows))
    first = row.DestinationPrefix.offset + IpAddressPrefix.PrefixLength.offset
    lengths = memoryview(octets)[first :: ctypes.sizeof(row)].tobytes()
    return (rows[place] for place, length in enumerate(lengths) if not length)


def _callback(row_type: type[ctypes.Structure], called: Callable[[int | None, Any, int], None]) -> Any:
    if sys.platform != "win32":
        raise SourceError(f"callbacks of iphlpapi.dll exist on Windows only, and this is {sys.platform}")
    prototype = ctypes.WINFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(row_type), ctypes.c_int32)
    return prototype(called)
