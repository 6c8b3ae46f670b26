"""Registrations and their callbacks with functions of our own in the place of iphlpapi.dll's, on every system."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from publisher.errors import (
    InterfaceNotFoundError,
    InvalidHandleError,
    InvalidParameterError,
    NetioError,
    NotFoundError,
)
from publisher.sources.windows import calls as windows_calls
from publisher.sources.windows.calls import Iphlpapi, Registration
from publisher.sources.windows.iphlpapi import AF_INET, AF_INET6, AF_UNSPEC
from publisher.sources.windows.notifications import (
    AddressNotification,
    Notification,
    RouteNotification,
    address_changed,
    ip_interface_changed,
    route_changed,
)
from publisher.sources.windows.structures import (
    MibIpForwardRow2,
    MibIpForwardTable2,
    MibIpInterfaceRow,
    MibIpInterfaceTable,
    MibUnicastIpAddressRow,
    NetLuid,
)

CHANGED, ADDED, INITIAL, UNKNOWN = 0, 1, 3, 99
HANDLE = 0x7A1200000020
CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32)


class Library:
    """A library that registers everything and counts the cancels; `while_cancelling` runs inside each."""

    def __init__(self) -> None:
        self.cancels = 0
        self.codes = [0]
        self.while_cancelling: Callable[[], object] = lambda: None

    def register(self) -> Registration:
        functions: Any = SimpleNamespace(
            NotifyIpInterfaceChange=lambda *arguments: _give_handle(arguments[-1]),
            CancelMibChangeNotify2=lambda handle: self._cancel(handle),
        )
        return Registration(Iphlpapi(functions), "NotifyIpInterfaceChange", CALLBACK(lambda *_: None), 0, False)

    def _cancel(self, handle: int) -> int:
        assert handle == HANDLE
        self.cancels += 1
        self.while_cancelling()
        return self.codes[min(self.cancels, len(self.codes)) - 1]


def _give_handle(reference: Any) -> int:
    reference._obj.value = HANDLE
    return 0


def test_a_registration_is_cancelled_once_though_two_threads_cancel_it() -> None:
    library = Library()
    registration = library.register()
    both = threading.Barrier(2)

    def wait_for_the_other() -> None:
        # With a second cancel in here at the same time, the barrier falls at once; without one it breaks.
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.2)

    library.while_cancelling = wait_for_the_other
    with ThreadPoolExecutor(2) as threads:
        for cancelled in [threads.submit(registration.cancel) for _ in range(2)]:
            cancelled.result()
    assert library.cancels == 1


def test_a_cancelled_registration_is_referenced_by_nothing() -> None:
    registration = Library().register()
    registration.cancel()
    left = weakref.ref(registration)
    del registration
    gc.collect()
    assert left() is None


def test_a_registration_is_kept_until_it_is_cancelled() -> None:
    registered = weakref.ref(Library().register())
    gc.collect()
    registration = registered()
    assert registration is not None
    registration.cancel()


def test_a_cancel_that_the_system_refuses_can_be_repeated() -> None:
    library = Library()
    library.codes = [6, 0]
    registration = library.register()
    with pytest.raises(InvalidHandleError):
        registration.cancel()
    registration.cancel()
    registration.cancel()
    assert library.cancels == 2


def test_a_registration_that_the_system_refuses_leaves_nothing_for_the_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[object] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    functions: Any = SimpleNamespace(NotifyIpInterfaceChange=lambda *_: 8)
    with pytest.raises(NetioError):
        Registration(Iphlpapi(functions), "NotifyIpInterfaceChange", CALLBACK(lambda *_: None), 0, False)
    assert at_exit == []


# Tables and error codes


def answering(**codes: int) -> Iphlpapi:
    """Returns a library whose functions only return these error codes."""
    functions: Any = SimpleNamespace(**{name: _returning(code) for name, code in codes.items()})
    return Iphlpapi(functions)


def _returning(code: int) -> Callable[..., int]:
    return lambda *_: code


TABLES: dict[str, Callable[[Iphlpapi, int], list[Any]]] = {
    "GetIpInterfaceTable": lambda calls, family: calls.ip_interfaces(family),
    "GetUnicastIpAddressTable": lambda calls, family: calls.unicast_addresses(family),
    "GetIpForwardTable2": lambda calls, family: calls.default_routes(family),
    "GetIfTable2": lambda calls, _: calls.if_table(),
    "GetIfStackTable": lambda calls, _: calls.if_stack(),
    "GetInvertedIfStackTable": lambda calls, _: calls.inverted_if_stack(),
}


@pytest.mark.parametrize("function", TABLES)
def test_a_table_of_which_nothing_was_found_is_empty(function: str) -> None:
    assert TABLES[function](answering(**{function: 1168}), AF_UNSPEC) == []


@pytest.mark.parametrize("family", [AF_UNSPEC, AF_INET, AF_INET6])
@pytest.mark.parametrize("function", TABLES)
def test_a_table_of_one_family_is_empty_where_that_is_not_installed(function: str, family: int) -> None:
    calls = answering(**{function: 50})
    if function in {"GetIpInterfaceTable", "GetUnicastIpAddressTable", "GetIpForwardTable2"} and family != AF_UNSPEC:
        assert TABLES[function](calls, family) == []
    else:
        with pytest.raises(NetioError, match=function):
            TABLES[function](calls, family)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(2, InterfaceNotFoundError), (1168, NotFoundError), (50, NotFoundError), (87, InvalidParameterError)],
)
def test_an_ip_interface_is_absent_by_three_codes(code: int, kind: type[NetioError]) -> None:
    with pytest.raises(NetioError) as error:
        answering(GetIpInterfaceEntry=code).ip_interface(AF_INET6, 6 << 48)
    assert (type(error.value), error.value.winerror_code) == (kind, code)


def test_a_function_that_the_library_lacks_is_no_absent_interface() -> None:
    with pytest.raises(NetioError, match="has no such function") as error:
        answering().ip_interface(AF_INET6, 6 << 48)
    assert (type(error.value), error.value.winerror_code) == (NetioError, 127)


def test_rows_are_copied_before_their_table_is_freed() -> None:
    table = MibIpInterfaceTable(NumEntries=1)
    table.Table[0].NlMtu = 1400

    def give_table(_family: int, into: Any) -> int:
        into._obj.contents = table
        return 0

    functions: Any = SimpleNamespace(
        GetIpInterfaceTable=give_table,
        FreeMibTable=lambda _: ctypes.memset(ctypes.byref(table), 0xCC, ctypes.sizeof(table)),
    )
    [row] = Iphlpapi(functions).ip_interfaces(AF_INET)
    assert table.Table[0].NlMtu == 0xCCCC_CCCC
    assert row.NlMtu == 1400


class FullTable:
    """A library with a routing table of so many rows, of which those at `places` are default routes."""

    def __init__(self, size: int, places: list[int]) -> None:
        rows = MibIpForwardRow2 * size
        start = MibIpForwardTable2.Table.offset
        self.memory = ctypes.create_string_buffer(start + ctypes.sizeof(rows))
        ctypes.c_uint32.from_buffer(self.memory).value = size
        self.rows = rows.from_buffer(self.memory, start)
        for place, row in enumerate(self.rows):
            row.InterfaceIndex = place
            row.DestinationPrefix.PrefixLength = 0 if place in places else 1 + place % 32
        self.freed = 0
        functions: Any = SimpleNamespace(
            GetIpForwardTable2=lambda *arguments: self.give(*arguments), FreeMibTable=lambda table: self.free(table)
        )
        self.calls = Iphlpapi(functions)

    def give(self, _family: int, into: Any) -> int:
        into._obj.contents = MibIpForwardTable2.from_buffer(self.memory)
        return 0

    def free(self, _table: object) -> None:
        self.freed += 1
        ctypes.memset(self.memory, 0xCC, len(self.memory))


@pytest.mark.parametrize(("size", "places"), [(1, [0]), (1, []), (3, [0, 2]), (3, [1]), (100_000, [0, 777, 99_999])])
def test_of_a_routing_table_the_default_routes_are_copied_alone(
    size: int, places: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full table has a million rows; making an object of each takes seconds, and each change of any row reads it."""
    table = FullTable(size, places)
    made: list[Any] = []
    copies = windows_calls._copies
    monkeypatch.setattr(windows_calls, "_copies", lambda rows: copies(_noted(rows, made)))
    found = table.calls.default_routes(AF_INET)
    assert [row.InterfaceIndex for row in found] == places
    assert (len(made), table.freed) == (len(places), 1)


def _noted(rows: Any, made: list[Any]) -> Any:
    for row in rows:
        made.append(row)
        yield row


# Callbacks

IP_INTERFACE = MibIpInterfaceRow(Family=AF_INET6, InterfaceLuid=NetLuid(6 << 48), InterfaceIndex=7)
ADDRESS = MibUnicastIpAddressRow(InterfaceLuid=NetLuid(6 << 48), InterfaceIndex=7)
ADDRESS.Address.si_family = AF_INET6
ADDRESS.Address.Ipv6.sin6_addr[:] = bytes(range(16))
ADDRESS_4 = MibUnicastIpAddressRow(InterfaceLuid=NetLuid(6 << 48), InterfaceIndex=7)
ADDRESS_4.Address.si_family = AF_INET
ADDRESS_4.Address.Ipv4.sin_addr[:] = bytes([192, 0, 2, 1])
ROUTE = MibIpForwardRow2(InterfaceLuid=NetLuid(6 << 48), InterfaceIndex=7)
ROUTE.DestinationPrefix.Prefix.si_family = AF_INET6
ROUTE.NextHop.Ipv6.sin6_addr[:] = bytes(range(16))
ROUTE_4 = MibIpForwardRow2(InterfaceLuid=NetLuid(6 << 48), InterfaceIndex=7)
ROUTE_4.DestinationPrefix.Prefix.si_family = AF_INET
ROUTE_4.NextHop.Ipv4.sin_addr[:] = bytes([192, 0, 2, 1])
OTHER_ROUTE = MibIpForwardRow2.from_buffer_copy(ROUTE)
OTHER_ROUTE.DestinationPrefix.PrefixLength = 1
NOTHING = "nothing"


@pytest.mark.parametrize(
    ("function", "row", "kind", "received"),
    [
        (ip_interface_changed, IP_INTERFACE, CHANGED, Notification(6 << 48, 7, AF_INET6, CHANGED)),
        (ip_interface_changed, IP_INTERFACE, ADDED, Notification(6 << 48, 7, AF_INET6, ADDED)),
        (ip_interface_changed, IP_INTERFACE, UNKNOWN, Notification(6 << 48, 7, AF_INET6, UNKNOWN)),
        (ip_interface_changed, None, INITIAL, None),
        (ip_interface_changed, None, CHANGED, NOTHING),
        (ip_interface_changed, None, UNKNOWN, NOTHING),
        (address_changed, ADDRESS, ADDED, AddressNotification(6 << 48, 7, AF_INET6, bytes(range(16)), ADDED)),
        (address_changed, ADDRESS_4, CHANGED, AddressNotification(6 << 48, 7, AF_INET, b"\xc0\0\2\1", CHANGED)),
        (route_changed, ROUTE, ADDED, RouteNotification(6 << 48, 7, AF_INET6, bytes(range(16)), ADDED)),
        (route_changed, ROUTE_4, CHANGED, RouteNotification(6 << 48, 7, AF_INET, b"\xc0\0\2\1", CHANGED)),
        (route_changed, OTHER_ROUTE, CHANGED, NOTHING),
        (route_changed, None, INITIAL, None),
        (route_changed, None, CHANGED, NOTHING),
        (address_changed, None, INITIAL, None),
        (address_changed, None, CHANGED, NOTHING),
    ],
)
def test_a_callback_passes_on_the_key_and_never_follows_a_null_pointer(
    function: Any, row: Any, kind: int, received: Any
) -> None:
    passed_on: list[object] = []
    pointer = ctypes.pointer(row) if row is not None else ctypes.POINTER(MibIpInterfaceRow)()
    function(passed_on.append, None, pointer, kind)
    assert passed_on == ([] if received is NOTHING else [received])
