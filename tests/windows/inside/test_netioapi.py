"""The calls that have no twin in `tests/netioapi/test_calls.py`: what only Windows has, and its error codes."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from publisher.errors import InterfaceNotFoundError, NetioError, NotFoundError
from publisher.events import UNKNOWN
from publisher.netioapi import (
    UnicastIpAddressRow,
    cancel_mib_change_notify2,
    convert_interface_alias_to_luid,
    convert_interface_guid_to_luid,
    convert_interface_index_to_luid,
    convert_interface_luid_to_alias,
    convert_interface_luid_to_guid,
    convert_interface_luid_to_index,
    convert_interface_luid_to_name,
    convert_interface_name_to_luid,
    get_if_entry2,
    get_if_stack_table,
    get_if_table2,
    get_inverted_if_stack_table,
    get_ip_forward_table2,
    get_ip_interface_entry,
    get_ip_interface_table,
    get_unicast_ip_address_entry,
    get_unicast_ip_address_table,
    notify_unicast_ip_address_change,
)
from publisher.sources.windows.iphlpapi import FILTER_INTERFACE
from tests.windows.inside.standin import CHANGED, DELETED, StandIn

LONG = 20.0
NOBODY = "0006007777000000"


@pytest.mark.parametrize("alias", ["eth0", "Ethernet 2", "Подключение по локальной сети", "x" * 256])
def test_each_kind_of_name_leads_to_the_luid_and_back(standin: StandIn, alias: str) -> None:
    standin.add("before")
    standin.add(alias)
    luid = standin.luid(alias)
    assert convert_interface_luid_to_alias(luid) == alias
    assert convert_interface_alias_to_luid(alias) == luid
    assert convert_interface_luid_to_index(luid) == standin.index(alias)
    assert convert_interface_index_to_luid(standin.index(alias)) == luid
    name = convert_interface_luid_to_name(luid)
    assert name == f"ethernet_{int(luid, 16) >> 24 & 0xFFFFFF}"
    assert convert_interface_name_to_luid(name) == luid
    guid = convert_interface_luid_to_guid(luid)
    assert UUID(guid).fields[:2] == (2, 0x4711)
    assert convert_interface_guid_to_luid(guid) == convert_interface_guid_to_luid(UUID(guid)) == luid


CONVERSIONS: dict[str, Callable[[], Any]] = {
    "ConvertInterfaceIndexToLuid": lambda: convert_interface_index_to_luid(9999),
    "ConvertInterfaceLuidToIndex": lambda: convert_interface_luid_to_index(NOBODY),
    "ConvertInterfaceAliasToLuid": lambda: convert_interface_alias_to_luid("nobody"),
    "ConvertInterfaceLuidToAlias": lambda: convert_interface_luid_to_alias(NOBODY),
    "ConvertInterfaceNameToLuidW": lambda: convert_interface_name_to_luid("nobody"),
    "ConvertInterfaceLuidToNameW": lambda: convert_interface_luid_to_name(NOBODY),
    "ConvertInterfaceGuidToLuid": lambda: convert_interface_guid_to_luid(UUID(int=7)),
    "ConvertInterfaceLuidToGuid": lambda: convert_interface_luid_to_guid(NOBODY),
}


@pytest.mark.parametrize("function", CONVERSIONS)
@pytest.mark.parametrize("code", [None, 2, 87, 8])
def test_what_no_interface_has_is_not_found_by_either_code(standin: StandIn, function: str, code: int | None) -> None:
    standin.add("eth0")
    if code is not None:
        standin.fail(function, code)
    with pytest.raises(NetioError) as error:
        CONVERSIONS[function]()
    if code == 8:
        assert (type(error.value), error.value.winerror_code) == (NetioError, 8)
    else:
        assert type(error.value) is InterfaceNotFoundError


def test_flags_and_guid_are_those_of_the_interface_and_counters_come_from_get_if_entry2_alone(
    standin: StandIn,
) -> None:
    standin.add("eth0")
    standin.change_interface("eth0", InterfaceAndOperStatusFlags=0b0000_0101, InOctets=1 << 40, OutQLen=7)
    row = get_if_entry2(standin.luid("eth0"))
    assert (row.alias, row.hardware_interface, row.filter_interface, row.connector_present) == (
        "eth0", True, False, True,
    )  # fmt: skip
    assert row.interface_guid == convert_interface_luid_to_guid(standin.luid("eth0"))
    assert (row.in_octets, row.out_q_len, row.in_errors) == (1 << 40, 7, 0)
    [listed] = get_if_table2()
    assert (listed.interface_guid, listed.in_octets) == (row.interface_guid, None)


def test_filter_modules_are_listed_and_are_in_no_published_stack(standin: StandIn) -> None:
    standin.add("eth0")
    standin.add("vlan7")
    standin.add("firewall", [])
    standin.change_interface("firewall", InterfaceAndOperStatusFlags=FILTER_INTERFACE)
    standin.stack("vlan7", "firewall")
    standin.stack("firewall", "eth0")
    rows = {row.alias: row for row in get_if_table2()}
    assert {alias for alias, row in rows.items() if row.filter_interface} == {"firewall"}
    assert rows["eth0"].higher == (standin.luid("vlan7"),)
    # The call itself returns what Windows has.
    index = standin.index
    assert get_if_stack_table() == [(index("vlan7"), index("firewall")), (index("firewall"), index("eth0"))]


def test_tables_without_anything_are_empty(standin: StandIn) -> None:
    for function in ("GetIfStackTable", "GetInvertedIfStackTable", "GetIpInterfaceTable", "GetUnicastIpAddressTable"):
        standin.fail(function, 1168)
    assert [*get_if_stack_table(), *get_inverted_if_stack_table()] == []
    assert [*get_ip_interface_table(), *get_unicast_ip_address_table(), *get_ip_forward_table2()] == []


def test_a_family_that_is_not_installed_has_nothing(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    for function in ("GetIpInterfaceEntry", "GetIpInterfaceTable", "GetUnicastIpAddressTable", "GetIpForwardTable2"):
        standin.fail(function, 50, times=-1, family="inet6")
    assert (get_ip_interface_table("inet6"), get_unicast_ip_address_table("inet6")) == ([], [])
    assert get_ip_forward_table2("inet6") == []
    with pytest.raises(NotFoundError):
        get_ip_interface_entry("inet6", standin.luid("eth0"))
    assert len(get_ip_interface_table("inet")) == 1


def test_addresses_are_listed_and_found(standin: StandIn) -> None:
    standin.add("eth0")
    standin.add_address("eth0", "192.0.2.10/24")
    # 100 ns since 1601, as FILETIME: 2026-11-25.
    standin.add_address("eth0", "2001:db8::1/64", CreationTimeStamp=134_400_384_000_000_000)
    assert [row.address for row in get_unicast_ip_address_table("inet")] == ["192.0.2.10"]
    assert {row.address for row in get_unicast_ip_address_table()} == {"192.0.2.10", "2001:db8::1"}
    row = get_unicast_ip_address_entry("2001:db8::1", standin.luid("eth0"))
    assert (row.family, row.prefix_length, row.dad_state) == ("inet6", 64, "preferred")
    assert row.creation_time is not None
    assert str(row.creation_time.date()) == "2026-11-25"


def test_default_routes_are_listed_best_first_with_the_complete_metric(standin: StandIn) -> None:
    standin.add("eth0", Metric=25)
    standin.add("wlan0", Metric=50)
    standin.fill_routes(1000)
    standin.set_route("wlan0", "198.51.100.1", Origin=2)
    standin.set_route("eth0", "192.0.2.1", Metric=256, Protocol=10006, Age=7, Publish=1, Loopback=1)
    standin.set_route("eth0", "::", ValidLifetime=600, Immortal=0, Origin=3, SitePrefixLength=64)
    best, other, six = get_ip_forward_table2()
    assert [(row.next_hop, row.metric, row.protocol) for row in (best, other, six)] == [
        ("198.51.100.1", 50, "dhcp"),
        ("192.0.2.1", 281, "static"),
        (None, 25, "ra"),
    ]
    assert [row.destination_prefix for row in (best, other, six)] == ["0.0.0.0/0", "0.0.0.0/0", "::/0"]
    assert (other.interface_luid, other.interface_index) == (standin.luid("eth0"), standin.index("eth0"))
    assert (other.age, other.publish, other.loopback, other.immortal) == (7, True, True, True)
    assert (other.valid_until, other.site_prefix_length, other.origin) == (None, None, "manual")
    assert (six.immortal, six.site_prefix_length, six.origin) == (False, 64, "router_advertisement")
    assert six.valid_until not in (None, UNKNOWN)
    assert get_ip_forward_table2("inet") == [best, other]
    assert get_ip_forward_table2(23)[0].next_hop is None


def test_a_route_whose_interface_is_removed_has_no_metric_and_is_the_last_one(standin: StandIn) -> None:
    standin.add("eth0", ["inet"], Metric=25)
    standin.add("wlan0", ["inet"])
    for alias in ("wlan0", "eth0"):
        standin.set_route(alias, "192.0.2.1")
    standin.remove("wlan0")
    assert [(row.interface_luid, row.metric) for row in get_ip_forward_table2("inet")] == [
        (standin.luid("eth0"), 25),
        (standin.luid("wlan0"), None),
    ]


def test_a_changed_address_is_reported_by_its_key(standin: StandIn) -> None:
    standin.add("eth0")
    calls: queue.Queue[Any] = queue.Queue()
    handle = notify_unicast_ip_address_change("inet6", lambda *call: calls.put(call), "context", True)
    assert calls.get(timeout=LONG) == ("context", None, "initial_notification")
    standin.report_address("eth0", "192.0.2.1/24")
    standin.add_address("eth0", "2001:db8::1/64", report=True)
    standin.report_address("eth0", "2001:db8::1/64", CHANGED)
    standin.report_address("eth0", "2001:db8::1/64", DELETED)
    kinds = []
    for _ in range(3):
        context, row, kind = calls.get(timeout=LONG)
        kinds.append(kind)
        assert context == "context"
        assert row == UnicastIpAddressRow(
            family="inet6",
            address="2001:db8::1",
            interface_luid=standin.luid("eth0"),
            interface_index=standin.index("eth0"),
        )
    assert kinds == ["add_instance", "parameter_notification", "delete_instance"]
    cancel_mib_change_notify2(handle)
