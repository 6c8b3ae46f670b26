"""The calls in whole programs on Linux: first calls at once, forks, pipes, exits. Each in the test's own namespace."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from publisher.netioapi.process import Process

if sys.platform == "win32":
    pytest.skip("programs that fork; under Wine see test_calls.py", allow_module_level=True)

LONG = 20.0
pytestmark = pytest.mark.usefixtures("inside_netns")


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, in the place of this test."""
    # Python 3.12 and newer warn of each fork in a process with threads: these tests are about just that.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)


def test_first_calls_at_the_same_moment_have_one_system() -> None:
    made: list[object] = []
    together = threading.Barrier(8)

    def make() -> Any:
        made.append(object())
        # Gives every other thread the chance to make one, too.
        threading.Event().wait(0.05)
        return made[-1]

    process = Process(make)

    def first_call() -> object:
        together.wait(LONG)
        return process.system()

    with ThreadPoolExecutor(8) as threads:
        systems = {id(call.result(LONG)) for call in [threads.submit(first_call) for _ in range(8)]}
    assert len(made) == len(systems) == 1


FORK_AT_THE_FIRST_CALL = """
import os, signal, threading
from publisher.netioapi.process import Process, own_system
making, forked = threading.Event(), threading.Event()
def make():
    making.set()
    assert forked.wait(20)
    return own_system()
process = Process(make)
first = threading.Thread(target=process.system)
first.start()
assert making.wait(20)
child = os.fork()
forked.set()
if not child:
    signal.alarm(20)
    process.system()
    os._exit(3)
first.join()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
"""


def test_a_fork_while_another_thread_makes_the_first_call_leaves_the_child_able_to_call() -> None:
    done = run(FORK_AT_THE_FIRST_CALL)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


FORK_AT_ANY_MOMENT = """
import os, signal, threading
from publisher.netioapi import *
ended = threading.Event()
def use():
    get_if_table2()
    cancel_mib_change_notify2(notify_ip_interface_change("unspec", lambda *_: None, initial_notification=True))
def use_often():
    while not ended.is_set():
        use()
threads = [threading.Thread(target=use_often) for _ in range(2)]
for thread in threads: thread.start()
for _ in range(40):
    child = os.fork()
    if not child:
        signal.alarm(20)
        use()
        os._exit(3)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 3: break
ended.set()
for thread in threads: thread.join()
assert status == 3, status
"""


def test_a_fork_at_any_moment_of_other_threads_calls_leaves_the_child_able_to_call() -> None:
    """Also while a module is imported for the first time, and while the last registration ends."""
    done = run(FORK_AT_ANY_MOMENT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


FIRST_CALLS = """
import threading
from publisher.netioapi import *
together = threading.Barrier(8)
luids, called = [], threading.Event()
def read():
    together.wait(20)
    luids.append(sorted(row.interface_luid for row in get_if_table2()))
def register():
    together.wait(20)
    handle = notify_ip_interface_change("unspec", lambda *_: called.set(), initial_notification=True)
    luids.append(sorted(row.interface_luid for row in get_if_table2()))
    assert called.wait(20)
    cancel_mib_change_notify2(handle)
threads = [threading.Thread(target=target) for target in [read, register] * 4]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(luids) == 8 and luids.count(luids[0]) == 8, luids
"""


def test_eight_threads_that_begin_at_once_agree_on_every_luid() -> None:
    done = run(FIRST_CALLS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


JSON = """
import json
from publisher.netioapi import *
handle = notify_ip_interface_change("unspec", lambda *_: None, initial_notification=True)
rows = [row.model_dump() for row in get_ip_interface_table()] + [row.model_dump() for row in get_if_table2()]
cancel_mib_change_notify2(handle)
print(json.dumps(rows + [json.loads(get_if_entry2(index=1).model_dump_json())]))
"""


def test_a_program_that_pipes_json_prints_that_alone() -> None:
    done = run(JSON)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)[-1]["alias"] == "lo"


FORK = """
import multiprocessing, os, sys, threading, time
from publisher.errors import InvalidHandleError
from publisher.netioapi import *

confirmed, calls = threading.Event(), []
def callback(context, row, kind):
    calls.append(kind)
    confirmed.set()

def use():
    "Registers, reads and cancels; the LUIDs are those of the parent."
    again = threading.Event()
    assert threading.active_count() == 1
    assert [row.interface_luid for row in get_if_table2()] == luids
    try:
        cancel_mib_change_notify2(handle)
    except InvalidHandleError as error:
        assert "parent" in str(error)
    else:
        raise AssertionError("the parent's handle was cancelled")
    mine = notify_ip_interface_change("unspec", lambda *_: again.set(), initial_notification=True)
    assert again.wait(20)
    get_ip_interface_table()
    cancel_mib_change_notify2(mine)
    assert threading.active_count() == 1

def sockets():
    links = (os.readlink(f"/proc/self/fd/{fd}") for fd in map(int, os.listdir("/proc/self/fd")) if exists(fd))
    return sorted(link for link in links if link.startswith(("socket:", "anon_inode:")))

def exists(fd):
    return os.path.lexists(f"/proc/self/fd/{fd}")

handle = notify_ip_interface_change("unspec", callback, initial_notification=True)
assert confirmed.wait(20)
luids = [row.interface_luid for row in get_if_table2()]
"""

FORKS = {
    "os.fork": """
child = os.fork()
if not child:
    use()
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
""",
    "multiprocessing": """
process = multiprocessing.get_context("fork").Process(target=use)
process.start()
process.join(20)
assert process.exitcode == 0
""",
    "while other threads hold every lock": """
ended = threading.Event()
def busy():
    while not ended.is_set():
        get_if_table2()
        cancel_mib_change_notify2(notify_ip_interface_change("unspec", lambda *_: None))
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(20):
    child = os.fork()
    if not child:
        use()
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
ended.set()
for thread in threads: thread.join()
""",
    "inside a callback": """
children, forked = [], threading.Event()
def fork(*_):
    children.append(os.fork())
    if not children[-1]:
        use_in_callback()
    forked.set()
def use_in_callback():
    assert [row.interface_luid for row in get_if_table2()] == luids
inner = notify_ip_interface_change("unspec", fork, initial_notification=True)
assert forked.wait(20)
assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
cancel_mib_change_notify2(inner)
""",
    "its descriptors": """
child = os.fork()
if not child:
    left = sockets()
    assert left == [], left
    os._exit(3)
assert sockets() != []
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
""",
}

PARENT = """
# The parent is as it was: its registration is called, and its calls answer.
import subprocess
calls.clear(); confirmed.clear()
subprocess.run(["ip", "link", "set", "lo", "mtu", "60000"], check=True)
assert confirmed.wait(20)
assert [row.mtu for row in get_if_table2() if row.alias == "lo"] == [60000]
cancel_mib_change_notify2(handle)
"""


@pytest.mark.parametrize("way", FORKS)
def test_after_a_fork_the_child_begins_anew_and_the_parent_goes_on(way: str) -> None:
    done = run(FORK + FORKS[way] + PARENT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


EXITS = {
    "a callback that exits": """
def callback(*_):
    entered.release()
    sys.exit(5)
""",
    "a callback that never returns": """
def callback(*_):
    entered.release()
    threading.Event().wait()
""",
}


@pytest.mark.parametrize("way", EXITS)
@pytest.mark.parametrize(("end", "status"), [("", 0), ("sys.exit(7)", 7), ("os._exit(8)", 8)])
def test_a_program_ends_at_once_and_with_its_own_status(way: str, end: str, status: int) -> None:
    program = f"""
import os, sys, threading
from publisher.netioapi import *
threading.excepthook = lambda _: None
entered = threading.Semaphore(0)
{EXITS[way]}
handles = [notify_ip_interface_change("unspec", callback, initial_notification=True) for _ in range(3)]
handles += [notify_unicast_ip_address_change("unspec", callback, initial_notification=True) for _ in range(3)]
for _ in handles:
    assert entered.acquire(timeout=20)
{end}
"""
    done = run(program)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")
