"""A subscriber that wants every event once and in order, as a good one does it: it drops repeats by `seq`, and asks
`replay/get` for what it missed."""

from __future__ import annotations

import json
import secrets
import threading
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
        self.repeats = 0
        self.healed = 0
        self.went_back: list[str] = []
        self._states: dict[str, int] = {}
        self._root = root
        self._answers = f"follower/{secrets.token_hex(4)}"
        self._waiting: dict[int, str] = {}
        self._lock = threading.Lock()
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"follower-{secrets.token_hex(4)}",
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._subscribe
        self.client.on_message = self._take
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        self.client.connect("127.0.0.1", broker.port, 60, clean_start=False, properties=properties)
        self.client.loop_start()

    @property
    def last(self) -> int:
        return self.seqs[-1] if self.seqs else 0

    def ask(self) -> None:
        """Ask for what came after the last event that was taken."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic = self._answers
        since = {"epoch": self.ids[-1].partition("-")[0], "seq": self.last} if self.ids else None
        request = {"since": since} if since else {}
        self.client.publish(f"{self._root}/replay/get", json.dumps(request), qos=1, properties=properties)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _subscribe(self, client: Client, *_: Any) -> None:
        client.subscribe([(f"{self._root}/+/+/event", 1), (f"{self._root}/+/+/state", 1), (self._answers, 1)])

    def _take(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if message.topic.endswith("/state"):
            self._check_state(message)
            return
        told = json.loads(message.payload)
        if message.topic == self._answers:
            told = told.get("event")
            if told is None or told["notification_type"] == "initial_notification":
                return
            self.healed += 1
        with self._lock:
            self._waiting[told["seq"]] = told["id"]
            if told["seq"] <= self.last:
                self.repeats += 1
            self._go_on()
            missing = bool(self._waiting) and message.topic != self._answers
        if missing:
            self.ask()

    def _go_on(self) -> None:
        for seq in [seq for seq in self._waiting if seq <= self.last]:
            del self._waiting[seq]
        while (seq := self.last + 1) in self._waiting:
            self.ids.append(self._waiting.pop(seq))
            self.seqs.append(seq)

    def _check_state(self, message: MQTTMessage) -> None:
        seq = json.loads(message.payload)["seq"] if message.payload else None
        if seq is not None:
            if seq < self._states.get(message.topic, 0) and not message.retain:
                self.went_back.append(message.topic)
            self._states[message.topic] = seq
