"""Brokers and publishers that are killed, again and again, during a stream of changes."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from publisher.journal.journal import Journal
from publisher_mqtt.homeassistant.discovery import NODE
from tests.faults import changing
from tests.fixtures.brokers import Broker, Mosquitto
from tests.fixtures.mqtt_follower import HealingSubscriber
from tests.fixtures.mqtt_host import MqttHost, published_states
from tests.fixtures.mqtt_process import begin, change
from tests.fixtures.mqtt_subscriber import retained
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("the brokers, and the signals that end them, exist on Linux only", allow_module_level=True)

TIMES = 60


def is_whole(follower: HealingSubscriber, journal: Journal) -> None:
    """Waits until the follower has every event, then asserts that it has each once, in order."""
    follower.ask()
    comes_on(follower, journal.seq)
    assert follower.seqs == list(range(1, journal.seq + 1))
    assert len(set(follower.ids)) == len(follower.ids)
    assert follower.went_back == []


def comes_on(follower: HealingSubscriber, seq: int) -> None:
    """Waits until the follower has this event."""
    wait_for(lambda: follower.last >= seq, timeout=60, what=f"event {seq}")


def is_exact(broker: Broker, journal: Journal) -> None:
    """Asserts that the retained topics are exactly those of the table."""
    rows = {f"{row.luid}/{row.family}": row.model_dump(mode="json") for row in journal.rows() or []}
    assert published_states(broker) == rows
    devices = {topic.split("/")[3] for topic in retained(broker, "homeassistant/#")}
    kept = retained(broker, "interfaces/testnode/kept").get("interfaces/testnode/kept", b'{"days": {}}')
    assert devices == {NODE, *(key.partition("/")[0] for key in rows), *json.loads(kept)["days"]}


ENDS = {
    "with its store": (signal.SIGTERM, True),
    # Written once a second and not at the end: afterwards the store is older than what the broker acknowledged.
    "with an old store": (signal.SIGKILL, True),
    "without": (signal.SIGKILL, False),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_broker_is_killed_and_restarted(tmp_path: Path, end: str, count: Callable[[int], int]) -> None:
    how, store = ENDS[end]
    with Mosquitto(tmp_path, "autosave_interval 1", store=store) as broker, MqttHost(tmp_path, broker) as host:
        # From the empty table on, so that the follower receives every change.
        host.quiet()
        follower = HealingSubscriber(broker)
        with changing(partial(change, host), pause=0.005):
            for _ in range(count(TIMES)):
                comes_on(follower, host.journal.seq + 5)
                broker.end(how)
                broker.start()
        host.quiet()
        is_whole(follower, host.journal)
        follower.close()
        is_exact(broker, host.journal)


def test_the_publisher_is_killed(tmp_path: Path, count: Callable[[int], int]) -> None:
    folder = tmp_path / "publisher"
    folder.mkdir()
    with Mosquitto(tmp_path) as broker:
        follower = HealingSubscriber(broker)
        for _ in range(count(TIMES)):
            child, _ = begin(folder, broker.url)
            comes_on(follower, follower.last + 5)
            child.kill()
            child.join(60)
        child, end = begin(folder, broker.url)
        comes_on(follower, follower.last + 5)
        end.send("end")
        child.join(60)
        assert child.exitcode == 0
        journal = Journal.open(folder / "testnode-home.journal", node="testnode")
        try:
            comes_on(follower, journal.seq)
            assert follower.seqs == list(range(1, journal.seq + 1))
            assert follower.healed == 0, "nothing was missed, so nothing was asked for"
            assert follower.went_back == []
            is_exact(broker, journal)
        finally:
            journal.close()
            follower.close()
