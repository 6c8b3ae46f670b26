"""`publisher.subscribe` as the viewer of compose/fleet, whose account may do no more than it needs, as servers die."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from publisher import Backoff, Cursor, Retry
from publisher.client import subscription
from publisher.events import Event
from publisher.testing import FakeSinkContext, make_event, make_row, make_snapshot
from publisher_nats.options import NatsOptions
from publisher_nats.sink import NatsSink
from tests.fixtures.fleet_servers import FleetCluster, FleetFolder
from tests.fixtures.nats import NatsServer
from tests.fixtures.poll import wait_for
from tests.fixtures.subscribed import SubscribedReader

if sys.platform == "win32":
    pytest.skip("the scripts are for Linux", allow_module_level=True)

NODES = ("nas", "db.example.net")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetCluster]:
    folder = FleetFolder(tmp_path_factory.mktemp("fleet"), *NODES)
    with FleetCluster(folder) as started:
        folder.make_buckets(started.urls)
        yield started


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test kills servers more often than they die."""
    monkeypatch.setattr(subscription, "_BACKOFF", Backoff(0.02, 0.2))


def sink(fleet: FleetCluster, node: str) -> NatsSink:
    folder = fleet.folder
    login: dict[str, Any] = {"username": node, "password_file": folder.password_file(node.replace(".", "=2E"))}
    options = NatsOptions(servers=tuple(fleet.urls), ca_file=folder.ca_file, connect_timeout=20, timeout=2, **login)
    return NatsSink(options, FakeSinkContext(node=node))


def deliver(one: NatsSink, events: list[Event]) -> None:
    """Publishes as a worker does: after a failure what the bucket does not have, as its cursor says."""

    def sent() -> bool:
        try:
            cursor = one.cursor()
            one.publish([event for event in events if cursor is None or event.seq > cursor.seq])
        except Retry:
            return False
        return True

    wait_for(sent, timeout=60, what="the events")


def test_a_viewer_sees_each_change_once_while_servers_are_killed_by_seed(fleet: FleetCluster) -> None:
    chance = random.Random(15)
    hosts = ",".join(url.removeprefix("tls://") for url in fleet.urls)
    files = {"password_file": fleet.folder.password_file("viewer"), "ca_file": fleet.folder.ca_file}
    with ExitStack() as stack:
        sinks = {node: stack.enter_context(closing(sink(fleet, node))) for node in NODES}
        for node, one in sinks.items():
            one.open()
            deliver(one, make_snapshot([make_row("eth0"), make_row("eth1", index=3)], node=node))
        reader = stack.enter_context(SubscribedReader(f"tls://viewer@{hosts}", **files))
        reader.until(lambda: all(at(reader, node, 0) for node in NODES))
        last = 0
        for _ in range(3):
            victim = fleet.leader("KV_interfaces") if chance.random() < 0.5 else chance.choice(fleet.running)
            victim.kill()
            count = chance.randrange(5, 60)
            for node, one in sinks.items():
                deliver(one, [make_event(seq, node=node) for seq in range(last + 1, last + 1 + count)])
            last += count
            fleet.start()
            # The stream keeps 64 messages of a key: of a viewer that misses more in one row, that row is read again.
            reader.until(lambda: all(at(reader, node, last) for node in NODES))  # noqa: B023 - called at once
        for node in NODES:
            changes = [event.seq for event in reader.events if event.node == node and event.snapshot is None]
            assert changes == list(range(1, last + 1))
        assert reader.snapshots == 2
        # A replica that has yet to catch up has not all of the history: then the rows would come.
        wait_for(
            lambda: len(ends := {end_of(server) for server in fleet.running}) == 1 and 0 not in ends, what="copies"
        )
        since = {node: Cursor(make_event().epoch, last - 9) for node in NODES}
        late = stack.enter_context(SubscribedReader(f"tls://viewer@{hosts}", since=since, **files))
        late.until(lambda: all(at(late, node, last) for node in NODES))
        for node in NODES:
            there = [event for event in late.events if event.node == node]
            assert [(event.seq, event.snapshot) for event in there] == [
                (seq, None) for seq in range(last - 8, last + 1)
            ]


def end_of(server: NatsServer) -> int:
    """Returns the number of the last message that a server has of the rows; 0 where it is not known."""
    for account in server.asked("jsz?accounts=true&streams=true").get("account_details", ()):
        for stream in account.get("stream_detail", ()):
            if stream["name"] == "KV_interfaces":
                return int(stream["state"]["last_seq"])
    return 0


def at(reader: SubscribedReader, node: str, seq: int) -> bool:
    status = reader.subscription.nodes.get(node)
    return status is not None and status.in_sync and status.seq == seq
