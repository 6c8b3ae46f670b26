"""Devices that a broker does not take: each costs itself alone, and a broker that takes none is not asked for ever."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from publisher.events import IpInterface
from publisher.testing import make_row
from tests.fixtures.brokers import Broker, Mosquitto
from tests.fixtures.mqtt_host import MqttHost, published_states, some_rows
from tests.fixtures.mqtt_proxy import PUBLISH, Packet, Proxy
from tests.fixtures.mqtt_subscriber import retained
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("the brokers exist on Linux only", allow_module_level=True)

SMALL = list(some_rows(3))
NOT_AUTHORIZED = 0x87


def large(index: int) -> list[IpInterface]:
    """Returns an interface with a long name: its device has over 3,000 bytes, its states have less."""
    alias = chr(96 + index) * 250
    return [make_row(alias, index=index), make_row(alias, "inet6", index=index)]


def device(row: IpInterface) -> str:
    return f"homeassistant/device/publisher_testnode/{row.luid}/config"


def is_delivered(broker: Broker, host: MqttHost, *devices: IpInterface) -> None:
    """Asserts that each state is there, and of the devices exactly these."""
    host.quiet(120)
    wait_for(lambda: published_states(broker) == host.expected(), what="each state")
    node = "homeassistant/device/publisher_testnode/node/config"
    there = set(map(device, devices)) | ({node} if devices else set())
    wait_for(lambda: retained(broker, "homeassistant/#").keys() == there, what="these devices")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("count", [1, 4])
def test_a_device_that_is_too_large_costs_itself(tmp_path: Path, protocol: str, count: int) -> None:
    with (
        Mosquitto(tmp_path, "max_packet_size 3000") as broker,
        MqttHost(tmp_path, broker, protocol=protocol) as host,
    ):
        host.quiet()
        small = [make_row("eth0", index=20), make_row("eth1", index=21)]
        host.put(*(row for index in range(2, 2 + count) for row in large(index)), *small)
        is_delivered(broker, host, *small)
        later = make_row("later", index=30)
        host.put(later)
        is_delivered(broker, host, *small, later)
        assert any(device(large(2)[0]) in line for line in host.logged())
        assert not any("discovery is off" in line for line in host.logged())


def refusing(broker: Mosquitto, refused: Callable[[Packet], bool], protocol: str) -> Proxy:
    """Returns a proxy that refuses packets as a broker does: with a reason code, or with 3.1.1 by hanging up."""
    if protocol == "5":
        return Proxy(broker.port, code=lambda packet: NOT_AUTHORIZED if refused(packet) else None)
    return Proxy(broker.port, refused)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_device_that_is_refused_costs_itself(broker: Mosquitto, tmp_path: Path, protocol: str) -> None:
    """An access control that refuses one topic: MQTT 5 has a reason code, and 3.1.1 the end of the connection."""

    def refused(packet: Packet) -> bool:
        return packet.kind == PUBLISH and packet.topic == device(SMALL[1])

    with (
        refusing(broker, refused, protocol) as proxy,
        MqttHost(tmp_path, proxy.url, protocol=protocol) as host,
    ):
        host.quiet()
        host.put(*SMALL)
        is_delivered(broker, host, SMALL[0], SMALL[2])
        later = make_row("later", index=20)
        host.put(later)
        is_delivered(broker, host, SMALL[0], SMALL[2], later)
        assert any(device(SMALL[1]) in line for line in host.logged())
        assert not any("discovery is off" in line for line in host.logged())


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_broker_that_takes_no_device_is_not_asked_for_each(broker: Mosquitto, tmp_path: Path, protocol: str) -> None:
    def refused(packet: Packet) -> bool:
        return packet.kind == PUBLISH and packet.topic.startswith("homeassistant/")

    with (
        refusing(broker, refused, protocol) as proxy,
        MqttHost(tmp_path, proxy.url, protocol=protocol) as host,
    ):
        host.quiet()
        host.put(*some_rows(40))
        is_delivered(broker, host)
        assert any("discovery is off" in line for line in host.logged())
        assert proxy.connections < 12
