"""The promises of `publisher.netioapi`, the same on both systems.

On Linux they are tested with the kernel, in a network namespace; under Windows Python with the stand-in for
iphlpapi.dll.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

import pytest

from publisher.events import Family, IpInterfaceRow, NotificationType
from publisher.netioapi import (
    CancelInsideCallbackError,
    IfRow,
    InterfaceNotFoundError,
    InvalidHandleError,
    InvalidParameterError,
    InvertedIfStackRow,
    NetioError,
    NotFoundError,
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
from tests.faults import changing
from tests.fixtures.callbacks import LONG, Call, registration
from tests.fixtures.callbacks import Calls as CallsWith

pytestmark = pytest.mark.usefixtures("world")


class World(Protocol):
    """The interfaces of a host, for a test to change. Its system reports each change."""

    def add(self, alias: str) -> None: ...
    def remove(self, alias: str) -> None: ...
    def set_mtu(self, alias: str, mtu: int) -> None: ...
    def drop_ipv6(self, alias: str) -> None: ...
    def add_address(self, alias: str, address: str) -> None: ...
    def put_on(self, new: str, lower: str) -> None: ...


if sys.platform == "win32":
    from tests.windows.inside.standin import StandIn, prepared

    class WindowsWorld:
        """The stand-in, which reports each change in a thread of its own."""

        def __init__(self, standin: StandIn) -> None:
            self.standin = standin

        def add(self, alias: str) -> None:
            self.standin.add(alias, report=True)

        def remove(self, alias: str) -> None:
            self.standin.remove(alias, report=True)

        def set_mtu(self, alias: str, mtu: int) -> None:
            for family in ("inet", "inet6"):
                self.standin.change(alias, family, NlMtu=mtu, report=True)

        def drop_ipv6(self, alias: str) -> None:
            self.standin.remove_family(alias, "inet6", report=True)

        def add_address(self, alias: str, address: str) -> None:
            self.standin.add_address(alias, address, report=True)

        def put_on(self, new: str, lower: str) -> None:
            self.standin.add(new)
            self.standin.stack(new, lower)

    @pytest.fixture
    def world() -> Iterator[World]:
        with prepared() as standin:
            yield WindowsWorld(standin)

else:
    from tests.fixtures.netns import NetNs

    class LinuxWorld:
        """The kernel, in a network namespace."""

        def __init__(self, netns: NetNs) -> None:
            self.netns = netns

        def add(self, alias: str) -> None:
            self.netns.ip(f"link add {alias} type bridge")

        def remove(self, alias: str) -> None:
            self.netns.ip(f"link del {alias}")

        def set_mtu(self, alias: str, mtu: int) -> None:
            self.netns.ip(f"link set {alias} mtu {mtu}")

        def drop_ipv6(self, alias: str) -> None:
            self.netns.ip(f"link set {alias} mtu 1000")

        def add_address(self, alias: str, address: str) -> None:
            self.netns.ip(f"addr add {address} dev {alias}")

        def put_on(self, new: str, lower: str) -> None:
            self.netns.ip(f"link add link {lower} name {new} type macvlan")

    @pytest.fixture
    def world(inside_netns: NetNs) -> World:
        return LinuxWorld(inside_netns)


class Calls(CallsWith[IpInterfaceRow]):
    """A callback of IP interfaces."""

    def next_of(self, luid: str, family: Family, kind: NotificationType) -> Call[IpInterfaceRow]:
        return self.until(lambda call: _is(call, luid, family, kind))


def _is(call: Call[IpInterfaceRow], luid: str, family: Family, kind: NotificationType) -> bool:
    return call.row is not None and (call.row.interface_luid, call.row.family, call.type) == (luid, family, kind)


registered = partial(registration, notify_ip_interface_change)


def luid_of(alias: str) -> str:
    [luid] = [row.interface_luid for row in get_if_table2() if row.alias == alias]
    return luid


def assert_refused(error: pytest.ExceptionInfo[NetioError], code: int) -> None:
    assert error.value.winerror_code == code
    assert f"(error {code})" in str(error.value)
    if sys.platform == "win32":
        assert ctypes.FormatError(code).strip() in str(error.value)


# Families


@pytest.mark.parametrize("family", ["", "INET", "ipv4", 3, -1, 2.0, True, False, None, [], b"inet"])
def test_a_family_other_than_the_three_is_an_invalid_parameter(family: Any) -> None:
    for call in (
        lambda: notify_ip_interface_change(family, Calls()),
        lambda: get_ip_interface_table(family),
        lambda: get_ip_interface_entry(family, index=1),
    ):
        with pytest.raises(InvalidParameterError) as error:
            call()
        assert_refused(error, 87)


def test_a_row_is_of_one_family() -> None:
    unspec: Any = "unspec"
    with pytest.raises(InvalidParameterError) as error:
        get_ip_interface_entry(unspec, index=1)
    assert_refused(error, 87)


def test_a_registration_for_one_family_is_called_for_that_alone(world: World) -> None:
    four, six, both = Calls(), Calls(), Calls()
    with registered(four, "inet"), registered(six, "inet6"), registered(both):
        world.add("eth7")
        luid = luid_of("eth7")
        world.remove("eth7")
        both.next_of(luid, "inet", "delete_instance")
        for calls in (four, six):
            calls.until(lambda call: call.type == "delete_instance")
    for calls, family in ((four, "inet"), (six, "inet6")):
        assert {call.row.family for call in calls.all.queue if call.row} <= {family}


# Notifications


def test_the_initial_notification_has_no_row_and_comes_once(world: World) -> None:
    calls, context = Calls(), object()
    with registered(calls, context=context, initial=True):
        first = calls.next()
        assert first == Call(context, None, "initial_notification")
        world.add("eth7")
        rest = [calls.next()]
    rest += calls.all.queue
    assert all(call.row is not None and call.type != "initial_notification" for call in rest)


def test_the_initial_notification_comes_only_if_it_is_asked_for(world: World) -> None:
    calls = Calls()
    with registered(calls):
        world.add("eth7")
        first = calls.next()
    assert first.row is not None
    assert first.type == "add_instance"


def test_adding_changing_and_removing_are_reported_in_order(world: World) -> None:
    calls = Calls()
    with registered(calls, "inet"):
        world.add("eth7")
        luid = luid_of("eth7")
        calls.next_of(luid, "inet", "add_instance")
        world.set_mtu("eth7", 1400)
        calls.next_of(luid, "inet", "parameter_notification")
        world.remove("eth7")
        calls.next_of(luid, "inet", "delete_instance")
        assert calls.all.empty()


def test_of_a_reported_row_only_the_key_is_set(world: World) -> None:
    calls = Calls()
    with registered(calls, "inet"):
        world.add("eth7")
        reported = calls.next().row
    [entry] = [row for row in get_if_table2() if row.alias == "eth7"]
    assert reported == IpInterfaceRow(
        family="inet", interface_luid=entry.interface_luid, interface_index=entry.interface_index
    )


def test_a_change_of_addresses_alone_is_not_reported(world: World) -> None:
    world.add("eth7")
    luid = luid_of("eth7")
    calls = Calls()
    with registered(calls, "inet"):
        world.add_address("eth7", "192.0.2.1/24")
        world.set_mtu("eth7", 1400)
        reported = [calls.next(), *calls.all.queue]
    assert [(call.row and call.row.interface_luid, call.type) for call in reported] == [
        (luid, "parameter_notification")
    ]


def test_each_registration_has_its_own_context(world: World) -> None:
    calls = Calls()
    with registered(calls, "inet", context="one"), registered(calls, "inet", context="two"):
        world.add("eth7")
        assert {calls.next().context, calls.next().context} == {"one", "two"}


# Callbacks


def test_callbacks_of_a_registration_are_serialized(world: World) -> None:
    running, most, done = [0], [0], Calls()

    def callback(context: Any, row: IpInterfaceRow | None, kind: NotificationType) -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        # Gives another call every chance to run now.
        threading.Event().wait(0.002)
        running[0] -= 1
        done(context, row, kind)

    world.add("eth7")
    luid = luid_of("eth7")
    with registered(callback):
        for mtu in range(1400, 1420):
            world.set_mtu("eth7", mtu)
        world.remove("eth7")
        done.next_of(luid, "inet", "delete_instance")
    assert most == [1]


def test_after_a_callback_that_raises_the_next_one_is_called(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: queue.Queue[threading.ExceptHookArgs] = queue.Queue()
    monkeypatch.setattr(threading, "excepthook", reported.put)
    calls = Calls()

    def callback(context: Any, row: IpInterfaceRow | None, kind: NotificationType) -> None:
        calls(context, row, kind)
        raise ValueError("from the callback")

    with registered(callback, "inet"):
        world.add("eth7")
        luid = luid_of("eth7")
        assert str(reported.get(timeout=LONG).exc_value) == "from the callback"
        world.remove("eth7")
        calls.next_of(luid, "inet", "delete_instance")


def test_a_registration_that_nothing_refers_to_stays_registered(world: World) -> None:
    calls = Calls()
    forgotten = weakref.ref(notify_ip_interface_change("inet", calls))
    gc.collect()
    world.add("eth7")
    assert calls.next().type == "add_instance"
    handle = forgotten()
    assert handle is not None
    cancel_mib_change_notify2(handle)


# Cancelling


def test_after_cancelling_no_callback_runs(world: World) -> None:
    world.add("eth7")
    cancelled, late = threading.Event(), Calls()
    mtus = itertools.cycle(range(1300, 1400))

    def callback(context: Any, row: IpInterfaceRow | None, kind: NotificationType) -> None:
        if cancelled.is_set():
            late(context, row, kind)

    with changing(lambda: world.set_mtu("eth7", next(mtus))):
        for _ in range(5):
            cancelled.clear()
            handle = notify_ip_interface_change("unspec", callback)
            seen = Calls()
            with registered(seen):
                seen.next()
            cancel_mib_change_notify2(handle)
            cancelled.set()
            with registered(seen := Calls()):
                seen.next()
    assert late.all.empty()


def test_cancelling_waits_for_a_running_callback() -> None:
    entered, leave = threading.Event(), threading.Event()
    order: list[str] = []

    def callback(*_call: Any) -> None:
        entered.set()
        assert leave.wait(LONG)
        order.append("callback ended")

    handle = notify_ip_interface_change("inet", callback, initial_notification=True)
    assert entered.wait(LONG)

    def cancel() -> None:
        cancel_mib_change_notify2(handle)
        order.append("cancelled")

    canceller = threading.Thread(target=cancel)
    canceller.start()
    leave.set()
    canceller.join(LONG)
    assert order == ["callback ended", "cancelled"]


def test_cancelling_twice_is_an_invalid_handle() -> None:
    handle = notify_ip_interface_change("unspec", Calls())
    cancel_mib_change_notify2(handle)
    with pytest.raises(InvalidHandleError) as error:
        cancel_mib_change_notify2(handle)
    assert_refused(error, 6)


def test_a_foreign_handle_is_an_invalid_handle() -> None:
    foreign: Any = 0x7A1200000020
    with pytest.raises(InvalidHandleError) as error:
        cancel_mib_change_notify2(foreign)
    assert_refused(error, 6)


def test_no_handle_is_an_invalid_parameter() -> None:
    nothing: Any = None
    with pytest.raises(InvalidParameterError) as error:
        cancel_mib_change_notify2(nothing)
    assert_refused(error, 87)


def test_cancelling_from_inside_a_callback_raises() -> None:
    handles: queue.Queue[NotificationHandle] = queue.Queue()
    errors: queue.Queue[BaseException] = queue.Queue()

    def callback(*_call: Any) -> None:
        try:
            cancel_mib_change_notify2(handles.get(timeout=LONG))
        except NetioError as error:
            errors.put(error)

    with registered(callback, initial=True) as handle:
        handles.put(handle)
        error = errors.get(timeout=LONG)
        assert isinstance(error, CancelInsideCallbackError)
        assert error.winerror_code == 1131
        handles.put(handle)


def test_a_callback_that_is_not_callable_is_an_invalid_parameter() -> None:
    nothing: Any = None
    with pytest.raises(InvalidParameterError):
        notify_ip_interface_change("unspec", nothing)


# Reading


def test_a_row_is_found_by_luid_and_by_index(world: World) -> None:
    world.add("eth7")
    world.set_mtu("eth7", 1400)
    luid = luid_of("eth7")
    row = get_ip_interface_entry("inet", luid)
    assert (row.family, row.interface_luid, row.nl_mtu) == ("inet", luid, 1400)
    assert get_ip_interface_entry("inet", index=row.interface_index) == row
    assert get_ip_interface_entry("inet", "0" * 16, row.interface_index) == row
    assert get_ip_interface_entry("inet6", luid).family == "inet6"


def test_the_luid_counts_and_not_the_index(world: World) -> None:
    world.add("eth7")
    world.add("eth8")
    other = get_if_entry2(luid_of("eth8"))
    assert get_ip_interface_entry("inet", luid_of("eth7"), other.interface_index).interface_luid == luid_of("eth7")
    with pytest.raises(InterfaceNotFoundError):
        get_ip_interface_entry("inet", "00060fffff000000", other.interface_index)


def test_a_missing_family_and_a_missing_interface_are_different_errors(world: World) -> None:
    world.add("eth7")
    luid = luid_of("eth7")
    world.drop_ipv6("eth7")
    with pytest.raises(NotFoundError) as not_found:
        get_ip_interface_entry("inet6", luid)
    assert_refused(not_found, 1168)
    world.remove("eth7")
    with pytest.raises(InterfaceNotFoundError) as missing:
        get_ip_interface_entry("inet", luid)
    assert_refused(missing, 2)
    with pytest.raises(InterfaceNotFoundError) as missing:
        get_if_entry2(luid)
    assert_refused(missing, 2)


@pytest.mark.parametrize(
    ("luid", "index"), [(None, None), (None, 0), ("0" * 16, None), ("6", 1), (None, -1), (None, 1 << 32)]
)
def test_nothing_to_know_an_interface_by_is_an_invalid_parameter(luid: Any, index: Any) -> None:
    for call in (lambda: get_ip_interface_entry("inet", luid, index), lambda: get_if_entry2(luid, index)):
        with pytest.raises(InvalidParameterError) as error:
            call()
        assert_refused(error, 87)


def test_the_table_has_the_rows_of_the_family(world: World) -> None:
    world.add("eth7")
    world.add("eth8")
    world.drop_ipv6("eth8")
    luids = {luid_of("eth7"): "eth7", luid_of("eth8"): "eth8"}
    found = {
        family: {luids[row.interface_luid] for row in get_ip_interface_table(family) if row.interface_luid in luids}
        for family in ("inet", "inet6")
    }
    assert found == {"inet": {"eth7", "eth8"}, "inet6": {"eth7"}}
    both = get_ip_interface_table()
    assert sorted(both, key=repr) == sorted(
        [*get_ip_interface_table("inet"), *get_ip_interface_table("inet6")], key=repr
    )
    assert get_ip_interface_entry("inet", luid_of("eth7")) in both


def test_the_interfaces_are_listed_and_found(world: World) -> None:
    world.add("eth7")
    [listed] = [row for row in get_if_table2() if row.alias == "eth7"]
    found = get_if_entry2(listed.interface_luid)
    assert listed.in_octets is None
    assert found.in_octets is not None
    assert {**found.__dict__, **{name: None for name in IfRow.names if name.startswith(("in_", "out_"))}} == (
        listed.__dict__
    )
    assert get_if_entry2(index=listed.interface_index).interface_luid == listed.interface_luid


def test_the_stack_is_returned_both_ways(world: World) -> None:
    world.add("eth7")
    world.put_on("top", "eth7")
    top, below = get_if_entry2(luid_of("top")), get_if_entry2(luid_of("eth7"))
    assert [(row.higher_layer_interface_index, row.lower_layer_interface_index) for row in get_if_stack_table()] == [
        (top.interface_index, below.interface_index)
    ]
    assert get_inverted_if_stack_table() == [InvertedIfStackRow(below.interface_index, top.interface_index)]
    assert (top.lower, below.higher) == ((below.interface_luid,), (top.interface_luid,))


def test_a_luid_stays_the_same_over_calls_and_registrations(world: World) -> None:
    for number in range(5):
        world.add(f"eth{number}")
    before = {row.alias: row.interface_luid for row in get_if_table2()}
    calls = Calls()
    with registered(calls, "inet"):
        world.add("eth7")
        reported = calls.next().row
        assert reported is not None
        assert reported.interface_luid == luid_of("eth7")
        assert {row.alias: row.interface_luid for row in get_if_table2()} == before | {"eth7": reported.interface_luid}
    assert luid_of("eth7") == reported.interface_luid


# Programs


def run(program: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a program to its end, in the place of this test."""
    return subprocess.run(
        [sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )


SILENT = """
from publisher.netioapi import *
called = []
get_ip_interface_table()
get_if_table2()
handle = notify_ip_interface_change("unspec", lambda *call: called.append(call), initial_notification=True)
get_if_stack_table()
cancel_mib_change_notify2(handle)
"""


def test_a_program_that_reads_and_registers_finds_nothing_printed() -> None:
    done = run(SILENT)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


WARNING = """
import logging
import publisher.netioapi
logging.getLogger("publisher.netioapi").warning("the kernel dropped messages")
"""


def test_a_warning_is_not_printed_by_a_program_that_configures_no_logging() -> None:
    done = run(WARNING)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


FORGETFUL = """
import threading
from publisher.netioapi import notify_ip_interface_change
entered = threading.Event()
def callback(*_):
    entered.set()
    threading.Event().wait()
kept = notify_ip_interface_change("unspec", callback, initial_notification=True)
assert entered.wait(20)
"""


def test_a_program_ends_though_a_callback_runs_and_nothing_was_cancelled() -> None:
    assert run(FORGETFUL).returncode == 0
