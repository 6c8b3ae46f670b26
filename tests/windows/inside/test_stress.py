"""Thousands of notifications from two threads, while others register and cancel."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from publisher.events import DefaultRoute, IpInterface, Key
from publisher.netioapi import cancel_mib_change_notify2, notify_ip_interface_change, notify_route_change2
from publisher.sources import Remove, Resync, Update, Upsert
from publisher.sources.windows.calls import Iphlpapi, load
from publisher.sources.windows.iphlpapi import AF_INET, AF_UNSPEC, FAMILY_NAMES
from publisher.sources.windows.rows import default_route, luid_text
from tests.windows.inside.standin import StandIn
from tests.windows.inside.test_source import following

INTERFACES = 4


class Facts(NamedTuple):
    interface_index: int
    mtu: int | None
    routes: tuple[DefaultRoute, ...]


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Gives a callback's thread the interpreter after 0.1 ms instead of 5: otherwise the storm mostly waits."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.timeout(250)
@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("seed", [7])
def test_after_a_storm_the_rows_are_right_and_nothing_is_left(
    standin: StandIn, count: Callable[[int], int], seed: int
) -> None:
    changes_per_thread = count(50_000)
    for number in range(INTERFACES):
        standin.add(f"eth{number}")
        standin.set_route(f"eth{number}", f"192.0.2.{number}")
    with following() as follower:
        over = threading.Event()
        others = [threading.Thread(target=_register_and_cancel, args=(over, seed + number)) for number in range(2)]
        for thread in others:
            thread.start()
        standin.storm(changes_per_thread, seed)
        over.set()
        for thread in others:
            thread.join()
        assert standin.counters.delivered >= 2 * changes_per_thread
        known: dict[Key, Facts] = {}
        truth = _truth(load())
        while known != truth:
            _apply(follower.next(), known)
        assert not any(isinstance(update, Resync) and update.cause != "startup" for update in follower.updates.queue)
        assert {record.levelname for record in follower.log.records} <= {"INFO"}


def _apply(update: Update, known: dict[Key, Facts]) -> None:
    match update:
        case Upsert(row):
            known[row.key] = _facts(row)
        case Remove(luid, family):
            known.pop(Key(luid, family), None)
        case Resync(rows):
            known.clear()
            known |= {row.key: _facts(row) for row in rows}


def _facts(row: IpInterface) -> Facts:
    return Facts(row.row.interface_index, row.row.nl_mtu, row.default_routes)


def _truth(calls: Iphlpapi) -> dict[Key, Facts]:
    """Returns the facts of each IP interface, read anew; each has one route at most."""
    routes = {row.InterfaceLuid.Value: row for row in calls.default_routes(AF_UNSPEC)}
    found = {}
    for raw in calls.ip_interfaces(AF_UNSPEC):
        route = routes.get(raw.InterfaceLuid.Value) if raw.Family == AF_INET else None
        default_routes = (default_route(route, raw.Metric),) if route else ()
        key = Key(luid_text(raw.InterfaceLuid.Value), FAMILY_NAMES[raw.Family])
        found[key] = Facts(raw.InterfaceIndex, raw.NlMtu, default_routes)
    return found


def _register_and_cancel(over: threading.Event, seed: int) -> None:
    """Registers and cancels at random times, as programs do."""
    chance = random.Random(seed)
    register = notify_route_change2 if seed % 2 else notify_ip_interface_change
    called: list[Any] = []
    while not over.is_set():
        handle = register("unspec", lambda *call: called.append(call), "context", chance.random() < 0.5)
        over.wait(chance.random() * 0.01)
        cancel_mib_change_notify2(handle)
        ended = len(called)
        over.wait(chance.random() * 0.05)
        assert len(called) == ended
