"""What happens to links while the publisher follows them: cards are plugged in and out, tunnels made, names swapped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from tests.vm.conftest import Boot
from tests.vm.guest import Guest, Machine
from tests.vm.links import E1000, VIRTIO
from tests.vm.service import GuestService, alias, is_of_instance

BUS = "qemu-xhci,id=usb,addr=0x10"
# Locally administered, as a phone that tethers makes up.
FIRST_MAC, SECOND_MAC = "d2:00:00:00:01:01", "ae:00:00:00:02:02"
# Of a maker.
ADAPTER_MAC, OTHER_ADAPTER_MAC = "00:1b:21:00:00:11", "00:1b:21:00:00:12"
# The kernel draws their permanent address at random each time.
RANDOM = ("ip6tnl", "ip6gre", "vti6")
NAMES = {"eth0": "eth1", "eth1": "eth0", "dummy1": "dummy2", "dummy2": "dummy1", "wg1": "wg-home"}


class Followed:
    """A guest whose publisher follows, with a USB bus and two cards, eth0 (virtio) and eth1 (e1000)."""

    def __init__(self, boot: Boot) -> None:
        self.guest = boot(Machine([BUS, VIRTIO.plugged("addr=0x5"), E1000.plugged("addr=0x6")]))
        self.guest.run("modprobe -a virtio_net && modprobe -a e1000 xhci_pci cdc_ether")
        self.service = GuestService(self.guest)
        self.service.start()
        self._plugs = count()

    @contextmanager
    def plugged(self, mac: str, port: int = 1) -> Iterator[str]:
        """Plugs a USB network device in for the block; yields the name of its link."""
        device = f"plug{next(self._plugs)}"
        self.guest.monitor.execute("device_add", driver="usb-net", id=device, bus="usb.0", mac=mac, port=str(port))
        self.guest.run(f"until grep -q {mac} /sys/class/net/*/address; do sleep 0.1; done")
        name = self.guest.run(f"grep -l {mac} /sys/class/net/*/address").split("/")[4]
        self.service.wait(f'"alias":"{name}"')
        yield name
        self.guest.monitor.unplug(device)
        self.guest.run(f"while [ -e /sys/class/net/{name} ]; do sleep 0.1; done")

    def luid_when_plugged(self, mac: str, port: int = 1) -> str:
        """Plugs a device in, and out again; returns its LUID."""
        with self.plugged(mac, port) as name:
            self.service.settle()
            luid = self.service.luids()[name]
        assert {event.notification_type for event in self.service.settle()} == {"delete_instance"}
        return luid


@pytest.fixture(scope="module")
def followed(boot: Boot) -> Followed:
    return Followed(boot)


@pytest.fixture
def guest(followed: Followed) -> Guest:
    return followed.guest


@pytest.fixture
def service(followed: Followed) -> GuestService:
    return followed.service


@pytest.mark.short
def test_phone_with_another_address_at_each_plug_is_one_interface(followed: Followed) -> None:
    assert len({followed.luid_when_plugged(mac) for mac in (FIRST_MAC, SECOND_MAC, FIRST_MAC)}) == 1


@pytest.mark.short
def test_adapter_keeps_its_luid_in_another_port(followed: Followed) -> None:
    assert followed.luid_when_plugged(ADAPTER_MAC, 1) == followed.luid_when_plugged(ADAPTER_MAC, 3)


def test_another_adapter_of_the_same_name_has_another_luid(followed: Followed) -> None:
    assert followed.luid_when_plugged(ADAPTER_MAC) != followed.luid_when_plugged(OTHER_ADAPTER_MAC)


def test_two_phones_at_once_are_two_interfaces(followed: Followed) -> None:
    with followed.plugged(FIRST_MAC, 1) as one, followed.plugged(SECOND_MAC, 2) as two:
        followed.service.settle()
        luids = followed.service.luids()
        assert luids[one] != luids[two]
    followed.service.settle()


def test_tunnels_of_one_local_address_are_different_interfaces(guest: Guest, service: GuestService) -> None:
    make = "link add {} type gre local 10.0.0.1 remote 10.0.0.{}"
    guest.ip(make.format("gre1", 2))
    service.settle()
    known = service.luids()["gre1"]
    guest.ip("link del gre1")
    service.settle()
    guest.ip(make.format("gre2", 3))
    service.settle()
    other = service.luids()["gre2"]
    guest.ip(make.format("gre1", 2))
    service.settle()
    assert (service.luids()["gre1"], service.luids()["gre2"]) == (known, other)
    assert known != other


def test_tunnels_with_a_random_permanent_address_keep_their_luids(guest: Guest, service: GuestService) -> None:
    make = [f"link add {kind}1 type {kind} local fd00::1 remote fd00::2" for kind in RANDOM]
    remove = [f"link del {kind}1" for kind in RANDOM]
    guest.ip(*make)
    service.settle()
    known = service.luids()
    guest.ip(*remove, *make)
    service.settle()
    assert service.luids() == known
    # So does a restart that finds them made again.
    service.stop()
    guest.ip(*remove, *make)
    assert not [event for event in service.start() if is_of_instance(event)]
    assert service.luids() == known
    guest.ip(*remove)
    service.settle()


def test_address_of_a_tunnel_is_no_permanent_one(guest: Guest, service: GuestService) -> None:
    guest.ip("link add gre3 type gre local 10.0.0.1 remote 10.0.0.4")
    service.settle()
    [gre] = [interface for interface in service.present().values() if interface.alias == "gre3"]
    assert gre.permanent_physical_address is None
    guest.ip("link del gre3")
    service.settle()


@pytest.mark.short
def test_renamed_card_keeps_its_luid(guest: Guest, service: GuestService) -> None:
    known = service.luids()["eth0"]
    guest.ip("link set eth0 name enp0s5")
    renamed = service.settle()
    assert service.luids()["enp0s5"] == known
    assert {(event.notification_type, *event.changed) for event in renamed} == {
        ("parameter_notification", "interface.alias")
    }
    guest.ip("link set enp0s5 name eth0")
    service.settle()


def test_swapped_and_inherited_names_move_no_luid(guest: Guest, service: GuestService) -> None:
    guest.ip("link add dummy1 type dummy", "link add dummy2 type dummy")
    guest.ip("link add wg1 type wireguard", "link add wg-home type wireguard")
    service.settle()
    guest.ip("link del wg-home")
    service.settle()
    before = service.luids()
    for one, two in (("eth0", "eth1"), ("dummy1", "dummy2")):
        guest.ip(f"link set {one} name swap", f"link set {two} name {one}", f"link set swap name {two}")
    guest.ip("link set wg1 name wg-home")
    assert not [event for event in service.settle() if is_of_instance(event)]
    after = service.luids()
    assert {one: after[two] for one, two in NAMES.items()} == {one: before[one] for one in NAMES}
    # The publisher has stored that: after a restart nothing has happened.
    service.stop()
    assert service.start() == []
    assert service.luids() == after
    guest.ip("link del dummy1", "link del dummy2", "link del wg-home")
    guest.ip("link set eth0 name swap", "link set eth1 name eth0", "link set swap name eth1")
    service.settle()


def test_bond_takes_cards_and_gives_them_back(guest: Guest, service: GuestService) -> None:
    """A slave's address is the bond's; its permanent one is its own."""
    before = service.luids()
    guest.ip("link add bond1 type bond mode active-backup", "link set eth0 master bond1", "link set eth1 master bond1")
    joined = service.settle()
    luids = service.luids()
    lower = {event.interface.lower for event in joined if event.interface and alias(event) == "bond1"}
    assert tuple(sorted((luids["eth0"], luids["eth1"]))) in lower
    guest.ip("link set eth0 nomaster", "link del bond1")
    left = service.settle()
    assert {alias(event) for event in left if is_of_instance(event)} == {"bond1"}
    assert service.luids() == before


@pytest.mark.short
def test_nothing_is_logged_as_wrong(guest: Guest, service: GuestService) -> None:
    guest.ip(
        "link add port1 type dummy", "link add bridge1 type bridge vlan_filtering 1", "link set port1 master bridge1"
    )
    service.settle()
    guest.ip("link del port1", "link del bridge1")
    service.settle()
    assert service.complaints() == []
