"""compose/fleet with real sinks: a killed server, a site, added nodes, the archive, the removal of old keys."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from publisher import Cursor, Event, PublisherError, Retry
from publisher.testing import FakeSinkContext, make_event, make_row, make_snapshot
from publisher_nats.options import NatsOptions
from publisher_nats.sink import NatsSink
from tests.fixtures.fleet_login import (
    DOCUMENT,
    NAS,
    NODES,
    OTHER,
    PUBLISHING,
    ROW,
    SITE,
    answered,
    login,
    newest,
    run,
)
from tests.fixtures.fleet_servers import FLEET, FleetCluster
from tests.fixtures.nats import NatsServer
from tests.fixtures.poll import wait_for


def sink(fleet: FleetCluster, token: str, **options: Any) -> NatsSink:
    """Returns the sink of a node, as in docs/fleet.md; options are added."""
    folder = fleet.folder
    node = NODES.get(token, token)
    login: dict[str, Any] = {"username": node, "password_file": folder.password_file(token)}
    given = {"servers": fleet.urls, "ca_file": folder.ca_file, "connect_timeout": 20, "timeout": 20, **login}
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


def test_two_nodes_publish_and_a_killed_server_changes_nothing(fleet: FleetCluster) -> None:
    for token in PUBLISHING:
        with closing(sink(fleet, token)) as first:
            node = first.context.node
            first.open()
            assert first.cursor() is None
            first.publish([*make_snapshot([make_row("eth0")], node=node), make_event(1, node=node)])
            assert isinstance(first.context, FakeSinkContext)
            assert [record.getMessage() for record in first.context.logged if record.levelname != "INFO"] == []
    with ExitStack() as stack:
        sinks = [stack.enter_context(closing(sink(fleet, token, timeout=2))) for token in PUBLISHING]
        for one in sinks:
            one.open()
            delivered(one, [make_event(2, node=one.context.node)])
        leader = fleet.leader("KV_interfaces")
        leader.kill()
        for one in sinks:
            delivered(one, [make_event(seq, node=one.context.node) for seq in range(3, 300)])
        fleet.start()
        for one in sinks:
            delivered(one, [make_event(300, node=one.context.node)])

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

    # The copy that is read may have the last one a moment later.
    expected = {token: [*range(237, 301)] for token in PUBLISHING}
    wait_for(lambda: run(stored()) == expected, what="the newest events of both")


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
        there: dict[str, Any] = {"servers": [site.url], "domain": "hub", **login}
        with closing(sink(fleet, "nas2", **there)) as nas2:
            nas2.open()
            start = (nas2.cursor() or Cursor("", 0)).seq
            if start == 0:
                nas2.publish(make_snapshot([make_row("eth0")], node="nas2", seq=0))
            nas2.publish([make_event(start + 1, node="nas2")])
        with closing(sink(fleet, "nas2", timeout=2, **there)) as nas2:
            nas2.open()
            delivered(nas2, [make_event(start + 2, node="nas2")])
            for server in fleet.servers:
                server.pause()
            with pytest.raises(Retry):
                nas2.publish([make_event(start + 3, node="nas2")])
            for server in fleet.servers:
                server.resume()
            delivered(nas2, [make_event(seq, node="nas2") for seq in range(start + 3, start + 50)])
        with closing(sink(fleet, "nas2", **there)) as nas2:
            nas2.open()
            assert nas2.cursor() == Cursor(nas2.context.epoch, start + 49)
    finally:
        site.kill()
        for server in fleet.servers:
            server.resume()


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


def test_the_archive_of_the_document_takes_what_the_bucket_gets(fleet: FleetCluster) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    program = program.replace("tls://127.0.0.1:4222", fleet.servers[0].url)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=fleet.folder.directory, capture_output=True, text=True, check=True
    )
    assert done.stdout == "made\n"

    async def copied() -> bool:
        async with login(fleet, "operator") as operator, login(fleet, NAS) as nas:
            await nas.request(f"$KV.interfaces.{NAS}.{ROW}", b"archived", 10)
            answer = await operator.request(f"$JS.API.DIRECT.GET.ARCHIVE.$KV.interfaces.{NAS}.{ROW}", b"", 10)
            return bool(answer.data == b"archived")

    wait_for(lambda: run(copied()), what="the message in the archive")


def test_the_operator_removes_keys_that_were_deleted_long_ago(fleet: FleetCluster) -> None:
    """The day is none here; a key that has been written again stays, and so does another one."""

    async def kept() -> set[str]:
        async with login(fleet, "operator") as operator, login(fleet, NAS) as nas:
            for key, operation in (("gone", "DEL"), ("back", "DEL"), ("back", ""), ("there", "")):
                headers = {"KV-Operation": operation} if operation else None
                for _ in range(2):
                    await nas.request(f"$KV.interfaces.{NAS}.{key}", b"1", 10, headers=headers)
            script = runpy.run_path(str(FLEET / "buckets.py"))
            assert await script["sweep"](operator, "interfaces") == 0
            script["sweep"].__globals__["KEPT"] = timedelta(seconds=-10)
            assert await script["sweep"](operator, "interfaces") == 1
            question = json.dumps({"subjects_filter": f"$KV.interfaces.{NAS}.*"}).encode()
            answer = await operator.request("$JS.API.STREAM.INFO.KV_interfaces", question, 10)
            return {subject.rpartition(".")[2] for subject in json.loads(answer.data)["state"]["subjects"]}

    assert {"gone", "back", "there"} & run(kept()) == {"back", "there"}


@pytest.mark.parametrize("user", ["web1", "operator"])
def test_a_node_is_forgotten_in_a_bucket_without_rollups(fleet: FleetCluster, user: str) -> None:
    """By itself, as a sink that the configuration no longer has; and by the operator, as `publisher forget` does."""
    login_of = {"username": user, "password_file": fleet.folder.password_file(user)}
    with closing(sink(fleet, "web1")) as web1:
        web1.open()
        web1.cursor()
        web1.publish(make_snapshot([make_row("eth0")], node="web1"))
    with closing(sink(fleet, "web1", **login_of)) as forgetting:
        forgetting.forget(forgetting.retains())
        forgetting.forget(forgetting.retains())

    async def left() -> list[bytes]:
        async with login(fleet, "operator") as operator:
            return [await newest(operator, f"web1.{key}") for key in (f"{make_row('eth0').luid}.inet", "position")]

    assert run(left()) == [b"", b""]
    with closing(sink(fleet, "web1")) as again:
        again.open()
        assert again.cursor() is None


def test_a_check_with_the_login_of_another_node_says_whose_it_has_to_be(fleet: FleetCluster) -> None:
    wrong = sink(fleet, NAS)
    wrong.context = FakeSinkContext(node="web1")
    with closing(wrong), pytest.raises(PublisherError) as error:
        wrong.check()
    said = "this login may not write the keys of the node 'web1'; each node has one of its own"
    assert str(error.value).count(said) == 1
