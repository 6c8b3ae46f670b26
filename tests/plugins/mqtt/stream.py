"""A subscriber that wants every event once and in order, as a good one does it: it drops repeats by `seq`, and asks
`replay/get` for what it missed."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.brokers import Broker


class Follower:
    """QoS 1 and a persistent session; `seqs` are the events as they were taken, `ids` theirs."""

    def __init__(self, broker: Broker, root: str = "interfaces/testnode") -> None:
        self.seqs: list[int] = []
        self.ids: list[str] = []
        self.healed = 0
        self.went_back: list[str] = []
        self._states: dict[str, int] = {}
        self._root = root
        self._answers = f"follower/{secrets.token_hex(4)}"
        self._waiting: dict[int, str] = {}
        self._asked_at = 0.0
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"follower-{secrets.token_hex(4)}",
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        self.client.on_connect = self._subscribe
        self.client.on_message = self._take
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
        properties.SessionExpiryInterval = 3600
        self.client.connect("127.0.0.1", broker.port, 60, clean_start=False, properties=properties)
        self._watcher = Client(CallbackAPIVersion.VERSION2)
        self._watcher.on_connect, self._watcher.on_message = self._watch, self._check_state
        self._watcher.connect("127.0.0.1", broker.port, 60)
        for client in (self.client, self._watcher):
            # A test restarts the broker more often than once a second, which is the least that paho's type allows.
            client.reconnect_delay_set(0.1, 0.1)  # type: ignore[arg-type]  # it takes parts of a second too
            client.loop_start()

    @property
    def last(self) -> int:
        return self.seqs[-1] if self.seqs else 0

    def ask(self) -> None:
        """Ask for what came after the last event that was taken."""
        self._asked_at = time.monotonic()
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
        properties.ResponseTopic = self._answers
        since = {"epoch": self.ids[-1].partition("-")[0], "seq": self.last} if self.ids else None
        request = {"since": since} if since else {}
        self.client.publish(f"{self._root}/replay/get", json.dumps(request), qos=1, properties=properties)

    def close(self) -> None:
        for client in (self.client, self._watcher):
            client.disconnect()
            client.loop_stop()

    def _subscribe(self, client: Client, *_: Any) -> None:
        client.subscribe([(f"{self._root}/+/+/event", 1), (self._answers, 1)])

    def _watch(self, client: Client, *_: Any) -> None:
        # Each connection begins anew: after a restart the broker has what it has.
        self._states.clear()
        client.subscribe(f"{self._root}/+/+/state", 1)

    def _take(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        told = json.loads(message.payload)
        if message.topic == self._answers:
            told = told.get("event")
            if told is None or told["notification_type"] == "initial_notification":
                return
            self.healed += 1
        self._waiting[told["seq"]] = told["id"]
        self._go_on()
        if self._waiting and time.monotonic() - self._asked_at > 0.5:
            self.ask()

    def _go_on(self) -> None:
        for seq in [seq for seq in self._waiting if seq <= self.last]:
            del self._waiting[seq]
        while (seq := self.last + 1) in self._waiting:
            self.ids.append(self._waiting.pop(seq))
            self.seqs.append(seq)

    def _check_state(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        seq = json.loads(message.payload)["seq"] if message.payload else None
        if seq is not None:
            if seq < self._states.get(message.topic, 0):
                self.went_back.append(message.topic)
            self._states[message.topic] = seq
