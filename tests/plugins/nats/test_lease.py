"""A node is online as long as its sink is there, and the server itself says that it is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nats.errors
import pytest

from publisher import Retry
from publisher.testing import EPOCH, FakeSinkContext, make_events, make_snapshot
from publisher_nats.options import NatsOptions
from publisher_nats.sink import NatsSink
from publisher_nats.status import StatusKey
from tests.fixtures.nats import NatsCluster, NatsServer
from tests.fixtures.nats_buckets import ROWS, STATUS, Buckets, StoredKey
from tests.fixtures.nats_process import open_sink
from tests.fixtures.poll import wait_for

if TYPE_CHECKING:
    from nats.js import JetStreamContext

# It is renewed each second. A marker needs up to a second more than the lease.
LEASE = timedelta(seconds=3)
# For what is written at once: no renewal of its own comes before the end of the test.
LONG_LEASE = timedelta(minutes=10)


@pytest.fixture
def server(nats_server: NatsServer) -> Iterator[Buckets]:
    """The module's server, without the buckets of the test before."""
    buckets = Buckets(nats_server.url)
    yield buckets
    buckets.delete()


def made(server: NatsServer, node: str = "testnode", *, epoch: str = EPOCH, **options: Any) -> NatsSink:
    given: dict[str, Any] = {"servers": (server.url,), "lease": LEASE} | options
    return NatsSink(NatsOptions(**given), FakeSinkContext(node=node, epoch=epoch))


@contextmanager
def opened(server: NatsServer, node: str = "testnode", *, epoch: str = EPOCH, **options: Any) -> Iterator[NatsSink]:
    with closing(made(server, node, epoch=epoch, **options)) as sink:
        sink.open()
        sink.cursor()
        yield sink


def renewed(buckets: Buckets, after: StoredKey | None, token: str = "testnode") -> StoredKey:
    """Waits for the next status of the node, and returns it."""

    def newer() -> StoredKey | None:
        status = buckets.status(token)
        return status if status is not None and (after is None or status.seq > after.seq) else None

    return wait_for(newer, timeout=30, what=f"another status of {token}")


def test_a_node_is_online_until_its_sink_is_closed(nats_server: NatsServer, server: Buckets) -> None:
    with opened(nats_server) as sink:
        first = renewed(server, None)
        began = time.monotonic()
        sink.publish(make_snapshot())
        sink.publish(make_events(3))
        status = renewed(server, first)
        while time.monotonic() < began + LEASE.total_seconds() + 1:
            status = renewed(server, status)
            assert status.json["online"] is True
        assert status.headers["Nats-TTL"] == "3s"
        assert status.json["seq"] == 3
        assert (status.json["node"], status.json["epoch"], status.json["lease"]) == ("testnode", EPOCH, 3)
    last = server.status()
    assert last is not None
    assert last.json["online"] is False
    assert "Nats-TTL" not in last.headers


def test_a_sink_that_is_closed_while_its_status_is_renewed_is_offline(
    nats_server: NatsServer, server: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stayed online until its lease was over: a cluster writes what is under way, and refuses what is to follow."""
    under_way: list[asyncio.Task[int | None]] = []
    put = StatusKey.put

    async def slow(*arguments: Any) -> int | None:
        if any(not task.done() for task in under_way):
            return None

        async def written() -> int | None:
            await asyncio.sleep(0.2)
            return await put(*arguments)

        under_way.append(asyncio.create_task(written()))
        return await asyncio.shield(under_way[-1])

    monkeypatch.setattr(StatusKey, "put", slow)
    with opened(nats_server, lease=LONG_LEASE) as sink:
        sink.publish(make_snapshot())
        wait_for(lambda: len(under_way) == 2, what="a renewal, which says that the rows are there")
    last = server.status()
    assert last is not None
    assert (last.json["online"], last.json["in_sync"]) == (False, True)


def test_a_node_is_in_sync_once_the_rows_are_whole(nats_server: NatsServer, server: Buckets) -> None:
    rows = make_snapshot()
    with opened(nats_server, lease=LONG_LEASE) as sink:
        first = renewed(server, None)
        assert first.json["in_sync"] is False
        sink.publish(rows[:2])
        assert server.status() == first, "nothing has changed"
        sink.publish(rows[2:])
        whole = renewed(server, first)
        assert whole.json["in_sync"] is True
    with opened(nats_server, lease=LONG_LEASE) as sink:
        # The rows of last time are those of this journal.
        again = wait_for(lambda: in_sync(server), timeout=30, what="a status that is in sync")
        sink.publish(rows[:2])
        assert renewed(server, again).json["in_sync"] is False


def in_sync(buckets: Buckets) -> StoredKey | None:
    """Returns the node's status if it is online and in sync."""
    status = buckets.status()
    return status if status is not None and status.json.get("online") and status.json["in_sync"] else None


def test_a_sink_without_rows_is_in_sync(nats_server: NatsServer, server: Buckets) -> None:
    with opened(nats_server, snapshot=False, only={"kinds": ["link_down"]}):
        status = renewed(server, None)
    assert status.json["in_sync"] is True
    assert status.json["skips"] is True


def test_the_statuses_have_a_bucket_that_marks_a_lost_one(nats_server: NatsServer, server: Buckets) -> None:
    with opened(nats_server):
        config = server.run(lambda stored: stored.stream_info(STATUS)).config
    assert config.max_msgs_per_subject == 1
    assert config.allow_msg_ttl is True
    assert config.subject_delete_marker_ttl == 86_400


def test_a_killed_and_a_frozen_publisher_are_lost_within_two_leases_and_come_back(
    nats_server: NatsServer, server: Buckets
) -> None:
    with open_sink([nats_server.url], "killed", lease=LEASE) as killed:
        with open_sink([nats_server.url], "frozen", lease=LEASE) as frozen:
            for token in ("killed", "frozen"):
                wait_for(partial(server.is_online, token), what=f"{token} to be online")
            frozen.freeze()
            killed.signal("SIGKILL")
            ended = datetime.now(UTC)
            for token in ("killed", "frozen"):
                marker = wait_for(partial(_marker, server, token), timeout=30, what=f"the marker of {token}")
                assert marker.at - ended < 2 * LEASE
            frozen.signal("SIGCONT")
            wait_for(lambda: server.is_online("frozen"), what="the frozen publisher to come back")
        with open_sink([nats_server.url], "killed", lease=LEASE):
            wait_for(lambda: server.is_online("killed"), what="the killed publisher to come back")


def _marker(buckets: Buckets, token: str) -> StoredKey | None:
    """Returns the server's marker of a node that is lost."""
    status = buckets.status(token)
    return status if status is not None and status.is_lost else None


def _is_lost_by_now(buckets: Buckets) -> bool:
    """Returns whether the node is marked as lost; while there is no leader nobody can tell."""
    try:
        return _marker(buckets, "testnode") is not None
    except (nats.errors.Error, TimeoutError):
        return False


def test_a_publisher_that_cannot_write_stays_online(nats_server: NatsServer, server: Buckets) -> None:
    with opened(nats_server) as sink:
        sink.publish(make_snapshot())
        stream = server.run(lambda stored: stored.stream_info(ROWS)).config
        stream.max_bytes = 10
        server.run(lambda stored: stored.update_stream(stream))
        status, began = renewed(server, None), time.monotonic()
        while time.monotonic() < began + LEASE.total_seconds() + 1:
            with pytest.raises(Retry):
                sink.publish(make_events(3))
            sink.cursor()
            status = renewed(server, status)
            assert status.json["online"] is True


def test_a_status_bucket_that_is_deleted_is_made_again(nats_server: NatsServer, server: Buckets) -> None:
    with opened(nats_server):
        server.run(lambda stored: stored.delete_stream(STATUS))
        wait_for(server.is_online, timeout=30, what="the status in a new bucket")


def test_a_status_bucket_of_other_settings_is_refused(nats_server: NatsServer, server: Buckets) -> None:
    async def make(stored: JetStreamContext) -> None:
        await stored.add_stream(name=STATUS, subjects=["$KV.interfaces_status.>"])

    server.run(make)
    with closing(made(nats_server)) as sink, pytest.raises(Retry, match="allow_msg_ttl = true, subject_delete_marker"):
        sink.open()


def test_two_publishers_of_one_journal_do_not_fight_over_the_status(nats_server: NatsServer, server: Buckets) -> None:
    with opened(nats_server) as first:
        with opened(nats_server) as second:
            wait_for(lambda: first.rivals.is_fenced, timeout=30, what="the first sink to notice the second")
            status = server.status()
            for _ in range(3):
                status = renewed(server, status)
                assert status.headers["Publisher-Instance"] == second.instance
            assert not second.rivals.is_fenced
        wait_for(server.is_online, timeout=30, what="the first sink to go on")
        status = server.status()
        assert status is not None
        assert status.headers["Publisher-Instance"] == first.instance


def test_a_missing_right_is_named(tmp_path: Path) -> None:
    config = """authorization { users = [
      { user: admin, password: x }
      { user: node, password: x, permissions: {
        publish: ["$KV.interfaces.testnode.>", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*"]
        subscribe: "_INBOX.>" } }
    ] }"""
    with NatsServer(tmp_path / "nats", config=config) as server:
        with opened(server, username="admin", password="x"):
            pass
        with (
            closing(made(server, username="node", password="x")) as sink,
            pytest.raises(
                Retry, match=r'permissions violation for publish to "\$kv.interfaces_status.testnode.status"'
            ),
        ):
            sink.open()


def test_the_marker_comes_from_a_cluster_whose_leader_dies_with_the_publisher(nats_cluster: NatsCluster) -> None:
    with open_sink(nats_cluster.urls, "testnode", lease=LEASE) as sink:
        leader = nats_cluster.leader(STATUS)
        sink.signal("SIGKILL")
        leader.kill()
        # What is asked while there is no leader is never answered.
        buckets = Buckets([server.url for server in nats_cluster.running], seconds=1)
        wait_for(lambda: _is_lost_by_now(buckets), timeout=60, what="the marker")
    nats_cluster.start()
    with open_sink(nats_cluster.urls, "testnode", lease=LEASE):
        wait_for(Buckets(nats_cluster.urls).is_online, what="the publisher to come back")
