"""The source of Windows with a library of the test's own in the place of iphlpapi.dll, on every system."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import pytest

from publisher.errors import InterfaceNotFoundError, NetioError
from publisher.events import IpInterface, Key, make_luid
from publisher.sources import Remove, Resync, SourceContext, Update, Upsert
from publisher.sources.luids import MemoryLuids
from publisher.sources.windows import source as windows_source
from publisher.sources.windows.iphlpapi import AF_INET, AF_INET6, AF_UNSPEC, DAD_STATES, OPER_STATUSES, ROUTE_PROTOCOLS
from publisher.sources.windows.notifications import AddressNotification, Notification, RouteNotification
from publisher.sources.windows.pending import Pending
from publisher.sources.windows.source import WindowsSource
from publisher.sources.windows.structures import (
    MibIfRow2,
    MibIpForwardRow2,
    MibIpInterfaceRow,
    MibUnicastIpAddressRow,
    NetLuid,
)
from tests.fixtures.logs import CapturedLog

LUID = make_luid(6, 0x8001)
NUMBER = int(LUID, 16)
UNKNOWN = 99


class OneLibrary:
    """One IPv4 interface, as `Iphlpapi` gives it; `called` are the calls in their order."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.registered: list[int] = []
        self.row = MibIpInterfaceRow(Family=AF_INET, InterfaceLuid=NetLuid(NUMBER), InterfaceIndex=7, NlMtu=1500)
        self.interface = MibIfRow2(InterfaceLuid=NetLuid(NUMBER), InterfaceIndex=7, AdminStatus=1, OperStatus=1)
        self.address = MibUnicastIpAddressRow(InterfaceLuid=NetLuid(NUMBER), OnLinkPrefixLength=24, DadState=4)
        self.address.ValidLifetime = self.address.PreferredLifetime = 0xFFFFFFFF  # for ever: another read has the same
        self.address.Address.si_family = AF_INET
        self.address.Address.Ipv4.sin_addr[:] = ip_address("192.0.2.1").packed
        self.routes: list[MibIpForwardRow2] = []
        self.route_errors: list[NetioError] = []
        self.on_notification: Callable[[Notification | None], None] = lambda _: None
        self.on_route: Callable[[RouteNotification | None], None] = lambda _: None
        self.cancelled = 0
        self.exists = True
        self.listed = True

    def notify_ip_interface_change(
        self, family: int, on_notification: Callable[..., None], *, initial: bool
    ) -> OneLibrary:
        assert initial
        self.registered.append(family)
        self.called.append("register")
        self.on_notification = on_notification
        return self

    def notify_unicast_ip_address_change(
        self, family: int, _on_notification: Callable[..., None], *, initial: bool
    ) -> OneLibrary:
        assert initial
        self.registered.append(family)
        self.called.append("register")
        return self

    def notify_route_change2(self, family: int, on_notification: Callable[..., None], *, initial: bool) -> OneLibrary:
        assert initial
        self.registered.append(family)
        self.called.append("register")
        self.on_route = on_notification
        return self

    def cancel(self) -> None:
        self.cancelled += 1

    def ip_interfaces(self, family: int) -> list[MibIpInterfaceRow]:
        self.called.append("read")
        return [self.row] if family == AF_INET and self.listed else []

    def ip_interface(self, family: int, luid: int) -> MibIpInterfaceRow:
        if not self.exists or (family, luid) != (AF_INET, NUMBER):
            raise InterfaceNotFoundError("no such interface")
        return self.row

    def if_entry(self, _luid: int) -> MibIfRow2:
        return self.interface

    def if_stack(self) -> list[tuple[int, int]]:
        return []

    def unicast_addresses(self, family: int) -> list[MibUnicastIpAddressRow]:
        return [self.address] if family == AF_INET else []

    def default_routes(self, family: int) -> list[MibIpForwardRow2]:
        if self.route_errors:
            raise self.route_errors.pop()
        return self.routes if family == AF_INET else []


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> OneLibrary:
    made = OneLibrary()
    monkeypatch.setattr(windows_source, "load", lambda: made)
    return made


@contextmanager
def followed(log: Any = None) -> Iterator[tuple[WindowsSource, Iterator[Sequence[Update]]]]:
    source = WindowsSource(SourceContext(log or CapturedLog(), MemoryLuids(), "inet"))
    updates = source.updates()
    yield source, updates
    source.close()
    assert list(updates) == []


def first(updates: Iterator[Sequence[Update]]) -> IpInterface:
    [update] = next(updates)
    assert isinstance(update, Resync)
    return update.rows[0]


def test_the_source_registers_before_it_reads_and_cancels_at_its_end(library: OneLibrary) -> None:
    with followed() as (_, updates):
        next(updates)
        assert library.called[:4] == ["register", "register", "register", "read"]
        assert library.cancelled == 0
    assert library.cancelled == 3


@pytest.mark.parametrize(("families", "number"), [("unspec", AF_UNSPEC), ("inet", AF_INET), ("inet6", AF_INET6)])
def test_each_registration_is_for_the_chosen_family(library: OneLibrary, families: Any, number: int) -> None:
    source = WindowsSource(SourceContext(CapturedLog(), MemoryLuids(), families))
    updates = source.updates()
    next(updates)
    source.close()
    assert list(updates) == []
    assert library.registered == [number, number, number]


def test_what_windows_confirms_is_not_warned_of(library: OneLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_source, "_CONFIRMED_WITHIN", 0.0)
    log = CapturedLog()
    with followed(log) as (source, updates):
        next(updates)
        library.on_notification(None)
        source.wake()
        next(updates)
        assert source.unconfirmed == 2
        assert [line.partition(": ")[0] for line in log.lines("Windows has not confirmed")] == [
            "NotifyUnicastIpAddressChange",
            "NotifyRouteChange2",
        ]


def test_a_confirmation_has_five_seconds(library: OneLibrary) -> None:
    assert windows_source._CONFIRMED_WITHIN == 5.0
    log = CapturedLog()
    with followed(log) as (source, updates):
        next(updates)
        source.wake()
        next(updates)
        assert log.records == []
    assert library.cancelled == 3


def test_what_is_not_listed_is_removed_only_if_getipinterfaceentry_says_so(library: OneLibrary) -> None:
    log = CapturedLog()
    with followed(log) as (source, updates):
        row = first(updates)
        library.listed = False
        source.resync()
        assert next(updates) == [Resync((row,), "reconcile")]
        library.exists = False
        source.resync()
        assert next(updates) == [Resync((), "reconcile")]
    [line] = log.lines()
    assert line == f"the IP interface {LUID} inet () is removed: no such interface"


def test_an_interface_without_a_luid_has_everything_read(library: OneLibrary) -> None:
    with followed() as (_, updates):
        next(updates)
        library.row.NlMtu = 1400
        library.on_notification(Notification(0, 7, AF_INET, 0))
        [update] = next(updates)
        assert isinstance(update, Resync)
        assert (update.cause, update.rows[0].row.nl_mtu) == ("reconcile", 1400)


# Default routes


def route(next_hop: str = "192.0.2.1", metric: int = 0, luid: int = NUMBER) -> MibIpForwardRow2:
    row = MibIpForwardRow2(InterfaceLuid=NetLuid(luid), InterfaceIndex=7, Metric=metric, Protocol=3)
    row.DestinationPrefix.Prefix.si_family = row.NextHop.si_family = AF_INET
    row.NextHop.Ipv4.sin_addr[:] = ip_address(next_hop).packed
    return row


ROUTE_CHANGED = RouteNotification(NUMBER, 7, AF_INET, b"\xc0\0\2\1", 0)


def test_a_reported_route_has_its_interface_read(library: OneLibrary) -> None:
    library.row.Metric = 25
    with followed() as (_, updates):
        assert first(updates).default_routes == ()
        library.routes = [route("192.0.2.2", 300), route("0.0.0.0", 300), route("192.0.2.1", 5)]
        library.routes.append(route("192.0.2.9", luid=NUMBER + (1 << 24)))
        library.on_route(ROUTE_CHANGED)
        [update] = next(updates)
        assert isinstance(update, Upsert)
        # Best first; the metric is that by which Windows chooses.
        assert [(entry.next_hop, entry.metric) for entry in update.row.default_routes] == [
            ("192.0.2.1", 30),
            (None, 325),
            ("192.0.2.2", 325),
        ]
        library.routes = []
        library.on_notification(Notification(NUMBER, 7, AF_INET, 0))
        assert next(updates) == [Upsert(update.row.model_copy(update={"default_routes": ()}))]


def test_another_metric_of_the_interface_is_another_metric_of_its_routes(library: OneLibrary) -> None:
    library.routes = [route(metric=5)]
    with followed() as (_, updates):
        assert first(updates).default_routes[0].metric == 5
        library.row.Metric = 4000
        library.on_notification(Notification(NUMBER, 7, AF_INET, 0))
        [update] = next(updates)
        assert isinstance(update, Upsert)
        assert update.row.default_routes[0].metric == 4005


def test_routes_that_cannot_be_read_are_not_removed(library: OneLibrary) -> None:
    log = CapturedLog()
    library.routes = [route()]
    with followed(log) as (_, updates):
        before = first(updates)
        library.route_errors = [NetioError("GetIpForwardTable2: not enough memory", 8)] * 2
        library.on_route(ROUTE_CHANGED)
        assert next(updates) == [Resync((before,), "overrun")]
    [line] = log.lines()
    assert "GetIpForwardTable2: not enough memory" in line


# What the models refuse


def break_row(library: OneLibrary) -> None:
    library.row.Family = UNKNOWN


def break_interface(library: OneLibrary) -> None:
    library.interface.OperStatus = UNKNOWN


def break_address(library: OneLibrary) -> None:
    library.address.DadState = UNKNOWN


def break_route(library: OneLibrary) -> None:
    library.routes = [route()]
    library.routes[0].Protocol = UNKNOWN


@pytest.fixture
def _names_that_no_model_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in our tables of names: a number of Windows has a name that the models refuse."""
    monkeypatch.setitem(OPER_STATUSES, UNKNOWN, "sideways")
    monkeypatch.setitem(DAD_STATES, UNKNOWN, "sideways")
    no_text: Any = 7
    monkeypatch.setitem(ROUTE_PROTOCOLS, UNKNOWN, no_text)


@pytest.mark.usefixtures("_names_that_no_model_knows")
@pytest.mark.parametrize("read_by", ["resync", "change"])
@pytest.mark.parametrize("break_record", [break_row, break_interface, break_address, break_route])
def test_a_row_that_the_models_refuse_stays_as_it_was_last_valid(
    library: OneLibrary, break_record: Callable[[OneLibrary], None], read_by: str
) -> None:
    log = CapturedLog()
    with followed(log) as (source, updates):
        before = first(updates)
        if read_by == "change":
            library.row.NlMtu = 1300
            library.on_notification(Notification(NUMBER, 7, AF_INET, 0))
            [update] = next(updates)
            assert isinstance(update, Upsert)
            before = update.row
        break_record(library)
        library.row.NlMtu = 1400
        library.on_notification(Notification(NUMBER, 7, AF_INET, 0))
        assert next(updates) == [Upsert(before)]
        source.resync()
        assert first(updates) == before
        assert source.validator.invalid == 2
    assert [record.levelname for record in log.records] == ["ERROR", "ERROR"]
    assert "from_buffer_copy(bytes.fromhex('" in log.records[0].getMessage()


@pytest.mark.usefixtures("_names_that_no_model_knows")
def test_a_removed_row_does_not_come_back_as_it_was_when_the_models_refuse_it(library: OneLibrary) -> None:
    with followed() as (source, updates):
        next(updates)
        library.exists = False
        library.on_notification(Notification(NUMBER, 7, AF_INET, 2))
        assert next(updates) == [Remove(LUID, "inet")]
        library.exists = True
        break_interface(library)
        library.on_notification(Notification(NUMBER, 7, AF_INET, 1))
        source.wake()
        assert next(updates) == []


@pytest.mark.usefixtures("_names_that_no_model_knows")
@pytest.mark.parametrize("break_record", [break_row, break_interface, break_address, break_route])
def test_a_row_that_the_models_refuse_from_the_beginning_is_left_out_until_it_is_valid(
    library: OneLibrary, break_record: Callable[[OneLibrary], None]
) -> None:
    sound = OneLibrary()
    break_record(library)
    with followed() as (_, updates):
        assert next(updates) == [Resync((), "startup")]
        library.row, library.interface, library.address = sound.row, sound.interface, sound.address
        library.routes = []
        library.on_notification(Notification(NUMBER, 7, AF_INET, 0))
        [update] = next(updates)
        assert isinstance(update, Upsert)
        assert (update.row.key, update.row.interface.oper_status) == (Key(LUID, "inet"), "up")


def test_a_record_in_the_log_can_be_made_again(library: OneLibrary) -> None:
    for record in (library.row, library.interface, library.address, route()):
        again = eval(repr(record))  # the names in the text are imported above
        assert bytes(again) == bytes(record)


# The pending set


CHANGED = (Key(LUID, "inet"), "parameter_notification")


@pytest.mark.parametrize(
    ("notification", "pending"),
    [
        (Notification(NUMBER, 7, AF_INET, 0), CHANGED),
        (Notification(NUMBER, 7, AF_INET6, 1), (Key(LUID, "inet6"), "add_instance")),
        (Notification(NUMBER, 7, AF_INET, 2), (Key(LUID, "inet"), "delete_instance")),
        (Notification(NUMBER, 7, AF_INET, UNKNOWN), CHANGED),
        (Notification(NUMBER, 7, AF_UNSPEC, 0), None),
        (Notification(NUMBER, 7, UNKNOWN, 0), None),
        (None, None),
    ],
)
def test_a_notification_is_pending_under_its_key_and_kind(
    notification: Notification | None, pending: tuple[Key, str] | None
) -> None:
    changes = Pending()
    changes.add_ip_interface(notification)
    assert changes.take(0).changes == ({pending} if pending else set())


@pytest.mark.parametrize("kind", [0, 1, 2, UNKNOWN])
def test_a_change_of_a_route_is_pending_as_that(kind: int) -> None:
    changes = Pending()
    changes.add_route(RouteNotification(NUMBER, 7, AF_INET, bytes(4), kind))
    changes.add_route(RouteNotification(NUMBER, 7, UNKNOWN, bytes(16), kind))
    changes.add_route(None)
    assert changes.take(0).changes == {(Key(LUID, "inet"), "route")}
    assert changes.unconfirmed == ("NotifyIpInterfaceChange", "NotifyUnicastIpAddressChange")


@pytest.mark.parametrize("kind", [0, 1, 2, UNKNOWN])
def test_a_change_of_an_address_is_pending_as_that(kind: int) -> None:
    changes = Pending()
    changes.add_address(AddressNotification(NUMBER, 7, AF_INET, bytes(4), kind))
    changes.add_address(AddressNotification(NUMBER, 7, UNKNOWN, bytes(16), kind))
    changes.add_address(None)
    assert changes.take(0).changes == {(Key(LUID, "inet"), "address")}


def test_what_is_pending_is_held_once_and_taken_once() -> None:
    changes = Pending()
    for _ in range(1000):
        changes.add_ip_interface(Notification(NUMBER, 7, AF_INET, 0))
        changes.resync("overrun")
        changes.wake()
    assert changes.take(0) == (frozenset({CHANGED}), ("overrun",), True, False)
    assert changes.take(0) == (frozenset(), (), False, False)
    changes.close()
    assert [changes.take(0).closed, changes.take(0).closed] == [True, True]
