"""Publisher and servers may be killed at any moment: every event is in the bucket exactly once, and in order."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from tests.faults import Forks, kill_at_random
from tests.fixtures.nats import NatsCluster, NatsServer
from tests.fixtures.nats_bucket import BucketReader, reading
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("Windows has neither os.fork nor SIGKILL", allow_module_level=True)

from tests.fixtures.nats_writers import JOURNAL_LENGTH, Order, start

STREAM = "KV_killed"


@pytest.fixture(scope="module")
def writers() -> Iterator[Forks]:
    with closing(Forks("tests.fixtures.nats_writers")) as started:
        yield started


def test_on_one_server(nats_server: NatsServer, writers: Forks) -> None:
    with reading(nats_server.url, "killed") as reader:
        write_under_kills(writers, [nats_server], reader, options([nats_server.url]), rounds=9)
        assert_exactly_once(reader)


def test_on_three_servers(nats_cluster: NatsCluster, writers: Forks) -> None:
    with reading(nats_cluster.urls, "killed") as reader:
        write_under_kills(writers, nats_cluster.servers, reader, options(nats_cluster.urls), rounds=6)
        nats_cluster.wait_ready()
        assert_exactly_once(reader)


def options(urls: list[str]) -> dict[str, Any]:
    return {"servers": urls, "bucket": "killed", "timeout": 2, "connect_timeout": 2}


def write_under_kills(
    writers: Forks, servers: list[NatsServer], reader: BucketReader, given: dict[str, Any], rounds: int
) -> None:
    """Kills writers, and each third time a server too; then writes to the end."""
    chance = random.Random()
    assert start(writers, Order(given, until=1)).wait() == 0
    for number in range(rounds):
        before = last_seq(reader)
        writer = start(writers, Order(given))
        wait_for(partial(has_more, reader, before), what="a write")
        if number % 3 == 2:
            server = chance.choice(servers)
            kill_at_random(server, chance, within=0.1)
            server.start()
        kill_at_random(writer, chance, within=0.05)
        assert writer.wait() == -signal.SIGKILL
    assert start(writers, Order(given, until=min(max(seqs(reader)) + 5, JOURNAL_LENGTH))).wait() == 0


def assert_exactly_once(reader: BucketReader) -> None:
    stored = seqs(reader)
    assert stored == list(range(1, stored[-1] + 1))


def last_seq(reader: BucketReader) -> int:
    return int(reader.api(f"STREAM.INFO.{STREAM}")["state"]["last_seq"])


def has_more(reader: BucketReader, before: int) -> bool:
    return last_seq(reader) > before


def seqs(reader: BucketReader) -> list[int]:
    """Returns the seq of each event that is stored, in the stream's order."""
    return [event["seq"] for event in reader.events("testnode")]
