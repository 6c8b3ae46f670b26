"""The `nats` sink: each row as a key of a JetStream bucket, each change as one commit (docs/nats.md)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from publisher import AsyncSink, Backoff, Cursor, Event, Retry, SinkContext
from publisher.terminal import printable

from .errors import NatsRefused, NatsUnavailable, PlaceMovedError, RivalError
from .login import read_login
from .names import NodeSubjects
from .options import NatsOptions
from .rivals import Rivals

if TYPE_CHECKING:
    from .connection import NatsConnection
    from .lease import Lease
    from .place import Place
    from .status import LeaseStatus
    from .writer import NatsWriter

_TROUBLE = (NatsUnavailable, NatsRefused, PlaceMovedError, RivalError)
_ASTRAY = "the bucket is not as it was left: it was put back to another state, or made anew"
# A connection that lasted so long was a good one, and its loss is a first one.
_GOOD_SECONDS = 30.0
_SWEEP_FIRST, _SWEEP_ON, _SWEEP_AGAIN = 600.0, 10.0, 12 * 3600.0


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
        self.rivals = Rivals(options, context.node, context.epoch, self.instance)
        self._writer: NatsWriter | None = None
        self._lease: Lease | None = None
        self._left: Place | None = None
        """The place after the last write that succeeded; None after a failure, until the cursor was asked for."""
        self._is_astray = False
        """True while the bucket is not as this sink left it: the worker is to ask for the cursor."""
        self._is_prepared = False
        """True when the bucket was found, or made, and no other publisher, over this connection."""
        self._failures = 0
        self._not_before = self._connected_at = 0.0
        self._is_open = False

    async def aopen(self) -> None:
        """Connects, makes the bucket if it is missing, and reads the node's place in it; raises Retry."""
        read_login(self.options, self.context.log)
        try:
            await self._ready()
        except _TROUBLE as error:
            raise self._retry(error) from error
        self._is_open = True
        self.context.call(self._sweep, _SWEEP_FIRST)

    def cursor(self) -> Cursor | None:
        """Returns the last event that the bucket holds; requests the snapshot when it holds none."""
        return self.run(self._cursor())

    async def _cursor(self) -> Cursor | None:
        try:
            self._left = None
            writer = await self._ready()
            place = await writer.locate()
        except _TROUBLE as error:
            raise self._retry(error) from error
        self._left, self._is_astray = place, False
        self._online.located(place.cursor)
        if place.cursor is None:
            self.context.request_snapshot()
        return place.cursor

    async def apublish(self, events: Sequence[Event]) -> None:
        """Returns when the servers have confirmed every event; raises Retry or Rejected."""
        if not events:
            return
        writer = None
        try:
            writer = await self._ready()
            if self._is_astray:
                raise PlaceMovedError(_ASTRAY)
            self._online.sends(events)
            await writer.write(events, deletes=self.options.snapshot)
            self._online.wrote(events)
        except _TROUBLE as error:
            done = 0 if writer is None else min(writer.done, len(events) - 1)
            if isinstance(error, PlaceMovedError) and writer is not None and not self._is_astray:
                await self._judge(writer)
            self._left = None
            raise self._retry(error, done) from error
        self._left = writer.place

    async def _judge(self, writer: NatsWriter) -> None:
        """Finds out who moved the place: another publisher, or nobody, as in a bucket that was put back."""
        before = writer.place
        try:
            now = await writer.locate()
            if before is not None:
                self.rivals.judge(before, now)
            if self.rivals.is_fenced:
                await self._ready()
        except (NatsUnavailable, NatsRefused):
            pass  # the batch has failed anyway, and the next attempt looks again
        except RivalError as error:
            raise self._retry(error) from error

    def _retry(self, error: Exception, done: int = 0) -> Retry:
        """Returns the Retry of a failure; the place is read again before the next attempt."""
        if self._writer is not None:
            self._writer.place = None
        after = max(0.0, self._not_before - time.monotonic())
        if isinstance(error, NatsRefused):
            self._is_prepared = False  # the stream may be gone, or have other settings now
            # A server that came back refuses batches of a thousand nodes at once: they are to come apart.
            after = max(after, 1.0 + self.backoff.delay(1))
        return Retry(str(error), after=after, index=done)

    async def _ready(self) -> NatsWriter:
        """Returns the writer, with a connection that is open, alone under the node's name, and at a known place."""
        from .connection import NatsConnection
        from .stream import ensured
        from .writer import NatsWriter

        if self.connection is None or not self.connection.is_open:
            self._is_prepared = False
            if self.connection is not None:
                await self.connection.close()
            self.connection = NatsConnection(self.options, self.connection_lost)
            await self.connection.open()
            self._connected_at = time.monotonic()
        if self._writer is None:
            self._writer = NatsWriter(self.options.bucket, self.subjects, self.instance)
        if not self._is_prepared or self.rivals.is_fenced:
            self._writer.use(self.connection, await ensured(self.connection, self.options))
            await self._give_way(self.connection)
            self._is_prepared = True
        if self._writer.place is None:
            self._compare(await self._writer.locate())
        await self._online.begin()
        self.context.unreachable(None)
        return self._writer

    @property
    def _online(self) -> Lease:
        from .lease import Lease

        if self._lease is None:
            self._lease = Lease(self.options, self.context, self)
        return self._lease

    async def _give_way(self, connection: NatsConnection) -> None:
        """Raises RivalError while another publisher is there; after that one has ended, its rows are replaced."""
        was_fenced = self.rivals.is_fenced
        await self.rivals.give_way(connection)
        if was_fenced:
            self._is_astray, self._left = True, None
            self.context.request_snapshot()

    def _compare(self, now: Place) -> None:
        """Notes when the bucket is not as this sink left it: the next write is to fail, and the cursor to be asked."""
        left, self._left = self._left, None
        if left is not None and left != now:
            self._is_astray = True
            self.rivals.judge(left, now)

    def name_taken(self, status: LeaseStatus) -> None:
        """Has the sink give way to another publisher, which is online under the node's name. On the loop."""
        self.rivals.fence()
        self.context.log.warning(
            "another publisher uses the node name %s: host %s, with the journal %s; stop one of them, or give it "
            "another name (node = ...)",
            status.node,
            printable(status.host),
            status.epoch,
        )

    def connection_lost(self) -> None:
        """Has the connection made again, at a random moment: a thousand nodes lost it with this one. On the loop."""
        if time.monotonic() - self._connected_at > _GOOD_SECONDS:
            self._failures = 0
        self._failures += 1
        # No worker tries again within a second: without that, half of them would come back at its end, all at once.
        delay = 1.0 + self.backoff.delay(self._failures)
        self._not_before = time.monotonic() + delay
        self.context.call(self._reconnect, delay)

    def _reconnect(self) -> None:
        """Connects again while there is nothing to publish. On the sink's thread."""
        if not self._is_open:
            return
        try:
            self.run(self._ready())
            if self._is_astray:
                # So that something is published now: it fails, and then the worker asks for the cursor.
                self.context.request_snapshot()
        except (NatsUnavailable, NatsRefused, RivalError) as error:
            self.context.log.debug("not connected again: %s", error)
            self.context.unreachable(f"not connected: {error}")
            self.connection_lost()

    def _sweep(self) -> None:
        """Removes what is left of interfaces that were removed a day ago. On the sink's thread."""
        live = {self.subjects.row(one.luid, one.family) for one in self.context.snapshot() if one.luid and one.family}
        has_more = self.run(self._swept(live))
        self.context.call(self._sweep, _SWEEP_ON if has_more else _SWEEP_AGAIN)

    async def _swept(self, live: set[str]) -> bool:
        writer = None
        try:
            writer = await self._ready()
            has_more = not self._is_astray and await writer.sweep(live)
        except _TROUBLE as error:
            self.context.log.debug("what is left of removed interfaces stays: %s", error)
            self._retry(error)
            return False
        self._left = writer.place
        return has_more

    def retains(self) -> tuple[str, ...]:
        """Returns the node's keys in the bucket."""
        return (f"{self.options.place}/{self.subjects.token}",)

    def forget(self, places: Sequence[str]) -> None:
        """Removes the node's rows, position and status, if no publisher uses them; raises Retry or Rejected."""
        if places:
            self.run(self._forget())

    async def _forget(self) -> None:
        from .connection import NatsConnection
        from .forgetting import NodeForgetting

        if self.connection is not None:
            await self.connection.close()  # of an attempt before this one
        self.connection = NatsConnection(self.options)
        try:
            await self.connection.open()
            await NodeForgetting(self.connection, self.options.bucket, self.context).empty()
        except (NatsUnavailable, NatsRefused) as error:
            raise Retry(str(error)) from error

    def check(self) -> str:
        """Tries the servers, the buckets and the rights; raises NatsRefused."""
        from .check import check_servers

        return self.run(check_servers(self.options, self.context.node))

    async def aclose(self) -> None:
        """Ends the connection, within about a second also when the server hangs."""
        self._is_open = False
        if self._lease is not None:
            await self._lease.end()
        if self.connection is not None:
            await self.connection.close()
