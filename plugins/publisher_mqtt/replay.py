"""Answers to `replay/get`: a subscriber asks for the rows, for the events after one that it has, or the newest ones.

Each answer is made whole on the sink's thread, so that none is older than an event that was published before it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from publisher import Cursor, Event, HistoryQuery, PublisherError, SinkContext
from publisher.terminal import printable
from publisher.untrusted import UntrustedError, parse_model

from .messages import Messages, MqttMessage, Topics
from .payloads import AnswerError, AnswerEventError, AnswerHead, ReplayRequest, Since
from .replay_limits import MOST_REMEMBERED, AnswerTopics, ReplayQueue, RestingTopics

if TYPE_CHECKING:
    from .client.connection import IncomingMessage
    from .client.session import Session
    from .options import MqttOptions, ReplayOptions

# Answers take at most this part of the sink's time, and of the link, so that a flood of requests delays no event.
_SHARE_OF_TIME = 0.2
_BYTES_PER_SECOND = 1 << 20
_MOST_CORRELATION_BYTES = 256
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


class ReplayResponder:
    """Takes requests while messages are received, and answers them between two batches. The sink's thread.

    `newest` returns the last event that was published; `session` sends messages when there is a connection.
    """

    def __init__(
        self,
        options: MqttOptions,
        context: SinkContext,
        messages: Messages,
        newest: Callable[[], Cursor | None],
        session: Session,
    ) -> None:
        self._options = options.replay
        self._context = context
        self._messages = messages
        self._newest = newest
        self._session = session
        self._allowed = AnswerTopics(options, messages.topics)
        self._queue = ReplayQueue(options.replay, context.log)
        self._resting = RestingTopics()
        self._not_before = 0.0
        self._bytes = 0
        self._told: set[str] = set()

    def take(self, message: IncomingMessage) -> None:
        """Keeps a request and has it answered, unless it is over a limit."""
        if self._queue.put(message):
            self._context.call(self._answer)

    def _answer(self) -> None:
        """Answers the oldest request, unless answers have had their share of the time."""
        wait = self._not_before - time.monotonic()
        if wait > 0:
            self._context.call(self._answer, wait)
            return
        message, started, self._bytes = self._queue.get(), time.monotonic(), 0
        if message is not None:
            self._send(message)
            took = time.monotonic() - started
            share = max(took * (1 / _SHARE_OF_TIME - 1), self._bytes / _BYTES_PER_SECOND)
            self._not_before = time.monotonic() + share
            # Jobs that wait are joined, so one may stand for many requests.
            self._context.call(self._answer, share)

    def _send(self, message: IncomingMessage) -> None:
        addressed = read_request(message, self._messages.topics, self._allowed, self._options.max_request_bytes)
        if isinstance(addressed, str):
            if addressed not in self._told and len(self._told) < MOST_REMEMBERED:
                self._told.add(addressed)
                self._context.log.debug("a replay request is not answered: %s", addressed)
            return
        topic = addressed.topic
        if self._resting.rests(topic):
            self._queue.drop("an answer was refused, or ended the connection, a moment ago")
        elif reason := self._session.answer(self._counted(self._replies(addressed))):
            self._context.log.warning(
                "the broker refuses the answer to a replay request on %s: %s; no answer there for %.0f s",
                printable(topic),
                reason,
                self._resting.add(topic),
            )

    def _replies(self, addressed: AddressedRequest) -> Iterable[MqttMessage]:
        if addressed.request is None:
            return [error_message(addressed, self._messages)]
        most = self._options.max_events
        if addressed.request.last is not None and addressed.request.last > most:
            error = f"last: expected at most {most} events, not {addressed.request.last}"
            return [error_message(addressed._replace(error=error), self._messages)]
        try:
            events = events_for(addressed.request, self._context, self._newest(), self._options)
        except PublisherError as failure:
            self._context.log.warning("a replay request cannot be answered: %s", failure)
            return [error_message(addressed._replace(error="the events cannot be read now"), self._messages)]
        return answer_messages(addressed, events, self._messages, self._session.fits)

    def _counted(self, replies: Iterable[MqttMessage]) -> Iterator[MqttMessage]:
        for reply in replies:
            self._bytes += len(reply.payload)
            yield reply


def read_request(
    message: IncomingMessage, topics: Topics, allowed: AnswerTopics, max_bytes: int
) -> AddressedRequest | str:
    """Returns the request, or the reason why there is no topic to answer to.

    A request whose response topic is not allowed is answered with an error on the topic of its `client`.
    """
    request, error = _parse(message.payload, max_bytes)
    client = request.client if request else _client_in(message.payload)
    own = None if client is None else topics.answer(client)
    topic, correlation = message.response_topic, message.correlation
    if topic is None:
        if own is None:
            return "neither a response topic (MQTT 5) nor a member `client` to answer to"
        topic = own
    elif not allowed.allow(topic):
        reason = (
            f"the response topic {topic[:100]!r} is not allowed: use {topics.root}/replay/<client>, or the option "
            "replay_topics of the publisher"
        )
        if own is None:
            return reason
        topic, request, error = own, None, reason
    if correlation is not None and len(correlation) > _MOST_CORRELATION_BYTES:
        reason = f"correlation data of {len(correlation)} bytes: at most {_MOST_CORRELATION_BYTES} are taken"
        return AddressedRequest(topic, None, None, reason)
    return AddressedRequest(topic, correlation, request, error)


def _parse(payload: bytes, max_bytes: int) -> tuple[ReplayRequest | None, str]:
    try:
        return parse_model(payload or b"{}", ReplayRequest, max_bytes=max_bytes), ""
    except UntrustedError as invalid:
        return None, str(invalid)


def _client_in(payload: bytes) -> str | None:
    """Returns the `client` of a request that is wrong otherwise, so that it can be answered."""
    found = _CLIENT.search(payload.decode("utf-8", "replace"))
    return found and found[1]


def events_for(
    request: ReplayRequest, context: SinkContext, newest: Cursor | None, options: ReplayOptions
) -> ReplayedEvents:
    """Returns the events after `since`, or the `last` ones; the rows without either, or when they are too old.

    Only on the sink's thread. Raises PublisherError.
    """
    if request.last is not None:
        return _newest_events(request, context, newest)
    since = request.since
    if since is not None and not _is_far(since, newest, options.max_events):
        events = context.events_since(since.epoch, since.seq)
        if events is not None:
            # With a filter the newest of them may be older than a snapshot that was published.
            published = newest.seq if newest is not None and newest.epoch == since.epoch else 0
            upto = max(events[-1].seq if events else since.seq, published)
            wanted = [event for event in events if request.wants(event)]
            return ReplayedEvents("events", False, since.epoch, upto, wanted)
    rows = context.snapshot()
    wanted = [event for event in rows if request.wants(event)]
    return ReplayedEvents("snapshot", since is not None, rows[0].epoch, rows[0].seq, wanted)


def _newest_events(request: ReplayRequest, context: SinkContext, newest: Cursor | None) -> ReplayedEvents:
    """Returns the newest events that the request includes, oldest first."""
    page = context.history(HistoryQuery(luid=request.luid, family=request.family, limit=request.last or 1))
    events = [event for event in reversed(page.events) if request.wants(event)]
    upto = max(events[-1].seq if events else 0, newest.seq if newest is not None else 0)
    return ReplayedEvents("events", False, context.epoch, upto, events)


def _is_far(since: Since, newest: Cursor | None, most: int) -> bool:
    """Returns whether so many events would follow that the rows are the better answer."""
    return newest is not None and since.epoch == newest.epoch and newest.seq - since.seq > most


def answer_messages(
    addressed: AddressedRequest, replayed: ReplayedEvents, messages: Messages, fits: Callable[[MqttMessage], bool]
) -> Iterator[MqttMessage]:
    """Yields the answer: its head at position 0, then an event at each position up to `count`.

    In place of an event that the broker does not take stands an error.
    """
    properties = messages.plain(addressed.correlation)
    count = len(replayed.events)
    head = AnswerHead(
        count=count, answer=replayed.kind, too_old=replayed.too_old, epoch=replayed.epoch, seq=replayed.seq
    )
    yield MqttMessage(addressed.topic, head.json_bytes, False, properties)
    for position, event in enumerate(replayed.events, 1):
        payload = b'{"position":%d,"count":%d,"event":%b}' % (position, count, event.json_bytes)
        message = MqttMessage(addressed.topic, payload, False, properties)
        if not fits(message):
            reason = f"the event {event.id} of {len(event.json_bytes)} bytes is larger than the broker takes"
            payload = AnswerEventError(position=position, count=count, error=reason).json_bytes
            message = MqttMessage(addressed.topic, payload, False, properties)
        yield message


def error_message(addressed: AddressedRequest, messages: Messages) -> MqttMessage:
    """Returns the answer to a request that is wrong."""
    payload = AnswerError(error=addressed.error).json_bytes
    return MqttMessage(addressed.topic, payload, False, messages.plain(addressed.correlation))
