"""Bursts: no event steps back in time, and events grow with the changes, not with their square."""

from __future__ import annotations

import itertools
import sys

import pytest

from publisher.events import Event
from tests.faults import changing
from tests.fixtures.linux_source import Following, notifications_that_fit, steps_back
from tests.fixtures.netns import NetNs

assert sys.platform == "linux"

LINKS = 20


def rising(count: int, first: int = 1300) -> list[str]:
    """Commands that raise the mtu of each link `count` times."""
    return [f"link set b{link} mtu {first + step}" for step in range(count) for link in range(LINKS)]


@pytest.fixture
def links(netns: NetNs) -> NetNs:
    """A namespace with links named b0, b1, ... of the lowest mtu."""
    netns.ip(*(line for n in range(LINKS) for line in (f"link add b{n} type ifb", f"link set b{n} mtu 1290")))
    return netns


def test_a_burst_of_rising_mtus_never_steps_back(links: NetNs) -> None:
    steps = min(500, links.call(notifications_that_fit) * 9 // 10 // LINKS)
    with Following(links) as following:
        with following.paused():
            links.ip(*rising(steps))
        events = following.settled()
    assert steps_back(events) == []
    assert {row.row.nl_mtu for row in following.table.rows if row.interface.alias != "lo"} == {1300 + steps - 1}
    per_link = [
        event for event in events if event.family == "inet" and event.interface and event.interface.alias == "b7"
    ]
    assert len(per_link) == steps, "each state that the kernel reported is an event"


def test_no_event_steps_back_while_everything_is_read_again_and_again(links: NetNs) -> None:
    # The kernel changes links faster than anybody reads them: the changes are two batches ahead, and the buffer holds
    # three.
    steps = min(50, links.call(notifications_that_fit) * 9 // 10 // LINKS // 3)
    first = itertools.count(1300, steps)
    events: list[Event] = []
    made = read = 0

    def change() -> None:
        nonlocal made
        if made < read + 2:
            links.ip(*rising(steps, next(first)))
            made += 1

    with Following(links) as following:
        with changing(change, pause=0.001):
            while following.causes.count("reconcile") < 10 or len(events) < 3000:
                before = made
                events += following.settled()
                read = before
        events += following.settled()
    assert steps_back(events) == []
    assert "overrun" not in following.causes


def test_no_event_steps_back_when_messages_were_lost(links: NetNs) -> None:
    with Following(links, receive_buffer=4096) as following:
        links.ip(*rising(500))
        events = following.settled()
    assert "overrun" in following.causes
    assert steps_back(events) == []
    assert {row.row.nl_mtu for row in following.table.rows if row.interface.alias != "lo"} == {1300 + 499}


def test_addresses_that_are_added_at_once_are_a_handful_of_events(netns: NetNs) -> None:
    netns.ip("link add many type ifb")
    addresses = [f"10.0.{number // 250}.{number % 250 + 1}/32" for number in range(2000)]
    with Following(netns) as following:
        with following.paused():
            netns.ip(*(f"addr add {address} dev many" for address in addresses))
        events = following.settled()
    changed = [address for event in events for address in event.changed]
    assert sorted(changed) == sorted(f"addresses.{each}" for each in addresses)
    assert len(events) <= 10
    assert sum(len(event.json_bytes) for event in events) < 10 * len(events[-1].json_bytes)


def test_ports_that_are_added_at_once_are_a_handful_of_events_of_their_bridge(netns: NetNs) -> None:
    ports = 600
    netns.ip("link add br0 type bridge", *(f"link add p{number} type ifb" for number in range(ports)))
    with Following(netns) as following:
        with following.paused():
            netns.ip(*(f"link set p{number} master br0" for number in range(ports)))
        events = following.settled()
    bridge = [event for event in events if event.interface and event.interface.alias == "br0"]
    [luid] = {event.luid for event in bridge}
    assert len(bridge[-1].interface.lower if bridge[-1].interface else ()) == ports
    # The lowest address of a port becomes that of the bridge, a state that the kernel reports: a few times.
    assert len(bridge) <= 60
    lists = [change.after for event in events for change in event.changed.values() if isinstance(change.after, list)]
    assert sum(luid in members for members in lists) == 2 * ports
