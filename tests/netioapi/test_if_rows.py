"""MIB_IF_ROW2 with flags and counters, and the conversions, with the kernel in a network namespace."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from publisher.netioapi import (
    InterfaceNotFoundError,
    NotSupportedError,
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
    get_if_table2,
    initialize_ip_interface_entry,
    notify_ip_interface_change,
    set_ip_interface_entry,
)
from publisher.testing import make_row

if sys.platform == "win32":
    pytest.skip("the calls of Linux", allow_module_level=True)

from tests.fixtures.netns import NetNs

LONG = 20.0


# MIB_IF_ROW2


def test_flags_and_types_are_those_of_the_link(netns_with_eth7: NetNs) -> None:
    netns_with_eth7.ip("link set eth8 down")
    rows = {row.alias: row for row in get_if_table2()}
    lo, veth = rows["lo"], rows["eth7"]
    assert (lo.access_type, lo.media_type, lo.tunnel_type) == ("loopback", "loopback", "none")
    assert (veth.access_type, veth.media_type, veth.tunnel_type) == ("broadcast", "802_3", "none")
    for row in (lo, veth):
        assert (row.hardware_interface, row.connector_present, row.filter_interface) == (False, False, False)
        assert (row.interface_guid, row.paused, row.low_power, row.not_authenticated) == (None, None, None, None)
    assert (lo.not_media_connected, veth.not_media_connected) == (False, True)
    netns_with_eth7.ip("link set eth8 up")
    assert get_if_entry2(veth.interface_luid).not_media_connected is False


def test_counters_are_those_of_the_kernel_and_of_one_entry_alone(netns_with_eth7: NetNs) -> None:
    netns = netns_with_eth7
    netns.ip("addr add 192.0.2.1/24 dev eth7")
    with netns.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(10):
            sender.sendto(bytes(1000), ("127.0.0.1", 9))
    luid = convert_interface_alias_to_luid("lo")
    entry = get_if_entry2(luid)
    [link] = json.loads(netns.run("ip -j -s link show lo"))
    received, sent = link["stats64"]["rx"], link["stats64"]["tx"]
    assert (entry.in_octets or 0) > 10_000
    assert {
        "in_octets": received["bytes"],
        "in_packets": received["packets"],
        "in_errors": received["errors"],
        "in_discards": received["dropped"],
        "out_octets": sent["bytes"],
        "out_packets": sent["packets"],
        "out_errors": sent["errors"],
        "out_discards": sent["dropped"],
    } == {name: value for name, value in entry.model_dump().items() if name.startswith(("in_", "out_"))}
    [listed] = [row for row in get_if_table2() if row.alias == "lo"]
    assert not [name for name in json.loads(listed.model_dump_json()) if name.startswith(("in_", "out_"))]


@pytest.mark.usefixtures("netns_with_eth7")
def test_a_row_beside_a_registration_is_the_same_as_without() -> None:
    alone = get_if_table2()
    handle = notify_ip_interface_change("unspec", lambda *_: None)
    assert get_if_table2() == alone
    assert get_if_entry2(alone[0].interface_luid).alias == alone[0].alias
    cancel_mib_change_notify2(handle)


# Conversions


@pytest.mark.usefixtures("netns_with_eth7")
def test_each_conversion_leads_back() -> None:
    for row in get_if_table2():
        luid = row.interface_luid
        assert convert_interface_index_to_luid(row.interface_index) == luid
        assert convert_interface_luid_to_index(luid) == row.interface_index
        assert convert_interface_luid_to_alias(luid) == convert_interface_luid_to_name(luid) == row.alias
        assert convert_interface_alias_to_luid(row.alias) == convert_interface_name_to_luid(row.alias) == luid


@pytest.mark.parametrize(
    "call",
    [
        lambda: convert_interface_index_to_luid(4_000_000_000),
        lambda: convert_interface_luid_to_index("00060fffff000000"),
        lambda: convert_interface_luid_to_alias("00060fffff000000"),
        lambda: convert_interface_luid_to_name("00060fffff000000"),
        lambda: convert_interface_alias_to_luid("nothing"),
        lambda: convert_interface_name_to_luid("nothing"),
        lambda: get_if_entry2(index=4_000_000_000),
    ],
    ids=range(7),
)
@pytest.mark.usefixtures("inside_netns")
def test_what_no_interface_has_is_not_found(call: Callable[[], object]) -> None:
    with pytest.raises(InterfaceNotFoundError) as error:
        call()
    assert (error.value.winerror_code, error.value.winerror) == (2, 2)


def test_linux_has_no_guids() -> None:
    calls: list[Callable[[], str]] = [
        lambda: convert_interface_luid_to_guid("0006008001000000"),
        lambda: convert_interface_guid_to_luid("01234567-89ab-cdef-0123-456789abcdef"),
    ]
    for call in calls:
        with pytest.raises(NotSupportedError, match="no GUIDs: use the LUID") as error:
            call()
        assert error.value.winerror_code == 50


@pytest.mark.parametrize("call", [initialize_ip_interface_entry, set_ip_interface_entry])
@pytest.mark.parametrize("arguments", [(), (make_row().row,)], ids=["nothing", "a row"])
def test_what_would_change_a_host_is_refused_with_the_reason(call: Any, arguments: Any) -> None:
    with pytest.raises(NotSupportedError, match=r"publisher changes no host\. Use netsh") as error:
        call(*arguments)
    assert (error.value.winerror_code, error.value.winerror) == (50, 50)
    assert isinstance(error.value, OSError)
