"""The functions of iphlpapi.dll under Windows Python, with the stand-in at its worst."""

from __future__ import annotations

import ctypes
import gc
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import pytest

from publisher.errors import (
    InterfaceNotFoundError,
    InvalidHandleError,
    InvalidParameterError,
    NetioError,
    NotFoundError,
    NotSupportedError,
)
from publisher.sources.windows import calls as windows_calls
from publisher.sources.windows.calls import Iphlpapi, load
from publisher.sources.windows.iphlpapi import AF_INET, AF_INET6, AF_UNSPEC
from publisher.sources.windows.notifications import AddressNotification, Notification, RouteNotification
from publisher.sources.windows.rows import address, luid_text
from tests.windows.inside.standin import ADDED, StandIn, cancel_forgotten, library

LONG = 20.0


class Notifications:
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.all: queue.Queue[Any] = queue.Queue()

    def __call__(self, notification: object) -> None:
        self.all.put(notification)

    def next(self) -> Any:
        return self.all.get(timeout=LONG)


def test_the_stand_in_is_loaded_and_not_wines_own(standin: StandIn) -> None:
    assert standin.library.standin_reset


# Errors


KINDS: dict[int, type[NetioError]] = {
    2: InterfaceNotFoundError,
    5: NetioError,
    6: InvalidHandleError,
    8: NetioError,
    50: NotSupportedError,
    87: InvalidParameterError,
    1168: NotFoundError,
}
CALLS: dict[str, Callable[[Iphlpapi], Any]] = {
    "GetIpInterfaceEntry": lambda calls: calls.ip_interface(AF_INET, 1),
    "GetIpInterfaceTable": lambda calls: calls.ip_interfaces(AF_UNSPEC),
    "GetIfEntry2Ex": lambda calls: calls.if_entry(1),
    "GetIfTable2": lambda calls: calls.if_table(),
    "GetIfStackTable": lambda calls: calls.if_stack(),
    "GetInvertedIfStackTable": lambda calls: calls.inverted_if_stack(),
    "GetUnicastIpAddressTable": lambda calls: calls.unicast_addresses(AF_UNSPEC),
    "GetIpForwardTable2": lambda calls: calls.default_routes(AF_UNSPEC),
    "NotifyIpInterfaceChange": lambda calls: calls.notify_ip_interface_change(AF_UNSPEC, Notifications()),
    "NotifyUnicastIpAddressChange": lambda calls: calls.notify_unicast_ip_address_change(AF_UNSPEC, Notifications()),
    "NotifyRouteChange2": lambda calls: calls.notify_route_change2(AF_UNSPEC, Notifications()),
}
# Absent in the family, as with 1168: its transport is not installed.
NOT_IN_THE_FAMILY = ("GetIpInterfaceEntry", 50)


@pytest.mark.parametrize("code", KINDS)
@pytest.mark.parametrize("function", CALLS)
def test_an_error_code_becomes_an_error_of_its_kind(standin: StandIn, function: str, code: int) -> None:
    standin.fail(function, code)
    if function.endswith(("Table", "Table2")) and code == 1168:
        assert CALLS[function](load()) == []
        return
    with pytest.raises(NetioError) as error:
        CALLS[function](load())
    assert type(error.value) is (NotFoundError if (function, code) == NOT_IN_THE_FAMILY else KINDS[code])
    assert error.value.winerror_code == code
    assert function in str(error.value)
    assert windows_calls.error_text(code)
    assert windows_calls.error_text(code) in str(error.value)


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
def test_a_family_that_is_not_installed_has_empty_tables(standin: StandIn, family: int) -> None:
    standin.add("eth0")
    standin.fail("GetIpInterfaceTable", 50)
    standin.fail("GetUnicastIpAddressTable", 50)
    standin.fail("GetIpForwardTable2", 50)
    calls = load()
    assert [*calls.ip_interfaces(family), *calls.unicast_addresses(family), *calls.default_routes(family)] == []


@pytest.mark.parametrize("family", [1, 3, 22, 24, 0xFFFF])
def test_the_system_judges_the_family(standin: StandIn, family: int) -> None:
    assert standin.counters.registrations == 0
    with pytest.raises(InvalidParameterError):
        load().notify_ip_interface_change(family, Notifications())
    with pytest.raises(InvalidParameterError):
        load().ip_interface(AF_UNSPEC, 1)


def test_a_registration_that_failed_leaves_nothing_to_cancel(standin: StandIn) -> None:
    standin.fail("NotifyIpInterfaceChange", 8)
    with pytest.raises(NetioError):
        load().notify_ip_interface_change(AF_UNSPEC, Notifications())
    gc.collect()
    assert standin.counters.cancels_null == 0
    assert _atexit_cancels() == 0


def _atexit_cancels() -> int:
    """Returns the number of cancels at the end of a new process whose registration failed."""
    program = (
        "from tests.windows.inside.standin import StandIn; from publisher.sources.windows.calls import load\n"
        "import atexit\n"
        "standin = StandIn(); standin.fail('NotifyIpInterfaceChange', 8)\n"
        "atexit.register(lambda: print(standin.counters.cancels_null, flush=True))\n"
        "try: load().notify_ip_interface_change(0, print)\n"
        "except OSError: pass\n"
    )
    return int(_run(program))


def _run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done
    return done.stdout.decode()


# Callbacks


def test_the_key_is_copied_inside_the_callback(standin: StandIn) -> None:
    """The row is 0xCC but for its key, and unreadable when the callback returns: a later reading would crash."""
    standin.add("eth0")
    received = Notifications()
    registration = load().notify_ip_interface_change(AF_UNSPEC, received)
    standin.report("eth0", "inet6", ADDED)
    notification = received.next()
    registration.cancel()
    assert notification == Notification(int(standin.luid("eth0"), 16), standin.index("eth0"), AF_INET6, ADDED)


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_the_initial_call_may_come_at_any_time_and_on_any_thread(standin: StandIn, mode: int) -> None:
    received = Notifications()
    standin.initial(mode)
    registration = load().notify_ip_interface_change(AF_UNSPEC, received, initial=True)
    assert received.all.empty() == (mode == 2)
    standin.release_initial()
    assert received.next() is None
    registration.cancel()


def test_callbacks_may_come_from_two_threads_at_once(standin: StandIn) -> None:
    standin.add("eth0")
    together = threading.Barrier(2)
    received = Notifications()

    def receive(notification: Notification | None) -> None:
        together.wait(LONG)
        received(notification)

    registration = load().notify_ip_interface_change(AF_UNSPEC, receive)
    standin.report_twice("eth0", "inet")
    assert received.next() == received.next()
    registration.cancel()
    assert standin.counters.most_running == 2


def test_a_callback_outlives_every_reference_to_it(standin: StandIn) -> None:
    standin.add("eth0")
    received = Notifications()
    load().notify_ip_interface_change(AF_UNSPEC, received)
    for _ in range(3):
        gc.collect()
    standin.report("eth0", "inet")
    assert received.next() is not None
    cancel_forgotten()


def test_handles_have_64_bits(standin: StandIn) -> None:
    registration = load().notify_ip_interface_change(AF_UNSPEC, Notifications())
    assert registration._handle is not None
    assert registration._handle > 1 << 32
    registration.cancel()
    assert standin.counters.cancels_unknown == 0


def test_cancelling_waits_for_running_callbacks_and_lets_them_run(standin: StandIn) -> None:
    """With PyDLL, or while holding a lock that the callback needs, this would hang: the callback needs the GIL."""
    standin.add("eth0")
    entered, leave, order = threading.Event(), threading.Event(), []

    def receive(notification: Notification | None) -> None:
        entered.set()
        assert leave.wait(LONG)
        order.append(notification)

    registration = load().notify_ip_interface_change(AF_UNSPEC, receive)
    reporter = threading.Thread(target=standin.report, args=("eth0", "inet"))
    reporter.start()
    assert entered.wait(LONG)
    threading.Timer(0.05, leave.set).start()
    registration.cancel()
    assert len(order) == 1
    reporter.join()


def test_a_cancel_that_fails_frees_nothing(standin: StandIn) -> None:
    standin.add("eth0")
    received = Notifications()
    registration = load().notify_ip_interface_change(AF_UNSPEC, received)
    standin.fail("CancelMibChangeNotify2", 5)
    with pytest.raises(NetioError):
        registration.cancel()
    gc.collect()
    standin.report("eth0", "inet")
    assert received.next() is not None
    registration.cancel()


def test_what_is_not_cancelled_is_cancelled_when_the_process_ends() -> None:
    program = (
        "from tests.windows.inside.standin import StandIn; from publisher.sources.windows.calls import load\n"
        "import atexit\n"
        "standin = StandIn()\n"
        "atexit.register(lambda: print(standin.counters.registrations, flush=True))\n"
        "kept = load().notify_ip_interface_change(0, print)\n"
        "assert standin.counters.registrations == 1\n"
    )
    assert _run(program).strip() == "0"


# Reading


def test_the_luid_is_given_first_and_the_index_only_without_one(standin: StandIn) -> None:
    standin.add("eth0")
    standin.add("eth1")
    calls, luid = load(), int(standin.luid("eth0"), 16)
    assert calls.ip_interface(AF_INET, luid, standin.index("eth1")).InterfaceIndex == standin.index("eth0")
    assert luid_text(calls.ip_interface(AF_INET, 0, standin.index("eth1")).InterfaceLuid.Value) == standin.luid("eth1")


def test_after_a_delete_reading_fails_with_2_or_1168(standin: StandIn) -> None:
    standin.add("eth0")
    luid = int(standin.luid("eth0"), 16)
    standin.remove_family("eth0", "inet6")
    with pytest.raises(NotFoundError):
        load().ip_interface(AF_INET6, luid)
    standin.remove("eth0")
    with pytest.raises(InterfaceNotFoundError):
        load().ip_interface(AF_INET6, luid)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_tables_are_read_whole_and_freed(standin: StandIn, count: int) -> None:
    for number in range(count):
        standin.add(f"eth{number}")
        standin.add_address(f"eth{number}", f"192.0.2.{number}/24")
        standin.stack(f"eth{number}", "eth0")
    calls = load()
    assert [luid_text(row.InterfaceLuid.Value) for row in calls.ip_interfaces(AF_INET)] == [
        standin.luid(f"eth{n}") for n in range(count)
    ]
    assert len(calls.ip_interfaces(AF_UNSPEC)) == 2 * count
    assert [row.InterfaceIndex for row in calls.if_table()] == [standin.index(f"eth{n}") for n in range(count)]
    assert {address(row, datetime.now(UTC)).address for row in calls.unicast_addresses(AF_INET)} == {
        f"192.0.2.{number}" for number in range(count)
    }
    assert calls.if_stack() == [(standin.index(f"eth{n}"), standin.index("eth0")) for n in range(count)]
    assert calls.inverted_if_stack() == [(below, above) for above, below in calls.if_stack()]
    assert (standin.counters.tables, standin.counters.bad_frees) == (0, 0)


@pytest.mark.parametrize("others", [0, 1, 100_000])
def test_the_default_routes_are_found_in_a_table_of_any_size(standin: StandIn, others: int) -> None:
    """The table ends at an unreadable page: reading further, or a row that was not copied, would crash."""
    standin.add("eth0")
    calls = load()
    standin.fill_routes(others)
    assert calls.default_routes(AF_INET) == []
    for next_hop in ("192.0.2.1", "2001:db8::1", "0.0.0.0"):
        standin.set_route("eth0", next_hop)
    assert len(calls.default_routes(AF_UNSPEC)) == 3
    four, on_link = calls.default_routes(AF_INET)
    assert (bytes(four.NextHop.Ipv4.sin_addr), four.DestinationPrefix.PrefixLength) == (b"\xc0\0\2\1", 0)
    assert bytes(on_link.NextHop.Ipv4.sin_addr) == bytes(4)
    assert (luid_text(four.InterfaceLuid.Value), four.InterfaceIndex) == (standin.luid("eth0"), standin.index("eth0"))
    assert (standin.counters.tables, standin.counters.bad_frees) == (0, 0)


def test_an_empty_table_is_no_error(standin: StandIn) -> None:
    assert load().ip_interfaces(AF_UNSPEC) == []
    assert load().unicast_addresses(AF_UNSPEC) == []
    assert load().default_routes(AF_UNSPEC) == []
    assert load().if_table() == []
    assert standin.counters.tables == 0


def test_a_table_is_freed_when_a_row_cannot_be_taken(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    standin.add("eth0")

    def refuse(_rows: object) -> None:
        raise ValueError("no such row")

    monkeypatch.setattr(windows_calls, "_copies", refuse)
    with pytest.raises(ValueError, match="no such row"):
        load().ip_interfaces(AF_UNSPEC)
    assert standin.counters.tables == 0


def test_an_old_windows_has_getifentry2_alone(standin: StandIn) -> None:
    """GetIfEntry2Ex exists since Windows 10 1703. The old library is a second one, with interfaces of its own."""
    standin.add("eth0")
    calls = load()
    standin.fail("GetIfEntry2", 5, times=-1)
    assert calls.if_entry(int(standin.luid("eth0"), 16)).InterfaceIndex == standin.index("eth0")
    old_path = str(Path(sys.executable).with_name("iphlpapi_1607.dll"))
    old = library(old_path)
    assert not hasattr(old, "GetIfEntry2Ex")
    old.standin_set_interface(ctypes.byref(standin.rows["eth0"]))
    assert load(old_path).if_entry(int(standin.luid("eth0"), 16)).InterfaceIndex == standin.index("eth0")


def test_statistics_are_left_out(standin: StandIn) -> None:
    """Level 2: the stand-in leaves 0xCC in the place of the statistics."""
    standin.add("eth0")
    assert load().if_entry(int(standin.luid("eth0"), 16)).InOctets == 0xCCCC_CCCC_CCCC_CCCC


@pytest.mark.parametrize(("address", "number"), [("192.0.2.1/24", AF_INET), ("2001:db8::1/64", AF_INET6)])
def test_addresses_are_reported_with_their_interface(standin: StandIn, address: str, number: int) -> None:
    standin.add("eth0")
    received, other_received = Notifications(), Notifications()
    registration = load().notify_unicast_ip_address_change(AF_UNSPEC, received, initial=True)
    other = load().notify_ip_interface_change(AF_UNSPEC, other_received)
    assert received.next() is None
    standin.add_address("eth0", address, report=True)
    luid, index = int(standin.luid("eth0"), 16), standin.index("eth0")
    assert received.next() == AddressNotification(luid, index, number, ip_interface(address).packed, ADDED)
    registration.cancel()
    other.cancel()
    assert other_received.all.empty()


@pytest.mark.parametrize(
    ("next_hop", "number"),
    [("192.0.2.1", AF_INET), ("0.0.0.0", AF_INET), ("fe80::1", AF_INET6), ("::", AF_INET6)],
)
def test_default_routes_are_reported_with_their_interface_and_others_are_not(
    standin: StandIn, next_hop: str, number: int
) -> None:
    standin.add("eth0")
    received, other_received = Notifications(), Notifications()
    registration = load().notify_route_change2(AF_UNSPEC, received, initial=True)
    other = load().notify_unicast_ip_address_change(AF_UNSPEC, other_received)
    assert received.next() is None
    standin.report_route("eth0", next_hop, ADDED, prefix_length=1)
    standin.set_route("eth0", next_hop, report=True)
    luid, index = int(standin.luid("eth0"), 16), standin.index("eth0")
    assert received.next() == RouteNotification(luid, index, number, ip_address(next_hop).packed, ADDED)
    registration.cancel()
    other.cancel()
    assert received.all.empty()
    assert other_received.all.empty()
