"""compose/fleet: its servers with TLS and accounts, run as they are, and what each user may do there."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from tests.fixtures.fleet_login import (
    NAS,
    OTHER,
    ROW,
    answered,
    login,
    newest,
    run,
    trusting,
)
from tests.fixtures.fleet_servers import FleetCluster, FleetFolder, FleetServer
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"user": None, "password": None}, "Authorization Violation"),
        ({"password": "wrong"}, "Authorization Violation"),
        ({"user": "db.example.net"}, "Authorization Violation"),
    ],
)
def test_nobody_gets_in_without_the_password(fleet: FleetCluster, options: dict[str, Any], message: str) -> None:
    async def refused() -> None:
        async with login(fleet, NAS, **options):
            pass

    with pytest.raises(Exception, match=message):
        run(refused())


@pytest.mark.parametrize(
    ("token", "subject", "allowed"),
    [
        (NAS, f"$KV.interfaces.{NAS}.{ROW}", True),
        (NAS, f"$KV.interfaces.{NAS}.position", True),
        (NAS, f"$KV.interfaces_status.{NAS}.status", True),
        (NAS, f"$KV.interfaces.{OTHER}.{ROW}", False),
        (NAS, f"$KV.interfaces.{OTHER}.position", False),
        (NAS, f"$KV.interfaces_status.{OTHER}.status", False),
        (NAS, "$KV.interfaces.position", False),
        (OTHER, f"$KV.interfaces.{OTHER}.position", True),
        (OTHER, f"$KV.interfaces.{NAS}.position", False),
        ("viewer", f"$KV.interfaces.{NAS}.{ROW}", False),
        ("viewer", f"$KV.interfaces_status.{NAS}.status", False),
        ("viewer", "$KV.interfaces.viewer.position", False),
        ("operator", f"$KV.interfaces.{NAS}.{ROW}", True),
    ],
)
def test_who_may_write_what(fleet: FleetCluster, token: str, subject: str, allowed: bool) -> None:
    async def written() -> bool:
        async with login(fleet, token) as client:
            return await answered(client, subject, b"1")

    assert run(written()) is allowed


@pytest.mark.parametrize("token", [NAS, "viewer"])
@pytest.mark.parametrize(
    "call",
    [
        "STREAM.CREATE.KV_interfaces",
        "STREAM.CREATE.MINE",
        "STREAM.UPDATE.KV_interfaces",
        "STREAM.DELETE.KV_interfaces",
        "STREAM.PURGE.KV_interfaces",
        "STREAM.MSG.DELETE.KV_interfaces",
        "STREAM.RESTORE.KV_interfaces",
        "STREAM.SNAPSHOT.KV_interfaces",
        "STREAM.PEER.REMOVE.KV_interfaces",
        "STREAM.LEADER.STEPDOWN.KV_interfaces",
        "META.LEADER.STEPDOWN",
    ],
)
def test_neither_a_node_nor_a_viewer_may_change_a_stream(fleet: FleetCluster, token: str, call: str) -> None:
    async def done() -> bool:
        async with login(fleet, token) as client:
            return await answered(client, f"$JS.API.{call}", b"{}")

    assert not run(done())


@pytest.mark.parametrize("token", [NAS, "viewer"])
@pytest.mark.parametrize("bucket", ["interfaces", "interfaces_status"])
def test_an_answer_of_the_server_cannot_be_sent_to_the_key_of_another_node(
    fleet: FleetCluster, token: str, bucket: str
) -> None:
    """The server checks no permission for the subject of an answer: in one account it would be stored there."""
    key = "position" if bucket == "interfaces" else "status"
    other = f"$KV.{bucket}.{OTHER}.{key}"

    async def attempted() -> bytes:
        async with login(fleet, token) as client, login(fleet, OTHER) as owner, login(fleet, "operator") as operator:
            await owner.request(other, b"its own", 10)
            own = f"$KV.interfaces.{NAS}.{ROW}"
            await operator.request(own, b"planted", 10)
            stream = "$JS.API.STREAM.INFO.KV_interfaces"
            for subject in (own, f"$JS.API.DIRECT.GET.KV_interfaces.{own}", "$JS.API.INFO", stream, "$JS.FC.x"):
                await client.publish(subject, b"planted", reply=other)
            await client.flush()
            # The answers of the same connection keep their order.
            assert await answered(client, "$JS.API.INFO")
            return await newest(operator, f"{OTHER}.{key}", bucket)

    assert run(attempted()) == b"its own"


def test_a_viewer_cannot_have_rows_delivered_to_the_key_of_a_node(fleet: FleetCluster) -> None:
    async def attempted() -> bytes:
        async with login(fleet, "viewer") as viewer, login(fleet, "operator") as operator:
            status = f"$KV.interfaces_status.{NAS}.status"
            await operator.request(status, b"its own", 10)
            # Without a subscriber the server sends nothing there.
            await viewer.subscribe(status)
            config = {"deliver_subject": status, "deliver_policy": "all", "ack_policy": "none", "name": "evil"}
            request = {"stream_name": "KV_interfaces", "action": "create", "config": config}
            call = "$JS.API.CONSUMER.CREATE.KV_interfaces.evil"
            await viewer.request(call, json.dumps(request).encode(), 10)
            await operator.request(f"$KV.interfaces.{NAS}.{ROW}", b"planted", 10)
            await operator.request("$JS.API.CONSUMER.DELETE.KV_interfaces.evil", b"", 10)
            return await newest(operator, f"{NAS}.status", "interfaces_status")

    assert run(attempted()) == b"its own"


def test_a_node_hears_nothing_of_the_others(fleet: FleetCluster) -> None:
    async def heard() -> list[str]:
        async with login(fleet, NAS) as nas, login(fleet, OTHER) as other:
            received: list[str] = []
            subscription = await nas.subscribe(">")
            await nas.flush()
            await other.request(f"$KV.interfaces.{OTHER}.{ROW}", b"1", 10)
            await nas.publish("last")
            while (message := await subscription.next_msg(10)).subject != "last":
                received.append(message.subject)
            return received

    assert run(heard()) == []


@pytest.mark.parametrize("kind", ["pull", "push"])
def test_a_viewer_reads_every_node(fleet: FleetCluster, kind: str) -> None:
    """A push consumer sends to the inboxes of viewers, which a client has to be told."""
    keys = {f"$KV.interfaces.{token}.position" for token in (NAS, OTHER)}

    async def read() -> None:
        async with (
            login(fleet, "viewer", inbox_prefix="_INBOX.viewers") as viewer,
            login(fleet, NAS) as nas,
            login(fleet, OTHER) as other,
        ):
            await nas.request(f"$KV.interfaces.{NAS}.position", b"1", 10)
            await other.request(f"$KV.interfaces.{OTHER}.position", b"1", 10)
            config = ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, ack_policy=AckPolicy.NONE)
            stream = viewer.jetstream()
            found: set[str] = set()
            if kind == "push":
                pushed = await stream.subscribe(
                    "$KV.interfaces.>", stream="KV_interfaces", ordered_consumer=True, config=config
                )
                while not keys <= found:
                    found.add((await pushed.next_msg(10)).subject)
                return
            pulled = await stream.pull_subscribe("$KV.interfaces.>", stream="KV_interfaces", config=config)
            while not keys <= found:
                found |= {message.subject for message in await pulled.fetch(100, timeout=10)}

    run(read())


def begin_tls(port: int, context: ssl.SSLContext, name: str) -> None:
    """Connects as a client does: the server's first line is in clear text, then TLS begins."""
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        first = plain.recv(4096)
        assert json.loads(first.removeprefix(b"INFO "))["tls_required"]
        context.wrap_socket(plain, server_hostname=name).close()


def test_a_client_refuses_a_server_of_another_authority_or_name(fleet: FleetCluster, tmp_path: Path) -> None:
    ours = trusting(fleet.folder.ca_file)
    for server in fleet.servers:
        begin_tls(server.port, ours, "127.0.0.1")
        begin_tls(server.port, ours, server.name)
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
            begin_tls(server.port, trusting(FleetFolder(tmp_path / server.name).ca_file), "127.0.0.1")
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            begin_tls(server.port, ours, "elsewhere.example")


def test_a_server_of_another_authority_does_not_become_a_member(fleet: FleetCluster, tmp_path: Path) -> None:
    other = FleetFolder(tmp_path, "nas")
    shutil.copy(fleet.folder.ca_file, other.ca_file)  # it trusts the members
    members = fleet.members[0].routes[1:]
    intruder = FleetServer(other, 0, [free_port(), *members])
    intruder.launch()
    try:
        logs = [server.log for server in fleet.servers]
        wait_for(lambda: any("signed by unknown authority" in log() for log in logs), what="a refused certificate")
        wait_for(lambda: "bad certificate" in intruder.log(), what="the refusal at the intruder")
        assert not intruder.asked("routez").get("routes")
    finally:
        intruder.kill()


def test_a_node_removes_no_other_nodes_rows_by_a_header(fleet: FleetCluster) -> None:
    """Where a stream allows rollups, one message of any node removes those of all. The status' has to."""

    async def attempted() -> bytes:
        async with login(fleet, NAS) as nas, login(fleet, OTHER) as other, login(fleet, "operator") as operator:
            await other.request(f"$KV.interfaces.{OTHER}.position", b"its own", 10)
            for reach in ("all", "sub"):
                own = f"$KV.interfaces.{NAS}.position"
                answer = await nas.request(own, b"1", 10, headers={"Nats-Rollup": reach})
                assert b"rollup not permitted" in answer.data
            return await newest(operator, f"{OTHER}.position")

    assert run(attempted()) == b"its own"
