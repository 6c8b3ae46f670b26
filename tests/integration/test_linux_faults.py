"""Faults: lost messages, interrupted dumps, interfaces that are removed while they are read, a suspended system."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import sys
from typing import Any

import pytest

from publisher.events import IpInterface
from publisher.sources import Resync, SourceContext
from publisher.sources.luids import MemoryLuids
from tests.faults import changing
from tests.fixtures.linux_source import Following
from tests.fixtures.netns import NetNs

if sys.platform == "linux":
    from publisher.sources.linux import follower, netlink, notifications, rtnetlink
    from publisher.sources.linux import link as linux_link
    from publisher.sources.linux import source as linux_source
    from publisher.sources.linux.requests import link_dump
    from publisher.sources.linux.wakeup import Clocks

assert sys.platform == "linux"


def links_by_ip(netns: NetNs) -> dict[str, tuple[int, bool]]:
    return {link["ifname"]: (link["mtu"], "UP" in link["flags"]) for link in json.loads(netns.run("ip -j link"))}


def links_by_us(rows: list[IpInterface]) -> dict[str, tuple[int | None, bool]]:
    return {row.interface.alias: (row.interface.mtu, row.interface.admin_status == "up") for row in rows}


def test_a_flood_into_a_tiny_buffer_is_marked_and_the_end_is_right(netns: NetNs) -> None:
    netns.ip(*(f"link add f{number} type ifb" for number in range(4)))
    flood = [f"link set f{n % 4} mtu {1400 + n % 97}" for n in range(20_000)]
    with Following(netns, receive_buffer=4096) as following:
        netns.ip(*flood, "link set f0 up", "link del f3", "link add last type bridge")
        events = following.settled()
        assert "overrun" in following.causes
        assert links_by_us(following.table.rows) == links_by_ip(netns)
        assert len(events) < 40_000  # something was lost
        netns.ip("link set f0 mtu 1300")
        assert {e.interface.alias for e in following.settled() if e.interface} == {"f0"}


def test_a_reconcile_requested_while_messages_were_lost_is_answered_after_the_overrun(netns: NetNs) -> None:
    netns.ip("link add f0 type ifb")
    with Following(netns, receive_buffer=4096) as following:
        with following.paused():  # so that the loss and the request are found at the same moment
            netns.ip(*(f"link set f0 mtu {1400 + n % 97}" for n in range(500)))
            following.source.resync()
        causes: list[str] = []
        while "reconcile" not in causes:
            update = following.update()
            causes += [update.cause] if isinstance(update, Resync) else []
    assert causes == ["overrun", "reconcile"]


def test_a_large_buffer_loses_nothing_of_a_burst(netns: NetNs) -> None:
    netns.ip("link add f0 type ifb")
    mtus = [1400 + number % 2 for number in range(1, 2001)]
    with Following(netns) as following:
        netns.ip(*(f"link set f0 mtu {mtu}" for mtu in mtus))
        events = following.settled()
    seen = [event.changed["interface.mtu"].after for event in events if event.family == "inet"]
    assert seen == mtus
    assert {event.cause for event in events} == {"notification"}


def test_reading_while_links_come_and_go(netns: NetNs) -> None:
    lines = [f"link {verb}" for n in range(20) for verb in (f"add c{n} type ifb", f"set c{n} mtu 1400", f"del c{n}")]
    with changing(lambda: netns.ip(*lines)), Following(netns) as following:
        for _ in range(20):
            following.settled()
    # Whoever came or went in between: the end is what it is.
    with Following(netns) as following:
        netns.ip("link add end type ifb")
        following.settled()
        assert links_by_us(following.table.rows) == links_by_ip(netns)


def test_an_interrupted_listing_is_read_again_a_bounded_number_of_times() -> None:
    requests: Any = netlink.RequestSocket(rtnetlink.Decoder())
    attempts: list[int] = []

    def interrupted(_: Any) -> tuple[list[Any], bool]:
        attempts.append(1)
        return [], True

    requests._dump = interrupted
    with contextlib.closing(requests), pytest.raises(netlink.InterruptedDumpError, match="50 attempts"):
        requests.dump(link_dump)
    assert len(attempts) == 50


def test_after_a_suspend_everything_is_read_again(netns: NetNs) -> None:
    asleep = [0.0]
    real = Clocks()
    clocks = Clocks(real.running, lambda: real.elapsed() + asleep[0])
    source = linux_source.LinuxSource(SourceContext(logging.getLogger("publisher"), MemoryLuids()), clocks)
    updates: queue.Queue[Any] = queue.Queue()

    def run() -> None:
        for together in source.updates():
            for update in together:
                updates.put(update)

    thread = netns.thread(run)
    try:
        assert updates.get(timeout=20).cause == "startup"
        asleep[0] = 3600.0
        netns.ip("link add woken type ifb")  # anything at all that wakes it
        while not isinstance(update := updates.get(timeout=20), Resync):
            pass
        assert update.cause == "reconcile"
        assert "woken" in {row.interface.alias for row in update.rows}
    finally:
        source.close()
        thread.join(20)


def test_an_invalid_message_is_counted_and_everything_read(netns: NetNs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_RETRY", 0.1)
    with Following(netns) as following:
        receive = notifications.NotificationSocket.receive

        def corrupted(self: Any) -> Any:
            received = receive(self)
            return received._replace(messages=[], invalid=[b"not rtnetlink"]) if received.messages else received

        monkeypatch.setattr(notifications.NotificationSocket, "receive", corrupted)
        netns.ip("link add unheard type ifb")
        [event, _] = following.until(lambda e: e.family == "inet6")
        assert event.cause == "reconcile"
        assert following.source.counts.invalid_messages > 0


def test_a_record_that_our_models_do_not_accept_is_counted_and_the_rest_goes_on(
    netns: NetNs, monkeypatch: pytest.MonkeyPatch
) -> None:
    right: Any = vars(linux_link)["interface_values"]

    def wrong(link: Any, *others: Any) -> dict[str, Any]:
        values: dict[str, Any] = right(link, *others)
        return values | ({"mtu": "wrong"} if values["alias"] == "bad" else {})

    monkeypatch.setattr(linux_link, "interface_values", wrong)
    with Following(netns) as following:
        netns.ip("link add bad type ifb", "link add good type ifb")
        assert {e.interface.alias for e in following.settled() if e.interface} == {"good"}
        assert following.source.counts.invalid_records > 0
