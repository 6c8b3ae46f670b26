"""What many tests share."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import pytest

from tests.tools import need, unable

if sys.platform == "linux":
    from tests.netns import NetNs, become_capable

    def pytest_configure() -> None:
        # Now, while the process has one thread: later the kernel refuses a user namespace.
        with contextlib.suppress(OSError):
            become_capable()

    @pytest.fixture
    def netns() -> Iterator[NetNs]:
        """A network namespace of the test's own, with nothing but a loopback that is down."""
        need("ip", package="iproute2")
        try:
            namespace = NetNs()
        except OSError as error:
            unable(f"no network namespace can be made ({error.strerror}): run as root, or allow user namespaces")
        with contextlib.closing(namespace):
            yield namespace
