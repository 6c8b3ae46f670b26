"""The cost of the calls, and what many of them leave: nothing."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from publisher.netioapi import (
    cancel_mib_change_notify2,
    convert_interface_alias_to_luid,
    get_if_entry2,
    get_if_table2,
    get_unicast_ip_address_table,
    notify_ip_interface_change,
    notify_unicast_ip_address_change,
)
from publisher.sources.luids import MemoryLuids

if sys.platform == "linux":
    from publisher.netioapi.linux_reading import read_rows
    from tests.fixtures.netns import NetNs
else:
    pytest.skip("the calls of Linux", allow_module_level=True)
assert sys.platform == "linux"

LONG = 60.0


def _least(*calls: Callable[[], object], times: int = 30) -> list[float]:
    """Returns the least CPU seconds of each call, made in turns: nothing disturbed those."""

    def once(call: Callable[[], object]) -> float:
        start = time.thread_time()
        call()
        return time.thread_time() - start

    return [min(found) for found in zip(*([once(call) for call in calls] for _ in range(times)), strict=True)]


@pytest.mark.parametrize("links", [0, 100])
def test_a_call_without_a_registration_costs_at_most_twice_a_read(inside_netns: NetNs, links: int) -> None:
    """A source of its own cost eight times as much: its receive buffer, its watches, their release."""
    for first in range(0, links, 2):
        inside_netns.ip(f"link add a{first} type veth peer name a{first + 1}")
    get_if_table2()  # compiled layouts, caches
    read, *others = _least(
        lambda: read_rows(MemoryLuids()), get_if_table2, get_unicast_ip_address_table, lambda: get_if_entry2(index=1)
    )
    assert max(others) <= 2 * read + 0.001


def _resources() -> tuple[int, int]:
    return len([*Path("/proc/self/fd").iterdir()]), threading.active_count()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("inside_netns")
def test_many_registrations_leave_nothing(count: Callable[[int], int]) -> None:
    """Beside a registration that lives, with readings in between; then a few that each open a source."""
    live = notify_ip_interface_change("unspec", lambda *_: None)

    def rounds(times: int) -> None:
        for number in range(times):
            register: Any = notify_unicast_ip_address_change if number % 2 else notify_ip_interface_change
            cancel_mib_change_notify2(register("unspec", lambda *_: None, object(), number % 3 == 0))

    rounds(count(500))
    get_if_table2()
    before, resident = _resources(), _resident()
    rounds(count(4_500))
    assert _resources() == before
    assert _resident() - resident < 16 * 1024 * 1024
    cancel_mib_change_notify2(live)
    alone = _resources()
    rounds(count(40))
    assert _resources() == alone


def test_a_blocked_callback_holds_up_no_other_and_no_call(netns_with_eth7: NetNs) -> None:
    leave, entered = threading.Event(), threading.Event()

    def blocked(*_: object) -> None:
        entered.set()
        assert leave.wait(LONG)

    handles = [notify_ip_interface_change("unspec", blocked, initial_notification=True) for _ in range(3)]
    assert entered.wait(LONG)
    seen: queue.Queue[str] = queue.Queue()
    handles.append(notify_unicast_ip_address_change("inet", lambda _context, _row, kind: seen.put(kind)))
    try:
        for number in range(200):  # a storm, of which the blocked ones take nothing
            netns_with_eth7.ip(f"link set eth7 mtu {1300 + number}")
        netns_with_eth7.ip("addr add 192.0.2.1/24 dev eth7")
        assert seen.get(timeout=LONG) == "add_instance"
        assert get_if_entry2(convert_interface_alias_to_luid("eth7")).mtu == 1499
    finally:
        leave.set()
        for handle in handles:
            cancel_mib_change_notify2(handle)
