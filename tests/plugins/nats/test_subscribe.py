"""`publisher.subscribe("nats://...")` over real servers: rows, changes, lost nodes, hostile values, and its end."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import publisher
from publisher import Backoff, ConfigurationError, Cursor, PublisherError
from publisher.client import Question, ordered, outbox, questions, subscription
from publisher.client.ordered_nodes import OrderedNodes
from publisher.events import Event
from publisher.testing import make_event, make_row, make_snapshot
from publisher_nats.connection import NatsConnection
from publisher_nats.errors import NatsUnavailable
from publisher_nats.names import token_of
from publisher_nats.options import NatsOptions
from publisher_nats.subscriber import consumer
from tests.fixtures.bucket_writer import BucketWriter
from tests.fixtures.nats import NatsServer
from tests.fixtures.nats_buckets import Buckets
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.starved import judged_while_awake
from tests.fixtures.subscribed import SubscribedReader

THREAD = "publisher subscription"
ETH0, ETH1 = make_row("eth0"), make_row("eth1", index=3)
NODE = "testnode"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test restarts servers more often than people do."""
    monkeypatch.setattr(subscription, "_BACKOFF", Backoff(0.02, 0.2))


@pytest.fixture
def writer(nats_server: NatsServer) -> Iterator[BucketWriter]:
    """The buckets, empty."""
    with BucketWriter(nats_server.url) as made:
        made.make()
        yield made
        made.delete()


def change(seq: int, mtu: int = 1400, node: str = NODE, epoch: str = "01926f6e8c7e4b3f") -> Event:
    return make_event(seq, row=make_row("eth0", nl_mtu=mtu), node=node, epoch=epoch)


def gone(seq: int) -> Event:
    return make_event(seq, "delete_instance", ETH1)


def reader_of(server: NatsServer, **options: Any) -> SubscribedReader:
    return SubscribedReader(server.url, **options)


def is_online(reader: SubscribedReader, node: str = NODE) -> bool:
    status = reader.subscription.nodes.get(node)
    return status is not None and status.online


def at(reader: SubscribedReader, seq: int, node: str = NODE) -> bool:
    status = reader.subscription.nodes.get(node)
    return status is not None and status.in_sync and status.seq == seq


def test_the_rows_come_first_and_then_every_change(nats_server: NatsServer, writer: BucketWriter) -> None:
    writer.status(NODE)
    writer.put(*make_snapshot([ETH0, ETH1], 5))
    with reader_of(nats_server) as reader:
        reader.until(lambda: at(reader, 5) and is_online(reader))
        assert [type(event).__name__ for event in reader.events] == ["SnapshotStarted"] + 2 * ["InitialNotification"]
        writer.put(change(6), change(7, 1300))
        writer.put(gone(8))
        reader.until(lambda: at(reader, 8))
        assert reader.changes == [6, 7, 8]
        assert reader.snapshots == 1
        assert [event.interface.alias for event in reader.rows.values()] == ["eth0"]
        assert reader.events[-1] == gone(8)


def test_a_snapshot_of_a_node_that_comes_later_and_a_new_epoch(nats_server: NatsServer, writer: BucketWriter) -> None:
    with reader_of(nats_server) as reader:
        writer.put(*make_snapshot([ETH0, ETH1], 5))
        reader.until(lambda: at(reader, 5))
        assert not reader.subscription.nodes[NODE].online
        assert len(reader.rows) == 2
        writer.put(*make_snapshot([ETH0], 0, epoch="01926f6e8c7e4b40"))
        reader.until(lambda: at(reader, 0))
        assert len(reader.rows) == 1 or reader.snapshots == 2
        writer.put(change(1, epoch="01926f6e8c7e4b40"))
        reader.until(lambda: at(reader, 1))
        assert reader.changes == [1]


def test_a_row_that_was_removed_is_not_in_the_snapshot(nats_server: NatsServer, writer: BucketWriter) -> None:
    writer.put(*make_snapshot([ETH0, ETH1], 5))
    writer.put(change(6), gone(7))
    with reader_of(nats_server) as reader:
        reader.until(lambda: at(reader, 7))
        assert [event.row.nl_mtu for event in reader.rows.values()] == [1400]
        assert reader.changes == []


def test_only_the_named_nodes_are_sent(nats_server: NatsServer, writer: BucketWriter) -> None:
    for node in ("nas.home.lan", "nas", "other"):
        writer.status(node)
        writer.put(*make_snapshot([ETH0], 5, node=node))
    with reader_of(nats_server, nodes=["nas.home.lan"]) as reader:
        reader.until(lambda: at(reader, 5, "nas.home.lan"))
        for consumed, rest in (("interfaces", ">"), ("interfaces_status", "status")):
            [about] = writer.api(f"CONSUMER.LIST.KV_{consumed}", {})["consumers"]
            assert f"$KV.{consumed}.nas=2Ehome=2Elan.{rest}" in str(about["config"])
        writer.put(change(6, node="nas"))
        writer.put(change(6, node="nas.home.lan"))
        reader.until(lambda: at(reader, 6, "nas.home.lan"))
        assert {event.node for event in reader.events} == {"nas.home.lan"}
        assert set(reader.subscription.nodes) == {"nas.home.lan"}


def test_a_node_is_lost_with_its_lease_also_before_the_viewer_came(
    nats_server: NatsServer, writer: BucketWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "_LEASES", 10_000.0)  # so that the server's marker comes first, always
    writer.put(*make_snapshot([ETH0], 5))
    writer.status(NODE)
    with reader_of(nats_server) as reader:
        reader.until(lambda: at(reader, 5) and is_online(reader))
        writer.status(NODE, lease=1)
        reader.until(lambda: not is_online(reader))
        writer.status(NODE)
        reader.until(lambda: is_online(reader))
        writer.status(NODE, online=False, lease=None)
        reader.until(lambda: not is_online(reader))
        assert len(reader.rows) == 1
    writer.status("second", lease=1)
    writer.put(*make_snapshot([ETH0], 5, node="second"))
    stored = Buckets(nats_server.url)
    wait_for(lambda: not stored.is_online("second"), what="the end of the lease")
    with reader_of(nats_server, nodes=["second"]) as reader:
        reader.until(lambda: at(reader, 5, "second"))
        assert not is_online(reader, "second")


def test_a_lease_that_nobody_renews_ends_without_the_server(nats_server: NatsServer, writer: BucketWriter) -> None:
    writer.put(*make_snapshot([ETH0], 5))
    writer.status(NODE)
    with reader_of(nats_server) as reader:
        reader.until(lambda: at(reader, 5) and is_online(reader))
        status = {"node": NODE, "online": True, "in_sync": True, "lease": 0.5}
        writer.raw(f"$KV.interfaces_status.{NODE}.status", json.dumps(status).encode())
        reader.until(lambda: not is_online(reader))


HOSTILE: list[tuple[str, bytes, dict[str, str] | None]] = [
    ("{row}", b"", None),
    ("{row}", b"\xff\x00", None),
    ("{row}", b"[" * 100_000, None),
    ("{row}", b"{}", None),
    ("{row}", change(10**6, node="other").json_bytes, None),
    ("{row}", make_event(7, row=ETH1).json_bytes, None),
    ("{row}", change(10**6).json_bytes, None),
    ("{row}", change(1, epoch="f" * 16).json_bytes, None),
    ("{row}", change(7).json_bytes.replace(b'"seq":7', b'"seq":' + b"9" * 5000), None),
    ("{row}", b"", {"KV-Operation": "DEL"}),
    ("0123.inet", b"x", None),
    ("position", b"{}", None),
    ("position", b'{"epoch":"ffffffffffffffff","seq":1}', None),
    ("position", b'{"epoch":"01926f6e8c7e4b3f","seq":9}', None),
    ("position", b'{"epoch":"01926f6e8c7e4b3f","seq":2}', None),
    ("a.b.c.d", b"x", None),
    ("{row}", change(10**6).json_bytes, {"Status": "503", "Description": "x"}),
]


@pytest.mark.parametrize("first", [True, False], ids=["before", "while"])
def test_no_value_ends_a_subscription_and_the_next_change_comes(
    nats_server: NatsServer,
    writer: BucketWriter,
    first: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(questions, "_LONGEST_PAUSE", 0.1)  # of nobody is it tried so often
    writer.put(*make_snapshot([ETH0, ETH1], 5))
    key = make_event(5).key
    assert key is not None
    row = f"{key.luid}.{key.family}"
    with reader_of(nats_server) as reader:
        reader.until(lambda: at(reader, 5))
        seq = 5
        for rest, payload, headers in HOSTILE:
            writer.raw(f"$KV.interfaces.{NODE}.{rest.format(row=row)}", payload, headers)
            seq += 1
            writer.put(change(seq, 1000 + seq))
            if first:
                with reader_of(nats_server) as late:
                    late.until(lambda: at(late, seq))  # noqa: B023  # called here alone
            reader.until(lambda: at(reader, seq))  # noqa: B023  # as above
        writer.raw("$KV.interfaces.=ZZ.position", b"{}")
        writer.raw("$KV.interfaces_status.testnode.status", b"{}")
        writer.raw("$KV.interfaces_status.testnode.status", b'{"node":"other","online":true}')
        writer.status(NODE)
        reader.until(lambda: is_online(reader))
        assert set(reader.subscription.nodes) == {NODE}
        assert "cannot be read" in caplog.text
        assert len(caplog.records) < 10
        assert {event.row.nl_mtu for event in reader.rows.values()} == {1000 + seq, 1500}


POISON = [
    b"NATS/1.0 \xff\xff\xff\r\n\r\n",
    b"NATS/1.0\r\n\xff: \xff\r\n\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"X",
    b"\r\n\r\n",
]


@pytest.mark.parametrize("header", POISON)
def test_no_header_ends_a_subscription(nats_server: NatsServer, writer: BucketWriter, header: bytes) -> None:
    writer.put(*make_snapshot([ETH0], 5))
    writer.publish_with_header(f"$KV.interfaces.{NODE}.x", header)
    with reader_of(nats_server) as reader:
        reader.until(lambda: at(reader, 5))
        writer.publish_with_header(f"$KV.interfaces.{NODE}.x", header)
        writer.put(change(6))
        reader.until(lambda: at(reader, 6))
        assert reader.snapshots == 1
        assert reader.changes == [6]


def test_no_subject_ends_a_subscription(nats_server: NatsServer, writer: BucketWriter) -> None:
    writer.put(*make_snapshot([ETH0], 5))
    subject = f"$KV.interfaces.{NODE}.".encode() + b"\xff\xfe"
    writer.publish_to(subject)
    with reader_of(nats_server) as reader:
        reader.until(lambda: at(reader, 5))
        writer.publish_to(subject)
        writer.put(change(6))
        reader.until(lambda: at(reader, 6))
        assert (reader.snapshots, reader.changes) == (1, [6])


def test_a_row_in_a_cloudevent_is_that_of_the_event_in_it(nats_server: NatsServer, writer: BucketWriter) -> None:
    writer.put(*make_snapshot([ETH0, ETH1], 5))
    event, other = make_event(6, row=ETH0), json.loads(make_event(6, row=ETH1).json_bytes)
    key = event.key
    assert key is not None
    # The members of another row are beside the event, where those of a plain event are.
    beside = {name: other[name] for name in ("row", "interface", "addresses", "default_routes")}
    payload = {"specversion": "1.0", "data": json.loads(event.json_bytes)} | beside
    writer.raw(f"$KV.interfaces.{NODE}.{key.luid}.{key.family}", json.dumps(payload).encode())
    writer.raw(f"$KV.interfaces.{NODE}.position", json.dumps({"epoch": event.epoch, "seq": 6}).encode())
    with reader_of(nats_server) as reader:
        reader.until(lambda: at(reader, 6))
        assert sorted(row.interface.alias for row in reader.rows.values()) == ["eth0", "eth1"]
        assert all(row.key == (row.row.interface_luid, row.row.family) for row in reader.rows.values())


def test_the_consumer_of_a_lost_connection_closes_without_an_error(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server, BucketWriter(server.url) as writer:
        writer.make()

        async def lost() -> None:
            connection = NatsConnection(NatsOptions.model_validate({"servers": server.url}))
            await connection.open()
            one = consumer.StreamConsumer(connection, consumer.ConsumerRequest("KV_interfaces", (">",)), lambda: None)
            await one.open()
            server.kill()
            while connection.is_open:
                await asyncio.sleep(0.01)
            with pytest.raises(NatsUnavailable):
                consumer.check_open(connection)
            await one.close()  # as `answer` does, whose NatsUnavailable has the driver connect again

        asyncio.run(lost())


def test_a_lost_connection_is_noticed_while_a_question_waits_for_the_rows(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        with BucketWriter(server.url) as writer:
            writer.make()
            writer.put(*make_snapshot([ETH0, ETH1], 5))
        driver = subscription.make_driver(
            subscription.make_request(server.url, (), None, "interfaces", None, None, None, None)
        )
        with closing(driver), closing(driver._transport.connect(driver.nodes)) as link:
            link.ask(Question(NODE))
            server.kill()

            def is_lost() -> bool:
                try:
                    link.receive(lambda _descriptor, _seconds: None, 0.1)
                except NatsUnavailable:
                    return True
                return False

            wait_for(is_lost, what="the end of the connection")


def test_a_subscription_imports_no_other_plugin() -> None:
    script = (
        "import sys; from publisher.client.subscription import make_driver, make_request\n"
        "make_driver(make_request('nats://h', (), None, 'interfaces', None, None, None, None)).close()\n"
        "print(sorted(name for name in sys.modules if name.startswith('publisher_') and '.' not in name))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "['publisher_nats']"


def test_since_gives_what_was_missed_where_the_history_has_it(nats_server: NatsServer, writer: BucketWriter) -> None:
    writer.put(*make_snapshot([ETH0, ETH1], 5))
    for seq in range(6, 40):
        writer.put(change(seq, 1000 + seq))
    epoch = change(6).epoch
    with reader_of(nats_server, since={NODE: Cursor(epoch, 20)}) as reader:
        reader.until(lambda: at(reader, 39))
        writer.put(change(40))
        reader.until(lambda: at(reader, 40))
        assert reader.changes == list(range(21, 41))
        assert reader.snapshots == 0
    for seq in range(41, 120):  # more than the history has
        writer.put(change(seq, 1000 + seq))
    for since, first in ((Cursor(epoch, 40), 120), (Cursor("0" * 16, 7), 120), (Cursor(epoch, 118), 119)):
        with reader_of(nats_server, since={NODE: since}) as reader:
            reader.until(lambda: at(reader, 119))
            assert (reader.changes or [120])[0] == first
            assert reader.snapshots == (first == 120)


def test_the_history_waits_for_a_slow_reader(
    nats_server: NatsServer, writer: BucketWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 10)
    writer.put(*make_snapshot([ETH0], 5))
    writer.put(*(change(seq) for seq in range(6, 60)))
    with reader_of(nats_server, since={NODE: Cursor(change(6).epoch, 5)}) as reader:
        waiting = reader.subscription._driver.outbox
        wait_for(lambda: waiting._count >= 10, what="a reader that is behind")
        most = 0
        while not at(reader, 59):
            most = max(most, waiting._count)
            reader.take(0.2)
        assert most < 15
        assert (reader.changes, reader.snapshots) == (list(range(6, 60)), 0)


def test_a_filter_of_the_sink_leaves_holes_that_are_no_loss(nats_server: NatsServer, writer: BucketWriter) -> None:
    writer.status(NODE, skips=True, lease=60)
    writer.put(*make_snapshot([ETH0], 5))
    with reader_of(nats_server) as reader:
        reader.until(lambda: at(reader, 5) and reader.subscription.nodes[NODE].skips)
        writer.put(change(9))
        writer.put(change(20))
        reader.until(lambda: at(reader, 20))
        assert reader.changes == [9, 20]
        assert reader.snapshots == 1


def test_a_hole_is_healed_by_the_rows(nats_server: NatsServer, writer: BucketWriter) -> None:
    writer.put(*make_snapshot([ETH0], 5))
    with reader_of(nats_server) as reader:
        reader.until(lambda: at(reader, 5))
        writer.put(change(9, 900))
        reader.until(lambda: at(reader, 9))
        assert (reader.changes, reader.snapshots) == ([], 2)
        assert [event.row.nl_mtu for event in reader.rows.values()] == [900]


def test_a_node_that_is_forgotten_has_no_rows(nats_server: NatsServer, writer: BucketWriter) -> None:
    writer.put(*make_snapshot([ETH0], 5))
    key = make_event(5).key
    assert key is not None
    with reader_of(nats_server) as reader:
        reader.until(lambda: at(reader, 5))
        writer.remove(NODE, f"{key.luid}.{key.family}")
        writer.remove(NODE, "position")
        writer.raw(f"$KV.interfaces_status.{NODE}.status", b"", {"KV-Operation": "PURGE"})
        reader.until(lambda: not reader.rows)
        with reader_of(nats_server) as late:
            late.take(0.3)
            assert late.subscription.nodes == {}
        writer.put(*make_snapshot([ETH0], 5))
        reader.until(lambda: at(reader, 5))
        assert len(reader.rows) == 1


def test_a_slow_reader_is_bounded_and_misses_nothing(
    nats_server: NatsServer, writer: BucketWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 50)
    writer.put(*make_snapshot([ETH0], 5))
    with reader_of(nats_server) as reader:
        reader.until(lambda: at(reader, 5))
        count = 1500
        for first in range(6, 6 + count, 60):
            writer.put(*(change(seq, 1000 + seq) for seq in range(first, first + 60)))
        waiting = reader.subscription._driver.outbox
        wait_for(lambda: not waiting.has_room, what="a reader that is behind")
        assert waiting._count < 50 + 600
        reader.until(lambda: at(reader, 5 + count))
        reader.assert_unbroken()
        assert [event.row.nl_mtu for event in reader.rows.values()] == [1000 + 5 + count]


def test_a_quiet_fleet_and_a_reader_that_pauses_keep_their_connection(
    nats_server: NatsServer, writer: BucketWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 10)
    monkeypatch.setattr(consumer, "_EXPIRES_SECONDS", 1.0)
    monkeypatch.setattr(consumer, "_HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(consumer, "_SILENT_SECONDS", 2.0)  # a busy machine keeps a heartbeat back for a second

    def is_kept() -> None:
        caplog.clear()
        writer.delete()
        writer.make()
        writer.put(*make_snapshot([ETH0], 5))
        with reader_of(nats_server) as reader:
            reader.until(lambda: at(reader, 5))
            reader.take(2.5)
            writer.put(*(change(seq) for seq in range(6, 30)))
            waiting = reader.subscription._driver.outbox
            wait_for(lambda: not waiting.has_room, what="a reader that is behind")
            threading.Event().wait(2.5)  # so long that a pull ends, and nobody takes what says so
            reader.until(lambda: at(reader, 29))
            assert (reader.changes, reader.snapshots) == (list(range(6, 30)), 1)
        assert "trying again" not in caplog.text

    judged_while_awake(is_kept, within=1.0)


def test_a_value_under_the_key_of_another_row_is_not_given(nats_server: NatsServer, writer: BucketWriter) -> None:
    writer.put(*make_snapshot([ETH0, ETH1], 5))
    key = make_event(5).key
    assert key is not None
    with reader_of(nats_server) as reader:
        reader.until(lambda: at(reader, 5))
        writer.raw(f"$KV.interfaces.{NODE}.{key.luid}.{key.family}", make_event(6, row=ETH1).json_bytes)
        with reader_of(nats_server) as late:
            late.until(lambda: late.subscription.nodes.get(NODE) and late.snapshots)
            assert [event.interface.alias for event in late.rows.values()] == ["eth1"]
        writer.put(change(6, 1234))
        reader.until(lambda: at(reader, 6))
        assert {event.row.nl_mtu for event in reader.rows.values()} == {1234, 1500}
        assert [event.interface.alias for event in reader.events if event.snapshot is None] == ["eth0"]


def test_a_server_that_is_killed_costs_no_change_and_makes_none_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[OrderedNodes] = []
    begin = OrderedNodes.begin

    def counted(nodes: OrderedNodes) -> None:
        reads.append(nodes)
        begin(nodes)

    monkeypatch.setattr(OrderedNodes, "begin", counted)
    with NatsServer(tmp_path) as server, BucketWriter(server.url) as writer:
        writer.make()
        writer.put(*make_snapshot([ETH0], 5))
        with reader_of(server) as reader:
            reader.until(lambda: at(reader, 5))
            for seq in range(6, 30, 3):
                writer.put(change(seq))
                server.kill()
                server.start()
                writer.connect()
                writer.put(change(seq + 1), change(seq + 2))
            reader.until(lambda: at(reader, 29))
            assert reader.changes == list(range(6, 30))
            assert reader.snapshots == 1
    assert "trying again" in caplog.text
    assert len(reads) == 1, "a large fleet is not read again"


def test_a_frozen_server_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "_HEARTBEAT_SECONDS", 0.5)
    monkeypatch.setattr(consumer, "_SILENT_SECONDS", 2.0)
    with NatsServer(tmp_path) as server, BucketWriter(server.url) as writer:
        writer.make()
        writer.status(NODE)
        writer.put(*make_snapshot([ETH0], 5))
        with reader_of(server) as reader:
            reader.until(lambda: at(reader, 5) and is_online(reader))
            server.pause()
            reader.until(lambda: not is_online(reader))
            server.resume()
            reader.until(lambda: is_online(reader))
            writer.put(change(6))
            reader.until(lambda: at(reader, 6))
            assert (reader.changes, reader.snapshots) == ([6], 1)
            server.pause()
            began = time.monotonic()
            reader.subscription.close()
            assert time.monotonic() - began < 4  # it has one second; the machine may be busy
            server.resume()


def test_a_stream_that_is_put_back_deleted_or_made_anew(tmp_path: Path) -> None:
    with NatsServer(tmp_path / "server") as server, BucketWriter(server.url) as writer:
        writer.make()
        writer.put(*make_snapshot([ETH0], 5))
        writer.put(*make_snapshot([ETH0], 5, node="quiet"))
        with reader_of(server) as reader:
            reader.until(lambda: at(reader, 5) and at(reader, 5, "quiet"))
            writer.put(change(6))
            server.stop()
            server.copy_store(tmp_path / "copy")
            server.start()
            writer.connect()
            writer.put(*(change(seq) for seq in range(7, 12)))
            writer.put(change(6, node="quiet"))
            reader.until(lambda: at(reader, 11) and at(reader, 6, "quiet"))
            server.stop()
            server.put_back(tmp_path / "copy")
            server.start()
            writer.connect()
            # As its publisher does, which reads its position there: it writes again what is missing.
            writer.put(*(change(seq) for seq in range(7, 15)))
            writer.put(change(6, node="quiet"), change(7, node="quiet"))
            reader.until(lambda: at(reader, 14) and at(reader, 7, "quiet"))
            assert reader.snapshots == 2
            assert [e.seq for e in reader.events if e.node == NODE and e.snapshot is None] == list(range(6, 15))
            writer.delete()
            reader.until(lambda: not reader.subscription.nodes[NODE].in_sync)
            writer.make()
            writer.put(*make_snapshot([ETH1], 14))
            writer.put(*make_snapshot([ETH1], 20, node="quiet"))
            reader.until(lambda: at(reader, 14) and at(reader, 20, "quiet"))
            assert [event.interface.alias for event in reader.rows.of("quiet").values()] == ["eth1"]


def test_it_ends_at_once_from_any_thread_and_by_stop(nats_server: NatsServer, writer: BucketWriter) -> None:
    writer.put(*make_snapshot([ETH0], 5))
    for close in (True, False):
        judged_while_awake(partial(assert_ends_at_once, nats_server.url, close=close), within=0.3)
    wait_for(lambda: not [one for one in threading.enumerate() if one.name == THREAD])


def assert_ends_at_once(url: str, *, close: bool) -> None:
    stop = threading.Event()
    opened = publisher.subscribe(url, stop=stop)
    thread = threading.Thread(target=list, args=(opened,))
    thread.start()
    began = time.monotonic()
    (opened.close if close else stop.set)()
    thread.join()
    assert time.monotonic() - began < 1


def test_asubscribe_is_the_same_and_its_cancellation_is_prompt(nats_server: NatsServer, writer: BucketWriter) -> None:
    writer.put(*make_snapshot([ETH0], 5))

    async def first() -> Any:
        async with publisher.asubscribe(nats_server.url) as opened:
            async for event in opened:
                return event
        return None

    async def cancelled() -> float:
        task = asyncio.create_task(first_of("nats://192.0.2.1"))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return time.monotonic() - began

    async def first_of(url: str) -> Any:
        async for event in publisher.asubscribe(url):
            return event
        return None

    def assert_cancelled_at_once() -> None:
        assert asyncio.run(cancelled()) < 1

    assert asyncio.run(first()).is_marker
    judged_while_awake(assert_cancelled_at_once, within=0.3)


@pytest.mark.parametrize(
    ("url", "options", "reason"),
    [
        ("nats://", {}, "a URL with a host"),
        ("nats://h:0", {}, "a URL with a host, and a port"),
        ("nats://h,:99999", {}, "a URL with a host, and a port"),
        ("nats://user:secret@h", {}, "password_file"),
        ("nats://h/bucket", {}, "without a path"),
        ("nats://h?x=1", {}, "nothing but [?]domain=NAME behind the servers, and not 'x=1'"),
        ("nats://h?domain=", {}, "domain: String should match"),
        ("nats://h?domain=a&domain=b", {}, "nothing but [?]domain=NAME"),
        ("nats://h?domain=a.b", {}, "domain: String should match"),
        ("nats://h", {"ca_file": "ca.pem"}, "tls://"),
        ("nats://h", {"base": "a.b"}, "base, the bucket"),
        ("nats://h", {"nodes": [""]}, "no node"),
        ("nats://h", {"token_file": "/missing"}, "token_file /missing"),
        ("nats://h", {"credentials_file": "/missing"}, "credentials_file /missing"),
        ("nats://h", {"credentials_file": __file__}, "expected a user's JWT"),
        ("mqtt://h", {"credentials_file": "/missing"}, "credentials_file is for nats://"),
        ("http://h", {"credentials_file": "/missing"}, "credentials_file is for nats://"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(url: str, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        publisher.subscribe(url, **options)
    assert "user:secret" not in str(caught.value)


def test_what_cannot_be_reached_is_named(nats_server: NatsServer, tmp_path: Path) -> None:
    ports = sorted((free_port(), free_port()))
    with pytest.raises(PublisherError) as refused:
        publisher.subscribe(f"nats://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}")
    assert all(f"127.0.0.1:{port} " in str(refused.value) for port in ports)
    with pytest.raises(PublisherError, match=r"no stream KV_missing.*base"):
        publisher.subscribe(nats_server.url, base="missing")
    with pytest.raises(PublisherError, match=r"no TLS"):
        publisher.subscribe(nats_server.url.replace("nats:", "tls:"))
    token = tmp_path / "token"
    token.write_text("wrong")
    with NatsServer(tmp_path / "other", config="authorization { token: right }") as server:
        with pytest.raises(PublisherError, match=r"(?i)authorization"):
            publisher.subscribe(server.url, token_file=token)
        token.write_text("right")
        with BucketWriter(server.url, token="right") as made:
            made.make()
        publisher.subscribe(server.url, token_file=token).close()


VIEWER = """
authorization { users: [
  {user: writer, password: writer}
  {user: viewer, password: viewer, permissions: {subscribe: "_INBOX.>", publish: [%s]}}
] }
"""
RIGHTS = [
    f"$JS.API.CONSUMER.{call}.{stream}.>"
    for call in ("CREATE", "MSG.NEXT")
    for stream in ("KV_interfaces", "KV_interfaces_status")
]


def test_a_viewer_needs_the_rights_that_are_documented_and_is_told_of_one_that_it_has_not(tmp_path: Path) -> None:
    documented = Path("docs/subscribers.md").read_text()
    assert all(f"`{subject}`" in documented for subject in RIGHTS)
    password = tmp_path / "password"
    password.write_text("viewer\n")
    for missing in (None, *RIGHTS):
        rights = ", ".join(f'"{subject}"' for subject in RIGHTS if subject != missing)
        with (
            NatsServer(tmp_path / str(missing and RIGHTS.index(missing)), config=VIEWER % rights) as server,
            BucketWriter(server.url, user="writer", password="writer") as writer,
        ):
            writer.make()
            writer.put(*make_snapshot([ETH0], 5))
            url = server.url.replace("//", "//viewer@")
            if missing is None:
                with SubscribedReader(url, password_file=password) as reader:
                    reader.until(lambda: at(reader, 5))
                    writer.put(change(6), change(9))
                    reader.until(lambda: at(reader, 9))
            else:
                with pytest.raises(PublisherError, match=re.escape(missing.removesuffix(">").lower())):
                    refused(url, password)


def refused(url: str, password: Path) -> None:
    """Raises what ends a subscription, or what is logged about one that was begun."""
    with SubscribedReader(url, password_file=password) as reader:
        wait_for(lambda: reader.subscription._driver._told, what="a refusal")
        raise PublisherError(reader.subscription._driver._told)


def test_names_of_nodes_and_tokens_are_one_to_one() -> None:
    assert token_of("nas.home.lan") == "nas=2Ehome=2Elan"


def test_many_nodes_are_read_once_and_released(nats_server: NatsServer, writer: BucketWriter) -> None:
    rows = [make_row(f"eth{index}", index=index) for index in range(2, 12)]
    nodes = [f"node{number}" for number in range(30)]
    for node in nodes:
        writer.put(*make_snapshot(rows, 5, node=node))
    with reader_of(nats_server) as reader:
        reader.until(lambda: all(at(reader, 5, node) for node in nodes))
        assert len(reader.rows) == 300
        assert reader.snapshots == 30
