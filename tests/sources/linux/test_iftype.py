"""Interface types: the kinds of links of Linux, as IANA names them."""

from __future__ import annotations

import pytest

from publisher.sources.linux.iftype import interface_type
from tests.fixtures.netlink_records import a_link

ETHER, NONE, LOOPBACK, PPP, RAW_IP, INFINIBAND, WIFI = 1, 0xFFFE, 772, 512, 519, 32, 801
TUNNELS = (
    "wireguard vxlan geneve gretap ip6gretap erspan ip6erspan ipip sit gre ip6gre ip6tnl vti vti6 xfrm amt bareudp gtp"
)


@pytest.mark.parametrize(
    ("kind", "hardware", "expected"),
    [
        (None, ETHER, 6),
        (None, LOOPBACK, 24),
        (None, PPP, 23),
        (None, RAW_IP, 244),
        (None, INFINIBAND, 199),
        *((None, hardware, 71) for hardware in (801, 802, 803)),
        *((None, hardware, 131) for hardware in (768, 769, 776, 778, 823)),
        (None, 4711, 1),
        ("bridge", ETHER, 209),
        ("vlan", ETHER, 135),
        ("bond", ETHER, 161),
        ("team", ETHER, 161),
        *((kind, ETHER, 131) for kind in TUNNELS.split()),
        ("wireguard", NONE, 131),
        ("tun", NONE, 131),
        ("tun", ETHER, 53),
        ("ppp", PPP, 23),
        ("veth", ETHER, 53),
        ("dummy", ETHER, 53),
        ("something new", NONE, 53),
    ],
)
def test_the_kind_decides_before_the_hardware_type(kind: str | None, hardware: int, expected: int) -> None:
    link = a_link(kind=kind and kind.encode() + b"\0", hardware_type=hardware)
    assert interface_type(link, wireless=False) == expected


@pytest.mark.parametrize(
    ("kind", "hardware", "expected"), [(None, ETHER, 71), ("veth", ETHER, 53), (None, LOOPBACK, 24)]
)
def test_an_ethernet_without_a_kind_can_be_wi_fi(kind: str | None, hardware: int, expected: int) -> None:
    link = a_link(kind=kind and kind.encode() + b"\0", hardware_type=hardware)
    assert interface_type(link, wireless=True) == expected
