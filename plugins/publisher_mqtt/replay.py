"""`replay/get`: a subscriber asks for the rows, or for the events since one that it knows."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import ValidationError

from publisher.events import Event

from .messages import Message, Messages
from .payloads import AnswerError, AnswerHead, ReplayRequest, Since

if TYPE_CHECKING:
    from publisher import Cursor, SinkContext

    from .client.connection import Received
    from .options import ReplayOptions
    from .topics import Topics

# Answering takes at most this part of the sink's time, so that a flood of requests does not keep events back.
_SHARE_OF_TIME = 0.2
_LOG_EVERY_SECONDS = 60.0
_CLIENT = re.compile(r'"client"\s*:\s*"([A-Za-z0-9_-]{1,64})"')


class Ask(NamedTuple):
    """A request with the place to answer to; `error` says what is wrong with it."""

    topic: str
    correlation: bytes | None
    request: ReplayRequest | None
    error: str


class Answer(NamedTuple):
    """What is told: `too_old` when the rows come instead of the events that were asked for."""

    kind: Literal["events", "snapshot"]
    too_old: bool
    epoch: str
    seq: int
    events: list[Event]


class Limit:
    """A token bucket; one thread."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._at = float(burst), clock()

    def take(self) -> bool:
        """Whether one more is allowed now."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Inbox:
    """Requests that wait for an answer: few, and read by paho's thread only as far as it is cheap."""

    def __init__(self, options: ReplayOptions, log: Any) -> None:
        self._options = options
        self._log = log
        self._limit = Limit(options.requests_per_second, options.burst)
        self._waiting: deque[Received] = deque()
        self._lock = threading.Lock()
        self._dropped = 0
        self._logged_at = float("-inf")

    def put(self, message: Received) -> bool:
        """Keep a request; False when it is over a limit, which is logged once a minute. paho's thread."""
        if message.retain:
            # Somebody's mistake: it would come again with each connection.
            return self.drop("a retained request")
        if len(message.payload) > self._options.max_request_bytes:
            return self.drop(f"a request of {len(message.payload)} bytes")
        with self._lock:
            if len(self._waiting) < self._options.burst and self._limit.take():
                self._waiting.append(message)
                return True
        return self.drop("too many requests")

    def get(self) -> Received | None:
        """The oldest. The sink's thread."""
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def drop(self, reason: str) -> bool:
        """Count a request that stays without an answer. Any thread; the count is for people."""
        self._dropped += 1
        now = time.monotonic()
        if now - self._logged_at >= _LOG_EVERY_SECONDS:
            self._logged_at = now
            self._log.warning("%d replay requests were not answered: %s", self._dropped, reason)
            self._dropped = 0
        return False


def read_request(message: Received, topics: Topics, forbidden_prefix: str) -> Ask | str:
    """The request, or why there is nowhere to answer to."""
    request, error = _parse(message.payload)
    topic = message.response_topic
    if topic is not None:
        if not topics.may_answer_to(topic, forbidden_prefix):
            return f"response topic {topic[:100]!r} is not allowed"
        return Ask(topic, message.correlation, request, error)
    client = request.client if request else _client_in(message.payload)
    answer_to = None if client is None else topics.answer(client)
    if answer_to is None:
        return "neither a response topic (MQTT 5) nor a member `client` to answer to"
    return Ask(answer_to, message.correlation, request, error)


def _parse(payload: bytes) -> tuple[ReplayRequest | None, str]:
    try:
        return ReplayRequest.model_validate_json(payload or b"{}"), ""
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return None, f"{where}: {first['msg']}" if where else str(first["msg"])


def _client_in(payload: bytes) -> str | None:
    """Who asked, of a request that is wrong otherwise, so that it can be told."""
    found = _CLIENT.search(payload.decode("utf-8", "replace"))
    return found and found[1]


def answer_to(request: ReplayRequest, context: SinkContext, newest: Cursor | None, options: ReplayOptions) -> Answer:
    """The events since the one that the asker knows; the rows when it knows none or one that is too long ago.

    Only on the sink's thread, where nothing is published meanwhile: so no answer is older than an event sent before.
    """
    since = request.since
    if since is not None and not _is_far(since, newest, options.max_events):
        events = context.events_since(since.epoch, since.seq)
        if events is not None:
            upto = events[-1].seq if events else since.seq
            return Answer("events", False, since.epoch, upto, [event for event in events if request.wants(event)])
    rows = context.snapshot()
    wanted = [event for event in rows if request.wants(event)]
    return Answer("snapshot", since is not None, rows[0].epoch, rows[0].seq, wanted)


def _is_far(since: Since, newest: Cursor | None, most: int) -> bool:
    """Whether so many events would follow that the rows are the better answer."""
    return newest is not None and since.epoch == newest.epoch and newest.seq - since.seq > most


def answer_messages(ask: Ask, answer: Answer, messages: Messages) -> Iterator[Message]:
    """Position 0 says what follows; positions 1 to `count` carry an event each, and `count` is the last."""
    properties = messages.plain(ask.correlation)
    head = AnswerHead(
        count=len(answer.events), answer=answer.kind, too_old=answer.too_old, epoch=answer.epoch, seq=answer.seq
    )
    yield Message(ask.topic, head.json_bytes, False, properties)
    for position, event in enumerate(answer.events, 1):
        payload = b'{"position":%d,"count":%d,"event":%b}' % (position, len(answer.events), event.json_bytes)
        yield Message(ask.topic, payload, False, properties)


def error_message(ask: Ask, messages: Messages) -> Message:
    """What is wrong with the request."""
    return Message(ask.topic, AnswerError(error=ask.error).json_bytes, False, messages.plain(ask.correlation))


def rest_after(seconds: float) -> float:
    """How long to leave requests waiting after an answer that took so long."""
    return seconds * (1 / _SHARE_OF_TIME - 1)
