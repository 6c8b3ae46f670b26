"""The `nats` sink: each row as a key of a JetStream bucket, each change as one commit (docs/nats.md)."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from publisher import AsyncSink, Backoff, Cursor, Event, Retry, SinkContext

from .errors import NatsRefused, NatsUnavailable
from .login import read_login
from .names import NodeSubjects
from .options import NatsOptions

if TYPE_CHECKING:
    from .connection import NatsConnection
    from .writer import NatsWriter


class NatsSink(AsyncSink):
    """Writes each event into a JetStream bucket, exactly once, and alone under its node's name."""

    Options: ClassVar[type[NatsOptions]] = NatsOptions
    batch_size = 256
    backoff: ClassVar[Backoff] = Backoff(2.0, 60.0)

    options: NatsOptions

    def __init__(self, options: NatsOptions, context: SinkContext) -> None:
        super().__init__(options, context)
        self.instance = secrets.token_hex(8)
        self.subjects = NodeSubjects(options.bucket, context.node)
        self.connection: NatsConnection | None = None
        self._writer: NatsWriter | None = None
        self._failures = 0
        self._not_before = 0.0
        self._closing = False

    async def aopen(self) -> None:
        """Connects, makes the bucket if it is missing, and reads the node's place in it."""
        read_login(self.options, self.context.log)
        try:
            await self._ready()
        except (NatsUnavailable, NatsRefused) as error:
            raise Retry(str(error)) from error

    def cursor(self) -> Cursor | None:
        """Returns the last event that the bucket holds; requests the snapshot when it holds none."""
        return self.run(self._cursor())

    async def _cursor(self) -> Cursor | None:
        try:
            writer = await self._ready()
            place = await writer.locate()
        except (NatsUnavailable, NatsRefused) as error:
            raise Retry(str(error)) from error
        if place.cursor is None:
            self.context.request_snapshot()
        return place.cursor

    async def apublish(self, events: Sequence[Event]) -> None:
        """Returns when the servers have confirmed every event; raises Retry or Rejected."""
        from .writer import PlaceMovedError

        if not events:
            return
        writer = None
        try:
            writer = await self._ready()
            await writer.write(events, deletes=self.options.snapshot)
        except (NatsUnavailable, NatsRefused, PlaceMovedError) as error:
            raise self._retry(str(error), writer, len(events)) from error

    def _retry(self, reason: str, writer: NatsWriter | None, count: int) -> Retry:
        """Returns the Retry of a batch that failed; the place is read again before the next attempt."""
        done = 0
        if writer is not None:
            done, writer.place = min(writer.done, count - 1), None
        return Retry(reason, after=max(0.0, self._not_before - time.monotonic()), index=done)

    async def _ready(self) -> NatsWriter:
        """Returns the writer, with a connection that is open and a place that is known."""
        from .connection import NatsConnection
        from .stream import ensured
        from .writer import NatsWriter

        if self.connection is None or not self.connection.is_open:
            self._writer = None
            if self.connection is not None:
                await self.connection.close()
            self.connection = NatsConnection(self.options, self.context.log, self._lost)
            await self.connection.open()
        if self._writer is None:
            config = await ensured(self.connection, self.options)
            self._writer = NatsWriter(self.connection, self.options.bucket, self.subjects, self.instance)
            self._writer.use(config)
        if self._writer.place is None:
            await self._writer.locate()
        # Here the lease begins: the node is online, as long as the connection is (lease.py).
        return self._writer

    def _lost(self) -> None:
        """Has the connection made again, at a random moment: a thousand nodes lost it with this one. On the loop."""
        self._failures += 1
        delay = 1.0 + self.backoff.delay(self._failures)
        self._not_before = time.monotonic() + delay
        self.context.call(self._reconnect, delay)

    def _reconnect(self) -> None:
        if not self._closing:
            self.run(self._ready())

    async def aclose(self) -> None:
        """Ends the connection, within about a second also when the server hangs."""
        self._closing = True
        # Here the lease ends: the node is offline.
        if self.connection is not None:
            await self.connection.close()
            # The transports of asyncio close in its next turn.
            await asyncio.sleep(0)
