"""Answers to a viewer's questions from the stream: the rows of a node, or its changes after a place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from publisher.untrusted import UntrustedError, parse_model

from ..place import StoredPosition
from .consumer import ConsumerRequest, PlacedMessage, StreamConsumer, check_open

if TYPE_CHECKING:
    from publisher import Cursor
    from publisher.client import Nodes, Question

    from ..connection import NatsConnection
    from .bucket import Bucket

_LONGEST_POSITION = 4096
_LOOK_SECONDS = 1.0
_NO_ROOM_SECONDS = 0.05


async def answer(question: Question, connection: NatsConnection, bucket: Bucket, nodes: Nodes) -> None:
    """Gives what is asked for to the nodes; raises NatsUnavailable or NatsRefused."""
    request = ConsumerRequest(bucket.stream, bucket.subjects_of(question.node))
    if question.since is not None:
        positions = ConsumerRequest(bucket.stream, bucket.position_of(question.node), first=0)
        first = await _first(positions, question.since, connection)
        request = ConsumerRequest(bucket.stream, bucket.subjects_of(question.node), first)
    async for message in _all(request, connection):
        while not nodes.has_room:
            check_open(connection)
            await asyncio.sleep(_NO_ROOM_SECONDS)
        bucket.give(message, nodes)
    nodes.ordered.end(question.node)


async def _first(positions: ConsumerRequest, since: Cursor, connection: NatsConnection) -> int:
    """Returns the first place that may have a change after `since`: a position is the last message of its batch."""
    found = 0
    async for message in _all(positions, connection):
        position = _position(message)
        if position is not None and position.epoch == since.epoch and position.seq <= since.seq:
            found = message.place
    return found + 1


def _position(message: PlacedMessage) -> StoredPosition | None:
    try:
        return parse_model(message.payload, StoredPosition, max_bytes=_LONGEST_POSITION)
    except UntrustedError:
        return None


async def _all(request: ConsumerRequest, connection: NatsConnection) -> AsyncIterator[PlacedMessage]:
    """Yields the messages that are there; raises NatsUnavailable or NatsRefused."""
    news = asyncio.Event()
    consumer = StreamConsumer(connection, request, news.set)
    await consumer.open()
    try:
        while True:
            news.clear()
            while (message := consumer.take()) is not None:
                yield message
            if consumer.is_caught_up:
                return
            check_open(connection)
            await consumer.pull()
            if not consumer.has_more:
                await _heard(news)
                consumer.check()
    finally:
        await consumer.close()


async def _heard(news: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(news.wait(), _LOOK_SECONDS)
    except TimeoutError:
        return
