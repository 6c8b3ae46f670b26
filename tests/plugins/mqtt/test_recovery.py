"""Brokers and publishers that are killed, twenty times, under a stream of changes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from publisher.journal import Journal
from tests.brokers import Broker, Mosquitto
from tests.plugins.mqtt.child import change
from tests.plugins.mqtt.host import Host, said
from tests.plugins.mqtt.stream import Follower
from tests.plugins.mqtt.subscribing import retained
from tests.waiting import wait_for

TIMES = 20


def is_whole(follower: Follower, journal: Journal) -> None:
    """Wait until the follower has all there is, then see that it is everything, once, in order."""
    wait_for(lambda: follower.last == journal.seq or follower.ask(), timeout=30, what=f"{journal.seq}: {follower.last}")
    assert follower.seqs == list(range(1, journal.seq + 1))
    assert len(set(follower.ids)) == len(follower.ids)
    assert follower.went_back == []


def is_exact(broker: Broker, journal: Journal) -> None:
    """The retained topics are the table's, and there are no others."""
    rows = {f"{row.luid}/{row.family}": row.model_dump(mode="json") for row in journal.rows() or []}
    assert said(broker) == rows
    devices = {topic.split("/")[3] for topic in retained(broker, "homeassistant/#")}
    assert devices == {key.partition("/")[0] for key in rows}


@contextmanager
def changing(host: Host) -> Iterator[None]:
    """A stream of changes meanwhile."""
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(0.002):
            change(host)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("store", [True, False], ids=["with its store", "without"])
def test_the_broker_is_killed_and_restarted(tmp_path: Path, store: bool) -> None:
    with Mosquitto(tmp_path, store=store) as broker, Host(tmp_path, broker) as host:
        follower = Follower(broker)
        with changing(host):
            for _ in range(TIMES):
                seen = follower.last
                wait_for(lambda seen=seen: follower.last > seen + 5, what="events")  # type: ignore[misc]
                broker.end(signal.SIGTERM if store else signal.SIGKILL)
                broker.start()
        host.quiet()
        is_whole(follower, host.journal)
        follower.close()
        is_exact(broker, host.journal)


def test_the_publisher_is_killed(tmp_path: Path) -> None:
    (tmp_path / "publisher").mkdir()
    with Mosquitto(tmp_path) as broker:
        follower = Follower(broker)
        for attempt in range(TIMES + 1):
            seen = follower.last
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.plugins.mqtt.child", str(tmp_path / "publisher"), broker.url],
                stdin=subprocess.PIPE,
            )
            try:
                wait_for(lambda seen=seen: follower.last > seen + 5, what="events")  # type: ignore[misc]
            finally:
                if attempt < TIMES:
                    child.kill()
                else:
                    assert child.stdin is not None
                    child.stdin.close()
                child.wait(30)
                if child.stdin is not None:
                    child.stdin.close()
        assert child.returncode == 0
        journal = Journal.open(tmp_path / "publisher" / "testnode-home.journal", node="testnode")
        try:
            assert follower.seqs == list(range(1, journal.seq + 1))
            assert follower.healed == 0, "nothing was missed, so nothing was asked for"
            assert follower.went_back == []
            is_exact(broker, journal)
            assert json.loads(retained(broker, "interfaces/testnode/info")["interfaces/testnode/info"])["rows"] == len(
                journal.rows() or []
            )
        finally:
            journal.close()
            follower.close()
