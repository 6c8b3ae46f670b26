"""What is retained, answered and cleared by a sink with a filter, or whose events settle."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from publisher.events import IpInterface, Key
from publisher.testing import make_row
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.mqtt_follower import HealingSubscriber
from tests.fixtures.mqtt_host import MqttHost, published_states
from tests.fixtures.mqtt_subscriber import retained
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("the brokers exist on Linux only", allow_module_level=True)

WAN = {"interfaces": ["wan*"]}


def row(alias: str, index: int, **members: Any) -> IpInterface:
    return make_row(alias, index=index, **members)


def keys(*rows: IpInterface) -> set[str]:
    return {f"{row.luid}/{row.family}" for row in rows}


def info(broker: Mosquitto) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(retained(broker, "interfaces/testnode/info")["interfaces/testnode/info"])
    return told


def test_what_leaves_the_filter_is_cleared_and_what_enters_it_appears(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, MqttHost(tmp_path, broker, only=WAN) as host:
        host.put(row("wan0", 2), row("lan0", 3), row("lan1", 4))
        host.quiet()
        assert published_states(broker).keys() == keys(row("wan0", 2))
        host.put(row("lan9", 2), row("wan1", 3))
        host.quiet()
        assert published_states(broker).keys() == keys(row("wan1", 3))
        host.put(row("wan1", 3, metric=7), row("lan1", 4, metric=7))
        host.remove(Key(row("lan1", 4).luid, "inet"))
        host.quiet()
        states = published_states(broker)
        assert states.keys() == keys(row("wan1", 3))
        assert states.popitem()[1]["row"]["metric"] == 7
        wait_for(lambda: info(broker)["rows"] == 1, what="the number of states")
        assert info(broker)["skips"] is True


def test_another_filter_clears_what_left_it(tmp_path: Path) -> None:
    rows = row("wan0", 2), row("lan0", 3), row("lan1", 4)
    with Mosquitto(tmp_path) as broker:
        for only, passing in (({}, rows), (WAN, rows[:1]), ({"exclude": ["lan1"]}, rows[:2]), ({}, rows)):
            with MqttHost(tmp_path, broker, only=only) as host:
                host.put(*rows)
                host.quiet()
                wait_for(lambda: published_states(broker).keys() == keys(*passing), what=f"{only}")  # noqa: B023 - called at once
                assert info(broker)["skips"] is bool(only)


def test_everything_is_published_again_through_the_filter_after_the_broker_lost_it(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, store=False) as broker, MqttHost(tmp_path, broker, only=WAN) as host:
        host.put(row("wan0", 2), row("lan0", 3))
        host.quiet()
        broker.end()
        broker.start()
        wait_for(lambda: published_states(broker).keys() == keys(row("wan0", 2)), what="its state")


def test_a_replay_is_answered_through_the_filter(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, MqttHost(tmp_path, broker, only=WAN) as host:
        host.put(row("wan0", 2), row("lan0", 3))
        host.quiet()
        follower = HealingSubscriber(broker)
        for metric in range(5):
            host.put(row("wan0", 2, metric=metric), row("lan0", 3, metric=metric))
        host.quiet()
        luids: set[str] = set()
        take = follower.client.on_message
        assert take is not None

        def noted(_client: Any, _userdata: object, message: Any) -> None:
            told = json.loads(message.payload)
            if event := told.get("event", told if "luid" in told else None):
                luids.add(event["luid"])

        follower.client.on_message = noted
        follower.ask()
        wait_for(lambda: luids)
        follower.close()
        assert luids == {row("wan0", 2).luid}


def test_flaps_are_few_events_and_the_state_is_the_last_one(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, MqttHost(tmp_path, broker, settle="200ms") as host:
        host.put(row("wan0", 2), row("lan0", 3))
        host.quiet()
        for metric in range(50):
            host.put(row("wan0", 2, metric=1000 + metric), row("lan0", 3, metric=2000 - metric))
        host.quiet()
        assert published_states(broker) == host.expected()
        assert host.worker.status().delivered < 60
