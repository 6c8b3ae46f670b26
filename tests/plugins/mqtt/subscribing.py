"""Subscribers for tests, made with paho alone, so that they share no code with the sink."""

from __future__ import annotations

import json
import secrets
import threading
from typing import Any, NamedTuple

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.brokers import Broker
from tests.waiting import wait_for


class Heard(NamedTuple):
    """A message as a subscriber got it."""

    topic: str
    payload: bytes
    retain: bool
    properties: Any

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


class Subscriber:
    """Hears everything that matches its filters, in order."""

    def __init__(self, broker: Broker, *filters: str, qos: int = 1, protocol: str | None = None) -> None:
        mqtt5 = (protocol or broker.protocols[0]) == "5"
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"test-{secrets.token_hex(4)}",
            clean_session=None if mqtt5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if mqtt5 else MQTTProtocolVersion.MQTTv311,
        )
        self.mqtt5 = mqtt5
        self.messages: list[Heard] = []
        self._granted = threading.Event()
        self._filters = filters
        self._qos = qos
        self.client.on_message = self._hear
        self.client.on_connect = self._subscribe
        self.client.on_subscribe = lambda *_: self._granted.set()
        self.client.connect("127.0.0.1", broker.port, 60)
        self.client.loop_start()
        assert self._granted.wait(20), "no subscription"

    def _subscribe(self, client: Client, *_: Any) -> None:
        client.subscribe([(one, self._qos) for one in self._filters])

    def _hear(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self.messages.append(Heard(message.topic, bytes(message.payload), message.retain, message.properties))

    def publish(self, topic: str, payload: bytes | str, *, retain: bool = False, **properties: Any) -> None:
        made = None
        if properties:
            made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
            for name, value in properties.items():
                setattr(made, name, value)
        self.client.publish(topic, payload, qos=1, retain=retain, properties=made).wait_for_publish(20)

    def of(self, end: str) -> list[Heard]:
        """The messages whose topic ends like this."""
        return [message for message in list(self.messages) if message.topic.endswith(end)]

    def wait_for(self, end: str, count: int = 1, timeout: float = 20.0) -> list[Heard]:
        wait_for(lambda: len(self.of(end)) >= count, timeout=timeout, what=f"{count} x {end}: {len(self.of(end))}")
        return self.of(end)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def retained(broker: Broker, *filters: str, protocol: str | None = None) -> dict[str, bytes]:
    """What the broker retains under these filters, once everything of it came (a fence comes back last)."""
    fence = f"test-fence/{secrets.token_hex(4)}"
    with Subscriber(broker, *filters, qos=0, protocol=protocol) as subscriber:
        subscriber.client.subscribe(fence)
        subscriber.publish(fence, b"x")
        subscriber.wait_for(fence)
        return {heard.topic: heard.payload for heard in subscriber.messages if heard.retain and heard.topic != fence}


def states(broker: Broker, root: str = "interfaces/testnode") -> dict[str, Any]:
    """The retained states by `<luid>/<family>`."""
    found = retained(broker, f"{root}/+/+/state")
    return {topic.removeprefix(f"{root}/").removesuffix("/state"): json.loads(text) for topic, text in found.items()}
