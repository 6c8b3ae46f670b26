"""The mark of being in sync: while the status is online, whoever has as many states as `info` counts has them all."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from publisher.testing import make_row
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.mqtt_host import MqttHost, stopped
from tests.fixtures.mqtt_subscriber import Heard, Subscriber, states
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("the brokers exist on Linux only", allow_module_level=True)

ROOT = "interfaces/testnode"
LARGE = [f"10.9.{number}.1/24" for number in range(200)]


def assert_never_in_sync_too_early(messages: list[Heard]) -> int:
    """Checks each moment: the broker never has more states than `info` counts, so nobody has all but one of them.

    Returns the number of moments at which a subscriber was in sync.
    """
    there: set[str] = set()
    rows, online, in_sync = -1, False, 0
    for heard in messages:
        if heard.topic == f"{ROOT}/status":
            online = heard.payload == b"online"
        elif heard.topic == f"{ROOT}/info":
            rows = heard.json["rows"]
        elif heard.topic.endswith("/state"):
            (there.add if heard.payload else there.discard)(heard.topic)
        assert not online or len(there) <= rows, heard
        in_sync += online and len(there) == rows
    return in_sync


def change_at_random(host: MqttHost, chance: random.Random) -> None:
    """Makes, changes and deletes interfaces in one batch; now and then one that no state has room for."""
    for _ in range(chance.randint(1, 8)):
        index = chance.randrange(2, 12)
        addresses = LARGE if chance.random() < 0.1 else ()
        row = make_row(
            f"eth{index}", chance.choice(["inet", "inet6"]), index=index, nl_mtu=chance.randrange(1280, 9000)
        )
        if chance.random() < 0.4:
            host.remove(row.key)
        else:
            host.put(row if not addresses else make_row(f"eth{index}", index=index, addresses=addresses))


@pytest.mark.parametrize("only", [{}, {"interfaces": ["eth[2-6]"]}], ids=["every row", "some rows"])
@pytest.mark.parametrize("seed", [1, 2])
def test_at_each_moment_of_changes_restarts_and_lost_stores(tmp_path: Path, seed: int, only: dict[str, Any]) -> None:
    chance = random.Random(seed)
    # A state of a row with 200 addresses is larger, and is published without them.
    with Mosquitto(tmp_path, "max_packet_size 9000") as broker, Subscriber(broker, f"{ROOT}/#") as watcher:
        for _ in range(3):
            with MqttHost(tmp_path, broker, only=only, home_assistant=False) as host:
                for _ in range(10):
                    change_at_random(host, chance)
                host.quiet()
                assert_in_sync(broker, watcher)
            # While it is away, as a kill does: rows that are new at the next start, and rows that are not there.
            with MqttHost(tmp_path, broker.url.replace(str(broker.port), "1"), only=only) as away:
                change_at_random(away, chance)
        assert assert_never_in_sync_too_early(watcher.messages) > 3


def assert_in_sync(broker: Mosquitto, watcher: Subscriber) -> None:
    """Waits until the newest `info` counts what is there."""
    watcher.wait_for("/info")
    wait_for(lambda: watcher.of("/info")[-1].json["rows"] == len(states(broker)), what="the count of states")


def test_after_the_store_was_lost_the_count_is_there_before_the_states(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, MqttHost(tmp_path, broker, home_assistant=False) as host:
        host.put(*(make_row(f"eth{index}", index=index) for index in range(2, 12)))
        host.quiet()
        with stopped(broker):
            host.remove(make_row("eth3", index=3).key)
        with Subscriber(broker, f"{ROOT}/#") as watcher:
            host.quiet()
            watcher.wait_for_last("/status", b"online")
            assert_never_in_sync_too_early(watcher.messages)
            assert json.loads(watcher.of("/info")[-1].payload)["rows"] == len(states(broker)) == 9


def test_states_that_the_broker_does_not_take_are_not_counted(tmp_path: Path) -> None:
    with (
        Mosquitto(tmp_path, "max_packet_size 2200") as broker,
        Subscriber(broker, f"{ROOT}/#") as watcher,
        MqttHost(tmp_path, broker, home_assistant=False) as host,
    ):
        host.put(make_row("eth2", index=2), make_row("l" * 2000, index=3))
        host.quiet()
        for mtu in range(1300, 1310):
            host.put(make_row("l" * 2000, index=3, nl_mtu=mtu))
            host.quiet()
        watcher.wait_for("/info")
        wait_for(lambda: watcher.of("/info")[-1].json["missing"] == 1, what="the one that is missing")
        assert watcher.of("/info")[-1].json["rows"] == len(states(broker)) == 1
        assert_never_in_sync_too_early(watcher.messages)
