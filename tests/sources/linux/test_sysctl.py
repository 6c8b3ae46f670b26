"""Details of a link from files and from its driver."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from publisher.sources.linux.rows import PathMtuTimes, Times
from tests.fixtures.netns import NetNs

if sys.platform == "linux":
    from publisher.sources.linux.sysctl import SystemDetails, known_speed
else:
    pytest.skip("sysctl and ethtool are Linux's", allow_module_level=True)

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


def inside(netns: NetNs, look: Callable[[SystemDetails], object]) -> object:
    def looked() -> object:
        details = SystemDetails()
        try:
            return look(details)
        finally:
            details.close()

    return netns.call(looked)


def test_the_details_of_a_link_in_this_namespace(netns: NetNs) -> None:
    netns.veth()
    netns.sysctl("net/ipv4/neigh/v0/retrans_time_ms", 1100)
    netns.sysctl("net/ipv6/neigh/v0/base_reachable_time_ms", 31_000)
    assert inside(netns, lambda details: details.times("inet", b"v0")) == Times(30_000, 1100)
    assert inside(netns, lambda details: details.times("inet6", b"v0")) == Times(31_000, 1000)
    assert inside(netns, lambda details: details.speed(b"v0")) == 10_000_000_000
    assert inside(netns, lambda details: details.is_wireless(b"v0", 2)) is False


def test_what_does_not_exist_is_none(netns: NetNs) -> None:
    assert inside(netns, lambda details: details.times("inet", b"none")) == Times()
    assert inside(netns, lambda details: details.speed(b"none")) is None
    assert inside(netns, lambda details: details.is_wireless(b"none", 2)) is False


def test_path_mtu_times_are_in_milliseconds(netns: NetNs) -> None:
    times = inside(netns, lambda details: details.path_mtu_times())
    assert isinstance(times, PathMtuTimes)
    try:
        seconds = int(netns.sysctl("net/ipv6/route/mtu_expires"))
    except FileNotFoundError:  # the kernel hides it in the namespace of an ordinary user
        assert times.inet6 is None
    else:
        assert times.inet6 == seconds * 1000
