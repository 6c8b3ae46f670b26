"""Identities of every kind of link, as the kernel reports them.

The permanent addresses of kinds are those of Linux 6.1 in a virtual machine (docs/linux.md, "Identities").
"""

from __future__ import annotations

from typing import Any

import pytest

from publisher.sources.identity import Identity
from publisher.sources.linux.identity import burned_in, identity_of
from publisher.sources.linux.iftype import interface_type
from publisher.sources.linux.rows import interface_values
from publisher.sources.luids import LuidAssigner, MemoryLuids
from tests.fixtures.netlink_records import a_link

MAC, LOCAL = bytes.fromhex("b827eb112233"), bytes.fromhex("d20000000101")
VM = bytes.fromhex("525400123456")
DRAWN = bytes.fromhex("0e64cb49bc9d") + bytes(10)
IPV4 = bytes.fromhex("0a000001")
GUID = bytes.fromhex("0002c90300a1b2c3")
IB = bytes.fromhex("80000048fe80000000000000") + GUID
PCI = {"parent_name": b"0000:01:00.0\0", "parent_bus": b"pci\0"}
USB = {"parent_name": b"1-1.2:1.0\0", "parent_bus": b"usb\0"}
GUEST = "f8615163-0000-1000-2000-00155d000001/"
VMBUS = {"parent_name": b"f8615163-0000-1000-2000-00155d000001\0", "parent_bus": b"vmbus\0"}
VIRTIO = {"parent_name": b"virtio0\0", "parent_bus": b"virtio\0"}
SLOT = "0000:01:00.0/"

ETHER, NONE, LOOPBACK, PPP, RAWIP, CAN = 1, 0xFFFE, 772, 512, 519, 280
INFINIBAND: dict[str, Any] = {"hardware_type": 32, "permanent_address": IB}
TUNNEL, TUNNEL6, SIT, GRE, GRE6, RADIOTAP, NETLINK = 768, 769, 776, 778, 823, 803, 824


def hardware(address: bytes, port: str = "", *, lasting: bool = True) -> tuple[Any, ...]:
    return address, port, lasting


NAMED = (b"", "", True)
# What the kernel reports of each, and address, port and `lasting` of the identity.
HARDWARE: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
    ("ethernet, pci", {"permanent_address": MAC, **PCI}, hardware(MAC, SLOT)),
    ("ethernet, kernel before 5.14, without a parent", {"permanent_address": MAC}, hardware(MAC)),
    ("ethernet, kernel before 5.6, without a permanent address", {"address": MAC}, NAMED),
    ("ethernet, the driver reports no permanent address", {"permanent_address": bytes(6), **PCI}, NAMED),
    ("ethernet, virtio", {"permanent_address": VM, **VIRTIO}, hardware(VM, "virtio0/")),
    ("ethernet, usb", {"permanent_address": MAC, **USB}, hardware(MAC, "1-1.2:1.0/")),
    ("bond slave", {"permanent_address": MAC, "address": LOCAL, "master": 9}, hardware(MAC)),
    ("bridge port", {"permanent_address": MAC, "master": 9}, hardware(MAC)),
    ("moved to a namespace and back", {"permanent_address": MAC, "lower_namespace": None}, hardware(MAC)),
    ("wi-fi station or access point", {"permanent_address": MAC, **PCI}, hardware(MAC, SLOT)),
    ("wi-fi monitor", {"hardware_type": RADIOTAP, "permanent_address": MAC}, hardware(MAC)),
    ("usb tether", {"permanent_address": LOCAL, **USB}, hardware(LOCAL, "1-1.2:1.0/", lasting=False)),
    ("usb gadget", {"permanent_address": LOCAL, "parent_bus": b"gadget\0"}, hardware(LOCAL, lasting=False)),
    ("usb tether, kernel before 5.14", {"permanent_address": LOCAL}, hardware(LOCAL)),
    ("usb network card of a virtual machine", {"permanent_address": VM, **USB}, hardware(VM, "1-1.2:1.0/")),
    ("locally administered, not by usb", {"permanent_address": LOCAL, **PCI}, hardware(LOCAL, SLOT)),
    ("sr-iov: a virtual function", {"permanent_address": MAC, **PCI}, hardware(MAC, SLOT)),
    ("sr-iov: a port", {"permanent_address": MAC, "port_name": b"pf0vf1\0", **PCI}, hardware(MAC, SLOT + "pf0vf1")),
    ("hyper-v: the synthetic device", {"permanent_address": MAC, **VMBUS}, hardware(MAC, GUEST)),
    ("net_failover and its standby", {"permanent_address": VM, "master": 3, **VIRTIO}, hardware(VM, "virtio0/")),
    ("infiniband", {**INFINIBAND, "kind": b"ipoib\0", **PCI}, hardware(GUID, SLOT)),
    ("infiniband, older kernel", INFINIBAND, hardware(GUID)),
    ("infiniband, a partition on top", {**INFINIBAND, "kind": b"ipoib\0", "lower": 3}, NAMED),
    ("dsa port", {"kind": b"dsa\0", "permanent_address": MAC, "lower": 3, "port_name": b"p1\0"}, NAMED),
    ("dsa port, kernel before 6.0", {"permanent_address": MAC, "lower": 3, "port_name": b"p1\0"}, NAMED),
    ("xen back end", {"permanent_address": bytes.fromhex("feffffffffff")}, NAMED),
    ("a group address", {"permanent_address": bytes.fromhex("010000000001")}, NAMED),
    ("wwan, raw ip", {"hardware_type": RAWIP, "kind": b"wwan\0"}, NAMED),
    ("wwan, ethernet", {"kind": b"wwan\0", "permanent_address": LOCAL}, NAMED),
    ("wwan, raw ip by usb", {"hardware_type": RAWIP, **USB}, NAMED),
    ("ppp", {"hardware_type": PPP}, NAMED),
    ("loopback", {"hardware_type": LOOPBACK, "permanent_address": bytes(6)}, NAMED),
    ("can", {"hardware_type": CAN, "kind": b"can\0"}, NAMED),
]  # fmt: skip
# Kind, hardware type, and the permanent address that Linux 6.1 reports, if any.
SOFTWARE: list[tuple[str, int, bytes | None]] = [
    *((kind, ETHER, None) for kind in ("bond", "team", "bridge", "vlan", "macvlan", "macvtap", "ipvlan", "macsec")),
    *((kind, ETHER, None) for kind in ("dummy", "ifb", "vxlan", "geneve", "gretap", "erspan", "ip6gretap", "vrf")),
    *((kind, ETHER, None) for kind in ("batadv", "veth", "netkit", "hsr", "virt_wifi", "openvswitch", "netdevsim")),
    # What is made on top of hardware may be reported with its address.
    *((kind, ETHER, MAC) for kind in ("vlan", "macvlan", "macvtap", "ipvlan", "macsec", "bond", "team", "bridge")),
    ("tun", ETHER, None), ("tun", NONE, None), ("tun", ETHER, LOCAL), ("wireguard", NONE, None), ("xfrm", NONE, None),
    ("gre", GRE, IPV4), ("ipip", TUNNEL, IPV4), ("sit", SIT, IPV4), ("vti", TUNNEL, IPV4),
    ("ip6tnl", TUNNEL6, DRAWN), ("ip6gre", GRE6, DRAWN), ("vti6", TUNNEL6, DRAWN), ("ip6gretap", ETHER, LOCAL),
    ("vcan", CAN, None), ("vxcan", CAN, None), ("nlmon", NETLINK, None), ("rmnet", RAWIP, None),
    ("ifb", ETHER, LOCAL), ("dummy", ETHER, LOCAL), ("lowpan", 825, MAC),
]  # fmt: skip


@pytest.mark.parametrize(("members", "expected"), [row[1:] for row in HARDWARE], ids=[row[0] for row in HARDWARE])
def test_a_link_without_a_kind(members: dict[str, Any], expected: tuple[Any, ...]) -> None:
    identity = identity_of(a_link(**members), 6)
    assert identity[3:] == expected
    assert (identity.if_type, identity.name) == (6, b"eth0")


@pytest.mark.parametrize(("kind", "hardware_type", "permanent"), SOFTWARE)
def test_what_software_makes_is_known_by_kind_and_name(kind: str, hardware_type: int, permanent: bytes | None) -> None:
    link = a_link(
        kind=kind.encode() + b"\0", hardware_type=hardware_type, permanent_address=permanent, address=permanent, lower=7
    )
    assert identity_of(link, 131) == Identity(131, kind, b"eth0")
    values = interface_values(link, 131, burned_in(link), None, (), ())
    assert values["permanent_physical_address"] is None


def test_a_tunnel_without_a_kind_has_no_hardware_address() -> None:
    """The hardware type says so as well: a kind is not told of each fallback device of old kernels."""
    for hardware_type, address in ((GRE, IPV4), (TUNNEL6, MAC), (SIT, IPV4), (NONE, MAC)):
        assert identity_of(a_link(hardware_type=hardware_type, permanent_address=address), 131).address == b""


def test_the_published_permanent_address_is_the_whole_one() -> None:
    link = a_link(**INFINIBAND)
    values = interface_values(link, 199, burned_in(link), None, (), ())
    assert values["permanent_physical_address"] == IB.hex(":")


@pytest.mark.parametrize(
    ("members", "dev_port", "expected"),
    [
        ({}, None, ""),
        ({}, 0, ""),
        ({}, 1, "/1"),
        (PCI, 0, SLOT),
        (PCI, 1, SLOT + "1"),
        ({**PCI, "port_name": b"p3\0"}, 1, SLOT + "p3"),
    ],
)
def test_the_place_of_a_link_on_its_device(members: dict[str, Any], dev_port: int | None, expected: str) -> None:
    assert identity_of(a_link(permanent_address=MAC, **members), 6, dev_port).port == expected


def test_a_radio_that_becomes_a_monitor_stays_the_same() -> None:
    station, monitor = (a_link(hardware_type=kind, permanent_address=MAC) for kind in (ETHER, RADIOTAP))
    types = [interface_type(link, wireless=True) for link in (station, monitor)]
    assert identity_of(station, types[0]) == identity_of(monitor, types[1])


def test_a_name_of_any_bytes_and_a_kind_that_is_not_utf8() -> None:
    identity = identity_of(a_link(name=b"a\xff", kind=b"\xfe\0"), 53)
    assert (identity.name, identity.kind) == (b"a\xff", "\\xfe")


# Cases of others, by links


def assigned(assigner: LuidAssigner, index: int, name: str, kind: str, hardware_type: int, permanent: bytes) -> str:
    link = a_link(index, name, kind=kind.encode() + b"\0", hardware_type=hardware_type, permanent_address=permanent)
    return assigner.assign(index, identity_of(link, interface_type(link, wireless=False)))


def test_two_tunnels_from_one_address_are_two() -> None:
    assigner = LuidAssigner(MemoryLuids())
    gre1 = assigned(assigner, 5, "gre1", "gre", GRE, IPV4)
    assigner.release(5)
    assert assigned(assigner, 6, "gre2", "gre", GRE, IPV4) != gre1
    assert assigned(assigner, 7, "gre1", "gre", GRE, IPV4) == gre1


@pytest.mark.parametrize(("kind", "hardware_type"), [("ip6tnl", TUNNEL6), ("ip6gre", GRE6), ("vti6", TUNNEL6)])
def test_a_tunnel_of_which_the_kernel_draws_the_address_has_one_luid_over_boots(kind: str, hardware_type: int) -> None:
    store, seen = MemoryLuids(), set()
    for drawn in ("0e64cb49bc9d", "de488d04f4f0", "263a79217f1e"):
        assigner = LuidAssigner(store)
        seen.add(assigned(assigner, 9, "t0", kind, hardware_type, bytes.fromhex(drawn) + bytes(10)))
        assigner.flush()
    assert len(seen) == 1
