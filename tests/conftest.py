"""Fixtures and guards of all tests."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.fixtures.netns import NetNs, become_capable, own_netns

pytest_plugins = ["tests.fixtures.command", "tests.fixtures.browser"]

TESTS = Path(__file__).parent
# The files that take longest are begun first (`make test` has six processes, each of which takes the next file): the
# last to begin would be what everybody waits for. Each process is given two files at once: behind the first six are
# such as take no time.
LONGEST = (
    "windows/test_under_wine.py",
    "plugins/mqtt/test_sink.py",
    "plugins/mqtt/test_forgetting.py",
    "plugins/mqtt/test_end_to_end.py",
    "plugins/notify/test_recipes.py",
    "plugins/command/test_program.py",
    *("test_durations.py", "test_lock.py", "test_rows.py", "terminal/test_text.py", "service/test_status.py"),
    "test_events.py",
    "terminal/live/test_terminal.py",
    "plugins/web/test_page.py",
    "plugins/web/test_page_crowd.py",
    "plugins/web/test_page_looks.py",
    "plugins/mqtt/test_hangups.py",
    "plugins/mqtt/test_dialing.py",
    "plugins/mqtt/test_links.py",
    "plugins/mqtt/test_connection.py",
    "examples/test_subscribe.py",
    "examples/test_node_red.py",
    "integration/test_whole_faults.py",
    "integration/test_history.py",
    "integration/test_compose.py",
    "plugins/mqtt/test_recovery.py",
    "plugins/command/test_killed.py",
    "plugins/webhook/test_delivery.py",
    "integration/test_faults_kill.py",
    "integration/test_settle.py",
    "integration/test_unit.py",
    "cli/test_history.py",
    "service/test_left_places.py",
    "delivery/test_worker.py",
    "journal/test_damage.py",
    "integration/test_harmless_output.py",
    "integration/test_whole_program.py",
    "service/test_log_file.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hostile-seconds", default="4", help="the time of each hostile run, tests/hostile; 300 by make test-hostile"
    )
    parser.addoption(
        "--fleet-seconds", default="25", help="the time in which a fleet's servers are killed; 1200 by make test-fleet"
    )
    parser.addoption("--fleet-nodes", default="6", help="the played nodes of a fleet; 50 by make test-fleet")
    parser.addoption("--fleet-seeds", default="1", help="the seeds of the faults of a fleet, as 1,2,3: a run for each")
    parser.addoption(
        "--many", action="store_true", help="all repetitions of the tests that repeat a step thousands of times"
    )
    parser.addoption("--screenshots", action="store_true", help="writes the pictures into docs/images")


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Returns the repetitions of a step that shows nothing new after hundreds: the given ones, a tenth without --many.

    `make test-many` shows what the documentation says of thousands.
    """
    many = bool(request.config.getoption("--many"))
    return lambda repetitions: repetitions if many else repetitions // 10


def pytest_configure() -> None:
    _obey_signals()
    _forget_settings()
    _be_patient()
    if sys.platform == "linux":
        # Done now, while the process has one thread: with more the kernel refuses a user namespace.
        with contextlib.suppress(OSError):
            become_capable()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collects tests without looking for garbage, and leaves what is there then out of all later collections.

    Each process of `make test` collects 7,000 tests: many objects, and all of them stay.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def _obey_signals() -> None:
    """Stops ignoring the signals that a background job or nohup ignores: the programs under test inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _forget_settings() -> None:
    """Removes the settings of whoever runs the tests: the programs under test would follow them."""
    for name in [*os.environ]:
        if name.startswith("PUBLISHER_") and not name.startswith("PUBLISHER_TEST_"):
            del os.environ[name]


def _be_patient() -> None:
    """Lets hypothesis judge results, and no durations."""
    with contextlib.suppress(ImportError):  # Windows Python under Wine has none
        from hypothesis import HealthCheck, settings

        settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
        settings.load_profile("patient")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Fails a test that leaves a thread behind; one that is about to end gets a moment."""
    before = set(threading.enumerate())
    yield
    begun = [thread for thread in threading.enumerate() if thread not in before]
    for thread in begun:
        thread.join(30)
    left = [thread.name for thread in begun if thread.is_alive()]
    assert not left, f"threads are left: {left}"


@pytest.fixture(autouse=True)
def no_test_moves_the_main_thread() -> Iterator[None]:
    """Fails a test that moves pytest's own thread to another network namespace.

    An ordinary user cannot move it back, and every later test of that process would have no network.
    """
    if sys.platform != "linux":
        yield
        return
    before = os.readlink("/proc/self/ns/net")  # noqa: PTH115 - not the path of a file, and os.readlink is quick
    yield
    assert os.readlink("/proc/self/ns/net") == before  # noqa: PTH115 - as above


@pytest.fixture
def netns() -> Iterator[NetNs]:
    """A network namespace of the test's own with nothing in it but a loopback that is down."""
    with own_netns() as namespace:
        yield namespace


@pytest.fixture
def inside_netns(netns: NetNs, request: pytest.FixtureRequest) -> NetNs:
    """A network namespace in which the test's function runs, in a thread of its own.

    For tests of calls that act on the network namespace of the calling thread.
    """
    request.node.obj = functools.partial(netns.in_thread, request.node.obj)
    return netns
