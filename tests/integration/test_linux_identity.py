"""Identities in a real kernel: made anew, renamed, in other programs, over restarts, each interface has one LUID."""

from __future__ import annotations

import sys

import pytest

import publisher
from publisher import netioapi
from publisher.events import Event
from publisher.sources.luids import MemoryLuids
from tests.fixtures.linux_source import Following
from tests.fixtures.netns import NetNs
from tests.fixtures.still_links import add_still_pair

assert sys.platform == "linux"

# How each kind is made, on a link e0 that is there. This kernel may not have all of them.
MADE = {
    "bridge": "link add X type bridge",
    "veth": "link add X type veth peer name X-peer",
    "macvlan": "link add link e0 name X type macvlan",
    "macvtap": "link add link e0 name X type macvtap",
    "ipvlan": "link add link e0 name X type ipvlan",
    "vlan": "link add link e0 name X type vlan id 10",
    "macsec": "link add link e0 name X type macsec",
    "vxlan": "link add X type vxlan id 1 dstport 4789 dev e0",
    "geneve": "link add X type geneve id 1 remote 192.0.2.9",
    "ifb": "link add X type ifb",
    "dummy": "link add X type dummy",
    "bond": "link add X type bond",
    "vrf": "link add X type vrf table 10",
    "wireguard": "link add X type wireguard",
    "gre": "link add X type gre local 192.0.2.1 remote 192.0.2.9",
    "gretap": "link add X type gretap local 192.0.2.1 remote 192.0.2.9",
    "ipip": "link add X type ipip local 192.0.2.1 remote 192.0.2.9",
    "sit": "link add X type sit local 192.0.2.1 remote 192.0.2.9",
    "ip6tnl": "link add X type ip6tnl local fd00::1 remote fd00::2",
    "ip6gre": "link add X type ip6gre local fd00::1 remote fd00::2",
    "vti6": "link add X type vti6 local fd00::1 remote fd00::2",
    "tun": "tuntap add dev X mode tun",
    "tap": "tuntap add dev X mode tap",
    "netkit": "link add X type netkit peer name X-peer",
}


@pytest.fixture
def host(netns: NetNs) -> NetNs:
    add_still_pair(netns, "e0", "e1")
    return netns


def luids(following: Following) -> dict[str, str]:
    return {row.interface.alias: row.luid for row in following.table.rows}


def kinds(events: list[Event], alias: str) -> list[str]:
    return [event.notification_type for event in events if event.interface and event.interface.alias == alias]


@pytest.mark.parametrize("kind", MADE)
def test_each_kind_keeps_its_luid_when_it_is_made_anew_and_after_a_restart(host: NetNs, kind: str) -> None:
    make = MADE[kind].replace("X", "x0")
    try:
        host.ip(make)
    except AssertionError as error:
        pytest.skip(f"this kernel has no {kind}: {str(error).splitlines()[-1]}")
    store = MemoryLuids()
    with Following(host, store) as following:
        first = luids(following)["x0"]
        host.ip("link del x0", "link add between type ifb", make)
        following.settled()
        assert luids(following)["x0"] == first
        host.ip("link set x0 name y0")
        assert "delete_instance" not in kinds(following.settled(), "y0")
        assert luids(following)["y0"] == first
    with Following(host, store) as restarted:
        assert luids(restarted)["y0"] == first


def test_a_second_of_the_same_settings_is_another(host: NetNs) -> None:
    with Following(host) as following:
        host.ip("link add m0 link e0 type macvlan", "link add m1 link e0 type macvlan")
        following.settled()
        first = luids(following)
        host.ip("link del m0", "link del m1", "link add m1 link e0 type macvlan", "link add m0 link e0 type macvlan")
        following.settled()
        assert (luids(following)["m0"], luids(following)["m1"]) == (first["m0"], first["m1"])


def test_renamed_onto_the_name_of_one_that_is_gone_nothing_happens_at_the_restart(host: NetNs) -> None:
    store = MemoryLuids()
    with Following(host, store) as following:
        host.ip("link add tun1 type ifb", "link add tun-home type ifb")
        following.settled()
        mine = luids(following)["tun1"]
        host.ip("link del tun-home")
        following.settled()
        host.ip("link set tun1 name tun-home")
        following.settled()
        assert luids(following)["tun-home"] == mine
        before = luids(following)
    with Following(host, store) as restarted:
        assert luids(restarted) == before


def test_names_that_are_swapped_within_one_drain_are_renames(host: NetNs) -> None:
    store = MemoryLuids()
    with Following(host, store) as following:
        host.ip(*(f"link add name {name} type ifb" for name in "abc"))
        following.settled()
        before = luids(following)
        with following.paused():
            host.ip(*(f"link set dev {old} name {new}" for old, new in ("at", "ba", "cb", "tc")))
        events = following.settled()
        assert {event.notification_type for event in events} == {"parameter_notification"}
        swapped = {"a": before["b"], "b": before["c"], "c": before["a"]}
        assert {name: luid for name, luid in luids(following).items() if name in swapped} == swapped
    with Following(host, store) as restarted:
        assert {name: luid for name, luid in luids(restarted).items() if name in swapped} == swapped


def test_lent_to_a_namespace_and_back_it_is_the_same(host: NetNs) -> None:
    with Following(host) as following:
        host.ip("link add lent type veth peer name other")
        following.settled()
        before = luids(following)["lent"]
        other = NetNs()
        try:
            host.ip(f"link set lent netns {other.path}")
            assert kinds(following.settled(), "lent") == ["delete_instance"] * 2
            other.ip(f"link set lent netns {host.path}")
            assert kinds(following.settled(), "lent")[:2] == ["add_instance"] * 2
        finally:
            other.close()
        assert luids(following)["lent"] == before


def test_a_changed_hardware_address_changes_no_luid(host: NetNs) -> None:
    with Following(host) as following:
        before = luids(following)["e0"]
        host.ip("link set e0 address 02:00:00:00:00:77")
        assert {event.luid for event in following.settled() if event.interface and event.interface.alias == "e0"} == {
            before
        }


def test_every_program_on_a_host_knows_the_same_luids(host: NetNs) -> None:
    """A service with a store and a history, `watch()` without one, and netioapi."""
    store = MemoryLuids()
    host.ip("link add aa type veth peer name ab")
    with Following(host, store):
        pass
    host.ip(
        "link del aa",
        "link add ac type veth peer name ad",
        "link add aa type veth peer name ab",
        "link add z type bridge",
    )

    def watched() -> dict[str, str]:
        found = {}
        for event in publisher.watch(family="inet"):
            assert event.snapshot is not None
            if event.interface and event.luid:
                found[event.interface.alias] = event.luid
            if event.snapshot.position == event.snapshot.count:
                return found
        raise AssertionError("the snapshot ended early")

    def called() -> dict[str, str]:
        return {row.alias: row.interface_luid for row in netioapi.get_if_table2()}

    with Following(host, store) as service:
        assert host.in_thread(watched) == host.in_thread(called) == luids(service)


def test_two_dynamic_addresses_of_one_network_have_no_router_advertisement(host: NetNs) -> None:
    """IFA_F_SECONDARY, which the second one has, is the bit of IFA_F_TEMPORARY."""
    host.ip(*(f"addr add 192.0.2.{n}/24 dev e0 valid_lft 86400 preferred_lft 86400" for n in (50, 51)))
    with Following(host) as following:
        found = {
            entry.address: (entry.prefix_origin, entry.suffix_origin)
            for row in following.table.rows
            for entry in row.addresses
            if row.interface.alias == "e0" and row.family == "inet"
        }
    assert found == {"192.0.2.50": ("other", "other"), "192.0.2.51": ("other", "other")}
