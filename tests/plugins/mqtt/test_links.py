"""Slow links, links that break, and refusals that pass: each gets on, and gives nothing up."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from publisher.testing import make_row
from publisher_mqtt.client import announcement, late, session
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.mqtt_host import MqttHost, published_states, some_rows
from tests.fixtures.mqtt_proxy import PUBLISH, Packet, Proxy
from tests.fixtures.mqtt_subscriber import Subscriber, retained
from tests.fixtures.poll import wait_for
from tests.fixtures.starved import judged_while_awake

if sys.platform == "win32":
    pytest.skip("the brokers exist on Linux only", allow_module_level=True)

ROOT = "interfaces/testnode"
EVENTS = 150


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_link_that_breaks_before_a_batch_is_over_gets_on(broker: Mosquitto, tmp_path: Path, protocol: str) -> None:
    """About 250 kB wait, and each connection carries 100 kB: the events that the broker has are not sent again."""
    with (
        Proxy(broker.port, rate=50_000) as proxy,
        MqttHost(tmp_path, proxy.url, protocol=protocol, timeout=5) as host,
        Subscriber(broker, f"{ROOT}/+/+/event") as live,
    ):
        host.quiet()
        host.put(*some_rows(3))
        host.quiet()
        proxy.seconds = 3.0
        proxy.cut()
        events = [host.put(make_row("eth0", index=2, nl_mtu=1000 + number))[0] for number in range(EVENTS)]
        host.quiet(120)
        wanted = [event.seq for event in events]
        wait_for(lambda: {heard.json["seq"] for heard in live.of("/event")} >= set(wanted), what="every event")
        first_of_each = list(dict.fromkeys(heard.json["seq"] for heard in live.of("/event")))
        assert first_of_each[3:] == wanted, "in order"
        assert proxy.connections > 2, "it broke several times"
        assert host.worker.status().rejected == 0


def test_a_slow_link_is_waited_for_while_it_gets_on(broker: Mosquitto, tmp_path: Path) -> None:
    """One state alone takes longer than the time limit for an answer."""
    large = make_row("large", index=50, addresses=[f"10.9.{number}.1/24" for number in range(240)])
    numbers = itertools.count()

    def is_waited_for() -> None:
        node = f"node{next(numbers)}"
        with (
            Proxy(broker.port, rate=20_000) as proxy,
            MqttHost(tmp_path, proxy.url, node=node, protocol="5", timeout=1.5) as host,
        ):
            host.put(large, *some_rows(3))
            host.quiet()
            assert published_states(broker, f"interfaces/{node}") == host.expected()
            assert proxy.connections == 1

    judged_while_awake(is_waited_for, within=0.7)


def test_a_batch_that_takes_longer_than_the_keepalive_keeps_its_connection(broker: Mosquitto, tmp_path: Path) -> None:
    """The answer to a PINGREQ comes 10 s later, behind all that is under way: acknowledgements show a live broker."""
    rows = [make_row(f"eth{number}", index=number + 2, interface={"description": "d" * 900}) for number in range(60)]
    with (
        Proxy(broker.port, rate=12_000) as proxy,
        MqttHost(tmp_path, proxy.url, protocol="5", keepalive=5, home_assistant=False) as host,
    ):
        host.quiet()
        host.put(*rows)
        host.quiet()
        assert published_states(broker) == host.expected()
        assert proxy.connections == 1


def test_what_came_with_the_last_acknowledgement_is_taken_too(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More packets than are read in one turn came in one piece, so nothing more is to be read from the socket."""
    for module, name in ((announcement, "_SETTLE_SECONDS"), (late, "_LATE_SECONDS")):
        monkeypatch.setattr(module, name, 3600.0)  # what is sent then is answered, and that is read

    def publish(topic: str, payload: bytes) -> bytes:
        body = len(topic).to_bytes(2, "big") + topic.encode() + b"\0" + payload
        assert len(body) < 128
        return bytes([0x30, len(body)]) + body

    def beside(packet: Packet) -> bytes:
        return b"" if packet.topic != f"{ROOT}/{row.luid}/inet/event" else flood + request

    row = make_row()
    flood = publish(f"{ROOT}/fence", b"") * 900
    request = publish(f"{ROOT}/replay/get", b'{"client": "asks"}')
    with (
        Proxy(broker.port, beside=beside) as proxy,
        MqttHost(tmp_path, proxy.url, protocol="5", keepalive=65535, home_assistant=False) as host,
        Subscriber(broker, f"{ROOT}/replay/asks") as asks,
    ):
        host.put(row)
        host.quiet()
        proxy.code = lambda packet: 0 if packet.kind == PUBLISH and packet.topic.endswith("/event") else None
        host.put(row.model_copy(update={"row": row.row.model_copy(update={"nl_mtu": 1234})}))
        asks.wait_for("/asks", 1)


@pytest.mark.parametrize("code", [0x80, 0x97])
@pytest.mark.parametrize("what", ["homeassistant/", f"{ROOT}/info", f"{ROOT}/status", "/state", "/event"])
def test_a_refusal_that_passes_is_tried_again(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, code: int
) -> None:
    monkeypatch.setattr(session, "_REFUSED_SECONDS", 0.3)
    monkeypatch.setattr(announcement, "_REFUSED_SECONDS", 0.3)
    refused: list[str] = []

    def answer(packet: Packet) -> int | None:
        if packet.kind == PUBLISH and what in packet.topic and len(refused) < 2:
            refused.append(packet.topic)
            return code
        return None

    with (
        Proxy(broker.port, code=answer) as proxy,
        MqttHost(tmp_path, proxy.url, protocol="5") as host,
        Subscriber(broker, f"{ROOT}/+/+/event") as live,
    ):
        host.quiet()
        host.put(*some_rows(3))
        host.quiet()
        wait_for(lambda: published_states(broker) == host.expected(), what="states")
        live.wait_for("/event", 3)
        topics = {f"{ROOT}/info", f"{ROOT}/status"}
        wait_for(lambda: topics <= set(retained(broker, f"{ROOT}/#")), what="info and status")
        wait_for(lambda: retained(broker, f"{ROOT}/status")[f"{ROOT}/status"] == b"online", what="online")
        wait_for(lambda: len(retained(broker, "homeassistant/#")) >= 3, what="devices")
        assert refused
        assert not any("discovery is off" in line for line in host.logged())
        assert host.worker.status().rejected == 0
