"""Fixtures of the tests of the mqtt sink."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.brokers import Mosquitto


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Mosquitto as it is by default, in a folder of its own."""
    with Mosquitto(tmp_path_factory.mktemp("broker")) as started:
        yield started
