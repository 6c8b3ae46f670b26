"""The calls on Windows over a library of the test's own, on every system: what is passed on and what is left out."""

from __future__ import annotations

import ctypes
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from publisher.events import IpInterfaceRow, make_luid
from publisher.netioapi import IfRow, IpForwardRow, UnicastIpAddressRow
from publisher.netioapi.windows import WindowsSystem
from publisher.netioapi.windows_rows import address_key, address_row, if_row, route_row
from publisher.sources.windows.iphlpapi import AF_INET, AF_INET6, AF_UNSPEC
from publisher.sources.windows.notifications import (
    AddressNotification,
    Notification,
    OnNotification,
    OnRouteNotification,
    RouteNotification,
    address_changed,
)
from publisher.sources.windows.structures import (
    Guid,
    MibIfRow2,
    MibIpForwardRow2,
    MibIpInterfaceRow,
    MibUnicastIpAddressRow,
    NetLuid,
)
from publisher.testing import make_row

LUID = make_luid(6, 0x8001)
NUMBER = int(LUID, 16)


class OneLibrary:
    """Rows and a registration, as `Iphlpapi` gives them."""

    def __init__(self) -> None:
        self.rows: list[MibIpInterfaceRow] = []
        self.registered: list[tuple[int, bool]] = []
        self.cancelled = 0
        self.on_notification: OnNotification | None = None
        self.on_route: OnRouteNotification | None = None
        self.routes: list[MibIpForwardRow2] = []

    def notify_ip_interface_change(self, family: int, on_notification: OnNotification, *, initial: bool) -> OneLibrary:
        self.registered.append((family, initial))
        self.on_notification = on_notification
        return self

    def notify_route_change2(self, family: int, on_notification: OnRouteNotification, *, initial: bool) -> OneLibrary:
        self.registered.append((family, initial))
        self.on_route = on_notification
        return self

    def cancel(self) -> None:
        self.cancelled += 1

    def ip_interfaces(self, _family: int) -> list[MibIpInterfaceRow]:
        return self.rows

    def default_routes(self, _family: int) -> list[MibIpForwardRow2]:
        return self.routes


def key(family: Any) -> IpInterfaceRow:
    return IpInterfaceRow(family=family, interface_luid=LUID, interface_index=7)


@pytest.mark.parametrize(
    ("notification", "received"),
    [
        (None, [(None, "initial_notification")]),
        (Notification(NUMBER, 7, AF_INET, 0), [(key("inet"), "parameter_notification")]),
        (Notification(NUMBER, 7, AF_INET6, 1), [(key("inet6"), "add_instance")]),
        (Notification(NUMBER, 7, AF_INET, 2), [(key("inet"), "delete_instance")]),
        (Notification(NUMBER, 7, AF_UNSPEC, 0), []),
        (Notification(NUMBER, 7, 99, 0), []),
        (Notification(NUMBER, 7, AF_INET, 4), []),
        (Notification(NUMBER, 7, AF_INET, -1), []),
    ],
)
def test_a_notification_of_no_name_is_left_out(notification: Notification | None, received: list[Any]) -> None:
    library: Any = OneLibrary()
    passed_on: list[Any] = []
    WindowsSystem(library).subscribe("unspec", lambda *call: passed_on.append(call), False)
    library.on_notification(notification)
    assert passed_on == received


@pytest.mark.parametrize(("family", "number"), [("unspec", AF_UNSPEC), ("inet", AF_INET), ("inet6", AF_INET6)])
@pytest.mark.parametrize("initial", [True, False])
def test_a_registration_has_the_systems_number_of_the_family(family: Any, number: int, initial: bool) -> None:
    library: Any = OneLibrary()
    system = WindowsSystem(library)
    for subscribe in (system.subscribe, system.subscribe_routes):
        subscribe(family, lambda *_: None, initial)()
    assert library.registered == [(number, initial)] * 2
    assert library.cancelled == 2


def test_rows_of_a_family_without_a_name_are_left_out() -> None:
    library: Any = OneLibrary()
    library.rows = [
        MibIpInterfaceRow(Family=family, InterfaceLuid=NetLuid(NUMBER), InterfaceIndex=7)
        for family in (AF_INET, 99, AF_INET6)
    ]
    assert [row.family for row in WindowsSystem(library).ip_interfaces("unspec")] == ["inet", "inet6"]


# Rows: a distinct value in every member comes out under its name.

GUIDS = {"interface_guid": UUID(int=1 << 100 | 7), "network_guid": UUID(int=1 << 101 | 8)}
CAMEL = {name: "".join(part.capitalize() for part in name.split("_")) for name in IfRow.names}
COUNTERS = sorted(name for name in IfRow.names if name.startswith(("in_", "out_")) and not name.endswith("_packets"))
FLAGS = (
    "hardware_interface",
    "filter_interface",
    "connector_present",
    "not_authenticated",
    "not_media_connected",
    "paused",
    "low_power",
    "end_point_interface",
)


def raw_interface(**members: Any) -> MibIfRow2:
    raw = MibIfRow2(InterfaceLuid=NetLuid(NUMBER), InterfaceIndex=7, **members)
    for name, guid in GUIDS.items():
        setattr(raw, CAMEL[name], Guid.from_buffer_copy(guid.bytes_le))
    return raw


def made(raw: MibIfRow2, *, counters: bool = False) -> IfRow:
    return if_row(raw, make_row().interface, counters=counters)


def test_each_counter_comes_out_under_its_name() -> None:
    values = {name: (1 << 40) + number for number, name in enumerate(COUNTERS)}
    raw = raw_interface(**{CAMEL[name]: value for name, value in values.items()})
    row = made(raw, counters=True)
    assert len(COUNTERS) == 18
    assert {name: getattr(row, name) for name in COUNTERS} == values
    assert row.in_packets == values["in_ucast_pkts"] + values["in_n_ucast_pkts"]
    assert row.out_packets == values["out_ucast_pkts"] + values["out_n_ucast_pkts"]
    without = made(raw)
    assert not [name for name in without.model_dump() if name.startswith(("in_", "out_"))]


@pytest.mark.parametrize("bit", range(8))
def test_each_flag_is_its_bit(bit: int) -> None:
    row = made(raw_interface(InterfaceAndOperStatusFlags=1 << bit))
    assert [name for name in FLAGS if getattr(row, name)] == [FLAGS[bit]]


# Numbers of ntddndis.h and ifdef.h, and one that has no name.
NAMED = {
    "tunnel_type": {0: "none", 1: "other", 2: "direct", 11: "6to4", 13: "isatap", 14: "teredo", 15: "iphttps", 3: None},
    "media_type": {0: "802_3", 3: "wan", 9: "wireless_wan", 14: "infiniband", 16: "native_802_11", 17: "loopback"}
    | {15: "tunnel", 18: "wimax", 19: "ip", 20: None, -1: None},
    "physical_medium_type": {0: "unspecified", 1: "wireless_lan", 6: "fibre_channel", 9: "native_802_11"}
    | {10: "bluetooth", 14: "802_3", 19: "other", 20: "native_802_15_4", 21: None},
    "access_type": {1: "loopback", 2: "broadcast", 3: "point_to_point", 4: "point_to_multi_point", 0: None, 5: None},
    "direction_type": {0: "send_receive", 1: "send_only", 2: "receive_only", 3: None},
    "connection_type": {1: "dedicated", 2: "passive", 3: "demand", 0: None, 4: None},
}


@pytest.mark.parametrize(("member", "number"), [(member, number) for member in NAMED for number in NAMED[member]])
def test_each_number_of_a_type_has_its_name(member: str, number: int) -> None:
    # All others have a number without a name.
    raw = raw_interface(**dict.fromkeys((CAMEL[name] for name in NAMED), 77))
    setattr(raw, CAMEL[member], number)
    row = made(raw)
    assert {name: getattr(row, name) for name in NAMED} == {**dict.fromkeys(NAMED), member: NAMED[member][number]}


def test_the_guids_and_the_key_come_out_under_their_names() -> None:
    row = made(raw_interface())
    assert {name: getattr(row, name) for name in GUIDS} == {name: str(guid) for name, guid in GUIDS.items()}
    assert (row.interface_luid, row.interface_index) == (LUID, 7)
    assert made(MibIfRow2()).interface_guid is None


def raw_address(**members: Any) -> MibUnicastIpAddressRow:
    raw = MibUnicastIpAddressRow(InterfaceLuid=NetLuid(NUMBER), InterfaceIndex=7, **members)
    raw.Address.si_family = AF_INET6
    raw.Address.Ipv6.sin6_addr = (ctypes.c_uint8 * 16)(*range(16))
    return raw


def test_a_row_of_an_address_has_its_key_and_its_moments() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    created = 134_000_000_000_000_000  # units of 100 ns since 1601
    raw = raw_address(
        OnLinkPrefixLength=64, ValidLifetime=60, PreferredLifetime=0xFFFF_FFFF, CreationTimeStamp=created, DadState=4
    )
    row = address_row(raw, now)
    assert (row.family, row.address, row.interface_luid, row.interface_index) == (
        "inet6",
        "1:203:405:607:809:a0b:c0d:e0f",
        LUID,
        7,
    )
    assert (row.prefix_length, row.dad_state, row.preferred_until) == (64, "preferred", None)
    assert row.valid_until == now + timedelta(seconds=60)
    assert row.creation_time == datetime.fromtimestamp(134_000_000_000 / 10 - 11_644_473_600, UTC)
    assert address_row(raw_address(CreationTimeStamp=(1 << 63) - 1), now).creation_time is None
    assert address_row(raw_address(), now).creation_time is None


def test_of_a_reported_address_the_key_is_copied() -> None:
    received: list[Any] = []
    raw = raw_address()
    address_changed(received.append, None, ctypes.pointer(raw), 1)
    address_changed(received.append, None, None, 3)
    address_changed(received.append, None, None, 0)
    ctypes.memset(ctypes.byref(raw), 0xCC, ctypes.sizeof(raw))
    assert received == [AddressNotification(NUMBER, 7, AF_INET6, bytes(range(16)), 1), None]
    assert address_key(received[0]) == UnicastIpAddressRow(
        family="inet6", address="1:203:405:607:809:a0b:c0d:e0f", interface_luid=LUID, interface_index=7
    )


# Default routes


def raw_route(family: int = AF_INET, luid: int = NUMBER, **members: Any) -> MibIpForwardRow2:
    raw = MibIpForwardRow2(InterfaceLuid=NetLuid(luid), InterfaceIndex=7, **members)
    raw.DestinationPrefix.Prefix.si_family = family
    raw.NextHop.Ipv4.sin_addr[:] = bytes([192, 0, 2, 1])
    return raw


def test_routes_have_the_metric_of_their_interface_in_their_family() -> None:
    library: Any = OneLibrary()
    library.rows = [
        MibIpInterfaceRow(Family=family, InterfaceLuid=NetLuid(NUMBER), Metric=metric)
        for family, metric in ((AF_INET, 25), (AF_INET6, 50))
    ]
    library.routes = [raw_route(family, luid, Metric=5) for family in (AF_INET, AF_INET6, 99) for luid in (NUMBER, 1)]
    rows = WindowsSystem(library).default_routes("unspec")
    assert [(row.family, row.destination_prefix, row.interface_luid, row.metric) for row in rows] == [
        ("inet", "0.0.0.0/0", LUID, 30),
        ("inet", "0.0.0.0/0", "0000000000000001", None),
        ("inet6", "::/0", LUID, 55),
        ("inet6", "::/0", "0000000000000001", None),
    ]


def route_of(family: Any, destination_prefix: str, next_hop: str | None) -> IpForwardRow:
    return IpForwardRow(
        family=family,
        destination_prefix=destination_prefix,
        next_hop=next_hop,
        interface_luid=LUID,
        interface_index=7,
    )


@pytest.mark.parametrize(
    ("notification", "received"),
    [
        (None, [(None, "initial_notification")]),
        (
            RouteNotification(NUMBER, 7, AF_INET, bytes([192, 0, 2, 1]), 1),
            [(route_of("inet", "0.0.0.0/0", "192.0.2.1"), "add_instance")],
        ),
        (
            RouteNotification(NUMBER, 7, AF_INET6, bytes(16), 2),
            [(route_of("inet6", "::/0", None), "delete_instance")],
        ),
        (RouteNotification(NUMBER, 7, 99, bytes(16), 0), []),
        (RouteNotification(NUMBER, 7, AF_INET, bytes(4), 4), []),
    ],
)
def test_a_notification_of_a_route_is_passed_on_by_its_key(
    notification: RouteNotification | None, received: list[Any]
) -> None:
    library: Any = OneLibrary()
    passed_on: list[Any] = []
    WindowsSystem(library).subscribe_routes("unspec", lambda *call: passed_on.append(call), False)
    library.on_route(notification)
    assert passed_on == received


def test_the_flags_and_lifetimes_of_a_route_come_out_under_their_names() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    unset = route_row(raw_route(SitePrefixLength=255, ValidLifetime=0xFFFF_FFFF, Origin=99), 0, now)
    assert (unset.site_prefix_length, unset.valid_until, unset.origin) == (None, None, None)
    assert (unset.loopback, unset.autoconfigure_address, unset.publish, unset.immortal) == (False,) * 4
    for name in ("loopback", "autoconfigure_address", "publish", "immortal"):
        row = route_row(raw_route(**{CAMEL_OF_ROUTES[name]: 1}), 0, now)
        assert [flag for flag in CAMEL_OF_ROUTES if getattr(row, flag) is True] == [name]
    ends = route_row(raw_route(ValidLifetime=60, PreferredLifetime=30, SitePrefixLength=32), 0, now)
    assert (ends.valid_until, ends.preferred_until) == (now + timedelta(seconds=60), now + timedelta(seconds=30))
    assert ends.site_prefix_length == 32


CAMEL_OF_ROUTES = {
    "loopback": "Loopback",
    "autoconfigure_address": "AutoconfigureAddress",
    "publish": "Publish",
    "immortal": "Immortal",
}
