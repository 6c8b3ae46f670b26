"""The window of messages in flight: it bounds them, and shows which of them the broker has acknowledged.

paho scans its own window at every acknowledgement (133 µs each with 1,000 messages). So paho's is unlimited and this
one counts: 17-20 thousand messages a second instead of 11-14 with paho's default (docs/mqtt.md).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import BrokerError
from .refusals import FAILURE, Meaning, reason_for

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

    from ..messages import MqttMessage

WINDOW = 200
# A link that is slower than this many bytes a second is as good as none.
_SLOWEST = 1024
# A broker that sends messages and acknowledges none: what it sends counts as a sign of life for so many times.
_MOST_SIGNS = 60


class Refusal(NamedTuple):
    """A message that the broker refuses (MQTT 5, 3.4.2.1), or that is not sent since it would."""

    message: MqttMessage
    tag: Any
    code: int
    reason: str

    @property
    def meaning(self) -> Meaning:
        """The consequence of the refusal."""
        return reason_for(self.code).meaning

    @property
    def text(self) -> str:
        """The refusal as a line for people."""
        return f"the broker refuses {self.message.topic}: {self.reason}"


class InFlight:
    """Counts what is sent (one thread) against what is acknowledged (paho's thread).

    `send` hands a message to paho and returns its packet identifier. Nothing is locked: each counter and each end of
    `_answers` has one thread.
    """

    def __init__(self, send: Callable[[MqttMessage], int], window: int, patience: float) -> None:
        self._send = send
        self._window = max(1, min(window, WINDOW))
        self._patience = patience
        self._sent = 0
        self._acknowledged = 0
        self._target = 0
        self._received = 0
        self._reached = threading.Event()
        self._broken: BrokerError | None = None
        self._unacknowledged: dict[int, tuple[MqttMessage, Any]] = {}
        self._answers: deque[tuple[int, int, str]] = deque()
        self._refusals: list[Refusal] = []
        self.largest = 0
        self.last_refusal: Refusal | None = None
        self.refused_at = float("-inf")

    @property
    def acknowledged_any(self) -> bool:
        """True when the broker has acknowledged a message."""
        return self._acknowledged > 0

    def limit(self, window: int) -> None:
        """Narrows the window to the broker's receive maximum (MQTT 5); called before the first message."""
        self._window = max(1, min(window, self._window))

    def put(self, message: MqttMessage, tag: Any = None) -> None:
        """Waits for room in the window, then sends; raises BrokerError when the connection is lost."""
        if self._sent - self._acknowledged >= self._window:
            # For half of it, so that the two threads do not alternate at every message.
            self._wait_for(self._sent - self._window // 2)
        if self._broken is not None:
            raise self._broken
        mid = self._send(message)
        self._sent += 1
        self._unacknowledged[mid] = message, tag

    def wait(self) -> None:
        """Waits until the broker has acknowledged everything. Raises BrokerError."""
        self._wait_for(self._sent)

    def take_refusals(self) -> list[Refusal]:
        """Returns the messages that were refused since the last call; also after the connection was lost."""
        self._settle()
        refusals, self._refusals = self._refusals, []
        return refusals

    def unacknowledged(self) -> list[tuple[MqttMessage, Any]]:
        """Returns the messages without an acknowledgement, with their tags, in the order in which they were sent."""
        self._settle()
        return list(self._unacknowledged.values())

    def acknowledged(self, _client: object, _userdata: object, mid: int, code: ReasonCode, _properties: object) -> None:
        """Counts a PUBACK: paho's `on_publish`, on its thread."""
        self._answers.append((mid, code.value, code.getName() if code.value >= FAILURE else ""))
        self._acknowledged += 1
        if self._acknowledged >= self._target:
            self._reached.set()

    def received(self) -> None:
        """Notes a message from the broker, which shows that the link works. On paho's thread."""
        self._received += 1

    def broke(self, error: BrokerError) -> None:
        """Ends every wait: the connection is lost. On paho's thread."""
        self._broken = error
        self._reached.set()

    def _settle(self) -> None:
        """Takes the acknowledgements that have come. On the thread that sends, so that each message is there."""
        answers, unacknowledged = self._answers, self._unacknowledged
        while answers:
            mid, code, reason = answers.popleft()
            entry = unacknowledged.pop(mid, None)
            if entry is None:
                continue
            if code < FAILURE:
                self.largest = max(self.largest, len(entry[0].payload))
            else:
                self.last_refusal, self.refused_at = Refusal(*entry, code, reason), time.monotonic()
                self._refusals.append(self.last_refusal)

    def _wait_for(self, count: int) -> None:
        """Waits for so many acknowledgements; raises BrokerError when not one comes for too long."""
        signs = 0
        while self._acknowledged < count:
            before, received = self._acknowledged, self._received
            patience = self._time_for_next()
            # In this order: an acknowledgement after the first line sees the target, one before is seen below.
            self._target = count
            self._reached.clear()
            if self._acknowledged >= count:
                break
            if self._broken is not None:
                raise self._broken
            if self._reached.wait(patience) or self._acknowledged != before:
                signs = 0
            elif self._received == received or signs >= _MOST_SIGNS:
                raise BrokerError(f"the broker acknowledged nothing for {patience:.3g} s")
            else:
                signs += 1
        self._settle()

    def _time_for_next(self) -> float:
        """Returns the seconds that the next acknowledgement may take: a large message needs its time on a slow link."""
        self._settle()
        oldest = next(iter(self._unacknowledged.values()), None)
        return self._patience + (len(oldest[0].payload) / _SLOWEST if oldest else 0.0)
