"""The window of messages in flight: it bounds them, and shows which of them the broker has acknowledged.

paho scans its own window at every acknowledgement (133 µs each with 1,000 messages), so paho's is not used
(docs/mqtt.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import BrokerError
from .reason_codes import FAILURE, name_of
from .refusals import Refusal

if TYPE_CHECKING:
    from ..messages import MqttMessage

WINDOW = 200
# paho counts the identifiers of its SUBSCRIBE and UNSUBSCRIBE packets from 1, and a packet identifier is used once at a
# time (MQTT 5, 2.2.1): these are ours.
FIRST_IDENTIFIER, LAST_IDENTIFIER = 0x8000, 0xFFFF
# A link that is slower than this many bytes a second is as good as none.
_SLOWEST = 1024
# A broker that sends messages and acknowledges none: what it sends counts as a sign of life for so many times.
_MOST_SIGNS = 60


class InFlight:
    """The messages that are sent and not acknowledged. One thread.

    `send` sends a message with this packet identifier; `turn` waits so many seconds at most for the broker, and has
    what it sent taken here.
    """

    def __init__(
        self, send: Callable[[MqttMessage, int], object], turn: Callable[[float], object], window: int, patience: float
    ) -> None:
        self._send = send
        self._turn = turn
        self._window = max(1, min(window, WINDOW))
        self._patience = patience
        self._identifier = LAST_IDENTIFIER
        self._answers = 0
        self._received = 0
        self._broken: BrokerError | None = None
        self._unacknowledged: dict[int, tuple[MqttMessage, Any]] = {}
        self._refusals: list[Refusal] = []
        self.largest = 0
        self.last_refusal: Refusal | None = None
        self.refused_at = self.acknowledged_at = float("-inf")

    @property
    def acknowledged_any(self) -> bool:
        """True when the broker has acknowledged a message."""
        return self._answers > 0

    @property
    def count(self) -> int:
        """The number of messages without an acknowledgement."""
        return len(self._unacknowledged)

    def limit(self, window: int) -> None:
        """Narrows the window to the broker's receive maximum (MQTT 5); called before the first message."""
        self._window = max(1, min(window, self._window))

    def put(self, message: MqttMessage, tag: Any = None) -> None:
        """Waits for room in the window, then sends; raises BrokerError when the connection is lost."""
        if len(self._unacknowledged) >= self._window:
            # For half of it, so that each wait takes many acknowledgements.
            self._wait_for(self._window // 2)
        if self._broken is not None:
            raise self._broken
        identifier = self._next_identifier()
        self._unacknowledged[identifier] = message, tag
        self._send(message, identifier)

    def wait(self) -> None:
        """Waits until the broker has acknowledged everything. Raises BrokerError."""
        self._wait_for(0)

    def take_refusals(self) -> list[Refusal]:
        """Returns the messages that were refused since the last call; also after the connection was lost."""
        refusals, self._refusals = self._refusals, []
        return refusals

    def unacknowledged(self) -> list[tuple[MqttMessage, Any]]:
        """Returns the messages without an acknowledgement, with their tags, in the order in which they were sent."""
        return list(self._unacknowledged.values())

    def acknowledged(self, mid: int, code: int) -> None:
        """Takes a PUBACK, with its packet identifier and reason code."""
        entry = self._unacknowledged.pop(mid, None)
        if entry is None:
            return
        self._answers += 1
        self.acknowledged_at = time.monotonic()
        if code < FAILURE:
            self.largest = max(self.largest, len(entry[0].payload))
        else:
            self.last_refusal, self.refused_at = Refusal(*entry, code, name_of(code)), time.monotonic()
            self._refusals.append(self.last_refusal)

    def received(self) -> None:
        """Notes a message from the broker, which shows that the link works."""
        self._received += 1

    def broke(self, error: BrokerError) -> None:
        """Ends every wait: the connection is lost."""
        self._broken = error

    def _next_identifier(self) -> int:
        """Returns one that is not in use: a broker may leave a message unacknowledged for long."""
        while True:
            self._identifier = FIRST_IDENTIFIER if self._identifier == LAST_IDENTIFIER else self._identifier + 1
            if self._identifier not in self._unacknowledged:
                return self._identifier

    def _wait_for(self, left: int) -> None:
        """Waits until so many are left; raises BrokerError when not one acknowledgement comes for too long."""
        signs = 0
        while len(self._unacknowledged) > left:
            if self._broken is not None:
                raise self._broken
            answers, received, patience = self._answers, self._received, self._time_for_next()
            until = time.monotonic() + patience
            while self._answers == answers and self._broken is None:
                rest = until - time.monotonic()
                # Also when the time is over: the answer may have come while this process stood still.
                self._turn(max(rest, 0.0))
                if rest <= 0:
                    break
            if self._answers != answers:
                signs = 0
            elif self._broken is None:
                if self._received == received or signs >= _MOST_SIGNS:
                    raise BrokerError(f"the broker acknowledged nothing for {patience:.3g} s")
                signs += 1

    def _time_for_next(self) -> float:
        """Returns the seconds that the next acknowledgement may take: a large message needs its time on a slow link."""
        oldest = next(iter(self._unacknowledged.values()), None)
        return self._patience + (len(oldest[0].payload) / _SLOWEST if oldest else 0.0)
