"""Details of a link from files; watches: on which directories, how many, and after a rename."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from publisher.sources.linux.rows import PathMtuTimes, Times
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for

if sys.platform == "linux":
    from publisher.sources.linux.sysctl import Inotify, Modified, SettingWatches, SystemDetails
else:
    pytest.skip("sysctl and ethtool are Linux's", allow_module_level=True)

assert sys.platform == "linux"

NOTHING = Modified(set(), all=False)


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


@pytest.mark.parametrize(
    ("shown", "expected"), [("enabled\n", True), ("disabled\n", True), ("\n", False), (None, None)]
)
def test_a_device_can_wake_the_host_where_sysfs_says_so(
    tmp_path: Path, shown: str | None, expected: bool | None
) -> None:
    """The sysfs is made up: no machine of ours has a device that can wake it."""
    device = tmp_path / "bus/pci/devices/0000:00:03.0/power"
    device.mkdir(parents=True)
    if shown is not None:
        (device / "wakeup").write_text(shown)
    with closing(SystemDetails()) as details:
        assert details.can_wake(b"pci", b"0000:00:03.0", bytes(tmp_path)) is expected
        assert details.can_wake(b"usb", b"0000:00:03.0", bytes(tmp_path)) is None


def test_path_mtu_times_are_in_milliseconds(netns: NetNs) -> None:
    times = inside(netns, lambda details: details.path_mtu_times())
    assert isinstance(times, PathMtuTimes)
    try:
        seconds = int(netns.sysctl("net/ipv6/route/mtu_expires"))
    except FileNotFoundError:  # the kernel hides it in the namespace of an ordinary user
        assert times.inet6 is None
    else:
        assert times.inet6 == seconds * 1000


@pytest.fixture
def links(netns: NetNs) -> NetNs:
    """A namespace with three links."""
    netns.ip(*(f"link add l{number} index {number} type ifb" for number in (11, 12, 13)))
    return netns


@pytest.fixture
def watches(links: NetNs) -> Iterator[SettingWatches]:
    """Watches in the namespace, on at most two links."""
    opened = links.call(SettingWatches, 2)
    yield opened
    opened.close()


def modified(watches: SettingWatches) -> Modified:
    return wait_for(lambda: found if (found := watches.modified()) != NOTHING else None, what="a write")


@pytest.mark.parametrize(
    "name",
    ["ipv4/conf/l11/rp_filter", "ipv6/conf/l11/mtu", "ipv4/neigh/l11/retrans_time_ms", "ipv6/neigh/l11/gc_stale_time"],
)
def test_a_write_to_each_directory_of_a_link_is_seen(links: NetNs, watches: SettingWatches, name: str) -> None:
    links.call(watches.keep, 11, b"l11")
    assert watches.complete(11)
    links.sysctl(f"net/{name}", links.sysctl(f"net/{name}"))
    assert modified(watches) == ({11}, False)
    assert watches.modified() == NOTHING


@pytest.mark.parametrize(
    "name",
    [
        "ipv4/conf/all/rp_filter",
        "ipv4/conf/default/rp_filter",
        "ipv6/conf/all/mtu",
        "ipv6/conf/default/mtu",
        "ipv4/route/mtu_expires",
        "ipv6/route/mtu_expires",
    ],
)
def test_a_write_that_may_concern_every_link_is_seen(links: NetNs, watches: SettingWatches, name: str) -> None:
    try:
        links.sysctl(f"net/{name}", links.sysctl(f"net/{name}"))
    except FileNotFoundError:
        assert os.getuid(), "the kernel hides it in the namespace of an ordinary user only"
        return
    assert modified(watches) == (set(), True)


def test_a_bounded_number_of_links_is_watched(links: NetNs, watches: SettingWatches) -> None:
    links.call(watches.keep_only, {11: b"l11", 12: b"l12", 13: b"l13"})
    assert [watches.complete(index) for index in (11, 12, 13)] == [True, True, False]
    links.call(watches.keep_only, {12: b"l12", 13: b"l13"})
    assert [watches.complete(index) for index in (11, 12, 13)] == [False, True, True]


def test_as_many_links_are_watched_as_the_readme_says(links: NetNs) -> None:
    indexes = range(1, 1100)
    with closing(links.call(SettingWatches)) as watches:
        links.call(watches.keep_only, dict.fromkeys(indexes, b"l11"))  # one link stands for all
        assert sum(watches.complete(index) for index in indexes) == 1024


def test_a_renamed_link_is_watched_under_its_new_name_and_no_old_watch_is_left(
    links: NetNs, watches: SettingWatches
) -> None:
    links.call(watches.keep, 11, b"l11")
    before = set(watches._index)
    links.ip("link set l11 name new")
    links.call(watches.keep, 11, b"new")
    ended = before - set(watches._index)
    assert len(ended) == 4, "the numbers of ended watches are not kept: the kernel may use them again"
    links.sysctl("net/ipv6/conf/new/mtu", 1400)
    assert modified(watches).indexes == {11}


def test_a_link_that_is_forgotten_is_not_watched(links: NetNs, watches: SettingWatches) -> None:
    links.call(watches.keep, 11, b"l11")
    watches.forget(11)
    watches.forget(11)
    assert not watches.complete(11)
    links.sysctl("net/ipv6/conf/l11/mtu", 1400)
    links.sysctl("net/ipv6/conf/all/mtu", 1500)
    assert modified(watches) == (set(), True)


def test_a_link_that_does_not_exist_is_no_error(links: NetNs, watches: SettingWatches) -> None:
    links.call(watches.keep, 99, b"none")
    assert not watches.complete(99)


def test_an_error_of_the_system_call_has_its_number() -> None:
    inotify = Inotify()
    try:
        with pytest.raises(FileNotFoundError):
            inotify.add_watch(b"/none", 2)
        with pytest.raises(OSError, match="Invalid argument"):
            inotify.remove_watch(4711)
    finally:
        inotify.close()


def test_without_inotify_nothing_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Inotify, "_call", refused)
    watches = SettingWatches()
    watches.keep(1, b"lo")
    assert watches.fileno() == -1
    assert not watches.complete(1)
    watches.forget(1)
    watches.close()
