"""The read-back of retained messages."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..messages import MqttMessage
from .errors import BrokerError

if TYPE_CHECKING:
    from .connection import Connection, IncomingMessage

# After so long without a message and without the fence, the read-back ends, and is not complete.
_PATIENCE_SECONDS = 3.0


class RetainedMessages(NamedTuple):
    """Payloads by topic (empty when only topics are wanted); `complete` when nothing can be missing."""

    payloads: dict[str, bytes]
    complete: bool


class ReadBack:
    """Reads retained messages over a connection: `take` on paho's thread, the rest on the sink's.

    A broker sends a new subscriber first the retained messages, then what is published. So the fence, a message that we
    send to ourselves after the subscription was granted, comes back after the last retained one.
    """

    def __init__(self, connection: Connection, fence: str) -> None:
        self._connection = connection
        self._fence = fence
        self._has_fence = False
        self._wanted: Callable[[str], bool] | None = None
        self._token = b""
        self._payloads: dict[str, bytes] = {}
        self._with_payloads = True
        self._back = threading.Event()

    def take(self, message: IncomingMessage) -> bool:
        """Takes a message of this read-back; returns False for any other. On paho's thread."""
        if message.topic == self._fence:
            if message.payload == self._token:
                self._back.set()
            return True
        wanted = self._wanted
        if wanted is None or not wanted(message.topic):
            return False
        if message.retain and message.payload:
            self._payloads[message.topic] = message.payload if self._with_payloads else b""
        return True

    def read(
        self, filters: Sequence[str], wanted: Callable[[str], bool], *, with_payloads: bool = True
    ) -> RetainedMessages:
        """Returns what is retained under these filters, of the topics that are wanted. Raises BrokerError."""
        self._payloads, self._with_payloads, self._wanted = {}, with_payloads, wanted
        try:
            if not self._has_fence:
                self._has_fence = self._connection.subscribe(self._fence) is None
            granted = [self._connection.subscribe(one) is None for one in filters]
            complete = self._pass_fence() and all(granted)
            for one in filters:
                self._connection.unsubscribe(one)
        finally:
            self._wanted = None
        payloads, self._payloads = self._payloads, {}
        return RetainedMessages(payloads, complete)

    def _pass_fence(self) -> bool:
        """Sends the fence and waits for it, as long as other messages come; returns whether it came back."""
        if not self._has_fence:
            return False
        self._back.clear()
        self._token = secrets.token_hex(8).encode()
        self._connection.put(MqttMessage(self._fence, self._token, retain=False))
        if self._connection.flush():
            return False
        quiet_since, count = time.monotonic(), len(self._payloads)
        while not self._back.wait(0.2):
            if self._connection.broken is not None:
                raise BrokerError(str(self._connection.broken))
            if len(self._payloads) != count:
                quiet_since, count = time.monotonic(), len(self._payloads)
            elif time.monotonic() - quiet_since > _PATIENCE_SECONDS:
                return False
        return True
