"""Default routes on Linux: what is published equals what `ip route show default` shows, after each change."""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest

from publisher.events import Event, Family
from publisher.sources import Update, Upsert
from tests.fixtures.linux_source import Following
from tests.fixtures.netns import NetNs
from tests.fixtures.random_routes import LINKS, Listed, Monitor, RandomChanges, make_links, published, shown

if sys.platform == "linux":
    from publisher.sources.linux.default_routes import SlicedRead
    from publisher.sources.linux.reader import LinuxReader

assert sys.platform == "linux"

_BATCH = 10


def test_the_published_routes_are_those_of_ip_route(
    netns: NetNs, count: Callable[[int], int], record_testsuite_property: Callable[[str, object], None]
) -> None:
    make_links(netns)
    netns.ip("link add mark type ifb", "link set mark up")
    skips_notices = Path("/proc/sys/net/ipv6/route/skip_notify_on_dev_down")
    may_skip = netns.call(skips_notices.exists)  # only root's namespaces have it
    changes = RandomChanges(seed := 1)
    found: set[Listed] = set()
    silent = 0
    with closing(Monitor(netns)) as monitor, Following(netns, reconcile_seconds=3600) as following:
        for number in range(count(10_000) // _BATCH):
            if number % 50 == 0:
                netns.sysctl("net/ipv4/nexthop_compat_mode", number // 50 % 2 ^ 1)
                if may_skip:
                    netns.sysctl("net/ipv6/route/skip_notify_on_dev_down", number // 50 % 4 // 2)
            netns.ip(*changes.batch(_BATCH), force=True)
            netns.ip(f"route add 203.0.113.1/32 dev lo metric {number + 1}", f"link set mark alias m{number}")
            truth = shown(netns)
            take_until(following, f"m{number}")
            assert differences(following, truth) == [], f"seed {seed}, batch {number}"
            monitor.until(f"203.0.113.1 dev lo scope link metric {number + 1} ")
            silent += len(monitor.believed - truth)
            monitor.believed = truth
            found |= truth
    assert following.causes == [], "nothing is read again: the routes are those that were read when they changed"
    assert len({(entry.link, entry.family) for entry in found}) == 2 * len(LINKS)
    # `ip monitor route` beside it goes on believing in routes that the kernel has removed.
    assert silent > count(100)
    record_testsuite_property("removals that `ip monitor route` missed", silent)


@pytest.fixture
def host(netns: NetNs) -> NetNs:
    """A namespace with a link that carries a default route of each family, and another link."""
    make_links(netns)
    netns.ip("route add 0.0.0.0/0 via 10.0.0.9 dev e0 proto dhcp", "route add ::/0 via fd00:0::9 dev e0 proto ra")
    return netns


def changes_of_routes(events: Iterable[Event]) -> list[tuple[str, str | None, set[str]]]:
    """Returns alias, family and changed members of the events about default routes, which no read of all found."""
    found = [event for event in events if any(name.startswith("default_routes.") for name in event.changed)]
    assert {event.cause for event in found} <= {"notification"}
    return [(event.interface.alias, event.family, set(event.changed)) for event in found if event.interface]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("link set e0 down", {"inet": "link_down", "inet6": "link_down"}),
        ("link del e0", {"inet": "removed", "inet6": "removed"}),
        ("addr del 10.0.0.1/24 dev e0", {"inet": "address_removed"}),
        ("route del 0.0.0.0/0", {"inet": "default_route_removed"}),
        ("route del ::/0", {"inet6": "default_route_removed"}),
    ],
)
def test_what_takes_a_default_route_away_is_one_event(host: NetNs, change: str, expected: dict[str, str]) -> None:
    with Following(host) as following:
        host.ip(change)
        events = [event for event in following.settled() if "default_route_removed" in event.kinds]
    assert len(events) == len(expected)
    assert {event.family for event in events if expected[event.family or ""] in event.kinds} == expected.keys()
    assert {event.cause for event in events} == {"notification"}
    assert all(event.notification_type == "delete_instance" or not event.default_routes for event in events)


def test_a_replaced_route_is_an_event_of_the_link_that_had_it_and_of_the_one_that_has_it(host: NetNs) -> None:
    with Following(host) as following:
        host.ip("route replace 0.0.0.0/0 via 10.0.1.9 dev e1 proto dhcp")
        events = following.settled()
    assert sorted(changes_of_routes(events)) == [
        ("e0", "inet", {"default_routes.10.0.0.9"}),
        ("e1", "inet", {"default_routes.10.0.1.9"}),
    ]


def test_an_address_of_another_link_takes_the_routes_along_that_send_with_it(host: NetNs) -> None:
    host.ip("route add 0.0.0.0/0 via 10.0.1.9 dev e1 src 192.0.2.1 metric 7")
    with Following(host) as following:
        host.ip("addr del 192.0.2.1/32 dev lo")
        assert changes_of_routes(following.settled()) == [("e1", "inet", {"default_routes.10.0.1.9"})]


def test_the_routes_are_read_when_the_kernel_has_removed_those_that_it_is_about_to_remove(host: NetNs) -> None:
    """It reports an address before it looks for its routes, which takes a while where there are many."""
    host.ip(*(f"route add 172.16.{number % 250}.{number // 250}/32 via 10.0.1.9" for number in range(5000)))
    with Following(host) as following:
        for _ in range(30):
            host.ip("addr del 10.0.0.1/24 dev e0")
            assert changes_of_routes(following.settled()) == [
                ("e0", "inet", {"addresses.10.0.0.1/24", "default_routes.10.0.0.9"})
            ]
            host.ip("addr add 10.0.0.1/24 dev e0", "route add 0.0.0.0/0 via 10.0.0.9 dev e0 proto dhcp")
            following.settled()


def test_a_nexthop_object_takes_its_routes_along(host: NetNs) -> None:
    host.sysctl("net/ipv4/nexthop_compat_mode", 0)
    host.ip("nexthop add id 7 via 10.0.1.9 dev e1", "route add 0.0.0.0/0 nhid 7 metric 7")
    with Following(host) as following:
        assert Listed("e1", "inet", "10.0.1.9", 7) in published(following.table.rows)
        host.ip("nexthop replace id 7 via 10.0.2.9 dev e2")
        assert len(changes_of_routes(following.settled())) == 2
        assert Listed("e2", "inet", "10.0.2.9", 7) in published(following.table.rows)
        host.ip("nexthop del id 7")
        assert len(changes_of_routes(following.settled())) == 1
        assert published(following.table.rows) == shown(host)


def test_a_lost_carrier_changes_no_route(host: NetNs) -> None:
    with Following(host) as following:
        before = published(following.table.rows)
        host.ip("link set pe0 down")
        events = following.settled()
        assert any("link_down" in event.kinds for event in events)
        assert changes_of_routes(events) == []
        assert before == published(following.table.rows) == shown(host)


def test_a_flap_within_one_drain_ends_with_the_routes_that_are_there(host: NetNs) -> None:
    with Following(host) as following:
        with following.paused():
            host.ip("link set e0 down", "link set e0 up", "route add 0.0.0.0/0 via 10.0.0.8 dev e0")
        following.settled()
        assert published(following.table.rows) == shown(host) == {Listed("e0", "inet", "10.0.0.8", 0)}


def test_a_message_that_shows_a_link_as_it_is_known_hides_no_change_of_its_routes(host: NetNs) -> None:
    with Following(host, reconcile_seconds=3600) as following:
        with following.paused():
            host.ip("route del 0.0.0.0/0", "link set e0 txqueuelen 500", "link set e3 alias done")
        take_until(following, "done")
        assert published(following.table.rows) == shown(host)


def test_without_the_filter_changes_are_found_by_the_reconcile(
    host: NetNs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Sandboxes refuse it, and there is none here.
    monkeypatch.setattr("publisher.sources.linux.notifications._attach_route_filter", lambda _: False)
    with Following(host, reconcile_seconds=0.2) as following:
        host.ip("route replace 0.0.0.0/0 via 10.0.0.8 dev e0")
        events = following.until(lambda event: "default_routes.10.0.0.8" in event.changed)
    assert events[-1].cause == "reconcile"
    assert "reports no changes of the groups IPV4_ROUTE, IPV6_ROUTE" in caplog.text


def test_other_routes_make_no_update_and_no_read(host: NetNs, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Family] = []
    read = LinuxReader.default_routes

    def noted(reader: LinuxReader, family: Family) -> SlicedRead:
        begun.append(family)
        return read(reader, family)

    monkeypatch.setattr(LinuxReader, "default_routes", noted)
    with Following(host, reconcile_seconds=3600) as following:
        del begun[:]
        host.ip(*(f"route add 172.16.{number % 250}.{number // 250}/32 via 10.0.0.9" for number in range(2000)))
        host.ip("link set e1 mtu 1400")
        events = following.until(lambda event: "mtu_changed" in event.kinds)
    assert {event.interface.alias for event in events if event.interface} == {"e1"}
    assert begun == []


def take_until(following: Following, mark: str) -> None:
    """Applies updates until the list with this alias is applied."""
    while True:
        updates = following.lists.get(timeout=20)
        apply(following, updates)
        if any(isinstance(update, Upsert) and update.row.interface.description == mark for update in updates):
            return


def apply(following: Following, updates: Iterable[Update]) -> None:
    for update in updates:
        following.table.apply(update)


def differences(following: Following, truth: set[Listed]) -> list[Listed]:
    """Returns what is published and not shown, or the other way round, when no more updates come.

    A nexthop object may have a link that is no IP interface of its family, since its mtu is too small: it has no row.
    """
    while True:
        rows = {(row.interface.alias, row.family) for row in following.table.rows}
        expected = {entry for entry in truth if (entry.link, entry.family) in rows}
        differ = published(following.table.rows) ^ expected
        try:
            apply(following, following.lists.get(timeout=20) if differ else following.lists.get_nowait())
        except queue.Empty:
            return sorted(differ, key=str)
