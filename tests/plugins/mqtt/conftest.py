"""Fixtures of the tests of the mqtt sink."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from publisher_mqtt.sink import MqttSink
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.service import House


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Mosquitto as it is by default, in a folder of its own."""
    with Mosquitto(tmp_path_factory.mktemp("broker")) as started:
        yield started


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A service that knows the mqtt sink."""
    house = House(tmp_path)
    house.types = {"mqtt": MqttSink}
    return house
