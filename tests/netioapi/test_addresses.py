"""Addresses and their notifications, with the kernel in a network namespace."""

from __future__ import annotations

import json
import queue
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from publisher.events import UNKNOWN
from publisher.netioapi import (
    InterfaceNotFoundError,
    NotFoundError,
    UnicastIpAddressRow,
    cancel_mib_change_notify2,
    convert_interface_alias_to_luid,
    convert_interface_luid_to_index,
    get_unicast_ip_address_entry,
    get_unicast_ip_address_table,
    notify_unicast_ip_address_change,
)
from publisher.netioapi.linux_rows import changed_addresses
from publisher.sources import Remove, Upsert
from publisher.table import Table
from publisher.testing import make_address, make_row

if sys.platform == "win32":
    pytest.skip("the calls of Linux", allow_module_level=True)

from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for

LONG = 60.0


class Notifications:
    """A callback that keeps the address and the kind."""

    def __init__(self) -> None:
        self.rows: queue.Queue[UnicastIpAddressRow | None] = queue.Queue()
        self.all: queue.Queue[tuple[str | None, str]] = queue.Queue()

    def __call__(self, _context: object, row: UnicastIpAddressRow | None, kind: str) -> None:
        self.rows.put(row)
        self.all.put((row.address if row else None, kind))

    def next(self) -> tuple[str | None, str]:
        return self.all.get(timeout=LONG)


@contextmanager
def addresses_followed(family: Any = "unspec", *, initial: bool = False) -> Iterator[Notifications]:
    notifications = Notifications()
    handle = notify_unicast_ip_address_change(family, notifications, "context", initial)
    try:
        yield notifications
    finally:
        cancel_mib_change_notify2(handle)


def test_addresses_that_come_change_and_go_are_reported(netns_with_eth7: NetNs) -> None:
    netns = netns_with_eth7
    luid = convert_interface_alias_to_luid("eth7")
    with addresses_followed(initial=True) as seen:
        assert seen.next() == (None, "initial_notification")
        assert seen.rows.get() is None
        netns.ip("addr add 192.0.2.1/24 dev eth7")
        assert seen.next() == ("192.0.2.1", "add_instance")
        assert seen.rows.get() == UnicastIpAddressRow(
            family="inet",
            address="192.0.2.1",
            interface_luid=luid,
            interface_index=convert_interface_luid_to_index(luid),
        )
        netns.ip("addr add 2001:db8::1/64 dev eth7 nodad")
        assert seen.next() == ("2001:db8::1", "add_instance")
        netns.ip("addr change 2001:db8::1/64 dev eth7 preferred_lft 0")
        assert seen.next() == ("2001:db8::1", "parameter_notification")
        netns.ip("addr del 192.0.2.1/24 dev eth7")
        assert seen.next() == ("192.0.2.1", "delete_instance")
        netns.ip("link del eth7")
        assert seen.next() == ("2001:db8::1", "delete_instance")


def test_a_change_of_the_interface_alone_is_no_change_of_its_addresses(netns_with_eth7: NetNs) -> None:
    netns = netns_with_eth7
    netns.ip("addr add 192.0.2.1/24 dev eth7")
    with addresses_followed("inet") as seen:
        netns.ip("link set eth7 mtu 1400", "link set eth7 alias wan", "addr add 192.0.2.2/24 dev eth7")
        assert seen.next() == ("192.0.2.2", "add_instance")


def test_a_registration_receives_the_addresses_of_its_family(netns_with_eth7: NetNs) -> None:
    with addresses_followed(socket.AF_INET6) as seen:
        netns_with_eth7.ip("addr add 192.0.2.1/24 dev eth7", "addr add 2001:db8::1/64 dev eth7 nodad")
        assert seen.next() == ("2001:db8::1", "add_instance")


def test_the_table_of_addresses_is_that_of_ip(netns_with_eth7: NetNs) -> None:
    netns = netns_with_eth7
    netns.ip("addr add 192.0.2.1/24 dev eth7", "addr add 2001:db8::1/64 dev eth7 nodad valid_lft 1000 preferred_lft 0")
    links = json.loads(netns.run("ip -j addr"))
    shown = {
        (link["ifindex"], entry["local"], entry["prefixlen"], entry["family"])
        for link in links
        for entry in link["addr_info"]
    }
    table = get_unicast_ip_address_table()
    assert {(row.interface_index, row.address, row.prefix_length, row.family) for row in table} == shown
    assert {row.address for row in get_unicast_ip_address_table("inet")} == {"127.0.0.1", "192.0.2.1"}
    luid = convert_interface_alias_to_luid("eth7")
    one = get_unicast_ip_address_entry("2001:DB8:0::1", luid)
    # A lifetime is told in whole seconds from now: two reads may be on both sides of one.
    wait_for(lambda: get_unicast_ip_address_entry("2001:DB8:0::1", luid) in get_unicast_ip_address_table())
    assert (one.dad_state, one.scope, one.preferred_until is None) == ("deprecated", "global", False)
    assert one.valid_until is not UNKNOWN
    assert get_unicast_ip_address_entry("2001:db8::1", index=one.interface_index).interface_luid == luid
    with pytest.raises(NotFoundError, match=r"no address 192\.0\.2\.9"):
        get_unicast_ip_address_entry("192.0.2.9", luid)
    with pytest.raises(InterfaceNotFoundError):
        get_unicast_ip_address_entry("192.0.2.1", "00060fffff000000")


A, B, OTHER_PREFIX = (make_address(address) for address in ("192.0.2.1/24", "192.0.2.2/24", "192.0.2.1/32"))
CHANGED = {
    "one comes": ([], [A], {"192.0.2.1": "add_instance"}),
    "one goes": ([A, B], [B], {"192.0.2.1": "delete_instance"}),
    "one for another": ([A], [B], {"192.0.2.1": "delete_instance", "192.0.2.2": "add_instance"}),
    "another prefix length": ([A], [OTHER_PREFIX], {"192.0.2.1": "parameter_notification"}),
    "a further prefix length": ([A], [A, OTHER_PREFIX], {"192.0.2.1": "parameter_notification"}),
    "one of two prefix lengths goes": ([A, OTHER_PREFIX], [A], {"192.0.2.1": "parameter_notification"}),
    "both prefix lengths go": ([A, OTHER_PREFIX], [], {"192.0.2.1": "delete_instance"}),
}


@pytest.mark.parametrize("change", CHANGED)
def test_an_address_is_reported_once_and_as_it_is(change: str) -> None:
    before, after, kinds = CHANGED[change]
    table = Table([make_row(addresses=before)])
    [event] = table.apply(Upsert(make_row(addresses=after, nl_mtu=1400)))
    assert changed_addresses(event) == kinds


def test_the_addresses_of_an_interface_come_and_go_with_it() -> None:
    table = Table([])
    whole = make_row(addresses=[A, B])
    [added] = table.apply(Upsert(whole))
    [removed] = table.apply(Remove(whole.luid, whole.family))
    assert changed_addresses(added) == dict.fromkeys(("192.0.2.1", "192.0.2.2"), "add_instance")
    assert changed_addresses(removed) == dict.fromkeys(("192.0.2.1", "192.0.2.2"), "delete_instance")
