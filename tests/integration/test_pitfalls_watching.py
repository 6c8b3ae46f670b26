"""What broke for others who watch interfaces: one test for each story that tests/integration/test_linux_*.py lacks."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from publisher.events import Event
from tests.faults import changing
from tests.fixtures.linux_source import Following, summary
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for

if sys.platform == "linux":
    from publisher.sources.linux.netlink import RequestSocket
    from publisher.sources.linux.notifications import NotificationSocket, Received
    from publisher.sources.linux.requests import address_dump, link_dump
    from publisher.sources.linux.rtnetlink import (
        NLM_F_DUMP_INTR,
        NLMSG_DONE,
        RTM_NEWLINK,
        AddressMessage,
        Decoder,
        Failure,
        Link,
        Listed,
        Message,
    )
    from publisher.sources.linux.wakeup import Clocks
else:
    pytest.skip("rtnetlink is Linux's", allow_module_level=True)

assert sys.platform == "linux"


@pytest.fixture
def pair(netns: NetNs) -> NetNs:
    """A connected pair, v0 and v1, after everything that the kernel reports by itself."""
    netns.veth(up=False)
    for end in ("v0", "v1"):
        netns.sysctl(f"net/ipv6/conf/{end}/dad_transmits", 0)
    netns.ip("link set v0 up", "link set v1 up")
    wait_for(lambda: netns.run("ip -br link").count(" UP ") == 2, what="both ends up")
    wait_for(lambda: has_its_addresses(netns), what="duplicate address detection done")
    return netns


def has_its_addresses(netns: NetNs) -> bool:
    """Returns whether both ends have their link-local addresses, for good."""
    shown = netns.run("ip -6 addr")
    return shown.count("inet6 fe80:") == 2 and "tentative" not in shown


def links_by_ip(netns: NetNs) -> dict[str, tuple[int, int]]:
    return {link["ifname"]: (link["ifindex"], link["mtu"]) for link in json.loads(netns.run("ip -j link"))}


def links_by_us(following: Following) -> dict[str, tuple[int, int | None]]:
    return {row.interface.alias: (row.row.interface_index, row.interface.mtu) for row in following.table.rows}


def is_about(alias: str, family: str) -> Callable[[Event], bool]:
    return lambda event: event.interface is not None and event.interface.alias == alias and event.family == family


def test_a_change_during_the_start_is_in_the_rows_or_reported(pair: NetNs, monkeypatch: pytest.MonkeyPatch) -> None:
    """tailscale, networkd-dispatcher#40: read before subscribing, and what falls between is lost for ever."""
    pair.ip("link add gone1 type ifb", "link add gone2 type ifb")
    dump = RequestSocket.dump

    def busy(self: RequestSocket, request: Callable[[int], bytes]) -> list[Listed]:
        if request is link_dump:
            pair.ip("link add before type ifb", "link del gone1", "link set v0 mtu 1400")
        if request is address_dump:
            pair.ip(
                "link add during type ifb", "link del gone2", "link set v0 mtu 1300", "addr add 192.0.2.1/24 dev v0"
            )
            monkeypatch.undo()
        return dump(self, request)

    monkeypatch.setattr(RequestSocket, "dump", busy)
    with Following(pair) as following:
        # The kernel reports in order: what came before this was received by then, without a reconcile.
        pair.ip("link add last type ifb")
        following.until(is_about("last", "inet6"))
        assert links_by_us(following) == links_by_ip(pair)
        [row] = [row for row in following.table.rows if (row.interface.alias, row.family) == ("v0", "inet")]
        assert [entry.address for entry in row.addresses] == ["192.0.2.1"]


def test_an_interrupted_listing_is_thrown_away_whole() -> None:
    """pyroute2#874, netlink PR#1018: half a snapshot passes for a snapshot."""

    def answer(seq: int, *records: str, interrupted: bool = False) -> list[Message]:
        names: Any = records  # in place of links
        first = [Message(RTM_NEWLINK, 0, seq, name) for name in names]
        return [*first, Message(NLMSG_DONE, NLM_F_DUMP_INTR if interrupted else 0, seq, Failure(0))]

    answers = [answer(1, "half", interrupted=True), answer(2, "half", "more", interrupted=True), answer(3, "all")]
    requests: Any = RequestSocket(Decoder())
    with contextlib.closing(requests):
        # The kernel itself interrupts when it likes.
        requests._receive = lambda: [message._replace(seq=requests._seq) for message in answers.pop(0)]
        assert requests.dump(link_dump) == ["all"]


def test_a_link_that_stays_is_never_removed_while_others_come_and_go(netns: NetNs) -> None:
    netns.ip(*(f"link add stays{number} type ifb" for number in range(20)))
    lines = [f"link {verb} c{n}{more}" for n in range(20) for verb, more in (("add", " type ifb"), ("del", ""))]
    with Following(netns) as following, changing(lambda: netns.ip(*lines)):
        events = [event for _ in range(40) for event in following.settled()]
    names = {event.interface.alias for event in events if event.interface}
    assert any(name.startswith("c") for name in names)
    assert not any(name.startswith("stays") for name in names)


def test_a_new_address_is_tentative_and_then_preferred(pair: NetNs) -> None:
    """nebula PR#1835: an address is there before it may be used; go-hass-agent: a wrong group, and none is reported."""
    pair.sysctl("net/ipv6/conf/v0/dad_transmits", 1)
    pair.sysctl("net/ipv6/conf/v0/router_solicitation_delay", 0)
    # It stays tentative for so long: what is received at once is one event, on a busy machine after a while.
    pair.sysctl("net/ipv6/neigh/v0/retrans_time_ms", 1500)
    with Following(pair) as following:
        pair.ip("addr add fd00::5/64 dev v0")
        name = "addresses.fd00::5/64"

        def preferred(event: Event) -> bool:
            return name in event.changed and event.changed[name].after["dad_state"] == "preferred"

        events = [event for event in following.until(preferred) if name in event.changed]
    states = [event.changed[name].after["dad_state"] for event in events]
    assert states == ["tentative", "preferred"]
    assert events[0].changed[name].before is None
    assert {(event.family, event.cause) for event in events} == {("inet6", "notification")}


def test_a_message_with_the_old_name_after_one_with_the_new_changes_no_identity(
    pair: NetNs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd PR#20206, PR#42545. And another link has the old name by then."""
    receive = NotificationSocket.receive
    stale: list[Any] = []

    def late(self: NotificationSocket) -> Received:
        received = receive(self)
        names = [
            m.record.name if isinstance(m.record, Link) and not m.record.family else b"" for m in received.messages
        ]
        stale.extend(message for message, name in zip(received.messages, names, strict=True) if name == b"v0\0")
        if stale and b"new\0" in names:
            return received._replace(messages=[*received.messages, stale[0]])
        return received

    with Following(pair) as following:
        luids = {row.interface.alias: row.luid for row in following.table.rows}
        monkeypatch.setattr(NotificationSocket, "receive", late)
        pair.ip("link set v0 mtu 1400", "link set v0 name new", "link add v0 type ifb")
        events = following.settled()
        assert stale, "the old name was reported"
        rows = following.table.rows
        assert {row.luid for row in rows if row.interface.alias == "new"} == {luids["v0"]}
        [other] = {row.luid for row in rows if row.interface.alias == "v0"}
        assert other not in luids.values()
        kinds = {event.notification_type for event in events if event.luid == luids["v0"]}
        assert kinds == {"parameter_notification"}
        assert links_by_us(following) == links_by_ip(pair)


def router_advertisement(prefix: str) -> bytes:
    """RFC 4861, 4.2: a router for half an hour, and a prefix for addresses with lifetimes of a day and four hours."""
    header = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    return (
        header + struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86_400, 14_400, 0) + socket.inet_pton(socket.AF_INET6, prefix)
    )


@pytest.fixture
def router(pair: NetNs) -> Iterator[Callable[[], object]]:
    """Send a router advertisement out of v1, which v0 hears, and it alone."""
    pair.sysctl("net/ipv6/conf/v1/accept_ra", 0)
    for name, value in {"accept_ra": 1, "forwarding": 0, "router_solicitation_delay": 0}.items():
        pair.sysctl(f"net/ipv6/conf/v0/{name}", value)
    opened = pair.call(socket.socket, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    with opened:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        index = pair.call(socket.if_nametoindex, "v1")
        packet = router_advertisement("fd00:1::")
        yield lambda: opened.sendto(packet, ("ff02::1", 0, 0, index))


def test_a_thousand_router_advertisements_are_no_event_and_cost_little(
    pair: NetNs, router: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """tailscale#4282, libtorrent#3148: each refresh of a lifetime wakes every listener."""
    receive, heard = NotificationSocket.receive, [0]

    def counted(self: NotificationSocket) -> Received:
        received = receive(self)
        heard[0] += sum(isinstance(message.record, AddressMessage) for message in received.messages)
        return received

    monkeypatch.setattr(NotificationSocket, "receive", counted)

    def announced(event: Event) -> bool:
        found = [change.after for name, change in event.changed.items() if name.startswith("addresses.fd00:1:")]
        return bool(found) and found[0]["dad_state"] == "preferred"

    with Following(pair) as following:
        router()
        following.until(announced)
        following.settled()
        heard[0], before = 0, cpu(following)
        for _ in range(1000):
            router()
        assert following.settled() == []
        refreshes = cpu(following) - before
        assert heard[0] > 500, "the kernel reported the refreshes"
        before = cpu(following)
        pair.ip(*(f"link set v0 mtu {1400 + number % 2}" for number in range(1000)))
        assert len(following.settled()) == 2000
        # One that changes two rows costs about as much; reading everything each time would cost ten times that.
        assert refreshes < 3 * (cpu(following) - before)


def cpu(following: Following) -> float:
    """Seconds that the following thread has computed."""
    assert following._thread.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(following._thread.ident))


def test_dormant_and_unknown_are_states_and_no_warnings(pair: NetNs, caplog: pytest.LogCaptureFixture) -> None:
    """go-hass-agent#887: states that nobody expected, and a line in the log for each."""
    with Following(pair) as following:
        pair.ip("link set lo up")
        following.until(lambda event: is_about("lo", "inet")(event) and "row.connected" in event.changed)
        [lo] = [row for row in following.table.rows if (row.interface.alias, row.family) == ("lo", "inet")]
        assert (lo.interface.oper_status, lo.row.connected) == ("unknown", True)
        following.settled()
        pair.ip(*["link set v0 state dormant", "link set v0 state up"] * 50)
        events = [event for event in following.settled() if is_about("v0", "inet")(event)]
    states = [event.changed["interface.oper_status"].after for event in events]
    assert states == ["dormant", "up"] * 50
    assert [event.changed["row.connected"].after for event in events] == [False, True] * 50
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_a_link_that_vanished_without_a_message_is_found_by_the_reconcile_and_marked(
    pair: NetNs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyroute2#849."""
    receive = NotificationSocket.receive
    with Following(pair, reconcile_seconds=0.3) as following:
        monkeypatch.setattr(NotificationSocket, "receive", lambda self: receive(self)._replace(messages=[]))
        pair.ip("link del v0")
        events = following.until(is_about("v0", "inet6"))  # made after its peer
        assert {(event.notification_type, event.cause) for event in events} == {("delete_instance", "reconcile")}
        assert {summary(event)[1] for event in events} == {"v0", "v1"}
        assert links_by_us(following) == links_by_ip(pair)


def test_a_wall_clock_that_is_set_is_no_suspend(pair: NetNs) -> None:
    """Both clocks that tell a suspend stay as they are when the time of day is set (clock_gettime(2))."""
    clocks = Clocks()

    def difference() -> float:
        apart = clocks.elapsed() - clocks.running()
        return abs(apart - (time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()))

    # The smallest of many: between two readings a busy machine can do something else.
    assert min(difference() for _ in range(100)) < 0.1
    with Following(pair) as following:
        pair.ip("link set v0 mtu 1400")
        following.until(is_about("v0", "inet6"))
        assert following.updates.empty(), "nothing was read again"
