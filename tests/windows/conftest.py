"""Fixtures of the tests of Windows.

On Linux the tests of `inside/` are not collected: `test_under_wine.py` runs them in Windows Python.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.brokers import Mosquitto
from tests.windows.messages import AllMessages
from tests.windows.wine import Wine, running

collect_ignore = [] if sys.platform == "win32" else ["inside"]


@pytest.fixture(scope="package")
def wine() -> Iterator[Wine]:
    """Yields a Wine in a network namespace of its own, one for all these tests."""
    with running() as started:
        yield started


@pytest.fixture
def broker(wine: Wine, tmp_path: Path) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path)
    wine.netns.call(mosquitto.start)
    yield mosquitto
    mosquitto.kill()


@pytest.fixture
def subscriber(wine: Wine, broker: Mosquitto) -> Iterator[AllMessages]:
    with contextlib.closing(AllMessages(wine, broker.port)) as started:
        yield started
