"""Bytes that a subscriber reads: topics and payloads of a broker, keys and values of a bucket, the stream of a page.

An input is several messages with \\x1e between them; a message is a topic, a line feed, and a payload.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from publisher.client import Nodes, Question, SubscribeRequest
from publisher.client.outbox import Waiting
from publisher.events import SnapshotEvents
from publisher.testing import make_event, make_events, make_snapshot
from publisher_mqtt.client.connection import IncomingMessage
from publisher_mqtt.subscriber.transport import MqttTopics
from publisher_nats.subscriber.bucket import Bucket
from publisher_nats.subscriber.consumer import PlacedMessage
from publisher_web.client import PageError, SseParser

logging.getLogger("publisher").addHandler(logging.NullHandler())
_SEPARATOR = b"\x1e"
_LUID = "0006008002000000"
_LONGEST_STEP = 20.0


class Reader:
    """A reader that takes everything, and a node that answers nothing."""

    has_room = True

    def put(self, entry: Waiting) -> None:
        if isinstance(entry, SnapshotEvents):
            list(entry)

    def ask(self, question: Question) -> None: ...

    def states_again(self, node: str) -> None: ...


class Clock:
    """A clock that goes on at each look."""

    now = 0.0

    def __call__(self) -> float:
        self.now += _LONGEST_STEP
        return self.now


def _nodes() -> Nodes:
    return Nodes(SubscribeRequest("mqtt://broker"), Reader(), Clock())


def _parts(data: bytes) -> Iterator[tuple[bool, str, bytes]]:
    """Yields a flag, a topic and a payload for each message."""
    for part in data.split(_SEPARATOR)[:50]:
        topic, _, payload = part.partition(b"\n")
        yield topic[:1] == b"!", topic.lstrip(b"!").decode(errors="replace"), payload


def broker(data: bytes) -> None:
    """Takes messages of a broker; one marked with ! is retained."""
    nodes, topics = _nodes(), MqttTopics("interfaces", (), "me")
    nodes.connected()
    for retained, topic, payload in _parts(data):
        topics.give(IncomingMessage(f"interfaces/{topic}", payload, retained, None, None), nodes)
        nodes.tick()
    nodes.disconnected()
    nodes.connected()
    nodes.tick()


def bucket(data: bytes) -> None:
    """Takes messages of a bucket; one marked with ! removes its key."""
    nodes, keys = _nodes(), Bucket("interfaces", ())
    nodes.ordered.begin()
    for place, (removed, key, payload) in enumerate(_parts(data), 1):
        headers = {"KV-Operation": "DEL"} if removed else {}
        keys.give(PlacedMessage(f"$KV.interfaces.{key}", payload, headers, place, 0, 0), nodes)
        keys.give_status(PlacedMessage(f"$KV.interfaces_status.{key}", payload, headers, place, 0, 0), nodes)
        if place == 3:
            nodes.ordered.end()
        nodes.ordered.tick()
        nodes.ordered.look()
    nodes.ordered.disconnected()
    nodes.ordered.begin()
    nodes.ordered.end()


def page(data: bytes) -> None:
    """Takes the stream of a page, in pieces; raises PageError."""
    nodes, parser = _nodes(), SseParser()
    for start in range(0, len(data), 97):
        for message in parser.messages(data[start : start + 97]):
            if message.kind == "node":
                nodes.streamed_status(message.data)
            elif message.kind == "message":
                nodes.streamed(message.data)


def broker_seeds() -> Iterator[bytes]:
    event = make_event(2)
    state = b'{"epoch":"%b","seq":1,"time":"2026-11-22T20:04:12Z",%b' % (
        event.epoch.encode(),
        event.ip_interface_json[1:],
    )
    info = b'{"epoch":"%b","seq":1,"rows":1}' % event.epoch.encode()
    place = f"nas/{event.luid}/{event.family}".encode()
    head = b'{"position":0,"count":1,"answer":"snapshot","epoch":"%b","seq":1}' % event.epoch.encode()
    messages = [
        b"!nas/status\nonline",
        b"!nas/info\n" + info,
        b"!%b/state\n%b" % (place, state),
        b"%b/event\n%b" % (place, event.json_bytes),
        b"%b/event\n%b" % (place, make_event(5).json_bytes),
        b"nas/replay/me\n" + head,
        b'nas/replay/me\n{"position":1,"count":1,"event":%b}' % event.json_bytes,
        b'nas/replay/me-past\n{"position":0,"count":0,"error":"no"}',
        b"!%b/state\n" % place,
        b"!nas/info\n",
    ]
    yield from messages
    yield _SEPARATOR.join(messages)


def bucket_seeds() -> Iterator[bytes]:
    event = make_event(2)
    key = f"testnode.{event.luid}.{event.family}".encode()
    place = b'testnode.position\n{"epoch":"%b","seq":2}' % event.epoch.encode()
    status = b'testnode.status\n{"node":"testnode","online":true,"in_sync":true,"lease":30}'
    rows = [b"%b\n%b" % (key, row.json_bytes) for row in (*make_snapshot()[1:], event, *make_events(2, 3))]
    yield from (rows[0], place, status, b"!%b\n" % key)
    yield _SEPARATOR.join([*rows, place, status, b"!%b\n" % key])


def page_seeds() -> Iterator[bytes]:
    node = b'event: node\ndata: {"node":"testnode","online":true,"in_sync":true}\n\n'
    events = b"".join(b"id: x-1\ndata: %b\n\n" % one.json_bytes for one in (*make_snapshot(), *make_events(3)))
    yield from (node, events, node + events + b": quiet\r\n\r\nretry: 5\nevent\n\n")


PAGE_ERRORS = (PageError,)
