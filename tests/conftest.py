"""What many tests share."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.fixtures.netns import NetNs, become_capable
from tests.fixtures.requirements import need, unable

pytest_plugins = ["tests.fixtures.command"]


def pytest_configure() -> None:
    if sys.platform == "linux":
        # Now, while the process has one thread: later the kernel refuses a user namespace.
        with contextlib.suppress(OSError):
            become_capable()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Each test ends the threads that it began; one that is on its way out gets a moment."""
    before = set(threading.enumerate())
    yield
    begun = [thread for thread in threading.enumerate() if thread not in before]
    for thread in begun:
        thread.join(5)
    left = [thread.name for thread in begun if thread.is_alive()]
    assert not left, f"threads are left: {left}"


@pytest.fixture
def netns() -> Iterator[NetNs]:
    """A network namespace of the test's own, with nothing but a loopback that is down."""
    if sys.platform != "linux":
        pytest.skip("network namespaces are Linux's")
    need("ip", package="iproute2")
    try:
        namespace = NetNs()
    except OSError as error:
        unable(f"no network namespace can be made ({error}): run as root, or allow user namespaces")
    with contextlib.closing(namespace):
        yield namespace
