"""Large messages of others: memory stays, and so does the connection."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from publisher.testing import make_row
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.mqtt_host import MqttHost
from tests.fixtures.mqtt_subscriber import Subscriber, retained
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("the brokers exist on Linux only", allow_module_level=True)

MIB = 1 << 20
ETH0 = make_row("eth0")


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("size", [2 * MIB, 60 * MIB])
def test_a_huge_request_costs_neither_memory_nor_the_connection(broker: Mosquitto, tmp_path: Path, size: int) -> None:
    with MqttHost(tmp_path, broker, protocol="3.1.1", timeout=60) as host:
        host.put(ETH0)
        host.quiet()
        assert host.sink is not None
        connection = host.sink.session.connection
        with Subscriber(broker, "interfaces/testnode/replay/me") as asker:
            huge = b" " * size
            for _ in range(3):
                asker.publish("interfaces/testnode/replay/get", huge)
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            asker.publish("interfaces/testnode/replay/get", huge)
            asker.publish("interfaces/testnode/replay/get", b'{"client": "me"}')
            asker.wait_for("/me", 2)
            _, peak = tracemalloc.get_traced_memory()
        # The test's own client holds one, too, and a copy of it.
        assert peak - before < 2 * size + 12 * MIB
        assert host.sink.session.connection is connection
    assert any("are not answered" in line for line in host.logged())


@pytest.mark.usefixtures("traced")
def test_three_hundred_large_devices_that_somebody_planted_are_not_held(broker: Mosquitto, tmp_path: Path) -> None:
    large = json.dumps({"device": {"name": "x" * 900_000}}).encode()
    with Subscriber(broker, "none") as rogue:
        for number in range(300):
            rogue.publish(f"homeassistant/device/publisher_testnode/{number:016x}/config", large, retain=True)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    with MqttHost(tmp_path, broker, timeout=60) as host:
        host.put(ETH0)
        wait_for(lambda: retained(broker, "interfaces/testnode/status"), what="the status")
        host.quiet()
    _, peak = tracemalloc.get_traced_memory()
    assert peak - before < 16 * MIB
