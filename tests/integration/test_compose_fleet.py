"""compose/fleet: its servers with TLS and accounts, run as they are, and what each user may do there."""

from __future__ import annotations

import asyncio
import json
import re
import runpy
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from publisher import Cursor, Event, Retry
from publisher.testing import FakeSinkContext, make_event, make_row, make_snapshot
from publisher_nats.names import token_of
from publisher_nats.options import NatsOptions
from publisher_nats.sink import NatsSink
from publisher_nats.stream import bucket_config, status_config
from tests.fixtures import small_yaml
from tests.fixtures.fleet_servers import FLEET, FleetCluster, FleetFolder, FleetServer
from tests.fixtures.nats import NatsServer
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.requirements import need

NAS, OTHER = "nas", "db=2Eexample=2Enet"
NODES = {NAS: "nas", OTHER: "db.example.net", "web1": "web1", "web2=2Elan": "web2.lan"}
PUBLISHING = ("web1", "web2=2Elan")
SITE = ("--site", "berlin:nas2,printer")
DOCUMENT = FLEET.parents[1] / "docs/fleet.md"
ROW = "0006008000000000.inet"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetCluster]:
    folder = FleetFolder(tmp_path_factory.mktemp("fleet"), *NODES.values(), *SITE)
    with FleetCluster(folder) as started:
        folder.make_buckets(started.urls)
        yield started


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def trusting(ca_file: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca_file))


@asynccontextmanager
async def login(fleet: FleetCluster, token: str, **options: Any) -> AsyncIterator[Client]:
    """Connects as this user; options replace those of a correct login."""
    given: dict[str, Any] = {
        "servers": fleet.urls,
        "user": NODES.get(token, token),
        "password": fleet.folder.password(token),
        "tls": trusting(fleet.folder.ca_file),
        "allow_reconnect": False,
        "error_cb": unheard,
    }
    client = Client()
    try:
        await client.connect(**given | options)
        yield client
    finally:
        await client.close()


async def unheard(_error: Exception) -> None:
    """Takes an error that the call raises as well."""


async def newest(operator: Client, key: str, bucket: str = "interfaces") -> bytes:
    """Returns the newest value of a key."""
    return (await operator.request(f"$JS.API.DIRECT.GET.KV_{bucket}.$KV.{bucket}.{key}", b"", 10)).data


async def answered(client: Client, subject: str, payload: bytes = b"") -> bool:
    """Returns True if the request reaches anybody at all."""
    try:
        await client.request(subject, payload, 10)
    except NoRespondersError:
        return False
    return True


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


def test_a_node_that_is_added_logs_in_after_a_reload_and_one_that_is_removed_does_not(fleet: FleetCluster) -> None:
    folder = fleet.folder
    before = folder.password(NAS)

    async def rename(*nodes: str) -> None:
        folder.make_accounts(*nodes)
        # nats-server 2.15.1 connects the imports of a new account only at the second reload.
        for server in [*fleet.members, *fleet.members]:
            server.reload()

    async def changed() -> None:
        async with login(fleet, NAS) as staying:
            await rename("nas", "new")
            for server in fleet.servers:
                async with login(fleet, "new", servers=[server.url]) as added:
                    assert await answered(added, "$KV.interfaces.new.position", b"1")
            assert await answered(staying, f"$KV.interfaces.{NAS}.position", b"2")
            assert staying.stats["reconnects"] == 0
        with pytest.raises(Exception, match="Authorization Violation"):
            async with login(fleet, OTHER):
                pass

    try:
        run(changed())
        assert folder.password(NAS) == before
    finally:
        run(rename(*NODES.values(), *SITE))


@pytest.mark.parametrize("name", ["operator", "viewer", "system", "nas", ""])
def test_no_node_has_the_name_of_another_user(tmp_path: Path, name: str) -> None:
    folder = FleetFolder(tmp_path)
    accounts = (folder.secrets / "accounts.conf").read_text()
    with pytest.raises(subprocess.CalledProcessError):
        folder.make_accounts("nas", name)
    assert (folder.secrets / "accounts.conf").read_text() == accounts


def test_nobody_else_reads_the_secrets(tmp_path: Path) -> None:
    folder = FleetFolder(tmp_path, "nas")
    assert folder.secrets.stat().st_mode & 0o777 == 0o700
    assert (folder.secrets / "ca.key").stat().st_mode & 0o777 == 0o600


def test_docker_compose_accepts_the_file_of_the_fleet(tmp_path: Path) -> None:
    need("docker-compose", package="docker-compose")
    text = (FLEET / "compose.yaml").read_text()
    # 1.29 accepts everything in it but the project's name.
    (tmp_path / "compose.yaml").write_text(text.replace("name: interface-publisher-fleet\n", "", 1))
    command = ["docker-compose", "-f", "compose.yaml", "config"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_containers_of_the_fleet_have_what_the_configuration_names_and_no_rights(fleet: FleetCluster) -> None:
    services = small_yaml.load((FLEET / "compose.yaml").read_text())["services"]
    configuration = (FLEET / "nats.conf").read_text()
    assert set(services) == {"nats-1", "nats-2", "nats-3"}
    for number, (name, service) in enumerate(services.items()):
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["environment"] == {"SERVER_NAME": name}
        assert service["ports"] == [f"${{NATS_ADDRESS:-127.0.0.1}}:{4222 + number}:4222"]
        mounted = dict(volume.split(":")[:2] for volume in service["volumes"])
        assert mounted.pop(name) == "/data"
        for ours, there in mounted.items():
            assert (fleet.folder.directory / ours).is_file()
            assert f'"{there}"' in configuration or there in (
                "/etc/nats/nats.conf",
                "/etc/nats/secrets/accounts.conf",
            )
        assert service["command"] == ["--config", "/etc/nats/nats.conf"]


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


def sink(fleet: FleetCluster, token: str, **options: Any) -> NatsSink:
    """Returns the sink of a node, as in docs/fleet.md; options are added."""
    folder = fleet.folder
    node = NODES.get(token, token)
    login: dict[str, Any] = {"username": node, "password_file": folder.password_file(token)}
    given = {"servers": fleet.urls, "ca_file": folder.ca_file, "timeout": 2, **login}
    return NatsSink(NatsOptions(**given | options), FakeSinkContext(node=node))


def delivered(sink: NatsSink, events: Sequence[Event]) -> None:
    """Publishes as a worker does: after a failure what the bucket does not have, as its cursor says."""

    def sent() -> bool:
        try:
            cursor = sink.cursor()
            sink.publish([event for event in events if cursor is None or event.seq > cursor.seq])
        except Retry:
            return False
        return True

    wait_for(sent, what="the events")


def test_the_bucket_is_as_the_sink_would_make_it_but_for_rollups(fleet: FleetCluster) -> None:
    options = NatsOptions(servers=tuple(fleet.urls))
    for bucket, made in (("interfaces", bucket_config), ("interfaces_status", status_config)):
        config = run_script("buckets").config(bucket)
        assert config == {key: value for key, value in made(options, 3).items() if key != "allow_rollup_hdrs"}


def test_a_nodes_token_is_that_of_the_sink() -> None:
    for node in ("nas", "db.example.net", "Büro 1", "a=b"):
        assert run_script("accounts").token_of(node) == token_of(node)


def run_script(name: str) -> Any:
    return SimpleNamespace(**runpy.run_path(str(FLEET / f"{name}.py")))


def test_two_nodes_publish_and_a_killed_server_changes_nothing(fleet: FleetCluster) -> None:
    with ExitStack() as stack:
        sinks = [stack.enter_context(closing(sink(fleet, token))) for token in PUBLISHING]
        for one in sinks:
            node = one.context.node
            one.open()
            assert one.cursor() is None
            one.publish([*make_snapshot([make_row("eth0")], node=node), make_event(1, node=node)])
        leader = fleet.leader("KV_interfaces")
        leader.kill()
        for one in sinks:
            delivered(one, [make_event(seq, node=one.context.node) for seq in range(2, 300)])
        fleet.start()
        for one in sinks:
            delivered(one, [make_event(300, node=one.context.node)])
            assert isinstance(one.context, FakeSinkContext)
            warnings = [record.getMessage() for record in one.context.logged if record.levelname != "INFO"]
            assert warnings == []

    async def stored() -> dict[str, list[int]]:
        """Returns the seq of each event that is kept, which are 64 of a row."""
        async with login(fleet, "viewer") as viewer:
            config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
            pulled = await viewer.jetstream().pull_subscribe("$KV.interfaces.>", stream="KV_interfaces", config=config)
            found: dict[str, list[int]] = {}
            while True:
                for message in await pulled.fetch(500, timeout=10):
                    _, _, token, *row = message.subject.split(".")
                    if token in PUBLISHING and row != ["position"]:
                        found.setdefault(token, []).append(json.loads(message.data)["seq"])
                if message.metadata.num_pending == 0:
                    return found

    assert run(stored()) == {token: [*range(237, 301)] for token in PUBLISHING}


class Site(NatsServer):
    """The leaf node of docs/fleet.md; `more` is added to its configuration."""

    def __init__(self, directory: Path, fleet: FleetCluster, more: str = "") -> None:
        super().__init__(directory, name="berlin")
        self._more = more
        self._fleet = fleet

    def configuration(self) -> str:
        text = re.findall(r"^```\n(server_name: berlin\n.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)[0]
        replaced = {
            "192.0.2.7:4222": f"127.0.0.1:{self.port}",
            "PASSWORD": self._fleet.folder.password("berlin"),
            "/etc/nats/ca.pem": str(self._fleet.folder.ca_file),
            **{f"{server.name}:7422": f"127.0.0.1:{server.leaf_port}" for server in self._fleet.members},
        }
        for ours, here in replaced.items():
            assert ours in text, ours
            text = text.replace(ours, here)
        return f'{text}\nhttp: "127.0.0.1:{self._monitor}"\n{self._more}'

    def is_connected(self) -> bool:
        return bool(self.asked("leafz").get("leafs"))


@pytest.mark.parametrize("own_jetstream", [False, True])
def test_a_site_publishes_over_its_leaf_node(fleet: FleetCluster, tmp_path: Path, *, own_jetstream: bool) -> None:
    """The publisher's journal keeps what comes while the link is away; a JetStream of the site's own is another one."""
    more = f'jetstream {{ store_dir: "{tmp_path}/store", domain: berlin }}' if own_jetstream else ""
    site = Site(tmp_path, fleet, more)
    site.launch()
    try:
        wait_for(site.is_connected, what="the link")
        login = {"username": "nas2", "password": "another password", "ca_file": None, "password_file": None}
        with closing(sink(fleet, "nas2", servers=[site.url], domain="hub", **login)) as nas2:
            nas2.open()
            start = (nas2.cursor() or Cursor("", 0)).seq
            if start == 0:
                nas2.publish(make_snapshot([make_row("eth0")], node="nas2", seq=0))
            nas2.publish([make_event(start + 1, node="nas2")])
            for server in fleet.servers:
                server.pause()
            with pytest.raises(Retry):
                nas2.publish([make_event(start + 2, node="nas2")])
            for server in fleet.servers:
                server.resume()
            delivered(nas2, [make_event(seq, node="nas2") for seq in range(start + 2, start + 50)])
            assert nas2.cursor() == Cursor(nas2.context.epoch, start + 49)
    finally:
        site.kill()
        for server in fleet.servers:
            server.resume()
