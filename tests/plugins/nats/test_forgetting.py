"""What a node left in the buckets is removed when the configuration leaves it, and nothing else is."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from nats.js.api import DeliverPolicy

from publisher import Rejected, Retry
from publisher.cli.forget import Forget
from publisher.cli.forget_url import forget_url
from publisher.config.settings import JournalSettings, Settings
from publisher.testing import EPOCH, FakeSinkContext, ScriptedSource, make_event, make_snapshot
from publisher_nats import forgetting
from publisher_nats.connection import NatsConnection
from publisher_nats.forgetting import NodeForgetting
from publisher_nats.messages import Ack, NatsMessage
from publisher_nats.options import NatsOptions
from publisher_nats.sink import NatsSink
from tests.fixtures.nats import NatsServer
from tests.fixtures.nats_buckets import ROWS, STATUS, Buckets, StoredKey
from tests.fixtures.nats_process import open_sink
from tests.fixtures.poll import wait_for
from tests.fixtures.service import ETH0, House

if TYPE_CHECKING:
    from nats.js import JetStreamContext

NO_EPOCH = "0" * 16
"""That of `publisher forget`, which has no journal."""
LEASE = timedelta(seconds=3)


@pytest.fixture
def buckets(nats_server: NatsServer) -> Iterator[Buckets]:
    """The module's server, without the buckets of the test before."""
    buckets = Buckets(nats_server.url)
    yield buckets
    buckets.delete()


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    # For a sink that is about to connect, which only one test has.
    monkeypatch.setattr(forgetting, "_GRACE_SECONDS", 0.0)


def made(server: NatsServer, node: str = "testnode", *, epoch: str = EPOCH, **options: Any) -> NatsSink:
    given: dict[str, Any] = {"servers": (server.url,), "lease": LEASE} | options
    return NatsSink(NatsOptions(**given), FakeSinkContext(node=node, epoch=epoch))


@contextmanager
def publishing(server: NatsServer, node: str = "testnode", *, epoch: str = EPOCH, **options: Any) -> Iterator[NatsSink]:
    """Opens a sink that has written a snapshot and three changes."""
    with closing(made(server, node, epoch=epoch, **options)) as sink:
        sink.open()
        sink.cursor()
        changes = [make_event(seq=seq, node=node, epoch=epoch) for seq in (1, 2, 3)]
        sink.publish([*make_snapshot(node=node, epoch=epoch), *changes])
        yield sink


def leave(server: NatsServer, node: str = "testnode", **options: Any) -> None:
    """Lets a node publish and end."""
    with publishing(server, node, **options):
        pass


async def allow_rollups(stored: JetStreamContext, *, allowed: bool) -> None:
    config = (await stored.stream_info(ROWS)).config
    config.allow_rollup_hdrs = allowed
    await stored.update_stream(config)


def forget(sink: NatsSink) -> None:
    with closing(sink):
        sink.forget(sink.retains())


def values(kept: Mapping[str, StoredKey]) -> dict[str, bytes]:
    """Returns the keys that have a value."""
    return {subject: key.value for subject, key in kept.items() if key.value}


def of_node(buckets: Buckets, token: str) -> dict[str, StoredKey]:
    """Returns what there is of one node, markers too."""
    kept = buckets.kept() | buckets.kept(STATUS)
    return {subject: key for subject, key in kept.items() if subject.split(".")[2] == token}


# Places.


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"servers": "nats://One.lan"}, {"servers": "nats://one.lan:4222/"}),
        ({"servers": ("nats://one.lan", "nats://two.lan")}, {"servers": ("nats://two.lan", "nats://me@one.lan")}),
        (
            {"servers": "nats://one.lan"},
            {"servers": "nats://one.lan", "username": "me", "password": "x", "lease": "5s"},
        ),
    ],
)
def test_equal_places_have_one_name_without_secrets(first: dict[str, Any], second: dict[str, Any]) -> None:
    sinks = [NatsSink(NatsOptions(**options), FakeSinkContext(node="nas.lan")) for options in (first, second)]
    assert sinks[0].retains() == sinks[1].retains()
    assert "me" not in sinks[1].retains()[0].split("/")[2].replace("one", "")


def test_other_places_have_other_names() -> None:
    several: list[tuple[dict[str, Any], str]] = [
        ({}, "a"),
        ({}, "b"),
        ({"bucket": "other"}, "a"),
        ({"domain": "hub"}, "a"),
        ({"servers": "nats://two.lan"}, "a"),
    ]
    places = {
        NatsSink(NatsOptions(**({"servers": "nats://one.lan"} | options)), FakeSinkContext(node=node)).retains()
        for options, node in several
    }
    assert len(places) == len(several)


# Emptying.


def test_everything_of_the_node_goes_and_nothing_of_others(nats_server: NatsServer, buckets: Buckets) -> None:
    for other in ("testnode2", "testnode.lan", "test"):
        leave(nats_server, other)
    others = buckets.kept() | buckets.kept(STATUS)
    leave(nats_server)
    before = of_node(buckets, "testnode")
    assert any(key.messages > 1 for key in before.values()), "there is a past"
    for _ in range(2):
        forget(made(nats_server))
        left = of_node(buckets, "testnode")
        assert left.keys() == before.keys()
        for key in left.values():
            assert (key.value, key.messages, key.headers["KV-Operation"]) == (b"", 1, "PURGE")
        assert {name: key for name, key in (buckets.kept() | buckets.kept(STATUS)).items() if name in others} == others


@pytest.mark.parametrize("rollups", [True, False])
def test_nothing_comes_back_when_the_markers_end(
    nats_server: NatsServer, buckets: Buckets, monkeypatch: pytest.MonkeyPatch, *, rollups: bool
) -> None:
    for headers in forgetting._HEADERS.values():
        if "Nats-TTL" in headers:
            monkeypatch.setitem(headers, "Nats-TTL", "1s")
    leave(nats_server)
    buckets.run(lambda stored: allow_rollups(stored, allowed=rollups))
    forget(made(nats_server))
    assert all(key.messages == 1 for key in of_node(buckets, "testnode").values())
    wait_for(lambda: all(key.value for key in of_node(buckets, "testnode").values()), what="the end of the markers")
    assert of_node(buckets, "testnode") == {}


def test_a_publisher_of_that_name_begins_anew(nats_server: NatsServer, buckets: Buckets) -> None:
    leave(nats_server)
    forget(made(nats_server))
    with closing(made(nats_server, epoch="01926f6e8c7e4b40")) as sink:
        sink.open()
        assert sink.cursor() is None
        assert isinstance(sink.context, FakeSinkContext)
        assert sink.context.snapshots_requested == 1
        rows = make_snapshot(epoch="01926f6e8c7e4b40")
        sink.publish(rows)
        kept = values(buckets.kept())
    assert sorted(kept.values())[1:] == sorted(row.json_bytes for row in rows[1:])


def test_followers_see_the_rows_go(nats_server: NatsServer, buckets: Buckets) -> None:
    leave(nats_server)

    async def follow(stored: JetStreamContext) -> set[str]:
        follower = await stored.subscribe(
            "$KV.interfaces.testnode.>", ordered_consumer=True, deliver_policy=DeliverPolicy.NEW
        )
        thread = threading.Thread(target=forget, args=(made(nats_server),))
        thread.start()
        received = {message.subject for message in [await follower.next_msg(timeout=20) for _ in range(4)]}
        thread.join()
        return received

    before = set(buckets.kept())
    assert buckets.run(follow) == before


LIMITED = """authorization { users = [
  { user: admin, password: x }
  { user: node, password: x, permissions: {
    publish: ["$KV.interfaces.testnode.>", "$KV.interfaces_status.testnode.status", "$JS.API.STREAM.INFO.*",
              "$JS.API.STREAM.MSG.GET.*"]
    subscribe: "_INBOX.>" } }
] }"""


def test_the_right_to_write_the_own_keys_is_enough_with_rollups(tmp_path: Path) -> None:
    with NatsServer(tmp_path / "nats", config=LIMITED) as server:
        buckets = Buckets(server.url, user="admin", password="x")
        leave(server, username="admin", password="x")
        forget(made(server, username="node", password="x"))
        assert {(key.value, key.messages) for key in of_node(buckets, "testnode").values()} == {(b"", 1)}


def test_without_the_right_to_purge_the_rows_go_and_their_past_is_told(tmp_path: Path) -> None:
    with NatsServer(tmp_path / "nats", config=LIMITED) as server:
        buckets = Buckets(server.url, user="admin", password="x")
        leave(server, username="admin", password="x")
        buckets.run(lambda stored: allow_rollups(stored, allowed=False))
        for _ in range(2):
            with pytest.raises(Rejected, match=r"their past stays in the stream KV_interfaces: .*stream\.purge"):
                forget(made(server, epoch=NO_EPOCH, username="node", password="x"))
            left = of_node(buckets, "testnode").values()
            assert {key.value for key in left} == {b""}
            assert sum(key.messages for key in left) == 7 + 5, "one marker each, no more by the second attempt"
            assert not any("Nats-TTL" in key.headers for key in left if key.messages > 1), "these markers stay"
        service = made(server, username="node", password="x")
        forget(service)
        assert isinstance(service.context, FakeSinkContext)
        assert "their past stays" in service.context.logged[-1].getMessage()
        forget(made(server, epoch=NO_EPOCH, username="admin", password="x"))
        assert {(key.value, key.messages) for key in of_node(buckets, "testnode").values()} == {(b"", 1)}


def test_another_node_that_writes_meanwhile_loses_nothing(nats_server: NatsServer, buckets: Buckets) -> None:
    leave(nats_server)
    with publishing(nats_server, "other") as other:
        thread = threading.Thread(target=forget, args=(made(nats_server),))
        thread.start()
        written = 3
        while thread.is_alive() or written < 50:
            written += 1
            other.publish([make_event(seq=written, node="other")])
        thread.join()
        cursor = other.cursor()
    assert cursor is not None
    assert cursor.seq == written
    assert values(of_node(buckets, "testnode")) == {}


# Publishers that run.


def test_by_hand_it_is_refused_while_a_publisher_runs(nats_server: NatsServer, buckets: Buckets) -> None:
    with publishing(nats_server):
        before = values(buckets.kept())
        with pytest.raises(Rejected, match="a publisher runs that has the node name testnode there: host "):
            forget(made(nats_server, epoch=NO_EPOCH))
        assert values(buckets.kept()) == before


def test_what_another_publisher_uses_by_now_is_its_own(nats_server: NatsServer, buckets: Buckets) -> None:
    with publishing(nats_server):
        before = values(buckets.kept())
        forget(made(nats_server))
        assert values(buckets.kept()) == before


def test_a_publisher_that_is_about_to_connect_is_waited_for(
    nats_server: NatsServer, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "_GRACE_SECONDS", 20.0)
    leave(nats_server)
    thread = threading.Thread(target=forget, args=(made(nats_server),))
    thread.start()
    with publishing(nats_server):
        thread.join(20)
        assert not thread.is_alive()
        assert len(values(buckets.kept())) == 4


def test_what_a_killed_publisher_left_goes_when_its_lease_has_ended(nats_server: NatsServer, buckets: Buckets) -> None:
    with open_sink([nats_server.url], "testnode", lease=timedelta(seconds=2)) as killed:
        killed.signal("SIGKILL")
        forget(made(nats_server, epoch=NO_EPOCH))
    assert values(of_node(buckets, "testnode")) == {}


def test_a_long_lease_is_not_waited_for(
    nats_server: NatsServer, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "_LONGEST_WAIT_SECONDS", 0.3)
    with open_sink([nats_server.url], "testnode", lease=timedelta(minutes=10)) as killed:
        killed.signal("SIGKILL")
        with pytest.raises(Retry, match="its lease of 600 s has not ended yet"):
            forget(made(nats_server, epoch=NO_EPOCH))
    assert len(values(buckets.kept())) == 4


class Hurried:
    """A connection over which somebody else's message comes first."""

    def __init__(self, connection: NatsConnection, first: NatsMessage) -> None:
        self._connection, self._first = connection, first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def put(self, message: NatsMessage) -> Ack:
        await self._connection.put(self._first)
        return await self._connection.put(message)


def test_a_row_that_is_written_meanwhile_stays(nats_server: NatsServer, buckets: Buckets) -> None:
    leave(nats_server)
    subject, value = next(iter(values(buckets.kept()).items()))
    written = NatsMessage(subject, b'{"new": true}')
    with closing(made(nats_server)) as sink:

        async def empty() -> None:
            connection = NatsConnection(sink.options)
            await connection.open()
            try:
                hurried: Any = Hurried(connection, written)
                await NodeForgetting(hurried, "interfaces", sink.context).empty()
            finally:
                await connection.close()

        with pytest.raises(Retry, match="was written meanwhile"):
            sink.run(empty())
    assert buckets.kept()[subject].value == written.value != value


# The command, and the service.


def test_a_url_empties_one_node_in_the_given_bucket(
    nats_server: NatsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "password").write_text("secret-of-mine")
    leave(nats_server, "old.lan", bucket="fleet")
    leave(nats_server, "new.lan", bucket="fleet")
    settings = Settings(node="new.lan", journal=JournalSettings(path=tmp_path / "journal.sqlite3"))
    url = nats_server.url.replace("nats://", "nats://me@")
    wanted = Forget(f"{url},127.0.0.1:1/", "old.lan", "fleet", password_file=tmp_path / "password")
    assert forget_url(settings, wanted)
    assert capsys.readouterr().out.endswith("/fleet/old=2Elan: emptied\n")
    buckets = Buckets(nats_server.url)
    kept = {subject.split(".")[2] for subject in values(buckets.kept("KV_fleet") | buckets.kept("KV_fleet_status"))}
    assert kept == {"new=2Elan"}


def test_what_the_configuration_leaves_is_emptied(nats_server: NatsServer, buckets: Buckets, tmp_path: Path) -> None:
    leave(nats_server, "other")
    house = House(tmp_path)
    house.types["nats"] = NatsSink
    sink = {"type": "nats", "servers": [nats_server.url], "lease": "3s"}
    with_sink = house.settings("one").model_copy(update={"sinks": {"fleet": sink}})
    with house.running(with_sink):
        wait_for(lambda: len(values(of_node(buckets, "testnode"))) == 3, what="a row, the position and the status")
    house.source = ScriptedSource([ETH0])
    with house.running(house.settings("one")):
        wait_for(lambda: not values(of_node(buckets, "testnode")), what="nothing of the node")
    assert len(values(of_node(buckets, "other"))) == 5
    assert house.errors == []
