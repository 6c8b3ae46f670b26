"""Hostile clients of a broker, each a process of its own: `python -m tests.hostile.clients reader|publisher PORT`."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

ROOT = "interfaces/nas"
DEEP = b"[" * 50_000
SURROGATE = b'{"components":{"\\ud800":{"platform":"sensor"}}}'
LUID = "0006008001000000"


class Message(NamedTuple):
    """A message to publish; `response` and `correlation` are properties of MQTT 5."""

    topic: str
    payload: bytes
    retain: bool = False
    response: str | None = None
    correlation: bytes | None = None


def requests() -> Iterator[Message]:
    """Yields requests for a replay, of every kind."""
    topic = f"{ROOT}/replay/get"
    answers = f"{ROOT}/replay/x"
    for payload in (
        b"{}",
        b'{"last":1000000000}',
        b'{"since":{"epoch":"%s","seq":0}}' % (b"f" * 16),
        b'{"since":{"epoch":"%s","seq":18446744073709551616}}' % (b"0" * 16),
        b'{"since":{"epoch":"%s","seq":-1}}' % (b"0" * 16),
        b'{"since":1e999}',
        b'{"unknown":1}',
        b'{"client":"a/b"}',
        b'{"client":"+"}',
        DEEP,
        SURROGATE,
        b"\xff\xfe",
        b"",
        b" " * 60_000,
        b'{"luid":"' + b"x" * 60_000 + b'"}',
    ):
        yield Message(topic, payload, response=answers)
        yield Message(topic, payload, response=answers, correlation=b"c" * 60_000)
    # Topics that the publisher's account may not write, or should not.
    for response in (
        "evil/x",
        "zigbee2mqtt/bridge/request/restart",
        f"{ROOT}/{LUID}/inet/state",
        f"{ROOT}/status",
        f"{ROOT}/replay/get",
        "interfaces/other/status",
        "homeassistant/device/nas/x/config",
        "$SYS/x",
        "r" * 60_000,
    ):
        yield Message(topic, b"{}", response=response)
        yield Message(topic, b"{}", response=response, correlation=b"c" * 60_000)


def plants() -> Iterator[Message]:
    """Yields what anybody may publish where no access control forbids it: retained, forged, large."""
    device = f"homeassistant/device/nas/{LUID}/config"
    for payload in (DEEP, SURROGATE, b"\xff", b'{"components":1}', b'{"device":' * 5_000, b" " * 200_000, b""):
        for topic in (device, f"{ROOT}/{LUID}/inet/state", f"{ROOT}/info"):
            yield Message(topic, payload, retain=True)
    for number in range(20):
        yield Message(f"homeassistant/device/nas/{number:016x}/config", SURROGATE + b" " * 50_000, retain=True)
        yield Message(f"{ROOT}/{number:016x}/inet/state", b'{"seq":1e999}', retain=True)
        yield Message("homeassistant/status", b"online")
    for payload in (b"offline", b"", b"\xff" * 100_000):
        yield Message(f"{ROOT}/status", payload, retain=True)
    for epoch in ("f" * 16, "0" * 16, "x"):
        forged = {"epoch": epoch, "seq": 1 << 62, "instance": "other", "node": "nas", "version": "9" * 1000}
        yield Message(f"{ROOT}/info", json.dumps(forged).encode(), retain=True)
        yield Message(f"{ROOT}/{LUID}/inet/event", json.dumps(forged).encode())
    yield Message(f"{ROOT}/replay/get", b"{" * 250_000)


KINDS = {"reader": (requests, 50.0), "publisher": (plants, 100.0)}


def main(kind: str, port: int) -> None:
    """Prints a line when it is connected, and publishes until it is killed."""
    messages, rate = KINDS[kind]
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    sys.stdout.write("connected\n")
    sys.stdout.flush()
    for message in itertools.chain.from_iterable(messages() for _ in itertools.count()):
        client.publish(message.topic, message.payload, qos=1, retain=message.retain, properties=_properties(message))
        time.sleep(1 / rate)


def _properties(message: Message) -> Any:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
    if message.response is not None:
        properties.ResponseTopic = message.response
    if message.correlation is not None:
        properties.CorrelationData = message.correlation
    return properties


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
