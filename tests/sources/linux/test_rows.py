"""Rows: every member of a row and of its interface, from the link and what else is known of it."""

from __future__ import annotations

from typing import Any

import pytest

from publisher.sources.linux.rows import (
    PathMtuTimes,
    Raw,
    Times,
    has_row,
    interface_values,
    may_be_wireless,
    may_have_speed,
    offloads_of,
    row_values,
    text,
)
from tests.fixtures.netlink_records import (
    IFF_CONNECTED,
    IFF_LOOPBACK,
    IFF_LOWER_UP,
    IFF_MULTICAST,
    IFF_NOARP,
    IFF_UP,
    a_link,
)

MAC = bytes.fromhex("525400123456")
TIMES, TIMES6 = Times(30_000, 1_000, 29_000), Times(31_000, 2_000, None)


def both(name: str, *, link_local: bool = False, **members: Any) -> tuple[Any, Any]:
    """A member of the rows of both families."""
    path_mtu, offloads = PathMtuTimes(600_000, 700_000), offloads_of(["tx-checksum-ipv4", "rx-checksum"])
    raw = Raw(a_link(7, **members), TIMES, TIMES6, path_mtu, offloads, can_wake=True, link_local=link_local)
    inet, inet6 = (row_values(family, "0006008000000000", raw) for family in ("inet", "inet6"))
    return inet.get(name), inet6.get(name)


@pytest.mark.parametrize(
    ("name", "members", "expected"),
    [
        ("forwarding_enabled", {"forwarding": 1, "forwarding6": 0}, (True, False)),
        ("forwarding_enabled", {"forwarding": 0, "forwarding6": 2}, (False, True)),
        ("forwarding_enabled", {}, (None, None)),
        ("nl_mtu", {"mtu": 1500, "mtu6": 1280}, (1500, 1280)),
        ("connected", {"operstate": 6, "flags": 0}, (True, True)),
        ("connected", {"operstate": 5, "flags": IFF_CONNECTED}, (False, False)),
        ("connected", {"operstate": 0, "flags": IFF_LOWER_UP}, (True, True)),
        ("connected", {"operstate": None, "flags": IFF_LOWER_UP}, (True, True)),
        ("connected", {"operstate": 0, "flags": IFF_UP}, (False, False)),
        ("weak_host_send", {}, (True, True)),
        ("weak_host_receive", {}, (True, True)),
        ("use_neighbor_unreachability_detection", {"flags": IFF_NOARP}, (False, False)),
        ("supports_neighbor_discovery", {"flags": IFF_NOARP}, (False, False)),
        ("supports_neighbor_discovery", {"flags": IFF_UP}, (True, True)),
        ("managed_address_configuration_supported", {"flags6": 0x60}, (None, True)),
        ("managed_address_configuration_supported", {"flags6": 0xA0}, (None, False)),
        ("managed_address_configuration_supported", {"flags6": 0xC0}, (None, None)),
        ("managed_address_configuration_supported", {}, (None, None)),
        ("other_stateful_configuration_supported", {"flags6": 0xA0}, (None, True)),
        ("other_stateful_configuration_supported", {"flags6": 0x60}, (None, False)),
        ("other_stateful_configuration_supported", {"flags6": 0x80000010}, (None, None)),
        ("router_discovery_behavior", {"accept_ra": 0, "forwarding6": 0}, (None, None)),
        ("router_discovery_behavior", {"accept_ra": 0, "forwarding6": 1}, (None, None)),
        ("router_discovery_behavior", {"accept_ra": 1, "forwarding6": 0}, (None, "enabled")),
        ("router_discovery_behavior", {"accept_ra": 1, "forwarding6": 1}, (None, "disabled")),
        ("router_discovery_behavior", {"accept_ra": 2, "forwarding6": 1}, (None, "enabled")),
        ("router_discovery_behavior", {"accept_ra": 1, "flags": IFF_UP}, (None, "disabled")),
        ("router_discovery_behavior", {"accept_ra": 1, "flags": IFF_MULTICAST | IFF_LOOPBACK}, (None, "disabled")),
        ("router_discovery_behavior", {}, (None, None)),
        ("supports_router_discovery", {"flags": IFF_MULTICAST}, (None, True)),
        ("supports_router_discovery", {"flags": IFF_MULTICAST | IFF_LOOPBACK}, (None, False)),
        ("supports_router_discovery", {"flags": IFF_UP}, (None, False)),
        ("dad_transmits", {"dad_transmits": 3}, (None, 3)),
        ("base_reachable_time", {}, (30_000, 31_000)),
        ("retransmit_time", {}, (1_000, 2_000)),
        ("reachable_time", {"reachable_time6": 28_000}, (29_000, 28_000)),
        ("path_mtu_discovery_timeout", {}, (600_000, 700_000)),
        ("link_local_address_behavior", {"addr_gen_mode": 0}, (None, "always_on")),
        ("link_local_address_behavior", {"addr_gen_mode": 1}, (None, None)),
        ("link_local_address_behavior", {"addr_gen_mode": 1, "link_local": True}, (None, "always_on")),
        ("link_local_address_behavior", {"addr_gen_mode": 3}, (None, "always_on")),
        ("link_local_address_behavior", {"addr_gen_mode": 3, "hardware_type": 0xFFFE}, (None, "always_on")),
        ("link_local_address_behavior", {"addr_gen_mode": 0, "hardware_type": 512}, (None, None)),
        ("link_local_address_behavior", {"addr_gen_mode": 0, "kind": b"vrf\0"}, (None, None)),
        ("link_local_address_behavior", {"addr_gen_mode": 0, "flags": IFF_UP | 0x800}, (None, None)),
        ("link_local_address_behavior", {"addr_gen_mode": 0, "flags": IFF_UP | IFF_LOOPBACK}, (None, None)),
        ("link_local_address_behavior", {}, (None, None)),
        ("link_local_address_behavior", {"link_local": True}, (None, "always_on")),
        ("zone_indices", {}, (None, (0, 7, 7, *[0] * 13))),
        ("disable_default_routes", {"accept_ra_defrtr": 0}, (None, True)),
        ("disable_default_routes", {"accept_ra_defrtr": 1}, (None, False)),
        ("interface_index", {}, (7, 7)),
        ("supports_wake_up_patterns", {}, (True, True)),
        ("transmit_offload", {}, offloads_of(["tx-checksum-ipv4"])[:2]),
        ("receive_offload", {}, (offloads_of(["rx-checksum"]).receive,) * 2),
    ],
)
def test_a_member_of_the_row(name: str, members: dict[str, Any], expected: tuple[Any, Any]) -> None:
    assert both(name, **members) == expected


@pytest.mark.parametrize(
    ("members", "rows"),
    [
        ({}, (True, True)),
        ({"has_inet": None}, (False, True)),
        ({"has_inet6": None}, (True, False)),
        ({"disable_ipv6": 1}, (True, False)),
        ({"disable_ipv6": None}, (True, True)),
    ],
)
def test_a_link_is_an_ip_interface_of_the_families_that_it_has(
    members: dict[str, Any], rows: tuple[bool, bool]
) -> None:
    link = a_link(**members)
    assert (has_row("inet", link), has_row("inet6", link)) == rows


@pytest.mark.parametrize(
    ("name", "members", "expected"),
    [
        ("alias", {"name": b"a\xff"}, "a\\xff"),
        ("description", {"description": b"the uplink\0"}, "the uplink"),
        ("description", {}, None),
        ("kind", {"kind": b"veth\0"}, "veth"),
        ("physical_address", {"address": MAC}, "52:54:00:12:34:56"),
        ("physical_address", {"address": bytes(6)}, None),
        ("mtu", {"mtu": 9000}, 9000),
        ("admin_status", {"flags": IFF_UP}, "up"),
        ("admin_status", {"flags": IFF_LOWER_UP}, "down"),
        *(
            ("oper_status", {"operstate": number}, state)
            for number, state in enumerate(
                ["unknown", "not_present", "down", "lower_layer_down", "testing", "dormant", "up", "unknown"]
            )
        ),
        ("oper_status", {"operstate": None}, "unknown"),
        ("media_connect_state", {"carrier": 1}, "connected"),
        ("media_connect_state", {"carrier": 0}, "disconnected"),
        ("media_connect_state", {"carrier": None}, "unknown"),
        ("media_connect_state", {"carrier": 1, "flags": 0}, "unknown"),
    ],
)
def test_a_member_of_the_interface(name: str, members: dict[str, Any], expected: object) -> None:
    assert interface_values(a_link(**members), 6, None, 1000, (), ())[name] == expected


def test_the_rest_of_the_interface_is_what_is_given() -> None:
    values = interface_values(a_link(), 53, MAC, 10_000, ("a",), ("b",))
    assert (values["type"], values["transmit_link_speed"], values["receive_link_speed"]) == (53, 10_000, 10_000)
    assert (values["higher"], values["lower"]) == (("a",), ("b",))
    assert values["permanent_physical_address"] == MAC.hex(":")


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, True),
        ({"hardware_type": 772}, False),
        ({"flags": IFF_UP}, False),
        ({"flags": IFF_LOWER_UP}, False),
    ],
)
def test_a_connected_ethernet_can_have_a_speed(members: dict[str, Any], expected: bool) -> None:
    assert may_have_speed(a_link(**members)) is expected


def test_hardware_of_type_ethernet_without_a_kind_can_be_wireless() -> None:
    assert may_be_wireless(a_link())
    assert not may_be_wireless(a_link(kind=b"veth\0"))
    assert not may_be_wireless(a_link(hardware_type=772))


def test_names_of_any_bytes_are_text() -> None:
    assert text(b"a+#/\xff\0") == "a+#/\\xff"
    assert text("ключ\0".encode()) == "ключ"
    assert text(None) is None
