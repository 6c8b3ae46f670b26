"""The window of messages in flight: it bounds them, and shows when the broker has acknowledged all.

paho scans its own window at every acknowledgement (133 µs each with 1,000 messages). So paho's is unlimited and this
one counts: 17-20 thousand messages a second instead of 11-14 with paho's default (docs/mqtt.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .errors import BrokerError

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

    from ..messages import MqttMessage

WINDOW = 200
_FAILURE = 0x80


class Refusal(NamedTuple):
    """A message that the broker acknowledged with a failure (MQTT 5, 3.4.2.1)."""

    topic: str
    tag: int | None
    code: int
    reason: str

    @property
    def text(self) -> str:
        """The refusal as a line for people."""
        return f"the broker refuses {self.topic}: {self.reason}"


class InFlight:
    """Counts what is sent (one thread) against what is acknowledged (paho's thread).

    `send` hands a message to paho and returns its packet identifier. Nothing is locked: each counter has one writer.
    """

    def __init__(self, send: Callable[[MqttMessage], int], window: int, patience: float) -> None:
        self._send = send
        self._window = max(1, min(window, WINDOW))
        self._patience = patience
        self._sent = 0
        self._acknowledged = 0
        self._target = 0
        self._reached = threading.Event()
        self._broken: BrokerError | None = None
        self._sent_as: dict[int, tuple[str, int | None]] = {}
        self._refused: list[tuple[int, int, str]] = []
        self.last_refusal: Refusal | None = None

    def limit(self, window: int) -> None:
        """Narrows the window to the broker's receive maximum (MQTT 5); called before the first message."""
        self._window = max(1, min(window, self._window))

    def put(self, message: MqttMessage, tag: int | None = None) -> None:
        """Waits for room in the window, then sends; raises BrokerError when the connection is lost."""
        if self._sent - self._acknowledged >= self._window:
            # For half of it, so that the two threads do not alternate at every message.
            self._wait_for(self._sent - self._window // 2)
        if self._broken is not None:
            raise self._broken
        self._sent += 1
        self._sent_as[self._send(message)] = message.topic, tag

    def flush(self) -> list[Refusal]:
        """Waits until the broker has acknowledged everything; returns the refused messages. Raises BrokerError."""
        self._wait_for(self._sent)
        return self.take_refusals()

    def take_refusals(self) -> list[Refusal]:
        """Returns the messages that were refused since the last call; also after the connection was lost."""
        refused, self._refused = self._refused, []
        sent_as, self._sent_as = self._sent_as, {}
        refusals = [Refusal(*sent_as[mid], code, reason) for mid, code, reason in refused if mid in sent_as]
        if refusals:
            self.last_refusal = refusals[-1]
        return refusals

    def acknowledged(self, _client: object, _userdata: object, mid: int, code: ReasonCode, _properties: object) -> None:
        """Counts a PUBACK: paho's `on_publish`, on its thread."""
        if code.value >= _FAILURE:
            self._refused.append((mid, code.value, code.getName()))
        self._acknowledged += 1
        if self._acknowledged >= self._target:
            self._reached.set()

    def broke(self, error: BrokerError) -> None:
        """Ends every wait: the connection is lost. On paho's thread."""
        self._broken = error
        self._reached.set()

    def _wait_for(self, count: int) -> None:
        """Waits for so many acknowledgements; raises BrokerError when not one comes for `patience` seconds."""
        while self._acknowledged < count:
            before = self._acknowledged
            # In this order: an acknowledgement after the first line sees the target, one before is seen below.
            self._target = count
            self._reached.clear()
            if self._acknowledged >= count:
                return
            if self._broken is not None:
                raise self._broken
            if not self._reached.wait(self._patience) and self._acknowledged == before:
                raise BrokerError(f"the broker acknowledged nothing for {self._patience:g} s")
