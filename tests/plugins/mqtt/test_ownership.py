"""Two hosts with one node name: they notice each other, and clear nothing of each other."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from publisher.testing import make_row
from publisher_mqtt import ownership
from tests.fixtures.brokers import Broker, Mosquitto
from tests.fixtures.mqtt_host import MqttHost, published_states
from tests.fixtures.mqtt_subscriber import Subscriber, retained
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("the brokers exist on Linux only", allow_module_level=True)

ROOT = "interfaces/testnode"
ETH0, ETH1 = make_row("eth0"), make_row("eth1", index=3)


def host(tmp_path: Path, broker: Mosquitto, name: str, **options: Any) -> MqttHost:
    """Returns a host with a journal of its own; the sinks have other names, so that the client ids differ."""
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    return MqttHost(folder, broker, name=name, **options)


def warned(one: MqttHost) -> list[str]:
    return [line for line in one.logged() if "another publisher has the node name testnode" in line]


def info(broker: Mosquitto) -> Any:
    return json.loads(retained(broker, f"{ROOT}/info")[f"{ROOT}/info"])


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_the_second_host_publishes_nothing_and_both_say_so(tmp_path: Path, broker: Mosquitto, protocol: str) -> None:
    with host(tmp_path, broker, "first", protocol=protocol) as first, ExitStack() as stack:
        first.put(ETH0)
        first.quiet()
        before = retained(broker, f"{ROOT}/#", "homeassistant/#")
        with Subscriber(broker, f"{ROOT}/#") as live:
            second = stack.enter_context(host(tmp_path, broker, "second", protocol=protocol))
            second.put(ETH1)
            wait_for(lambda: warned(first) and second.worker.status().error, what="both notice")
            error = second.worker.status().error or ""
            assert "set another `node`" in error
            assert "host " in error
            stack.close()
            first.put(ETH0.model_copy(update={"addresses": ()}))
            first.quiet()
            live.publish("end", b"")
        own = [heard for heard in live.messages if ETH1.luid in heard.topic]
        assert own == []
        after = retained(broker, f"{ROOT}/#", "homeassistant/#")
        assert after.keys() == before.keys()
        assert after[f"{ROOT}/status"] == b"online"
        assert info(broker)["epoch"] == first.journal.epoch
        assert len(warned(first)) == 1


def test_a_status_that_another_sets_to_offline_is_put_right(tmp_path: Path, broker: Mosquitto) -> None:
    with host(tmp_path, broker, "first") as first:
        first.put(ETH0)
        first.quiet()
        with Subscriber(broker, f"{ROOT}/status") as live:
            live.wait_for_last("/status", b"online")
            live.publish(f"{ROOT}/status", "offline", retain=True)
            live.wait_for("/status", 3)
            live.wait_for_last("/status", b"online")


def test_two_that_started_at_once_end_with_one(tmp_path: Path, broker: Mosquitto) -> None:
    """Each published before it saw the other; the older journal keeps the topics, and clears the other's states."""
    with host(tmp_path, broker, "first") as first, host(tmp_path, broker, "second") as second:
        assert first.sink is None or second.sink is None or first.journal.epoch < second.journal.epoch
        first.put(ETH0)
        second.put(ETH1)
        wait_for(lambda: first.is_quiet() or second.is_quiet(), what="one publishes")
        wait_for(lambda: bool(warned(first)) and bool(warned(second)), what="both notice")
        winner = first if first.journal.epoch < second.journal.epoch else second
        wait_for(lambda: published_states(broker) == winner.expected(), what="one host's states")
        wait_for(winner.is_quiet)


def test_a_host_that_lost_its_journal_takes_its_topics_over_at_once(
    tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in ("_PATIENCE_SECONDS", "_PATIENCE_OFFLINE_SECONDS"):
        monkeypatch.setattr(ownership, patience, 3600.0)  # whoever asks waits for ever
    with host(tmp_path, broker, "first") as first:
        first.put(ETH0)
        first.quiet()
    with host(tmp_path, broker, "second", home_assistant={"keep_days": 0}) as second:
        second.put(ETH1)
        second.quiet()
        assert published_states(broker) == second.expected()
    assert not warned(second)


def _has_info(broker: Broker, epoch: bytes) -> bool:
    return epoch in retained(broker, f"{ROOT}/info")[f"{ROOT}/info"]


@pytest.mark.parametrize("status", [b"online", b"offline"])
def test_what_is_planted_or_left_over_delays_a_start_and_stops_nothing(
    tmp_path: Path, broker: Mosquitto, status: bytes
) -> None:
    foreign = {"epoch": "00000000000000ff", "instance": "dead", "host": "elsewhere", "home_assistant": None}
    for planted in (json.dumps(foreign).encode(), b"[" * 200_000, b'{"epoch":"\\ud800"}', b"\xff", b'{"epoch":1e999}'):
        with Subscriber(broker, "none") as rogue:
            rogue.publish(f"{ROOT}/info", planted, retain=True)
            rogue.publish(f"{ROOT}/status", status, retain=True)
        with host(tmp_path, broker, "first") as first:
            first.put(ETH0)
            epoch = first.journal.epoch.encode()
            wait_for(partial(_has_info, broker, epoch))
            first.quiet()
            assert published_states(broker) == first.expected()
        assert not warned(first)


def test_forged_messages_while_it_runs_stop_nothing(tmp_path: Path, broker: Mosquitto) -> None:
    older = {"epoch": "00000000000000ff", "instance": "evil", "host": "\x1b[2J", "version": "0", "home_assistant": None}
    answer = older | {"token": "0123456789abcdef", "is_answer": True}
    with host(tmp_path, broker, "first") as first:
        first.put(ETH0)
        first.quiet()
        with Subscriber(broker, f"{ROOT}/owner") as rogue:
            began = time.monotonic()
            for _ in range(100):
                rogue.client.publish(f"{ROOT}/info", json.dumps(older), qos=1, retain=True)
                rogue.client.publish(f"{ROOT}/owner", json.dumps(answer), qos=1)
                rogue.client.publish(f"{ROOT}/owner", b"[" * 100_000, qos=1)
                rogue.client.publish(f"{ROOT}/owner", json.dumps(answer | {"is_answer": False}), qos=1)
                rogue.publish(f"{ROOT}/status", b"offline", retain=True)
            first.put(ETH1)
            first.quiet(25.0)  # not only after the pause of one that was driven out
            ours = [heard for heard in rogue.of("/owner") if heard.payload[:1] == b"{" and b"evil" not in heard.payload]
            # 20 answers at once and five a second, and a question of ours every 30 seconds.
            assert len(ours) < 25 + 6 * (time.monotonic() - began)
        assert published_states(broker) == first.expected()
        assert not any("\x1b" in line for line in first.logged())


def test_info_that_somebody_cleared_is_published_again_with_all_else(tmp_path: Path, broker: Mosquitto) -> None:
    with host(tmp_path, broker, "first") as first:
        first.put(ETH0)
        first.quiet()
        with Subscriber(broker, "none") as rogue:
            rogue.publish(f"{ROOT}/{ETH0.luid}/inet/state", b"", retain=True)
            rogue.publish(f"{ROOT}/info", b"", retain=True)
        wait_for(lambda: published_states(broker) == first.expected(), what="the state again")
        wait_for(lambda: f"{ROOT}/info" in retained(broker, f"{ROOT}/info"), what="info again")
