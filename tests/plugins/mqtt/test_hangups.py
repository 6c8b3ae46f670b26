"""Brokers that answer by hanging up: the message is found and given up, the rest is delivered, and nothing is lost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from publisher.testing import make_row
from publisher_mqtt.embedded.broker import EmbeddedBroker
from tests.fixtures.brokers import Broker, Mosquitto, Nats
from tests.fixtures.mqtt_host import MqttHost, published_states, some_rows
from tests.fixtures.mqtt_proxy import PUBLISH, SUBSCRIBE, Packet, Proxy
from tests.fixtures.mqtt_subscriber import Subscriber, retained, states
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.requirements import unable

if sys.platform == "win32":
    pytest.skip("the brokers exist on Linux only", allow_module_level=True)

ROOT = "interfaces/testnode"
LARGE = make_row("large", index=50, addresses=[f"10.9.{number}.1/24" for number in range(60)])
SMALL = list(some_rows(5))


def is_online(broker: Broker) -> bool:
    return retained(broker, f"{ROOT}/status").get(f"{ROOT}/status") == b"online"


def warnings(host: MqttHost) -> list[str]:
    return [line for line in host.logged() if line.startswith(("WARNING", "ERROR"))]


def dead_letters(host: MqttHost) -> list[str]:
    host.journal.commit()
    return [letter.reason for letter in host.journal.dead_letters()]


def is_delivered(broker: Broker, host: MqttHost, *, reduced: int = 0) -> None:
    """Asserts that the node is online, and each state is there, so many of them reduced."""
    host.quiet()
    wait_for(lambda: is_online(broker), what="online")
    found, expected = published_states(broker), host.expected()
    assert found.keys() == expected.keys()
    assert {key for key, state in found.items() if "reduced" in state} == {
        key for key, state in found.items() if state != expected[key]
    }
    assert sum("reduced" in state for state in found.values()) == reduced
    assert not any("client id" in line or "wrong port" in line for line in host.logged())


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_state_that_is_too_large_is_reduced_and_the_rest_goes_on(tmp_path: Path, protocol: str) -> None:
    """zigbee2mqtt#13030, MQTT.js#768: with MQTT 3.1.1 the broker tells its limit by hanging up only."""
    with (
        Mosquitto(tmp_path, "max_packet_size 9000") as broker,
        MqttHost(tmp_path, broker, protocol=protocol) as host,
        Subscriber(broker, f"{ROOT}/+/+/event") as live,
    ):
        host.quiet()
        host.put(*SMALL, LARGE)
        is_delivered(broker, host, reduced=1)
        state = states(broker)[f"{LARGE.luid}/inet"]
        assert state["reduced"] == ["addresses"]
        assert "addresses" not in state
        # The others go on, and its own events are dead letters, each named with its topic and size.
        for mtu in range(1400, 1410):
            host.put(make_row("eth0", index=2, addresses=["192.0.2.1/24"], nl_mtu=mtu))
        host.put(LARGE.model_copy(update={"row": LARGE.row.model_copy(update={"nl_mtu": 1234})}))
        host.put(make_row("eth0", index=2, addresses=["192.0.2.1/24"], nl_mtu=1500))
        is_delivered(broker, host, reduced=1)
        assert states(broker)[f"{LARGE.luid}/inet"]["row"]["nl_mtu"] == 1234, "reduced, and never stale"
        live.wait_for(f"{SMALL[0].luid}/inet/event", 11)
        letters = dead_letters(host)
        assert letters
        assert all(f"{ROOT}/{LARGE.luid}/inet/event" in reason and "bytes" in reason for reason in letters)
        assert any(f"{ROOT}/{LARGE.luid}/inet/state" in line for line in warnings(host))
        # One that is smaller is tried at once.
        host.put(make_row("large", index=50, addresses=["10.9.0.1/24"]))
        is_delivered(broker, host)


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_state_that_does_not_fit_at_all_is_emptied_and_counted(tmp_path: Path, protocol: str) -> None:
    with (
        Mosquitto(tmp_path, "max_packet_size 1000") as broker,
        MqttHost(tmp_path, broker, protocol=protocol, home_assistant=False) as host,
    ):
        host.quiet()
        described = {"description": "d" * 900}  # which no reduction leaves out
        host.put(*(make_row(f"eth{number}", index=number + 2, interface=described) for number in range(3)))
        # Each event is tried alone twice; the worker's pauses grow until the first of them is given up.
        host.quiet(100)
        wait_for(lambda: is_online(broker), what="online")
        assert states(broker) == {}
        assert len(dead_letters(host)) == 3
        wait_for(lambda: counts(broker) == (0, 3), what="the number of missing states in info")


def counts(broker: Broker) -> tuple[int, int]:
    """Returns the numbers of states that are retained and that are missing, as `info` has them."""
    info = json.loads(retained(broker, f"{ROOT}/info")[f"{ROOT}/info"])
    return info["rows"], info["missing"]


HANGS_UP: dict[str, tuple[Callable[[Packet], bool], dict[str, Any]]] = {
    "births": (lambda packet: packet.kind == SUBSCRIBE and packet.topic == "homeassistant/status", {}),
    "requests": (lambda packet: packet.kind == SUBSCRIBE and packet.topic == f"{ROOT}/replay/get", {}),
    "states read back": (lambda packet: packet.kind == SUBSCRIBE and packet.topic == f"{ROOT}/+/+/state", {}),
    "devices read back": (lambda packet: packet.kind == SUBSCRIBE and "/device/" in packet.topic, {}),
    "the status": (lambda packet: packet.kind == PUBLISH and packet.topic == f"{ROOT}/status", {}),
    "info": (lambda packet: packet.kind == PUBLISH and packet.topic == f"{ROOT}/info", {}),
    "devices": (lambda packet: packet.kind == PUBLISH and packet.topic.startswith("homeassistant/"), {}),
}


@pytest.mark.parametrize("what", HANGS_UP)
def test_what_is_not_needed_is_given_up_and_named(broker: Mosquitto, tmp_path: Path, what: str) -> None:
    seen: list[str] = []

    def refuses(packet: Packet) -> bool:
        found = HANGS_UP[what][0](packet)
        if found:
            seen.append(packet.topic)
        return found

    with Proxy(broker.port, refuses) as proxy, MqttHost(tmp_path, proxy.url, protocol="3.1.1") as host:
        host.put(*SMALL)
        host.quiet()
        wait_for(lambda: len(published_states(broker)) == 5, what="states")
        assert published_states(broker) == host.expected()
        assert seen
        assert any(seen[0] in line for line in warnings(host)), warnings(host)
        assert not any("client id" in line or "wrong port" in line for line in host.logged())
        assert dead_letters(host) == []
        if what != "the status":
            wait_for(lambda: is_online(broker), what="online")
        before = proxy.connections
        host.put(make_row("eth0", index=2, nl_mtu=1234))
        host.quiet()
        assert proxy.connections == before, "it is remembered"


def test_an_event_over_which_the_broker_hangs_up_is_a_dead_letter(broker: Mosquitto, tmp_path: Path) -> None:
    def refuses(packet: Packet) -> bool:
        return packet.kind == PUBLISH and b'"nl_mtu":1313' in packet.body and packet.topic.endswith("/event")

    with (
        Proxy(broker.port, refuses) as proxy,
        MqttHost(tmp_path, proxy.url, protocol="3.1.1") as host,
        Subscriber(broker, f"{ROOT}/+/+/event") as live,
    ):
        host.quiet()
        events = [host.put(make_row(nl_mtu=mtu))[0] for mtu in range(1300, 1330)]
        host.quiet()
        wanted = {event.seq for event in events} - {events[13].seq}
        wait_for(lambda: {heard.json["seq"] for heard in live.of("/event")} == wanted, what="every other event")
        [reason] = dead_letters(host)
        assert f"{ROOT}/{events[13].luid}/inet/event" in reason
        is_delivered(broker, host)


def test_a_broker_that_takes_nothing_costs_no_event(broker: Mosquitto, tmp_path: Path) -> None:
    """An ACL that refuses everything, or a full disk: everything waits, and the topic is named."""
    closed = True
    with (
        Proxy(broker.port, lambda packet: closed and packet.kind == PUBLISH) as proxy,
        MqttHost(tmp_path, proxy.url, protocol="3.1.1") as host,
    ):
        host.put(*SMALL)
        wait_for(lambda: proxy.connections > 10, what="some attempts")
        assert dead_letters(host) == []
        assert any(ROOT in line for line in warnings(host))
        closed = False
        is_delivered(broker, host)
        assert dead_letters(host) == []


def test_a_will_that_is_refused_is_named(tmp_path: Path) -> None:
    """nats-server#4836: NATS before 2.10 refuses dots and spaces in topics, the will's among them."""
    node = "nas.home.lan"
    with Nats(tmp_path) as broker, MqttHost(tmp_path, broker, node=node, protocol="auto") as host:
        host.put(make_row())
        wait_for(
            lambda: (
                any(f"the will has the topic interfaces/{node}/status" in one for one in warnings(host))
                or any(f"interfaces/{node}/status" in one for one in warnings(host))
            ),
            what="a line that names it",
        )
        assert not any("wrong port" in line for line in host.logged())


def test_restarts_and_cut_links_cost_no_event(broker: Mosquitto, tmp_path: Path) -> None:
    """Whatever is on its way when a link is cut, again and again, is no reason to give it up."""
    with (
        Proxy(broker.port) as proxy,
        MqttHost(tmp_path, proxy.url, protocol="3.1.1") as host,
        Subscriber(broker, f"{ROOT}/+/+/event") as live,
    ):
        host.quiet()
        for cut in range(30):
            events = [host.put(make_row(nl_mtu=1000 + cut * 10 + number))[0] for number in range(10)]
            live.wait_for("/event", max(1, events[0].seq // 2))
            proxy.cut()
        host.quiet()
        wanted = set(range(1, 301))
        wait_for(lambda: {heard.json["seq"] for heard in live.of("/event")} == wanted, what="every event")
        assert dead_letters(host) == []
        assert published_states(broker) == host.expected()


def test_the_first_run_with_a_state_that_its_broker_does_not_take(tmp_path: Path) -> None:
    """2,000 addresses on one interface: 450 kB, where the embedded broker takes 262,144 bytes."""
    if find_spec("iotcore") is None:
        unable("iotcore has no wheel for this system")
    many = make_row("many", index=50, addresses=[f"10.50.{n // 250}.{n % 250 + 1}/32" for n in range(2000)])
    broker = EmbeddedBroker(free_port())
    broker.start()
    try:
        with MqttHost(tmp_path, f"mqtt://127.0.0.1:{broker.port}", protocol="3.1.1") as host:
            host.quiet()
            host.put(*SMALL, many)
            host.quiet()
            assert any(f"{ROOT}/{many.luid}/inet" in line for line in warnings(host))
            assert all(f"{many.luid}/inet/event" in reason for reason in dead_letters(host))
            assert host.worker.status().state == "following"
    finally:
        broker.close()
