"""The read-back of retained messages."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
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
    """Reads retained messages over a connection, which calls `take` for each message that it received.

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
        self._found: list[tuple[str, Any]] = []
        self._count = 0
        self._is_back = False

    def take(self, message: IncomingMessage) -> bool:
        """Takes a message of this read-back; returns False for any other."""
        if message.topic == self._fence:
            self._is_back = self._is_back or message.payload == self._token
            return True
        keep = self._keep
        if keep is None or not message.retain or not message.payload:
            return False
        value = keep(message.topic, message.payload)
        if value is None:
            return False
        self._count += 1
        if self._count <= _MOST_MESSAGES:
            self._found.append((message.topic, value))
        return True

    def read(self, filters: Sequence[str], keep: Callable[[str, bytes], T | None]) -> RetainedMessages[T]:
        """Returns what is retained under these filters. Raises BrokerError.

        `keep` is called for each message and returns all that is kept of it; `None` for what is not
        wanted. It must not raise: anybody may have retained anything.
        """
        self.end()
        self._found, self._count, self._keep, self._filters = [], 0, keep, filters
        granted = [self._connection.subscribe(one) is None for one in filters]
        complete = self.pass_fence() and all(granted) and self._count <= _MOST_MESSAGES
        return RetainedMessages(dict(self.late()), complete)

    def late(self) -> list[tuple[str, Any]]:
        """Returns what came since the last call."""
        found, self._found = self._found, []
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
        self._is_back = False
        self._token = Token(token=secrets.token_hex(8)).json_bytes
        started = time.monotonic()
        refusal = self._connection.put(MqttMessage(self._fence, self._token, retain=False))
        if refusal or self._connection.flush() or not self._comes_back():
            return False
        self._wait_until_quiet(max(_QUIET_SECONDS, 2 * (time.monotonic() - started)))
        return True

    def _comes_back(self) -> bool:
        """Waits for the fence, as long as other messages come."""
        while not self._is_back:
            count = self._count
            if not self._connection.wait_for(lambda: self._is_back or self._count != count, _PATIENCE_SECONDS):  # noqa: B023  # called at once
                if self._connection.broken is not None:
                    raise BrokerError(str(self._connection.broken))
                return False
        return True

    def _wait_until_quiet(self, seconds: float) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        came = True
        while came and time.monotonic() < deadline:
            count = self._count
            came = self._connection.wait_for(lambda: self._count != count, min(seconds, _PATIENCE_SECONDS))  # noqa: B023  # as above
