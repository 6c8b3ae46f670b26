"""Servers that cannot hold a bucket say what they need; buckets are made as the cluster allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from publisher import Retry
from publisher.testing import make_events
from tests.fixtures.nats import NatsCluster, NatsServer
from tests.fixtures.nats_bucket import reading
from tests.fixtures.nats_sinks import OpenSink, filled, new_bucket
from tests.fixtures.ports import free_port
from tests.fixtures.requirements import unable

_DEBIANS = Path("/usr/sbin/nats-server")


def refusal(url: str, bucket: str = "refused", **options: Any) -> str:
    """Opens a sink, which is to fail; returns the reason."""
    one = OpenSink(url, bucket, **options)
    try:
        with pytest.raises(Retry) as refused:
            one.sink.open()
        return str(refused.value)
    finally:
        one.sink.close()


def test_an_older_server_is_refused_with_the_version_that_is_needed(tmp_path: Path) -> None:
    if not _DEBIANS.exists():
        unable("an older nats-server not found: install the package nats-server")
    with NatsServer(tmp_path, binary=_DEBIANS) as server:
        assert "is nats-server 2.9.10: 2.12 or newer is needed" in refusal(server.url)


def test_jetstream_that_is_off(tmp_path: Path) -> None:
    config = 'accounts { A { users = [{ user: a, password: "pass" }] } }'
    (tmp_path / "password").write_text("pass\n")
    with NatsServer(tmp_path, config=config) as server:
        said = refusal(server.url, username="a", password_file=str(tmp_path / "password"))
    assert "JetStream is off there, or for this account: start the server with" in said


def test_no_right_to_make_the_bucket(tmp_path: Path) -> None:
    rights = '{ publish: { deny: ["$JS.API.STREAM.CREATE.>"] } }'
    config = f'authorization {{ users = [{{ user: a, password: "pass", permissions: {rights} }}] }}'
    (tmp_path / "password").write_text("pass\n")
    with NatsServer(tmp_path, config=config) as server:
        said = refusal(server.url, username="a", password_file=str(tmp_path / "password"))
    assert "the stream KV_refused is missing and cannot be made" in said
    assert "permissions violation" in said
    assert "access control" in said


def test_no_right_to_write_a_key(tmp_path: Path) -> None:
    rights = '{ publish: { deny: ["$KV.refused.>"] } }'
    config = f'authorization {{ users = [{{ user: a, password: "pass", permissions: {rights} }}] }}'
    (tmp_path / "password").write_text("pass\n")
    with NatsServer(tmp_path, config=config) as server:
        one = OpenSink(server.url, "refused", username="a", password_file=str(tmp_path / "password"))
        one.sink.open()
        for count in (1, 300):
            assert "permissions violation" in str(one.fails(make_events(count)))
        one.sink.close()


def test_a_stream_with_other_settings_is_named_with_what_it_needs(nats_server: NatsServer) -> None:
    with reading(nats_server.url, new_bucket()) as reader:
        made = {"name": f"KV_{reader.bucket}", "subjects": [f"$KV.{reader.bucket}.>"]}
        assert "error" not in reader.api(f"STREAM.CREATE.KV_{reader.bucket}", made)
        said = refusal(nats_server.url, reader.bucket)
        for setting in ("allow_atomic = true", "allow_msg_ttl = true"):
            assert setting in said


def test_a_cluster_keeps_three_copies_and_a_server_alone_one(
    nats_server: NatsServer, nats_cluster: NatsCluster
) -> None:
    for url, copies in ((nats_server.url, 1), (nats_cluster.urls, 3)):
        with reading(url, new_bucket()) as reader, filled(url, reader.bucket, history=7):
            for name in (reader.bucket, f"{reader.bucket}_status"):
                config = reader.api(f"STREAM.INFO.KV_{name}")["config"]
                assert config["num_replicas"] == copies
                assert config["max_msgs_per_subject"] == (7 if name == reader.bucket else 1)
                assert config["discard"] == "new"
                assert config["deny_delete"]


def test_more_copies_than_servers(nats_server: NatsServer) -> None:
    said = refusal(nats_server.url, new_bucket(), replicas=3)
    assert "replicas > 1 not supported in non-clustered mode" in said
    assert "set replicas = 1" in said


def test_through_a_leaf_node_into_the_hub(tmp_path: Path) -> None:
    port = free_port()
    hub = NatsServer(
        tmp_path / "hub", name="hub", config=f'leafnodes {{ listen: "127.0.0.1:{port}" }}', jetstream="domain: hub"
    )
    remote = f'leafnodes {{ remotes = [{{ url: "nats-leaf://127.0.0.1:{port}" }}] }}'
    leaf = NatsServer(tmp_path / "leaf", name="leaf", config=remote, jetstream="domain: leaf")
    with hub, leaf, reading(hub.url, "interfaces") as reader, filled(leaf.url, "interfaces", domain="hub") as one:
        one.publish(make_events(30))
        assert [event["seq"] for event in reader.events()] == list(range(1, 31))
        said = refusal(leaf.url, domain="nowhere")
        assert "no JetStream domain 'nowhere' is reached from there" in said


def test_every_server_of_the_list_is_tried(nats_server: NatsServer) -> None:
    away = f"nats://127.0.0.1:{free_port()}"
    for _ in range(4):  # in a random order
        with filled([away, nats_server.url], "tried"):
            pass
    assert "cannot be reached" in refusal(away)


def test_a_server_that_hangs_is_given_up_and_the_next_one_is_used(nats_cluster: NatsCluster) -> None:
    with filled(nats_cluster.urls, new_bucket()) as one:
        one.be_impatient()
        assert one.sink.connection is not None
        [server] = [one_of for one_of in nats_cluster.servers if str(one_of.port) in one.sink.connection.name]
        server.pause()
        try:
            assert "did not answer within 1 s" in str(one.fails(make_events(1)))
        finally:
            server.resume()
