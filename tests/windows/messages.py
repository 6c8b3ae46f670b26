"""A subscriber on the host of Wine, and the host's paths as Windows Python names them."""

from __future__ import annotations

import contextlib
import json
import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.windows.wine import Wine

LONG = 60.0
Message = tuple[str, Any, bool]


class AllMessages:
    """Receives each message under `interfaces`, as topic, payload and retain flag."""

    def __init__(self, wine: Wine, port: int) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.client.on_message = self._message
        wine.netns.call(self.client.connect, "127.0.0.1", port)
        self.client.subscribe("interfaces/#", qos=1)
        wine.netns.call(self.client.loop_start)

    def _message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        payload: Any = message.payload.decode()
        with contextlib.suppress(ValueError):
            payload = json.loads(payload)
        self.messages.put((message.topic, payload, message.retain))

    def until(self, wanted: Callable[[str, Any], bool]) -> Any:
        while True:
            topic, payload, _ = self.messages.get(timeout=LONG)
            if wanted(topic, payload):
                return payload

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def windows_path(path: Path) -> str:
    """Returns the path of a file of the host."""
    return f"Z:{path}".replace("/", "\\")
