"""From the kernel to the broker: `publisher run` and mosquitto in a network namespace of the test's own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from publisher_mqtt.embedded.broker import ask
from tests.fixtures.brokers import Broker, Mosquitto
from tests.fixtures.command_server import start_command
from tests.fixtures.discovery import read_config
from tests.fixtures.mqtt_asyncapi import Action, AsyncApi
from tests.fixtures.mqtt_subscriber import Heard, Subscriber
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.requirements import unable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="network namespaces are Linux's")


class InsideMosquitto(Mosquitto):
    """Mosquitto inside the namespace."""

    def __init__(self, directory: Path, netns: NetNs) -> None:
        super().__init__(directory)
        self._netns = netns

    def start(self) -> None:
        self._netns.call(super().start)


class PublisherAndBroker:
    """A publisher and its broker, in a network namespace."""

    def __init__(self, netns: NetNs, broker: Broker, folder: Path) -> None:
        self.netns = netns
        self.broker = broker
        self.folder = folder

    @contextmanager
    def publishing(self, *lines: str) -> Iterator[None]:
        config = self.folder / "publisher.toml"
        config.write_text(
            "\n".join(
                [
                    'node = "nas"',
                    f'journal.path = "{self.folder}/journal.sqlite3"',
                    "[sinks.home]",
                    'type = "mqtt"',
                    f'url = "{self.broker.url}"',
                    *lines,
                ]
            )
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PUBLISHER_")}
        with (self.folder / "publisher.log").open("ab") as log:
            process = start_command(self.netns, ["run", "--config", str(config)], self.folder, environment, log)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, (self.folder / "publisher.log").read_text()[-3000:]

    def check(self) -> int:
        """Runs `publisher check` with the configuration of the running publisher."""
        command = [sys.executable, "-m", "publisher", "check", "--config", str(self.folder / "publisher.toml")]
        return self.netns.popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).wait(30)

    @contextmanager
    def subscribed(self, *filters: str) -> Iterator[Subscriber]:
        subscriber = self.netns.call(Subscriber, self.broker, *filters)
        try:
            yield subscriber
        finally:
            subscriber.close()

    def retained(self) -> list[Heard]:
        """Returns everything that is retained, as a new subscriber receives it, up to a message of our own."""
        with self.subscribed("#") as subscriber:
            subscriber.publish("test/last", b"x")
            subscriber.wait_for("test/last")
            return [heard for heard in subscriber.messages if heard.retain]


@pytest.fixture
def house(netns: NetNs, tmp_path: Path) -> Iterator[PublisherAndBroker]:
    netns.ip("link set lo up")
    folder = tmp_path / "broker"
    folder.mkdir()
    with InsideMosquitto(folder, netns) as broker:
        yield PublisherAndBroker(netns, broker, tmp_path)


def kernel_rows(netns: NetNs) -> set[tuple[int, str]]:
    """Returns index and family of every IP interface, from /proc, not netlink; dev_snmp6 has those with IPv6."""
    index_of = {name: index for index, name in netns.call(socket.if_nameindex)}
    speak_six = set(netns.call(os.listdir, "/proc/thread-self/net/dev_snmp6"))
    return {(index, "inet") for index in index_of.values()} | {(index_of[name], "inet6") for name in speak_six}


class Kept:
    """The newest payloads by topic, without those that were emptied. Each message is read once."""

    def __init__(self, messages: Sequence[Heard]) -> None:
        self._messages = messages
        self._taken = 0
        self._by_end: dict[str, dict[str, bytes]] = defaultdict(dict)

    def of(self, end: str) -> dict[str, bytes]:
        """Returns the payloads of topics that end with this level."""
        for heard in self._messages[self._taken :]:
            self._taken += 1
            payloads = self._by_end[heard.topic.rpartition("/")[2]]
            payloads[heard.topic] = heard.payload
            if not heard.payload:
                del payloads[heard.topic]
        return self._by_end[end]

    def wait_for(self, end: str, count: int) -> None:
        wait_for(lambda: len(self.of(end)) == count, timeout=120, what=f"{count} topics .../{end}")

    @property
    def states(self) -> list[Any]:
        return [json.loads(payload) for payload in self.of("state").values()]

    @property
    def rows(self) -> set[tuple[int, str]]:
        return {(state["row"]["interface_index"], state["row"]["family"]) for state in self.states}

    @property
    def configs(self) -> list[Any]:
        return [read_config(payload) for payload in self.of("config").values()]

    @property
    def devices(self) -> set[str]:
        return {config["device"]["name"] for config in self.configs}


def make_pairs(netns: NetNs, count: int) -> None:
    netns.ip(*(f"link add veth{pair}a group 7 type veth peer name veth{pair}b" for pair in range(count)))


def test_500_pairs_made_and_deleted_leave_no_topic(house: PublisherAndBroker) -> None:
    with (
        house.publishing('home_assistant = { include = ["*"] }'),
        house.subscribed("interfaces/#", "homeassistant/#") as subscriber,
    ):
        kept = Kept(subscriber.messages)
        kept.wait_for("status", 1)
        before = house.retained()
        make_pairs(house.netns, 500)
        there = kernel_rows(house.netns)
        kept.wait_for("state", len(there))
        kept.wait_for("config", 1002)
        assert kept.rows == there
        house.netns.ip("link del group 7")
        kept.wait_for("config", 2)
        kept.wait_for("state", len(kernel_rows(house.netns)))
        assert {heard.topic for heard in house.retained()} == {heard.topic for heard in before}


def test_1000_container_interfaces_are_states_and_no_entities(house: PublisherAndBroker) -> None:
    house.netns.veth("eth0", "eth1")
    make_pairs(house.netns, 500)
    with house.publishing(), house.subscribed("interfaces/#") as subscriber:
        Kept(subscriber.messages).wait_for("status", 1)
        retained = Kept(house.retained())
    assert retained.rows == kernel_rows(house.netns)
    assert len({state["interface"]["alias"] for state in retained.states}) == 1003
    assert retained.devices == {"nas", "nas eth0", "nas eth1"}


def test_the_topics_in_discovery_payloads_are_published(house: PublisherAndBroker) -> None:
    house.netns.veth("eth0", "veth0")
    house.netns.ip("addr add 192.0.2.10/24 dev eth0")
    with house.publishing(), house.subscribed("interfaces/#") as subscriber:
        Kept(subscriber.messages).wait_for("status", 1)
        retained = house.retained()
    configs = Kept(retained).configs
    parts = [part for config in configs for part in config["components"].values()]
    named = {part["state_topic"] for part in parts} | {one["topic"] for part in parts for one in part["availability"]}
    eth0 = f"interfaces/nas/{luid_of(retained, 'eth0')}"
    assert {f"{eth0}/inet/state", f"{eth0}/inet6/state", "interfaces/nas/info", "interfaces/nas/status"} <= named
    assert {topic for topic in named if topic.endswith("/event")} == {f"{eth0}/+/event"}
    named = {topic for topic in named if not topic.endswith("/event")}
    assert named <= {heard.topic for heard in retained}


# The topics of subscribers' and Home Assistant's messages; all others are the publisher's.
QUESTION = json.dumps(
    {
        "token": "0123456789abcdef",
        "is_answer": False,
        "instance": "test",
        "epoch": None,
        "host": "test",
        "version": "0",
        "home_assistant": None,
    }
)
ASKED = ("interfaces/nas/replay/get", "homeassistant/status")


@pytest.mark.parametrize("form", ["json", "cloudevents"])
def test_every_message_is_as_the_asyncapi_document_describes_it(house: PublisherAndBroker, form: str) -> None:
    command = [sys.executable, "-m", "publisher", "schema", "asyncapi"]
    described = AsyncApi(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    house.netns.veth("eth0", "eth1")
    with house.subscribed("interfaces/#", "homeassistant/#") as live:
        with house.publishing(f'format = "{form}"'):
            wait_for(lambda: len({heard.topic for heard in live.of("/config")}) == 3, what="the devices")
            house.netns.ip("addr add 192.0.2.10/24 dev eth0", "link set eth0 mtu 1400", "link del eth0")
            live.wait_for("/kept")
            retained = house.retained()
            assert house.check() == 0
            first = live.of("/event")[0].json
            first = first.get("data", first)
            since = {"epoch": first["id"].partition("-")[0], "seq": first["seq"]}
            requests: list[dict[str, Any]] = [{}, {"family": "inet"}, {"since": since}, {"luid": 5}]
            for number, request in enumerate(requests, 1):
                live.publish("interfaces/nas/replay/get", json.dumps({"client": "me", **request}))
                wait_for(partial(has_answers, live, number), what=f"answer {number}")
            live.publish("homeassistant/status", "online")
            live.publish("interfaces/nas/owner", QUESTION)
            live.wait_for("/owner", 2)
        live.wait_for_last("/status", b"offline")
    for heard in [*live.messages, *retained]:
        if heard.topic in ASKED and b'"luid": 5' in heard.payload:
            with pytest.raises(AssertionError):
                described.check(heard.topic, heard.payload, "receive", retain=False)
        elif not heard.topic.startswith("test/"):
            described.check(heard.topic, heard.payload, action_of(heard), retain=heard.retain)
    assert described.seen == described.channels


def action_of(heard: Heard) -> Action:
    return "receive" if heard.topic in ASKED else "send"


def has_answers(subscriber: Subscriber, count: int) -> bool:
    """Returns whether so many answers are complete."""
    parts = [heard.json for heard in subscriber.of("/replay/me")]
    return len([part for part in parts if part["position"] == part["count"]]) == count


def luid_of(messages: Sequence[Heard], alias: str) -> str:
    states = Kept(messages).states
    return next(str(state["row"]["interface_luid"]) for state in states if state["interface"]["alias"] == alias)


def test_what_went_or_was_renamed_while_it_was_away_leaves_no_state_and_a_device_as_long_as_set(
    house: PublisherAndBroker,
) -> None:
    house.netns.veth("eth0", "eth1")
    house.netns.veth("eth2", "eth3")
    with house.publishing(), house.subscribed("interfaces/#") as subscriber:
        Kept(subscriber.messages).wait_for("status", 1)
        assert Kept(house.retained()).devices == {"nas", "nas eth0", "nas eth1", "nas eth2", "nas eth3"}
    house.netns.ip("link del eth0", "link set eth2 down", "link set eth2 name uplink", "link set uplink up")
    gone = {"nas eth0", "nas eth1", "nas eth2"}
    for setting, devices in (
        ("", {"nas", "nas uplink", "nas eth3"} | gone),
        ("home_assistant.exclude = ['eth1']", {"nas", "nas uplink", "nas eth3"} | gone - {"nas eth1"}),
        ("home_assistant.keep_days = 0", {"nas", "nas uplink", "nas eth3"}),
    ):
        with house.publishing(setting), house.subscribed("#") as subscriber:
            kept = Kept(subscriber.messages)
            wait_for(lambda kept=kept, devices=devices: kept.devices == devices, what="the devices")  # type: ignore[misc]  # mypy on defaults
            wait_for(lambda kept=kept: kept.rows == kernel_rows(house.netns), what="the states")  # type: ignore[misc]  # mypy on defaults
            assert Kept(house.retained()).rows == kernel_rows(house.netns)


class FirstBroker(Broker):
    """The embedded broker of a first run: started by the publisher, not by us."""

    protocols = ("3.1.1",)

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.port = 1883


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_a_first_run_publishes_to_a_broker_that_ends_with_it(netns: NetNs, tmp_path: Path, name: str) -> None:
    if find_spec("iotcore") is None:
        unable("iotcore has no wheel for this system")
    netns.ip("link set lo up")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PUBLISHER_", "XDG_"))}
    kept["HOME"] = str(tmp_path)
    command = [sys.executable, "-m", "publisher"]
    with (tmp_path / "told").open("wb") as told:
        process = netns.popen(
            [*command, "run"],
            cwd=tmp_path,
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=told,
        )
    try:
        lines = (tmp_path / "told").read_text
        wait_for(lambda: "mosquitto_sub" in lines() or "No MQTT" in lines(), what="how to subscribe, or why not")
        assert "mosquitto_sub -h 127.0.0.1 -p 1883" in lines(), lines()
        with PublisherAndBroker(netns, FirstBroker(tmp_path), tmp_path).subscribed("interfaces/#") as subscriber:
            subscriber.wait_for("/inet/state")
            process.send_signal(signal.Signals[name])
            assert process.wait(30) == (-signal.Signals[name] if name == "SIGKILL" else 0)
            if name != "SIGKILL":
                subscriber.wait_for_last("/status", b"offline")
    finally:
        process.kill()
        process.wait(30)
    wait_for(lambda: netns.call(ask, "127.0.0.1", 1883) == "nothing", what="the end of the broker")
    # The first configuration of one's own is not to begin with a broker that is gone.
    left = subprocess.run([*command, "forget"], cwd=tmp_path, env=kept, capture_output=True, text=True, check=True)
    assert left.stderr.startswith("there is nothing to empty")
