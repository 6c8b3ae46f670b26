"""Wi-Fi: a scan and an association make no event but what they change, and roles of one radio stay apart."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.vm.conftest import Boot
from tests.vm.guest import Guest, Machine
from tests.vm.kernel import tool
from tests.vm.links import WIFI
from tests.vm.service import GuestService, alias, changed_members, is_of_instance
from tests.vm.wifi import NETWORK, add_radios, start_access_point, stop_access_point

ROLES = ("wlan0", "uap0", "mon0")
# A carrier that comes or goes, and the addresses that come and go with it.
OF_A_CARRIER = {
    "row.connected", "interface.oper_status", "interface.media_connect_state", "interface.transmit_link_speed",
    "interface.receive_link_speed", "addresses",
}  # fmt: skip


class Radios(NamedTuple):
    """A guest with two radios, one of them with three roles, and what became of their LUIDs."""

    guest: Guest
    service: GuestService


def _start(boot: Boot) -> Radios:
    guest = boot(Machine())
    # Detection of duplicates ends a second or two after the carrier: that would be an event of a later step.
    guest.run("echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad")
    add_radios(guest, 2)
    guest.ip("link set wlan0 up")
    guest.run("mosquitto -d -p 1883; until mosquitto_pub -t ready -m 1; do sleep 0.1; done 2>/dev/null")
    service = GuestService(guest, '[sinks.home]\ntype = "mqtt"\nurl = "mqtt://127.0.0.1"')
    return Radios(guest, service)


@pytest.fixture(scope="module")
def radios(boot: Boot) -> Radios:
    for name, package in (("mosquitto", "mosquitto"), ("mosquitto_sub", "mosquitto-clients"), ("hostapd", "hostapd")):
        tool(name, package)
    started = _start(boot)
    started.service.start()
    return started


@pytest.mark.short
def test_scan_makes_no_event_and_touches_nothing_retained(radios: Radios) -> None:
    guest, service = radios
    before = service.luids()
    # Its topics are those of messages from now on; it ends with the guest.
    guest.run(
        "mosquitto_sub -R -t '#' -F %t >topics 2>&1 </dev/null & sh -c 'until [ -s topics ]; do "
        "mosquitto_pub -t subscribed -m 1; sleep 0.1; done'"
    )
    for _ in range(3):
        guest.run("iw dev wlan0 scan")
    assert service.settle() == []
    assert service.luids() == before
    mark = before["mark"]
    guest.run(f"until grep -q {mark}/inet6/event topics; do sleep 0.1; done")
    # `info` shows how far the retained states are: the mark moves it. The fence belongs to the start.
    others = set(guest.run("cat topics").split()) - {"subscribed", "interfaces/guest/info", "interfaces/guest/fence"}
    assert not [topic for topic in others if mark not in topic]


@pytest.mark.short
def test_association_changes_only_what_a_carrier_changes(radios: Radios) -> None:
    before = radios.service.luids()
    start_access_point(radios.guest)
    # On a busy machine an attempt can time out, and iw says so with status 0.
    radios.guest.run(f"until iw dev wlan0 connect -w {NETWORK} | grep 'connected to'; do :; done")
    radios.service.wait('"alias":"wlan0".*"oper_status":"up"')
    associated = radios.service.settle()
    assert {alias(event) for event in associated} == {"wlan0", "wlan1"}
    assert not [event for event in associated if is_of_instance(event)]
    assert not changed_members([event for event in associated if alias(event) == "wlan0"]) - OF_A_CARRIER
    radios.guest.run("iw dev wlan0 disconnect")
    # The kernel reports a carrier up to a second later (linkwatch).
    radios.service.wait('"alias":"wlan0".*"oper_status":"down"')
    left = radios.service.settle()
    assert {alias(event) for event in left} == {"wlan0"}
    assert not changed_members(left) - OF_A_CARRIER
    stop_access_point(radios.guest)
    radios.service.settle()
    assert radios.service.luids() == before


def test_ibss_changes_only_what_a_carrier_changes(radios: Radios) -> None:
    guest, service = radios
    guest.run("ip link set wlan0 down; iw dev wlan0 set type ibss; ip link set wlan0 up")
    service.settle()
    before = service.luids()
    guest.run("iw dev wlan0 ibss join club 2437")
    service.wait('"alias":"wlan0".*"oper_status":"up"')
    joined = service.settle()
    guest.run("iw dev wlan0 ibss leave")
    joined += service.settle()
    assert {alias(event) for event in joined} == {"wlan0"}
    assert not [event for event in joined if is_of_instance(event)]
    assert not changed_members(joined) - OF_A_CARRIER
    assert service.luids() == before
    guest.run("ip link set wlan0 down; iw dev wlan0 set type managed; ip link set wlan0 up")
    service.settle()


def test_roles_of_one_radio_keep_their_luids(radios: Radios, boot: Boot) -> None:
    """Station, access point and monitor share one permanent address."""
    guest, service = radios
    _make_roles(guest, "uap0 type __ap", "mon0 type monitor")
    service.settle()
    known = service.luids()
    present = {interface.alias: interface.type for interface in service.present().values()}
    assert {name: present[name] for name in ROLES} == dict.fromkeys(ROLES, WIFI)

    guest.run("iw dev uap0 del")
    service.settle()
    guest.run("iw dev mon0 del")
    service.settle()
    _make_roles(guest, "mon0 type monitor")
    service.settle()
    assert service.luids() == {name: luid for name, luid in known.items() if name != "uap0"}
    _make_roles(guest, "uap0 type __ap")
    service.settle()
    assert service.luids() == known
    service.stop()
    guest.shut_down()

    guest, service = _start(boot)
    _make_roles(guest, "mon0 type monitor", "uap0 type __ap")
    events = service.start()
    assert not [event for event in events if is_of_instance(event)]
    assert service.luids() == known


def _make_roles(guest: Guest, *roles: str) -> None:
    for role in roles:
        guest.run(f"iw dev wlan0 interface add {role}")
