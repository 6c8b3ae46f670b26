"""What the drivers of links answer: speeds, and the features that a link has."""

from __future__ import annotations

import sys
from contextlib import closing

import pytest

from publisher.sources.linux.rows import Offloads, offloads_of
from tests.fixtures.features import set_feature
from tests.fixtures.netns import NetNs

if sys.platform == "linux":
    from publisher.sources.linux.ethtool import DriverRequests, known_speed
else:
    pytest.skip("ethtool is Linux's", allow_module_level=True)

assert sys.platform == "linux"


@pytest.mark.parametrize(
    ("megabits", "expected"),
    [
        (10, 10_000_000),
        (100_000, 100_000_000_000),
        (0, None),
        (0xFFFF, None),
        (0xFFFF_FFFF, None),
        (0xFFFE, 65_534_000_000),
    ],
)
def test_an_unknown_speed_is_none(megabits: int, expected: int | None) -> None:
    assert known_speed(megabits) == expected


def supported(offloads: Offloads | None) -> list[set[str]]:
    """The members that are true: of transmitted packets of each family, and of received ones."""
    assert offloads is not None
    return [
        {name.removeprefix("tl_").removesuffix("_supported") for name, value in offload if value}
        for offload in offloads
    ]


CHECKSUMS, CHECKSUMS6 = (
    {"datagram_checksum", "stream_checksum", "stream_options"},
    {"datagram_checksum", "stream_checksum"},
)
LARGE = {"large_send_offload"}


@pytest.mark.parametrize(
    ("active", "expected"),
    [
        (["tx-checksum-ip-generic"], [CHECKSUMS, CHECKSUMS6, set()]),
        (["tx-checksum-ipv4"], [CHECKSUMS, set(), set()]),
        (["tx-checksum-ipv6"], [set(), CHECKSUMS6, set()]),
        (["tx-tcp-segmentation"], [LARGE, set(), set()]),
        (["tx-tcp6-segmentation"], [set(), LARGE, set()]),
        (["rx-checksum"], [set(), set(), CHECKSUMS6]),
        (["tx-generic-segmentation", "rx-gro"], [set(), set(), set()]),
    ],
)
def test_each_feature_is_an_offload_of_its_own(active: list[str], expected: list[set[str]]) -> None:
    assert supported(offloads_of(active)) == expected


def test_what_ethtool_does_not_tell_is_not_known() -> None:
    transmit, transmit6, receive = (
        {name for name, value in offload if value is None} for offload in offloads_of(["tx-checksum-ip-generic"])
    )
    never = {"nl_checksum_supported", "nl_options_supported", "fast_path_compatible", "tl_giant_send_offload_supported"}
    assert transmit == never
    assert transmit6 == never | {"tl_stream_options_supported"}
    assert receive == never | {"tl_stream_options_supported", "tl_large_send_offload_supported"}


def offloads(netns: NetNs, name: bytes) -> Offloads | None:
    def asked() -> Offloads | None:
        with closing(DriverRequests()) as driver:
            assert driver.offloads(b"none") is None
            return driver.offloads(name)

    return netns.call(asked)


@pytest.mark.parametrize(
    ("switched_off", "expected"),
    [
        ((), [CHECKSUMS | LARGE, CHECKSUMS6 | LARGE, CHECKSUMS6]),
        (("rx-checksum",), [CHECKSUMS | LARGE, CHECKSUMS6 | LARGE, set()]),
        (("tx-tcp-segmentation",), [CHECKSUMS, CHECKSUMS6 | LARGE, CHECKSUMS6]),
        (("tx-tcp6-segmentation",), [CHECKSUMS | LARGE, CHECKSUMS6, CHECKSUMS6]),
        # Segmentation needs the checksum: the kernel switches it off as well.
        (("tx-checksum-ip-generic",), [set(), set(), CHECKSUMS6]),
    ],
)
def test_the_offloads_are_the_features_that_the_link_has_now(
    netns: NetNs, switched_off: tuple[str, ...], expected: list[set[str]]
) -> None:
    netns.veth()
    for feature in switched_off:
        netns.call(set_feature, "v0", feature, on=False)
    assert supported(offloads(netns, b"v0")) == expected
    assert supported(offloads(netns, b"v1")) == [CHECKSUMS | LARGE, CHECKSUMS6 | LARGE, CHECKSUMS6]


def test_links_with_the_same_features_share_one_object(netns: NetNs) -> None:
    netns.veth()
    with closing(netns.call(DriverRequests)) as driver:
        assert netns.call(driver.offloads, b"v0") is netns.call(driver.offloads, b"v1")


def test_without_a_socket_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("socket.socket", refused)
    with closing(DriverRequests()) as driver:
        assert (driver.speed(b"lo"), driver.offloads(b"lo"), driver.has_wireless_extensions(b"lo")) == (
            None,
            None,
            False,
        )
