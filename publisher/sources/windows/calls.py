"""The calls of iphlpapi.dll: typed, raising by code, every table freed, callbacks that only copy the key and ring."""

from __future__ import annotations

import atexit
import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from ...errors import NetioError, NotFoundError, SourceError
from ...events import Address, Family, IpInterfaceRow
from .iphlpapi import (
    ERROR_NOT_SUPPORTED,
    ERRORS,
    FAMILY_NAMES,
    HANDLE,
    MIB_IF_ENTRY_NORMAL_WITHOUT_STATISTICS,
    NOTIFICATION_TYPES,
    SIGNATURES,
    MibIfRow2,
    MibIfStackTable,
    MibIfTable2,
    MibInvertedIfStackTable,
    MibIpInterfaceRow,
    MibIpInterfaceTable,
    MibUnicastIpAddressRow,
    MibUnicastIpAddressTable,
    NetLuid,
)
from .rows import address, ip_interface_row


class Told(NamedTuple):
    """What a notification says: which IP interface, by the members that mean something, and the kind of change."""

    luid: int
    interface_index: int
    family: int
    type: int


# Given what was told, or `None` for the initial notification. On the system's threads, several at once: it only notes.
Ring = Callable[[Told | None], None]


class Iphlpapi:
    """The functions that are used here. Any thread; every failure is a NetioError of the code's kind.

    LUIDs and families are numbers as Windows has them. `load()` makes one.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._functions = dict(_declared(library))
        self._newer_entry = "GetIfEntry2Ex" in self._functions

    def ip_interface(self, family: int, luid: int, index: int = 0) -> IpInterfaceRow:
        """GetIpInterfaceEntry: the LUID counts, the index only if that is 0."""
        row = MibIpInterfaceRow(Family=family, InterfaceLuid=NetLuid(luid), InterfaceIndex=index)
        self.call("GetIpInterfaceEntry", ctypes.byref(row))
        return ip_interface_row(row)

    def ip_interfaces(self, family: int) -> list[IpInterfaceRow]:
        """GetIpInterfaceTable; ERROR_NOT_FOUND is an empty table (nf-netioapi-getipinterfacetable)."""
        try:
            with self._table("GetIpInterfaceTable", MibIpInterfaceTable, family) as rows:
                return [ip_interface_row(row) for row in rows if row.Family in FAMILY_NAMES]
        except NotFoundError:
            return []

    def if_entry(self, luid: int, index: int = 0) -> MibIfRow2:
        """GetIfEntry2Ex without statistics, or GetIfEntry2 where Windows is older than 10 1703."""
        row = MibIfRow2(InterfaceLuid=NetLuid(luid), InterfaceIndex=index)
        if self._newer_entry:
            self.call("GetIfEntry2Ex", MIB_IF_ENTRY_NORMAL_WITHOUT_STATISTICS, ctypes.byref(row))
        else:
            self.call("GetIfEntry2", ctypes.byref(row))
        return row

    def if_table(self) -> list[MibIfRow2]:
        """GetIfTable2."""
        with self._table("GetIfTable2", MibIfTable2) as rows:
            return [MibIfRow2.from_buffer_copy(row) for row in rows]

    def if_stack(self) -> list[tuple[int, int]]:
        """GetIfStackTable: indexes, the higher first."""
        with self._table("GetIfStackTable", MibIfStackTable) as rows:
            return [(row.HigherLayerInterfaceIndex, row.LowerLayerInterfaceIndex) for row in rows]

    def inverted_if_stack(self) -> list[tuple[int, int]]:
        """GetInvertedIfStackTable: indexes, the lower first."""
        with self._table("GetInvertedIfStackTable", MibInvertedIfStackTable) as rows:
            return [(row.LowerLayerInterfaceIndex, row.HigherLayerInterfaceIndex) for row in rows]

    def unicast_addresses(self, family: int) -> list[tuple[int, Family, Address]]:
        """GetUnicastIpAddressTable: each with the LUID and the family it belongs to."""
        try:
            with self._table("GetUnicastIpAddressTable", MibUnicastIpAddressTable, family) as rows:
                return [
                    (row.InterfaceLuid.Value, FAMILY_NAMES[row.Address.si_family], address(row))
                    for row in rows
                    if row.Address.si_family in FAMILY_NAMES
                ]
        except NotFoundError:
            return []

    def luid_of(self, index: int) -> int:
        """ConvertInterfaceIndexToLuid."""
        luid = NetLuid()
        self.call("ConvertInterfaceIndexToLuid", index, ctypes.byref(luid))
        return int(luid.Value)

    def notify_ip_interface_change(self, family: int, ring: Ring, *, initial: bool = False) -> Registration:
        """NotifyIpInterfaceChange, until the registration is cancelled."""
        return Registration(self, "NotifyIpInterfaceChange", _ip_interface_callback(ring), family, initial)

    def notify_unicast_ip_address_change(self, family: int, ring: Ring) -> Registration:
        """NotifyUnicastIpAddressChange, until the registration is cancelled; `type` tells of the address."""
        return Registration(self, "NotifyUnicastIpAddressChange", _address_callback(ring), family, False)

    def call(self, name: str, *arguments: Any) -> None:
        """The function of that name; raises NetioError by its error code, or when this Windows lacks it."""
        if name not in self._functions:
            raise NetioError(f"{name}: the iphlpapi.dll of this Windows lacks it", ERROR_NOT_SUPPORTED)
        self._functions[name](*arguments)

    @contextmanager
    def _table(self, name: str, table_type: type[ctypes.Structure], *arguments: int) -> Iterator[Any]:
        """The rows of a table, as long as the block lasts: then it is freed, whatever happened."""
        pointer = ctypes.POINTER(table_type)()
        self.call(name, *arguments, ctypes.byref(pointer))
        try:
            yield _rows(pointer.contents)
        finally:
            self.call("FreeMibTable", pointer)


class Registration:
    """A registration with the system: from the making of it until `cancel()`, the system calls back.

    Kept alive, and cancelled before the process ends, by `atexit`: a callback object that is collected while the system
    still knows it is a crash (cpython#77587), and so is one called in an interpreter that is no more.
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
        """CancelMibChangeNotify2: when it returns, no callback runs and none will. Harmless when repeated.

        It waits for running callbacks, so never call it from one, nor while holding what a callback needs. Raises
        NetioError when the system refuses; the registration then stays as it is, and nothing of it is freed.
        """
        with self._cancelling:
            if self._handle is not None:
                self._iphlpapi.call("CancelMibChangeNotify2", self._handle)
                self._handle = None
        atexit.unregister(self.cancel)


def load(name: str = "iphlpapi.dll") -> Iphlpapi:
    """The library of this Windows; raises SourceError on another system."""
    if sys.platform != "win32":
        raise SourceError(f"iphlpapi.dll is a library of Windows, and this is {sys.platform}: use the source 'auto'")
    return Iphlpapi(ctypes.WinDLL(name))


def error_text(code: int) -> str:
    """What Windows says about an error code (FormatMessage); empty elsewhere."""
    if sys.platform != "win32":
        return ""
    return ctypes.FormatError(code).strip()


def _declared(library: ctypes.CDLL) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, signature in SIGNATURES.items():
        # Absent is not an error yet: older Windows lack GetIfEntry2Ex.
        if (function := getattr(library, name, None)) is not None:
            function.argtypes = signature.arguments
            function.restype = ctypes.c_uint32 if signature.fails else None
            yield name, partial(_checked, name, function) if signature.fails else function


def _checked(name: str, function: Callable[..., int], *arguments: Any) -> None:
    if code := function(*arguments):
        raise ERRORS.get(code, NetioError)(f"{name}: {error_text(code)} (error {code})", code)


def _rows(table: Any) -> Any:
    """Every row of a table whose `Table` is declared with one, where the declaration says that they begin."""
    rows = type(table.Table)._type_ * table.NumEntries
    return rows.from_address(ctypes.addressof(table) + type(table).Table.offset)


def _ip_interface_callback(ring: Ring) -> Any:
    """A callback that lives in the system's threads: copies the key, rings, keeps no pointer."""

    def called(_context: int | None, row: Any, type_number: int) -> None:
        if NOTIFICATION_TYPES.get(type_number) == "initial_notification":
            ring(None)
        elif row:
            told = row.contents
            ring(Told(told.InterfaceLuid.Value, told.InterfaceIndex, told.Family, type_number))

    return _callback(MibIpInterfaceRow, called)


def _address_callback(ring: Ring) -> Any:
    def called(_context: int | None, row: Any, type_number: int) -> None:
        if row:
            told = row.contents
            ring(Told(told.InterfaceLuid.Value, told.InterfaceIndex, told.Address.si_family, type_number))

    return _callback(MibUnicastIpAddressRow, called)


def _callback(row_type: type[ctypes.Structure], called: Callable[[int | None, Any, int], None]) -> Any:
    if sys.platform != "win32":
        raise SourceError("callbacks of iphlpapi.dll are there on Windows only")
    prototype = ctypes.WINFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(row_type), ctypes.c_int32)
    return prototype(called)
