"""The Windows source with the stand-in: from notifications to updates."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from publisher.errors import SourceError
from publisher.events import IpInterface
from publisher.netioapi import cancel_mib_change_notify2, notify_ip_interface_change
from publisher.sources import Families, Remove, Resync, SourceContext, Update, Upsert
from publisher.sources.luids import MemoryLuids
from publisher.sources.windows import source as windows_source
from publisher.sources.windows.iphlpapi import DAD_STATES, FILTER_INTERFACE, OPER_STATUSES, ROUTE_PROTOCOLS
from publisher.sources.windows.source import WindowsSource
from publisher.table import Table
from tests.fixtures.logs import CapturedLog
from tests.windows.inside.standin import ADDED, CHANGED, DELETED, StandIn, cancel_forgotten

LONG = 20.0


class CollectedUpdates:
    """A source's updates, which a thread collects."""

    def __init__(self, families: Families = "unspec", reconcile_seconds: float = 600.0) -> None:
        self.log = CapturedLog()
        context = SourceContext(self.log, MemoryLuids(), families, reconcile_seconds=reconcile_seconds)
        self.source = WindowsSource(context)
        self.updates: queue.Queue[Update | BaseException | None] = queue.Queue()
        self.thread = threading.Thread(target=self._follow)

    def _follow(self) -> None:
        try:
            for updates in self.source.updates():
                for update in updates:
                    self.updates.put(update)
        except SourceError as error:
            self.updates.put(error)
        self.updates.put(None)

    def next(self) -> Any:
        update = self.updates.get(timeout=LONG)
        assert not isinstance(update, BaseException), update
        return update

    def until(self, kind: type[Any], luid: str, family: str) -> Any:
        while True:
            update = self.next()
            if isinstance(update, Upsert) and kind is Upsert and (update.row.luid, update.row.family) == (luid, family):
                return update
            if isinstance(update, Remove) and kind is Remove and (update.luid, update.family) == (luid, family):
                return update

    def resync(self, cause: str) -> tuple[IpInterface, ...]:
        while not (isinstance(update := self.next(), Resync) and update.cause == cause):
            pass
        return update.rows


@contextmanager
def following(families: Families = "unspec", reconcile_seconds: float = 600.0) -> Iterator[CollectedUpdates]:
    follower = CollectedUpdates(families, reconcile_seconds)
    follower.thread.start()
    try:
        yield follower
    finally:
        follower.source.close()
        follower.thread.join(LONG)
        assert not follower.thread.is_alive()


def test_first_comes_everything(standin: StandIn) -> None:
    standin.add("eth0")
    standin.add("wlan0", ["inet"])
    standin.add_address("eth0", "192.0.2.2/24")
    standin.add_address("eth0", "192.0.2.10/24")
    standin.add_address("eth0", "2001:db8::1/64")
    standin.stack("wlan0", "eth0")
    with following() as follower:
        first = follower.next()
    assert isinstance(first, Resync)
    assert first.cause == "startup"
    rows = {(row.interface.alias, row.family): row for row in first.rows}
    assert set(rows) == {("eth0", "inet"), ("eth0", "inet6"), ("wlan0", "inet")}
    assert [entry.address for entry in rows["eth0", "inet"].addresses] == ["192.0.2.10", "192.0.2.2"]
    assert [entry.address for entry in rows["eth0", "inet6"].addresses] == ["2001:db8::1"]
    assert rows["eth0", "inet"].interface.higher == (standin.luid("wlan0"),)
    assert rows["wlan0", "inet"].interface.lower == (standin.luid("eth0"),)
    assert rows["eth0", "inet"].interface is rows["eth0", "inet6"].interface


def test_filter_modules_are_left_out_of_the_stack_and_link_their_neighbors(standin: StandIn) -> None:
    """On Windows each network card has several, between it and what is above it."""
    for alias in ("vlan7", "eth0"):
        standin.add(alias, ["inet"])
    for alias in ("scheduler", "firewall", "alone"):
        standin.add(alias, [])
        standin.change_interface(alias, InterfaceAndOperStatusFlags=FILTER_INTERFACE)
    for pair in (("vlan7", "firewall"), ("firewall", "scheduler"), ("scheduler", "eth0"), ("alone", "vlan7")):
        standin.stack(*pair)
    with following() as follower:
        rows = {row.interface.alias: row.interface for row in follower.resync("startup")}
    assert (rows["eth0"].higher, rows["eth0"].lower) == ((standin.luid("vlan7"),), ())
    assert (rows["vlan7"].higher, rows["vlan7"].lower) == ((), (standin.luid("eth0"),))


def test_a_neighbor_that_is_removed_is_left_out_of_the_stack(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    standin.add("vlan7", ["inet"])
    standin.stack("vlan7", "eth0")
    standin.remove("vlan7")
    with following() as follower:
        [row] = follower.resync("startup")
    assert row.interface.higher == ()


def test_a_registration_without_its_confirmation_is_logged_and_counted(
    standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows_source, "_CONFIRMED_WITHIN", 0.0)
    standin.add("eth0", ["inet"])
    standin.initial(2)  # until the registration is cancelled
    with following() as follower:
        follower.resync("startup")
        standin.change("eth0", "inet", NlMtu=1400, report=True)
        follower.until(Upsert, standin.luid("eth0"), "inet")
        assert follower.source.unconfirmed == 3
        assert [record.levelname for record in follower.log.records] == ["WARNING"] * 3


@pytest.mark.parametrize(("families", "seen"), [("inet", {"inet"}), ("inet6", {"inet6"})])
def test_a_family_can_be_chosen(standin: StandIn, families: Families, seen: set[str]) -> None:
    standin.add("eth0")
    with following(families) as follower:
        rows = follower.resync("startup")
        standin.add("eth1", report=True)
        assert {follower.next().row.family} == seen
    assert {row.family for row in rows} == seen


def test_a_change_is_read_after_it_was_reported(standin: StandIn) -> None:
    standin.add("eth0")
    with following() as follower:
        follower.resync("startup")
        standin.change("eth0", "inet", NlMtu=1400, report=True)
        assert follower.until(Upsert, standin.luid("eth0"), "inet").row.row.nl_mtu == 1400


def test_a_name_changed_under_one_family_is_seen_in_both(standin: StandIn) -> None:
    standin.add("eth0")
    with following() as follower:
        follower.resync("startup")
        standin.change_interface("eth0", OperStatus=2)
        standin.report("eth0", "inet")
        for family in ("inet", "inet6"):
            update = follower.until(Upsert, standin.luid("eth0"), family)
            assert update.row.interface.oper_status == "down"


def test_adding_and_removing(standin: StandIn) -> None:
    with following() as follower:
        assert follower.resync("startup") == ()
        standin.add("eth0", ["inet"], report=True)
        follower.until(Upsert, standin.luid("eth0"), "inet")
        standin.remove("eth0", report=True)
        follower.until(Remove, standin.luid("eth0"), "inet")


def test_a_removed_family_is_removed_and_the_other_stays(standin: StandIn) -> None:
    standin.add("eth0")
    with following() as follower:
        follower.resync("startup")
        standin.remove_family("eth0", "inet6", report=True)
        follower.until(Remove, standin.luid("eth0"), "inet6")
        standin.report("eth0", "inet")
        follower.until(Upsert, standin.luid("eth0"), "inet")


def test_removed_and_added_with_another_index_is_a_delete_and_an_add(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    with following() as follower:
        table = Table()
        table.apply(follower.next())
        standin.remove("eth0")
        standin.add("eth0", ["inet"])
        standin.report("eth0", "inet", DELETED)
        standin.report("eth0", "inet", ADDED)
        events = table.apply(follower.until(Upsert, standin.luid("eth0"), "inet"))
    assert [event.notification_type for event in events] == ["delete_instance", "add_instance"]


def test_the_key_is_the_luid_and_the_index_may_change_over_a_reboot(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    with following() as follower:
        before = follower.resync("startup")
    standin.remove("eth0")
    standin.add("eth0", ["inet"])
    with following() as follower:
        after = follower.resync("startup")
    assert before[0].row.interface_index != after[0].row.interface_index
    changed = Table(before).apply(Resync(after, "startup"))
    assert [event.notification_type for event in changed] == ["parameter_notification"]


def test_an_add_reported_before_it_can_be_read_is_held(standin: StandIn) -> None:
    """WireGuard's interfacewatcher found it: the row exists a moment after its notification."""
    with following() as follower:
        follower.resync("startup")
        standin.add("eth0", ["inet"])
        standin.hide("eth0", "inet", reads=4)
        standin.report("eth0", "inet", ADDED)
        assert follower.until(Upsert, standin.luid("eth0"), "inet").row.interface.alias == "eth0"
        assert standin.counters.reads >= 5


def test_a_delete_ends_the_holding(standin: StandIn) -> None:
    with following() as follower:
        follower.resync("startup")
        standin.add("eth0", ["inet"])
        standin.hide("eth0", "inet", reads=1_000_000)
        standin.report("eth0", "inet", ADDED)
        standin.remove("eth0")
        standin.report("eth0", "inet", DELETED)
        follower.until(Remove, standin.luid("eth0"), "inet")


def test_a_change_of_addresses_is_read(standin: StandIn) -> None:
    standin.add("eth0")
    with following() as follower:
        follower.resync("startup")
        standin.add_address("eth0", "192.0.2.10/24", report=True)
        update = follower.until(Upsert, standin.luid("eth0"), "inet")
        assert [entry.address for entry in update.row.addresses] == ["192.0.2.10"]
        standin.clear_addresses("eth0")
        standin.report_address("eth0", "192.0.2.10/24", DELETED)
        assert follower.until(Upsert, standin.luid("eth0"), "inet").row.addresses == ()


def test_a_change_of_default_routes_is_read(standin: StandIn) -> None:
    standin.add("eth0", Metric=25)
    with following() as follower:
        follower.resync("startup")
        standin.set_route("eth0", "192.0.2.1", Metric=5, report=True)
        [route] = follower.until(Upsert, standin.luid("eth0"), "inet").row.default_routes
        assert (route.next_hop, route.metric, route.protocol) == ("192.0.2.1", 30, "netmgmt")
        standin.set_route("eth0", "0.0.0.0", report=True, Origin=2)
        best, other = follower.until(Upsert, standin.luid("eth0"), "inet").row.default_routes
        assert (best.next_hop, best.metric, best.protocol, other) == (None, 25, "dhcp", route)
        standin.clear_routes("eth0", "inet")
        standin.report_route("eth0", "192.0.2.1", DELETED)
        assert follower.until(Upsert, standin.luid("eth0"), "inet").row.default_routes == ()
    standin.set_route("eth0", "fe80::1")
    with following() as follower:
        routes = {row.family: [route.next_hop for route in row.default_routes] for row in follower.resync("startup")}
        assert routes == {"inet": [], "inet6": ["fe80::1"]}


def test_a_change_of_another_route_is_not_read(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    with following() as follower:
        follower.resync("startup")
        reads = standin.counters.reads
        for _ in range(100):
            standin.report_route("eth0", "192.0.2.1", prefix_length=24)
        standin.report("eth0", "inet")
        follower.until(Upsert, standin.luid("eth0"), "inet")
        # The one of the last report, in both families.
        assert standin.counters.reads - reads == 2


def test_default_routes_that_were_removed_without_a_report_are_seen_with_the_next_change(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    standin.set_route("eth0", "192.0.2.1")
    with following() as follower:
        [row] = follower.resync("startup")
        assert [route.next_hop for route in row.default_routes] == ["192.0.2.1"]
        standin.clear_routes("eth0", "inet")
        standin.change("eth0", "inet", Connected=0, report=True)
        assert follower.until(Upsert, standin.luid("eth0"), "inet").row.default_routes == ()


def test_after_two_notifications_at_once_the_rows_are_right(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    with following() as follower:
        table = Table()
        table.apply(follower.next())
        for mtu in range(1300, 1400):
            standin.change("eth0", "inet", NlMtu=mtu)
            standin.report_twice("eth0", "inet", CHANGED, ADDED)
        while table.rows[0].row.nl_mtu != 1399:
            table.apply(follower.next())


def test_callbacks_of_netioapi_are_serialized_though_windows_calls_twice_at_once(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    running: list[int] = []
    most: queue.Queue[int] = queue.Queue()

    def callback(*_call: Any) -> None:
        running.append(1)
        # Gives another call every chance to run now.
        threading.Event().wait(0.002)
        most.put(len(running))
        running.pop()

    handle = notify_ip_interface_change("unspec", callback)
    for _ in range(10):
        standin.report_twice("eth0", "inet")
    seen = {most.get(timeout=LONG) for _ in range(20)}
    cancel_mib_change_notify2(handle)
    assert seen == {1}


def test_a_reconcile_reads_what_was_not_reported(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    with following() as follower:
        follower.resync("startup")
        standin.change("eth0", "inet", NlMtu=1400)
        follower.source.resync()
        assert follower.resync("reconcile")[0].row.nl_mtu == 1400


def test_a_wake_yields_an_empty_list_and_a_resync_is_answered_for_each_cause(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    source = WindowsSource(SourceContext(CapturedLog(), MemoryLuids()))
    updates = source.updates()
    next(updates)
    source.wake()
    assert list(next(updates)) == []
    source.resync("overrun")
    source.resync()
    assert [update.cause for update in next(updates) if isinstance(update, Resync)] == ["overrun", "reconcile"]
    source.close()
    assert list(updates) == []


def test_an_empty_list_comes_when_the_idle_time_is_over(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    source = WindowsSource(SourceContext(CapturedLog(), MemoryLuids(), idle_seconds=0.01))
    updates = source.updates()
    next(updates)
    assert [list(next(updates)), list(next(updates))] == [[], []]
    source.close()
    assert list(updates) == []


UNKNOWN = 99


def break_row(standin: StandIn) -> None:
    standin.read_as("eth0", "inet", UNKNOWN)


def break_interface(standin: StandIn) -> None:
    standin.change_interface("eth0", OperStatus=UNKNOWN)


def break_address(standin: StandIn) -> None:
    standin.add_address("eth0", "192.0.2.99/24", DadState=UNKNOWN)


def break_route(standin: StandIn) -> None:
    standin.set_route("eth0", "192.0.2.99", Protocol=UNKNOWN)


@pytest.fixture
def _names_that_no_model_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in our tables of names: a number of Windows has a name that the models refuse."""
    monkeypatch.setitem(OPER_STATUSES, UNKNOWN, "sideways")
    monkeypatch.setitem(DAD_STATES, UNKNOWN, "sideways")
    no_text: Any = 7
    monkeypatch.setitem(ROUTE_PROTOCOLS, UNKNOWN, no_text)


@pytest.mark.usefixtures("_names_that_no_model_knows")
@pytest.mark.parametrize("break_record", [break_row, break_interface, break_address, break_route])
def test_a_record_that_our_models_refuse_is_logged_and_counted_and_the_source_goes_on(
    standin: StandIn, break_record: Callable[[StandIn], None]
) -> None:
    for alias in ("eth0", "eth1"):
        standin.add(alias, ["inet"])
        standin.add_address(alias, "192.0.2.1/24")
    with following() as follower:
        before = follower.resync("startup")
        break_record(standin)
        standin.change("eth0", "inet", NlMtu=1400)
        break_record(standin)
        standin.report("eth0", "inet")
        standin.change("eth1", "inet", NlMtu=1400, report=True)
        assert follower.until(Upsert, standin.luid("eth1"), "inet").row.row.nl_mtu == 1400
        follower.source.resync()
        # It stays as it was last valid, since removing it would be false.
        assert follower.resync("reconcile")[0] == before[0]
        assert follower.source.validator.invalid >= 2
        assert {record.levelname for record in follower.log.records} == {"ERROR"}
        assert "from_buffer_copy(bytes.fromhex('" in follower.log.records[0].getMessage()


@pytest.mark.usefixtures("_names_that_no_model_knows")
@pytest.mark.parametrize("break_record", [break_row, break_interface, break_address, break_route])
def test_a_source_begins_though_our_models_refuse_a_record(
    standin: StandIn, break_record: Callable[[StandIn], None]
) -> None:
    standin.add("eth0", ["inet"])
    standin.add("eth1", ["inet"])
    break_record(standin)
    with following() as follower:
        assert [row.interface.alias for row in follower.resync("startup")] == ["eth1"]


def test_a_reconcile_comes_by_itself(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    with following(reconcile_seconds=0.05) as follower:
        follower.resync("startup")
        standin.change("eth0", "inet", NlMtu=1400)
        while follower.resync("reconcile")[0].row.nl_mtu != 1400:
            pass


@pytest.mark.parametrize(
    "function",
    ["GetIpInterfaceEntry", "GetIfEntry2Ex", "GetUnicastIpAddressTable", "GetIpForwardTable2", "GetIfStackTable"],
)
@pytest.mark.parametrize("code", [5, 8])
def test_after_a_failed_reading_everything_is_read(standin: StandIn, function: str, code: int) -> None:
    standin.add("eth0", ["inet"])
    with following() as follower:
        follower.resync("startup")
        standin.fail(function, code, times=3)
        standin.change("eth0", "inet", NlMtu=1400, report=True)
        assert follower.resync("overrun")[0].row.nl_mtu == 1400
        standin.change("eth0", "inet", NlMtu=1401, report=True)
        while not isinstance(update := follower.next(), Upsert):
            standin.report("eth0", "inet")
        assert update.row.row.nl_mtu == 1401
        assert [record.levelname for record in follower.log.records] == ["WARNING"]


def test_a_failure_that_lasts_causes_few_readings(standin: StandIn) -> None:
    """An interface that can never be read again must not cause a snapshot for each notification."""
    standin.add("eth0", ["inet"])
    with following() as follower:
        follower.resync("startup")
        standin.fail("GetIpInterfaceEntry", 5, times=-1)
        for mtu in range(1300, 1500):
            standin.change("eth0", "inet", NlMtu=mtu, report=True)
        while follower.resync("overrun")[0].row.nl_mtu != 1499:
            pass
        assert follower.updates.qsize() <= 1
        assert [record.levelname for record in follower.log.records] == ["WARNING"]


def test_a_missing_transport_has_no_rows(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    for function in ("GetIpInterfaceTable", "GetUnicastIpAddressTable", "GetIpForwardTable2"):
        standin.fail(function, 50, times=-1, family="inet6")
    with following() as follower:
        assert [(row.interface.alias, row.family) for row in follower.resync("startup")] == [("eth0", "inet")]


def test_no_interface_at_all_is_an_empty_table(standin: StandIn) -> None:
    assert standin.counters.reads == 0
    with following() as follower:
        assert follower.resync("startup") == ()


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_cancel_that_windows_refuses_at_the_end_is_logged(standin: StandIn, call: int) -> None:
    with following() as follower:
        follower.resync("startup")
        standin.fail("CancelMibChangeNotify2", 87, times=call)
    assert len(follower.log.lines("stays until the process ends")) == call
    cancel_forgotten()


@pytest.mark.parametrize(
    "function",
    [
        "NotifyIpInterfaceChange",
        "NotifyUnicastIpAddressChange",
        "NotifyRouteChange2",
        "GetIpInterfaceTable",
        "GetIfEntry2Ex",
        "GetIpForwardTable2",
    ],
)
def test_a_source_that_cannot_begin_names_what_failed(standin: StandIn, function: str) -> None:
    standin.add("eth0")
    standin.fail(function, 5)
    follower = CollectedUpdates()
    with pytest.raises(SourceError, match=function):
        next(iter(follower.source.updates()))
    assert standin.counters.registrations == 0


def test_closing_cancels_each_registration(standin: StandIn) -> None:
    with following() as follower:
        follower.resync("startup")
        assert standin.counters.registrations == 3
    assert standin.counters.registrations == 0


def test_closing_while_changes_are_reported(standin: StandIn) -> None:
    standin.add("eth0")
    stop = threading.Event()

    def keep_reporting() -> None:
        while not stop.is_set():
            standin.report_twice("eth0", "inet")

    reporter = threading.Thread(target=keep_reporting)
    reporter.start()
    for _ in range(20):
        with following() as follower:
            follower.resync("startup")
            follower.until(Upsert, standin.luid("eth0"), "inet")
    stop.set()
    reporter.join()
