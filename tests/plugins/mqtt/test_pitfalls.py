"""Faults of other projects that publish to MQTT and Home Assistant, as far as the other files lack them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from publisher.testing import make_row
from publisher_mqtt.homeassistant.discovery import NODE, Discovery, HomeAssistantOptions
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.mqtt_host import MqttHost, published_states
from tests.fixtures.mqtt_process import begin
from tests.fixtures.mqtt_subscriber import Subscriber, retained
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("the brokers, and the signals that end them, exist on Linux only", allow_module_level=True)

ALIASES = ["a+b", "c#", "d/e", "$SYS/f", "nul\0g", "сеть", "🛜", '"},"h":{"', "x" * 64]


def test_killed_before_the_broker_acknowledged_it_sends_the_same_events_again(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """paho forgets messages in flight when its process ends; evseMQTT#9: offline must be retained then."""
    folder = tmp_path / "publisher"
    folder.mkdir()
    journal = folder / "testnode-home.journal"
    child, _ = begin(folder, broker.url)
    with Subscriber(broker, "interfaces/testnode/#") as subscriber:
        subscriber.wait_for("/event", 5)
        broker.freeze()
        frozen = max(ids_in(journal))
        wait_for(lambda: max(ids_in(journal)) > frozen + 5, what="events that nobody acknowledges")
        child.kill()
        child.join(60)
        in_flight = {seq: {name} for seq, name in ids_in(journal).items() if seq > frozen}
        broker.thaw()
        will = {"interfaces/testnode/status": b"offline"}
        wait_for(lambda: retained(broker, "interfaces/testnode/status") == will, what="the will")
        child, end = begin(folder, broker.url)
        wait_for(lambda: max(heard.json["seq"] for heard in subscriber.of("/event")) > max(in_flight), what="the rest")
        end.send("end")
        child.join(60)
        assert child.exitcode == 0
        sent: defaultdict[int, set[str]] = defaultdict(set)
        for heard in subscriber.of("/event"):
            sent[heard.json["seq"]].add(heard.json["id"])
    assert sorted(sent) == list(range(min(sent), max(sent) + 1)), "none is missing"
    assert {seq: sent[seq] for seq in in_flight} == in_flight


def ids_in(journal: Path) -> dict[int, str]:
    """Returns the ids of the events in the journal, by seq, read by another connection."""
    with contextlib.closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as connection:
        return {seq: json.loads(data)["id"] for seq, data in connection.execute("SELECT seq, data FROM events")}


NODE_DEVICE = {f"homeassistant/device/publisher_testnode/{NODE}/config": "testnode"}


def devices(broker: Mosquitto) -> dict[str, str]:
    """Returns the names of the announced devices, by topic."""
    found = retained(broker, "homeassistant/#")
    return {topic: json.loads(payload)["dev"]["name"] for topic, payload in found.items()}


def test_renamed_while_up_it_is_the_same_device_and_renamed_among_containers_none(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """zigbee2mqtt#2678, docker2mqtt#3, core#54357: the topics of the old name stay for ever."""
    with MqttHost(tmp_path, broker) as host:
        first = make_row("eth0")
        host.put(first)
        host.quiet()
        [topic] = devices(broker).keys() - NODE_DEVICE.keys()
        for alias, announced in [
            ("uplink", {topic: "testnode uplink"}),
            ("veth17", {}),
            ("eth0", {topic: "testnode eth0"}),
        ]:
            renamed = first.interface.model_copy(update={"alias": alias})
            host.put(first.model_copy(update={"interface": renamed}))
            host.quiet()
            assert devices(broker) == NODE_DEVICE | announced
            assert published_states(broker) == host.expected()
            assert set(retained(broker, "interfaces/testnode/#")) == {
                f"interfaces/testnode/{name}" for name in ("status", "info", f"{first.luid}/inet/state")
            }


def test_aliases_of_any_characters_reach_a_broker_as_payload_alone(broker: Mosquitto, tmp_path: Path) -> None:
    """zigbee2mqtt#3175, #12379: a name becomes a topic, and the broker ends the connection."""
    rows = [make_row(alias, index=number + 2) for number, alias in enumerate(ALIASES)]
    with MqttHost(tmp_path, broker) as host:
        host.put(*rows)
        host.quiet()
        assert {state["interface"]["alias"] for state in published_states(broker).values()} == set(ALIASES)
        name_of = Discovery(HomeAssistantOptions(), "testnode").device_name
        names = ["testnode", *(name_of(row.luid, row.interface.alias) for row in rows)]
        assert sorted(devices(broker).values()) == sorted(names)
        host.remove(*(row.key for row in rows))
        host.quiet()
        assert published_states(broker) == {}
        assert sorted(devices(broker).values()) == sorted(names)
        told_by_broker = (broker.directory / "log").read_text()
        assert "protocol error" not in told_by_broker.lower()
        assert not [line for line in host.logged() if line.startswith(("WARNING", "ERROR"))]
