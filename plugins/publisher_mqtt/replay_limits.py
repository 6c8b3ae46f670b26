"""Limits of the answers to replay requests: which topics get one, how many, and for how long some get none."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client.connection import IncomingMessage
    from .messages import Topics
    from .options import MqttOptions, ReplayOptions

_LOG_EVERY_SECONDS = 60.0
# Seconds without answers for a topic that cost a connection or was refused, doubled each time up to an hour. Where so
# many topics did, all of them rest: the names of clients are the readers' own choice, and without end.
_REST_SECONDS, _LONGEST_REST_SECONDS = 60.0, 3600.0
_MOST_RESTING = 3
MOST_REMEMBERED = 1000
"""The most topics and reasons that are remembered: readers choose them."""


class AnswerTopics:
    """The topics that answers may have: this node's own for answers, and those of an option. Never another's."""

    def __init__(self, options: MqttOptions, topics: Topics) -> None:
        self._topics = topics
        self._filters = [_expression(one) for one in options.replay_topics]
        self._of_others = (f"{options.base}/", f"{options.home_assistant.prefix}/", "$")

    def allow(self, topic: str) -> bool:
        """Returns whether answers may have this response topic."""
        if self._topics.is_answer(topic):
            return True
        return (
            0 < len(topic) <= 1024
            and not any(sign in topic for sign in "+#\0")
            and not topic.startswith(self._of_others)
            and any(one.fullmatch(topic) for one in self._filters)
        )


def _expression(topic_filter: str) -> re.Pattern[str]:
    """Returns an expression for the topics of a filter (MQTT 5, 4.7.1)."""
    levels = topic_filter.split("/")
    any_more = levels[-1] == "#"
    pattern = "/".join("[^/]*" if level == "+" else re.escape(level) for level in (levels[:-1] if any_more else levels))
    return re.compile(f"{pattern}(/.*)?" if any_more else pattern, re.DOTALL)


class RateLimit:
    """A token bucket; one thread."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._at = float(burst), clock()

    def take(self) -> bool:
        """Returns whether one more is allowed now."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class ReplayQueue:
    """Requests that wait for an answer: few, and inspected only as far as it is cheap. One thread."""

    def __init__(self, options: ReplayOptions, log: Any) -> None:
        self._options = options
        self._log = log
        self._limit = RateLimit(options.requests_per_second, options.burst)
        self._waiting: deque[IncomingMessage] = deque()
        self._dropped = 0
        self._logged_at = float("-inf")

    def put(self, message: IncomingMessage) -> bool:
        """Keeps a request; returns False when it is over a limit, which is logged once a minute."""
        if message.retain:
            # A mistake of its sender: it would come again with each connection.
            return self.drop("a retained request")
        if len(message.payload) > self._options.max_request_bytes:
            return self.drop(f"a request of {len(message.payload)} bytes")
        if len(self._waiting) < self._options.burst and self._limit.take():
            self._waiting.append(message)
            return True
        return self.drop("too many requests")

    def get(self) -> IncomingMessage | None:
        """Returns the oldest request."""
        return self._waiting.popleft() if self._waiting else None

    def drop(self, reason: str) -> bool:
        """Counts a request that gets no answer; returns False."""
        self._dropped += 1
        now = time.monotonic()
        if now - self._logged_at >= _LOG_EVERY_SECONDS:
            self._logged_at = now
            self._log.warning("%d replay requests are not answered; the last: %s", self._dropped, reason)
            self._dropped = 0
        return False


class RestingTopics:
    """The topics that get no answers for a while, since an answer was refused or ended the connection. One thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, tuple[float, float]] = {}

    def add(self, topic: str) -> float:
        """Has a topic rest; returns the seconds."""
        _, before = self._until.pop(topic, (0.0, _REST_SECONDS / 2))
        seconds = min(before * 2, _LONGEST_REST_SECONDS)
        if len(self._until) >= MOST_REMEMBERED:
            del self._until[next(iter(self._until))]
        self._until[topic] = self._clock() + seconds, seconds
        return seconds

    def rests(self, topic: str) -> bool:
        """Returns whether a topic rests, or all do."""
        now = self._clock()
        resting = sum(until > now for until, _ in self._until.values()) if self._until else 0
        return resting >= _MOST_RESTING or (resting > 0 and self._until.get(topic, (now, 0.0))[0] > now)
