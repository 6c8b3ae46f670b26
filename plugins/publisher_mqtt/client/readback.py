"""The read-back of retained messages."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from ..messages import MqttMessage
from ..payloads import Token
from .errors import BrokerError

if TYPE_CHECKING:
    from .connection import Connection, IncomingMessage

T = TypeVar("T")

# After so long without a message and without the fence, the read-back ends, and is not complete.
_PATIENCE_SECONDS = 3.0
# How long it must be quiet after the fence: this, or twice as long as the fence took.
_QUIET_SECONDS = 0.05
# More than that is not ours: a host has thousands of interfaces.
_MOST_MESSAGES = 100_000


class RetainedMessages(NamedTuple, Generic[T]):
    """The values kept of each message, by topic; `complete` when nothing is known to be missing."""

    found: dict[str, T]
    complete: bool


class ReadBack:
    """Reads retained messages over a connection: `take` on paho's thread, the rest on the sink's.

    Many brokers send a new subscriber first the retained messages, then what is published. So the fence, a message that
    we send to ourselves after the subscription was granted, comes back after the last retained one. MQTT does not
    promise that, and aedes sends 1 of 300 before the fence (docs/mqtt.md): so the subscriptions stay until `end`, and
    `late` returns what comes afterwards.
    """

    def __init__(self, connection: Connection, fence: str) -> None:
        self._connection = connection
        self._fence = fence
        self._has_fence = False
        self._filters: Sequence[str] = ()
        self._keep: Callable[[str, bytes], Any] | None = None
        self._token = b""
        self._found: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._count = 0
        self._back = threading.Event()
        self._came = threading.Event()

    def take(self, message: IncomingMessage) -> bool:
        """Takes a message of this read-back; returns False for any other. On paho's thread."""
        if message.topic == self._fence:
            if message.payload == self._token:
                self._back.set()
            return True
        keep = self._keep
        if keep is None or not message.retain or not message.payload:
            return False
        value = keep(message.topic, message.payload)
        if value is None:
            return False
        self._count += 1
        if self._count <= _MOST_MESSAGES:
            self._found.put((message.topic, value))
        self._came.set()
        return True

    def read(self, filters: Sequence[str], keep: Callable[[str, bytes], T | None]) -> RetainedMessages[T]:
        """Returns what is retained under these filters. Raises BrokerError.

        `keep` is called on paho's thread for each message and returns all that is kept of it; `None` for what is not
        wanted. It must not raise: anybody may have retained anything.
        """
        self.end()
        self._found, self._count, self._keep, self._filters = SimpleQueue(), 0, keep, filters
        granted = [self._connection.subscribe(one) is None for one in filters]
        complete = self.pass_fence() and all(granted) and self._count <= _MOST_MESSAGES
        return RetainedMessages(dict(self.late()), complete)

    def late(self) -> list[tuple[str, Any]]:
        """Returns what came since the last call."""
        found = []
        while True:
            try:
                found.append(self._found.get_nowait())
            except Empty:
                return found

    def end(self) -> None:
        """Ends the subscriptions of the last `read`."""
        self._keep = None
        for one in self._filters:
            self._connection.unsubscribe(one)
        self._filters = ()

    def pass_fence(self) -> bool:
        """Sends the fence and waits for it, as long as other messages come, and then for quiet.

        Returns whether it came back. Raises BrokerError.
        """
        if not self._has_fence:
            self._has_fence = self._connection.subscribe(self._fence) is None
            if not self._has_fence:
                return False
        self._back.clear()
        self._token = Token(token=secrets.token_hex(8)).json_bytes
        started = time.monotonic()
        refusal = self._connection.put(MqttMessage(self._fence, self._token, retain=False))
        if refusal or self._connection.flush() or not self._is_back():
            return False
        self._wait_until_quiet(max(_QUIET_SECONDS, 2 * (time.monotonic() - started)))
        return True

    def _is_back(self) -> bool:
        """Waits for the fence, as long as other messages come."""
        quiet_since, count = time.monotonic(), self._count
        while not self._back.wait(0.2):
            if self._connection.broken is not None:
                raise BrokerError(str(self._connection.broken))
            if self._count != count:
                quiet_since, count = time.monotonic(), self._count
            elif time.monotonic() - quiet_since > _PATIENCE_SECONDS:
                return False
        return True

    def _wait_until_quiet(self, seconds: float) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        self._came.clear()
        while self._came.wait(min(seconds, _PATIENCE_SECONDS)) and time.monotonic() < deadline:
            self._came.clear()
