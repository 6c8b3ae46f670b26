"""The messages and subscriptions over which the broker ended connections. No I/O; one thread.

A broker of MQTT 3.1.1 refuses a packet by ending the connection (MQTT 3.1.1, 4.8), and some of MQTT 5 do too. Sending
it again would end every later connection. A restart of the broker or a link that is cut looks the same, and must not
lose a message. So nothing is given up before it was alone on its way twice, each time right after the broker had
acknowledged another message over that connection, and the broker was there again at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import NamedTuple

from publisher import Log

from ..messages import MqttMessage

# Seconds after which a refused topic is tried again: limits and access control are changed now and then.
_FORGOTTEN_SECONDS = 3600.0
_TIMES_ALONE = 2
# The window of messages in flight is 200; more than that many are suspected only after several losses.
_MOST_SUSPECTS = 1000
_MOST_REFUSED = 10_000


class Outstanding(NamedTuple):
    """The packets without an answer when a connection ended, in the order in which they were sent."""

    messages: tuple[MqttMessage, ...]
    topic_filter: str | None
    acknowledged: bool
    """True if the broker had acknowledged another message over this connection."""

    def __bool__(self) -> bool:
        return bool(self.messages) or self.topic_filter is not None

    def __str__(self) -> str:
        if not self:
            return "nothing"
        if self.topic_filter is not None:
            return f"the subscription to {self.topic_filter}"
        first, more = self.messages[0], len(self.messages) - 1
        return f"{first.topic} ({len(first.payload)} bytes)" + (f" and {more} more" if more else "")


@dataclass(frozen=True)
class _Given:
    """A topic that is given up: payloads from `size` bytes on, until `until`.

    Of events at first only one `payload`: the next may be taken.
    """

    size: int
    until: float
    payload: bytes | None = None


class Suspects:
    """Remembers them over the connections of one session."""

    def __init__(
        self, log: Log, clock: Callable[[], float] = time.monotonic, *, control: MqttMessage | None = None
    ) -> None:
        """`control` is a message without meaning, sent right before each that is sent alone."""
        self.control = control
        self._log = log
        self._clock = clock
        self._times_alone: dict[Hashable, int] = {}
        self._given_up: dict[str, _Given] = {}
        self._most_bytes: _Given | None = None
        self._largest = 0
        self._alone: MqttMessage | str | None = None

    def forget(self) -> None:
        """Forgets everything: the next connection is to another broker."""
        self._times_alone.clear()
        self._given_up.clear()
        self._most_bytes = self._alone = None
        self._largest = 0

    def __bool__(self) -> bool:
        """True while messages are sent alone."""
        return bool(self._times_alone)

    def suspects(self, message: MqttMessage) -> bool:
        """Returns whether this message is to be sent alone."""
        return bool(self._times_alone or self._given_up) and (
            _key(message) in self._times_alone or message.topic in self._given_up
        )

    def refusal(self, message: MqttMessage) -> str | None:
        """Returns the reason why this message is not sent at all."""
        limit = self._most_bytes
        if limit is not None and len(message.payload) >= limit.size and self._clock() < limit.until:
            return f"{len(message.payload)} bytes; the broker ended connections over {limit.size} bytes"
        return self._given(message.topic, message.payload) if self._given_up else None

    def filter_refusal(self, topic_filter: str) -> str | None:
        """Returns the reason why this subscription is not made."""
        return self._given(topic_filter, b"")

    def _given(self, topic: str, payload: bytes) -> str | None:
        given = self._given_up.get(topic)
        if given is None or len(payload) < given.size or given.payload not in (None, payload):
            return None
        if self._clock() >= given.until:
            del self._given_up[topic]
            return None
        return "the broker ended each connection over it: its limits or its access control may refuse it"

    def acknowledged(self, message: MqttMessage) -> None:
        """Notes that the broker took a message that was sent alone."""
        self._times_alone.pop(_key(message), None)
        given, limit = self._given_up.get(message.topic), self._most_bytes
        if given is None:
            return
        if _is_event(message):
            del self._given_up[message.topic]
        elif (
            # The topic is not the reason, and the broker never took as much: so the size is.
            0 < len(message.payload) <= given.size // 2
            and self._largest < given.size
            and (limit is None or given.size < limit.size or self._clock() >= limit.until)
        ):
            self._most_bytes = given

    def took(self, size: int) -> None:
        """Notes the size of the largest payload that the broker acknowledged."""
        self._largest = max(self._largest, size)

    def granted(self, topic_filter: str) -> None:
        """Notes that the broker answered a subscription."""
        self._times_alone.pop(topic_filter, None)

    def lost(self, outstanding: Outstanding) -> None:
        """Notes what a connection had not answered when it ended.

        The next attempt should be made at once: it shows whether the broker was there all the time.
        """
        self._alone = None
        if self.control in outstanding.messages:
            # The link had ended before the message that was to be sent alone.
            return
        if outstanding.topic_filter is not None:
            self._times_alone.setdefault(outstanding.topic_filter, 0)
            self._alone = outstanding.topic_filter
        for message in outstanding.messages:
            self._times_alone.setdefault(_key(message), 0)
        while len(self._times_alone) > _MOST_SUSPECTS:
            del self._times_alone[next(iter(self._times_alone))]
        if self._alone is None and len(outstanding.messages) == 1 and outstanding.acknowledged:
            self._alone = outstanding.messages[0]

    def reachable(self) -> bool:
        """Notes that the broker accepted a connection: it was there when it ended the last one.

        Returns whether something was given up.
        """
        alone, self._alone = self._alone, None
        if alone is None:
            return False
        key = alone if isinstance(alone, str) else _key(alone)
        self._times_alone[key] = self._times_alone.get(key, 0) + 1
        if self._times_alone[key] < _TIMES_ALONE:
            return False
        self._give_up(alone)
        return True

    def unreachable(self) -> None:
        """Notes that the broker could not be reached: it was away, or the link was."""
        self._alone = None
        self._times_alone = dict.fromkeys(self._times_alone, 0)

    def give_up(self, message: MqttMessage) -> None:
        """Notes that the broker refused a message for good before it ended the connection."""
        self._times_alone.pop(_key(message), None)
        self._remember(message.topic, len(message.payload), message.payload if _is_event(message) else None)

    def _give_up(self, alone: MqttMessage | str) -> None:
        if isinstance(alone, str):
            del self._times_alone[alone]
            self._remember(alone, 0, None)
            self._log.warning("the broker ends each connection over the subscription to %s: it is given up", alone)
            return
        self.give_up(alone)
        self._log.warning(
            "the broker ends each connection over %s (%d bytes) and takes other messages: it is given up; "
            "the broker's limits or its access control may refuse it",
            alone.topic,
            len(alone.payload),
        )

    def _remember(self, topic: str, size: int, payload: bytes | None) -> None:
        before = self._given_up.pop(topic, None)
        given = _Given(size, self._clock() + _FORGOTTEN_SECONDS, payload)
        if before is not None:
            given = replace(given, size=min(size, before.size), payload=None)
        if len(self._given_up) >= _MOST_REFUSED:
            del self._given_up[next(iter(self._given_up))]
        self._given_up[topic] = given


def _key(message: MqttMessage) -> Hashable:
    """Returns the identity of a message: of a topic there is one at a time, but of events there are many."""
    return (message.topic, message.payload) if _is_event(message) else (message.topic,)


def _is_event(message: MqttMessage) -> bool:
    return message.topic.endswith("/event")
