"""compose/examples/node-red.json in a real Node-RED, beside a real publisher and compose's own broker."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from publisher.events import Event
from publisher.text import joined
from tests.examples import flow
from tests.fixtures.compose_broker import PASSWORDS, ComposeMosquitto
from tests.fixtures.netns import NetNs
from tests.fixtures.node_red import NodeRed
from tests.fixtures.poll import wait_for
from tests.fixtures.program import Program

if sys.platform == "win32":
    pytest.skip("Windows has no network namespaces", allow_module_level=True)

Json = dict[str, Any]


class Outputs:
    """What leaves the flow's two outputs: file nodes of the test write it, a line a message."""

    def __init__(self, folder: Path) -> None:
        self._files = {name: folder / f"{name}.jsonl" for name in ("interfaces", "changes")}

    def added_to(self, nodes: list[Json]) -> list[Json]:
        """Returns the flow with a file node at each output."""
        nodes = copy.deepcopy(nodes)
        [function] = [node for node in nodes if node["type"] == "function"]
        for number, path in enumerate(self._files.values()):
            file = {"id": f"{number:016x}", "type": "file", "z": function["z"], "filename": str(path)}
            file |= {"filenameType": "str", "appendNewline": True, "overwriteFile": "false", "wires": [[]]}
            function["wires"][number].append(file["id"])
            nodes.append(file)
        return nodes

    def _read(self, name: str) -> list[Any]:
        path = self._files[name]
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        return [json.loads(line) for line in whole.splitlines()]

    @property
    def changes(self) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """The messages for changes: interface, kinds, families."""
        return [
            (change["interface"], tuple(change["kinds"]), tuple(change["families"])) for change in self._read("changes")
        ]

    def forget(self) -> None:
        """Deletes the messages so far."""
        for path in self._files.values():
            path.unlink()

    @property
    def interfaces(self) -> dict[str, Json]:
        """The interfaces in the newest message, by name."""
        told = self._read("interfaces")
        return {entry["interface"]: entry for entry in told[-1]} if told else {}


def logged_in(nodes: list[Json], port: int) -> list[Json]:
    """Returns the flow with the address and the password of the broker, as its comment asks for."""
    [broker] = [node for node in nodes if node["type"] == "mqtt-broker"]
    broker |= {"port": str(port), "credentials": {"user": "reader", "password": PASSWORDS["reader"]}}
    return nodes


def test_the_flow_has_the_rules_of_the_subscriber() -> None:
    [function] = [node for node in flow.nodes() if node["type"] == "function"]
    assert function["initialize"] == flow.with_rules(function), "run `python -m tests.examples.flow`"


def test_the_flow_says_where_the_password_belongs_and_has_none() -> None:
    nodes = flow.nodes()
    assert any(node["type"] == "comment" and "Security" in node["info"] for node in nodes)
    assert "credentials" not in json.dumps(nodes)


@pytest.mark.timeout(300)
def test_the_flow_shows_each_interface_and_each_change_once(inside_netns: NetNs, tmp_path: Path) -> None:
    netns = inside_netns
    netns.ip("link set lo up")
    netns.veth("v0", "v1", up=False)
    for name in ("v0", "v1"):
        netns.sysctl(f"net/ipv6/conf/{name}/addr_gen_mode", 1)  # no link-local address, whose detection is a change
    netns.ip("link set v0 up", "link set v1 up")
    netns.ip("link add doomed type ifb", "link add mark type ifb", "addr add 192.0.2.1/24 dev v0")
    (tmp_path / "broker").mkdir()
    broker = ComposeMosquitto(tmp_path / "broker")
    program = Program(netns, tmp_path / "publisher", *sink(broker.port))
    outputs = Outputs(tmp_path)
    node_red = NodeRed(tmp_path / "node-red")
    seen = Seen(program, outputs)
    wait_for(lambda: is_settled(netns), what="the states of v0 and v1")
    with broker, program.running():
        with node_red:
            node_red.deploy(logged_in(outputs.added_to(flow.nodes()), broker.port))
            wait_for(lambda: outputs.interfaces.keys() == {"lo", "v0", "v1", "doomed", "mark"}, what="the interfaces")
            entry = outputs.interfaces["v0"]
            assert (entry["node"], entry["status"], entry["families"]) == ("nas", "up", ["inet", "inet6"])
            assert "192.0.2.1/24" in entry["addresses"]
            with seen.each_once():
                netns.ip("link set v1 down")
            wait_for(lambda: outputs.interfaces["v0"]["status"] != "up", what="v0 as it is now")
            assert ("v0", ("link_down",), ("inet", "inet6")) in outputs.changes
            with seen.each_once():
                netns.ip("link set v1 up", "link set v1 down", "link set v1 up")
            with seen.each_once():
                netns.ip("link del doomed")
            assert ("doomed", ("removed",), ("inet", "inet6")) in outputs.changes
            wait_for(lambda: "doomed" not in outputs.interfaces, what="the interfaces without the removed one")
            with seen.each_once():
                program.end()
                netns.ip("link set v1 down")
                program.start()
            with seen.each_once():
                broker.kill()
                netns.ip("link set v1 up")
                broker.start()
        seen.forget()
        with node_red:
            wait_for(lambda: outputs.interfaces.get("v0", {}).get("status") == "up", what="the interfaces again")
            # What is there already is no change: the first one is this.
            with seen.each_once():
                netns.ip("link set v1 down")


def sink(port: int) -> list[str]:
    """Returns the lines of an MQTT sink with compose's user for this node."""
    url, password = f"mqtt://nas@127.0.0.1:{port}", PASSWORDS["nas"]
    return ["[sinks.broker]", 'type = "mqtt"', f'url = "{url}"', f'password = "{password}"']


class Seen:
    """Compares the messages for changes with the events in the publisher's file."""

    def __init__(self, program: Program, outputs: Outputs) -> None:
        self._program, self._outputs = program, outputs
        self._mtu = 1400
        self._told = 0

    def forget(self) -> None:
        """Begins anew with the messages."""
        self._outputs.forget()
        self._told = 0

    @contextmanager
    def each_once(self) -> Iterator[None]:
        """Waits after the block until the flow has told of each change since the last time, and checks that it did so
        once."""
        before = len(self._program.events)
        yield
        wait_for(lambda: is_settled(self._program.netns), what="the states of v0 and v1")
        self._mtu += 1
        news = [event for event in self._program.mark(self._mtu)[before:] if event.snapshot is None]
        expected = [told(events) for events in joined(news)]
        wait_for(lambda: len(self._outputs.changes) >= self._told + len(expected), what=f"{expected}")
        assert self._outputs.changes[self._told :] == expected
        self._told += len(expected)


def is_settled(netns: NetNs) -> bool:
    """Returns whether the kernel has told of both ends of the pair: it does so up to a second after a change."""
    links = {link["ifname"]: link for link in json.loads(netns.run("ip -j link show type veth"))}
    is_up = "UP" in links["v1"]["flags"]
    expected = {"v0": "UP", "v1": "UP"} if is_up else {"v0": "LOWERLAYERDOWN", "v1": "DOWN"}
    return {name: link["operstate"] for name, link in links.items()} == expected


def told(events: list[Event]) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    assert events[0].interface
    kinds = dict.fromkeys(kind for event in events for kind in event.kinds)
    return events[0].interface.alias, tuple(kinds), tuple(str(event.family) for event in events)
