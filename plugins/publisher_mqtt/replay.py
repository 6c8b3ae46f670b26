"""Answers to `replay/get`: a subscriber asks for the rows, or for the events after one that it has.

Each answer is made whole on the sink's thread, so that none is older than an event that was published before it.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import ValidationError

from publisher import Cursor, Event, SinkContext

from .messages import Messages, MqttMessage, Topics
from .payloads import AnswerError, AnswerHead, ReplayRequest, Since
from .retained import Planned

if TYPE_CHECKING:
    from .client.connection import IncomingMessage
    from .options import MqttOptions, ReplayOptions

# Answers take at most this part of the sink's time, so that a flood of requests does not delay events.
_SHARE_OF_TIME = 0.2
_LOG_EVERY_SECONDS = 60.0
_CLIENT = re.compile(r'"client"\s*:\s*"([A-Za-z0-9_-]{1,64})"')


class AddressedRequest(NamedTuple):
    """A request with the topic to answer to; `error` is the reason when there is no `request`."""

    topic: str
    correlation: bytes | None
    request: ReplayRequest | None
    error: str


class ReplayedEvents(NamedTuple):
    """The events of an answer; `too_old` when they are the rows instead of the events that were asked for."""

    kind: Literal["events", "snapshot"]
    too_old: bool
    epoch: str
    seq: int
    events: list[Event]


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
    """Requests that wait for an answer: few, and inspected on paho's thread only as far as it is cheap."""

    def __init__(self, options: ReplayOptions, log: Any) -> None:
        self._options = options
        self._log = log
        self._limit = RateLimit(options.requests_per_second, options.burst)
        self._waiting: deque[IncomingMessage] = deque()
        self._lock = threading.Lock()
        self._dropped = 0
        self._logged_at = float("-inf")

    def put(self, message: IncomingMessage) -> bool:
        """Keeps a request; returns False when it is over a limit, which is logged once a minute. paho's thread."""
        if message.retain:
            # A mistake of its sender: it would come again with each connection.
            return self.drop("a retained request")
        if len(message.payload) > self._options.max_request_bytes:
            return self.drop(f"a request of {len(message.payload)} bytes")
        with self._lock:
            if len(self._waiting) < self._options.burst and self._limit.take():
                self._waiting.append(message)
                return True
        return self.drop("too many requests")

    def get(self) -> IncomingMessage | None:
        """Returns the oldest request. The sink's thread."""
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def drop(self, reason: str) -> bool:
        """Counts a request that gets no answer; returns False. Any thread; the count is for people."""
        self._dropped += 1
        now = time.monotonic()
        if now - self._logged_at >= _LOG_EVERY_SECONDS:
            self._logged_at = now
            self._log.warning("%d replay requests are not answered; the last: %s", self._dropped, reason)
            self._dropped = 0
        return False


class ReplayResponder:
    """Takes requests on paho's thread and answers them on the sink's.

    `newest` returns the last event that was published; `send` sends messages when there is a connection.
    """

    def __init__(
        self,
        options: MqttOptions,
        context: SinkContext,
        messages: Messages,
        newest: Callable[[], Cursor | None],
        send: Callable[[Iterable[Planned]], None],
    ) -> None:
        self._options = options
        self._context = context
        self._messages = messages
        self._newest = newest
        self._send = send
        self._queue = ReplayQueue(options.replay, context.log)
        self._not_before = 0.0

    def take(self, message: IncomingMessage) -> None:
        """Keeps a request and has it answered, unless it is over a limit. paho's thread."""
        if self._queue.put(message):
            self._context.call(self._answer)

    def _answer(self) -> None:
        """Answers the oldest request, unless answers have had their share of the time."""
        wait = self._not_before - time.monotonic()
        if wait > 0:
            self._context.call(self._answer, wait)
            return
        message, started = self._queue.get(), time.monotonic()
        if message is not None:
            self._send(Planned(reply, None) for reply in self._replies(message))
            took = time.monotonic() - started
            self._not_before = time.monotonic() + took * (1 / _SHARE_OF_TIME - 1)

    def _replies(self, message: IncomingMessage) -> Iterable[MqttMessage]:
        addressed = read_request(message, self._messages.topics, self._options.home_assistant.prefix)
        if isinstance(addressed, str):
            self._queue.drop(addressed)
            return []
        if addressed.request is None:
            return [error_message(addressed, self._messages)]
        events = events_for(addressed.request, self._context, self._newest(), self._options.replay)
        return answer_messages(addressed, events, self._messages)


def read_request(message: IncomingMessage, topics: Topics, forbidden_prefix: str) -> AddressedRequest | str:
    """Returns the request, or the reason why there is no topic to answer to."""
    request, error = _parse(message.payload)
    topic = message.response_topic
    if topic is not None:
        if not topics.may_answer_to(topic, forbidden_prefix):
            return f"response topic {topic[:100]!r} is not allowed"
        return AddressedRequest(topic, message.correlation, request, error)
    client = request.client if request else _client_in(message.payload)
    topic = None if client is None else topics.answer(client)
    if topic is None:
        return "neither a response topic (MQTT 5) nor a member `client` to answer to"
    return AddressedRequest(topic, message.correlation, request, error)


def _parse(payload: bytes) -> tuple[ReplayRequest | None, str]:
    try:
        return ReplayRequest.model_validate_json(payload or b"{}"), ""
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        member = ".".join(map(str, first["loc"]))
        return None, f"{member}: {first['msg']}" if member else str(first["msg"])


def _client_in(payload: bytes) -> str | None:
    """Returns the `client` of a request that is wrong otherwise, so that it can be answered."""
    found = _CLIENT.search(payload.decode("utf-8", "replace"))
    return found and found[1]


def events_for(
    request: ReplayRequest, context: SinkContext, newest: Cursor | None, options: ReplayOptions
) -> ReplayedEvents:
    """Returns the events after `since`; the rows without it, or when it is too old. Only on the sink's thread."""
    since = request.since
    if since is not None and not _is_far(since, newest, options.max_events):
        events = context.events_since(since.epoch, since.seq)
        if events is not None:
            upto = events[-1].seq if events else since.seq
            wanted = [event for event in events if request.wants(event)]
            return ReplayedEvents("events", False, since.epoch, upto, wanted)
    rows = context.snapshot()
    wanted = [event for event in rows if request.wants(event)]
    return ReplayedEvents("snapshot", since is not None, rows[0].epoch, rows[0].seq, wanted)


def _is_far(since: Since, newest: Cursor | None, most: int) -> bool:
    """Returns whether so many events would follow that the rows are the better answer."""
    return newest is not None and since.epoch == newest.epoch and newest.seq - since.seq > most


def answer_messages(addressed: AddressedRequest, replayed: ReplayedEvents, messages: Messages) -> Iterator[MqttMessage]:
    """Yields the answer: its head at position 0, then an event at each position up to `count`."""
    properties = messages.plain(addressed.correlation)
    count = len(replayed.events)
    head = AnswerHead(
        count=count, answer=replayed.kind, too_old=replayed.too_old, epoch=replayed.epoch, seq=replayed.seq
    )
    yield MqttMessage(addressed.topic, head.json_bytes, False, properties)
    for position, event in enumerate(replayed.events, 1):
        payload = b'{"position":%d,"count":%d,"event":%b}' % (position, count, event.json_bytes)
        yield MqttMessage(addressed.topic, payload, False, properties)


def error_message(addressed: AddressedRequest, messages: Messages) -> MqttMessage:
    """Returns the answer to a request that is wrong."""
    payload = AnswerError(error=addressed.error).json_bytes
    return MqttMessage(addressed.topic, payload, False, messages.plain(addressed.correlation))
