"""An unkind program: thousands of registrations, callbacks that block or exit, first calls at once; nothing is left."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from publisher.netioapi import (
    InvalidHandleError,
    NotificationHandle,
    cancel_mib_change_notify2,
    get_if_table2,
    get_ip_interface_table,
    notify_ip_interface_change,
    notify_route_change2,
    notify_unicast_ip_address_change,
)
from tests.windows.inside.standin import StandIn

LONG = 20.0
REGISTER: list[Callable[..., NotificationHandle]] = [
    notify_ip_interface_change,
    notify_unicast_ip_address_change,
    notify_route_change2,
]


@pytest.mark.timeout(150)
def test_many_registrations_leave_nothing(standin: StandIn, count: Callable[[int], int]) -> None:
    standin.add("eth0")
    before = threading.active_count()
    confirmed = threading.Semaphore(0)
    for number in range(count(5_000)):
        handle = REGISTER[number % 3]("unspec", lambda *_: confirmed.release(), None, True)
        assert confirmed.acquire(timeout=LONG)
        cancel_mib_change_notify2(handle)
    left = standin.counters
    assert (left.registrations, left.tables, left.running) == (0, 0, 0)
    assert threading.active_count() == before


def test_a_hundred_handles_at_once_are_all_told_and_leave_nothing(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    before = threading.active_count()
    told = threading.Semaphore(0)
    handles = [notify_ip_interface_change("unspec", lambda *_: told.release()) for _ in range(100)]
    assert standin.counters.registrations == 100
    standin.report("eth0", "inet")
    assert all(told.acquire(timeout=LONG) for _ in handles)
    for handle in handles:
        cancel_mib_change_notify2(handle)
    assert (standin.counters.registrations, threading.active_count()) == (0, before)


def test_a_blocked_callback_holds_up_nobody_else(standin: StandIn) -> None:
    """Windows' own thread comes back at once, others are told, and registrations and readings go on."""
    standin.add("eth0", ["inet"])
    entered, leave, told = threading.Semaphore(0), threading.Event(), threading.Semaphore(0)

    def block(*_: Any) -> None:
        entered.release()
        assert leave.wait(LONG)

    blocked = notify_ip_interface_change("unspec", block)
    other = notify_ip_interface_change("unspec", lambda *_: told.release())
    standin.report("eth0", "inet")
    assert entered.acquire(timeout=LONG)
    for _ in range(50):
        standin.report("eth0", "inet")
    assert all(told.acquire(timeout=LONG) for _ in range(51))
    assert len(get_ip_interface_table()) == 1
    cancel_mib_change_notify2(other)
    cancel_mib_change_notify2(notify_ip_interface_change("unspec", print))
    assert standin.counters.running == 0
    leave.set()
    cancel_mib_change_notify2(blocked)


def test_of_eight_threads_that_cancel_each_registration_one_succeeds(standin: StandIn) -> None:
    standin.add("eth0", ["inet"])
    with ThreadPoolExecutor(8) as threads:
        for _ in range(50):
            handle = notify_ip_interface_change("unspec", lambda *_: None)
            standin.report("eth0", "inet")
            cancels = [threads.submit(cancel_mib_change_notify2, handle) for _ in range(8)]
            errors = [type(error) for cancel in cancels if (error := cancel.exception(LONG))]
            assert errors == [InvalidHandleError] * 7
    assert (standin.counters.registrations, standin.counters.cancels_unknown) == (0, 0)


BEGINNING = """
import atexit, os, sys, threading
from tests.windows.inside.standin import StandIn
from publisher.netioapi import *
standin = StandIn()
standin.add("eth0", ["inet"])
"""
FIRST_CALLS = f"""
{BEGINNING}
together = threading.Barrier(8)
seen, heard = [], threading.Semaphore(0)
def first(number):
    together.wait()
    if number % 2:
        seen.append(notify_ip_interface_change("unspec", lambda *_: heard.release()))
    else:
        assert len(get_if_table2()) == 1
threads = [threading.Thread(target=first, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert standin.counters.registrations == 4
standin.report("eth0", "inet")
assert all(heard.acquire(timeout=20) for _ in seen)
for handle in seen: cancel_mib_change_notify2(handle)
print(standin.counters.registrations, standin.counters.tables)
"""


@pytest.mark.timeout(60)
def test_first_calls_from_eight_threads() -> None:
    assert run(FIRST_CALLS) == (0, "0 0")


ENDS = {
    "exit": "def callback(*_):\n    entered.release()\n    sys.exit(5)",
    "interrupt": "def callback(*_):\n    entered.release()\n    raise KeyboardInterrupt",
    "block": "def callback(*_):\n    entered.release()\n    threading.Event().wait()",
    "register": "def callback(*_):\n    notify_ip_interface_change('inet', print)\n    entered.release()",
    "storm": "def callback(*_):\n    entered.release()\n    get_if_table2()",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("way", "end", "status"),
    [
        ("exit", "", 0),
        ("interrupt", "sys.exit(7)", 7),
        ("block", "", 0),
        ("register", "sys.exit(7)", 7),
        ("storm", "", 0),
    ],
)
def test_a_program_ends_whatever_its_callbacks_do_and_leaves_nothing(way: str, end: str, status: int) -> None:
    program = f"""
{BEGINNING}
atexit.register(lambda: print(standin.counters.registrations, standin.counters.tables, flush=True))
threading.excepthook = lambda _: None
entered = threading.Semaphore(0)
{ENDS[way]}
notify_ip_interface_change("unspec", callback, None, True)
notify_unicast_ip_address_change("unspec", callback, None, True)
notify_route_change2("unspec", callback, None, True)
assert all(entered.acquire(timeout=20) for _ in range(3))
if {way == "storm"}:
    threading.Thread(target=lambda: [standin.report_twice("eth0", "inet") for _ in range(100_000)], daemon=True).start()
{end}
"""
    assert run(program) == (status, "0 0")


def run(program: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=50)
    return done.returncode, done.stdout.decode().strip()


def test_reading_from_eight_threads_frees_each_table(standin: StandIn) -> None:
    standin.add("eth0")
    with ThreadPoolExecutor(8) as threads:
        assert {len(rows) for rows in threads.map(lambda _: get_if_table2(), range(400))} == {1}
    assert (standin.counters.tables, standin.counters.bad_frees) == (0, 0)
