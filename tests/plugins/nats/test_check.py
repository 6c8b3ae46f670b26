"""`publisher check` says what works and what does not, and stores nothing."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from publisher import PublisherError
from publisher.testing import EPOCH, FakeSinkContext, make_snapshot
from publisher_nats.connection import NatsConnection
from publisher_nats.errors import NO_RESPONDERS, NatsRefused
from publisher_nats.messages import Ack, NatsMessage
from publisher_nats.options import NatsOptions
from publisher_nats.sink import NatsSink
from tests.fixtures.nats import NatsCluster, NatsServer
from tests.fixtures.nats_buckets import ROWS, STATUS, Buckets
from tests.fixtures.ports import free_port
from tests.fixtures.requirements import unable


def made(*servers: str, epoch: str = EPOCH, **options: Any) -> NatsSink:
    return NatsSink(NatsOptions(servers=servers, **options), FakeSinkContext(epoch=epoch))


def check(*servers: str, **options: Any) -> str:
    with closing(made(*servers, **options)) as sink:
        return sink.check()


@contextmanager
def publishing(*servers: str, **options: Any) -> Iterator[NatsSink]:
    with closing(made(*servers, **options)) as sink:
        sink.open()
        sink.cursor()
        sink.publish(make_snapshot())
        yield sink


def test_one_server_alone(nats_server: NatsServer) -> None:
    """The bucket is not made by a look at it."""
    line = check(nats_server.url)
    assert f"publishes to the bucket interfaces on {nats_server.url[7:]} (nats-server 2." in line
    assert "one server alone" in line
    assert "the bucket is not there yet, and the first start makes it" in line
    buckets = Buckets(nats_server.url)
    assert buckets.run(lambda stored: stored.streams_info()) == []
    with publishing(nats_server.url):
        before = buckets.run(lambda stored: stored.stream_info(ROWS)).state
        line = check(nats_server.url)
        assert buckets.run(lambda stored: stored.stream_info(ROWS)).state == before
    assert "; 1 copy, history 64; answers in " in line


def test_a_cluster_and_a_server_of_it_that_is_away(nats_cluster: NatsCluster) -> None:
    with publishing(*nats_cluster.urls):
        line = check(*nats_cluster.urls)
        assert all(url[7:] in line for url in nats_cluster.urls)
        assert "cluster test of 3 servers); 3 copies, history 64; answers in " in line
        leaders = [nats_cluster.leader(stream) for stream in (ROWS, STATUS)]
        away = next(server for server in nats_cluster.servers if server not in leaders)
        away.kill()
        with pytest.raises(PublisherError) as error:
            check(*nats_cluster.urls)
        assert "cluster test of 3 servers); 3 copies, history 64" in str(error.value), "the others work"
        assert f"{away.url[7:]} cannot be reached" in str(error.value)
    nats_cluster.start()


def test_a_bucket_that_a_server_has_yet_to_learn_of_is_no_refusal(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of a cluster learns of a new stream a moment later; a second after it, on a busy machine."""
    attempts = itertools.count()
    put = NatsConnection._put

    async def learning(connection: NatsConnection, message: NatsMessage) -> Ack:
        if next(attempts) < 15:  # 0.05 s apart
            raise NatsRefused("nobody takes it", NO_RESPONDERS)
        return await put(connection, message)

    with publishing(nats_server.url):
        monkeypatch.setattr("publisher_nats.check._PATIENCE_SECONDS", 60.0)
        monkeypatch.setattr(NatsConnection, "_put", learning)
        assert "publishes to the bucket interfaces" in check(nats_server.url)


def test_no_server() -> None:
    with pytest.raises(PublisherError, match="cannot be reached: nothing listens there"):
        check(f"nats://127.0.0.1:{free_port()}")


def test_rights_that_are_missing(tmp_path: Path) -> None:
    config = """authorization { users = [
      { user: admin, password: x }
      { user: node, password: x, permissions: {
        publish: ["$KV.interfaces.testnode.position", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*"]
        subscribe: "_INBOX.>" } }
    ] }"""
    with NatsServer(tmp_path / "nats", config=config) as server:
        with pytest.raises(PublisherError, match=r"KV_interfaces is missing and cannot be made: .*stream\.create"):
            check(server.url, username="node", password="x")
        with publishing(server.url, username="admin", password="x"):
            before = Buckets(server.url, user="admin", password="x").kept()
            with pytest.raises(PublisherError) as error:
                check(server.url, username="node", password="x")
            for subject in ("$kv.interfaces.testnode.0000000000000000.inet", "$kv.interfaces_status.testnode.status"):
                assert f'permissions violation for publish to "{subject}"' in str(error.value)
            assert Buckets(server.url, user="admin", password="x").kept() == before
        with pytest.raises(PublisherError, match="refuses the login"):
            check(server.url, username="node", password="y")


def test_jetstream_that_is_off(tmp_path: Path) -> None:
    config = "accounts { plain { users = [ { user: me, password: x } ] } }"
    off = "JetStream is off there, or for this account: start the server with"
    with NatsServer(tmp_path / "nats", config=config) as server, pytest.raises(PublisherError, match=off):
        check(server.url, username="me", password="x")


def test_a_stream_of_other_settings(nats_server: NatsServer) -> None:
    buckets = Buckets(nats_server.url)
    buckets.run(lambda stored: stored.add_stream(name="KV_other_status", subjects=["$KV.other_status.>"]))
    with pytest.raises(PublisherError, match="KV_other_status needs other settings: allow_msg_ttl = true"):
        check(nats_server.url, bucket="other")


def test_a_server_that_is_too_old(tmp_path: Path) -> None:
    old = shutil.which("nats-server", path="/usr/sbin:/usr/bin")
    if old is None:
        unable("nats-server 2.11 or older not found: apt-get install nats-server, on Debian 12")
    too_old = r"is nats-server 2\.\d+\.\d+: 2\.12 or newer is needed"
    with NatsServer(tmp_path / "nats", binary=Path(old)) as server, pytest.raises(PublisherError, match=too_old):
        check(server.url)


def test_another_host_with_the_name_is_told(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with publishing(nats_server.url):
        assert "now" not in check(nats_server.url), "it is this host"
        monkeypatch.setattr("socket.gethostname", lambda: "another")
        assert " publishes there as testnode now" in check(nats_server.url)
