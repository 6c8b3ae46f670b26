"""Default routes on Linux: what is published equals what `ip route show default` shows, after each change."""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable, Iterable
from contextlib import closing

from publisher.sources import Update, Upsert
from tests.fixtures.linux_source import Following
from tests.fixtures.netns import NetNs
from tests.fixtures.random_routes import LINKS, Listed, Monitor, RandomChanges, make_links, published, shown

assert sys.platform == "linux"

_BATCH = 10


def test_the_published_routes_are_those_of_ip_route(
    netns: NetNs, count: Callable[[int], int], record_property: Callable[[str, object], None]
) -> None:
    make_links(netns)
    netns.ip("link add mark type ifb", "link set mark up")
    changes = RandomChanges(seed := 1)
    found: set[Listed] = set()
    silent = 0
    with closing(Monitor(netns)) as monitor, Following(netns, reconcile_seconds=3600) as following:
        for number in range(count(10_000) // _BATCH):
            if number % 50 == 0:
                netns.sysctl("net/ipv4/nexthop_compat_mode", number // 50 % 2 ^ 1)
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
    record_property("removals that `ip monitor route` missed", silent)


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
            apply(following, following.lists.get(timeout=2) if differ else following.lists.get_nowait())
        except queue.Empty:
            return sorted(differ, key=str)
