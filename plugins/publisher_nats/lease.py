"""The key `<node>.status`: online while it is renewed, and replaced by the server's marker when it is not."""

from __future__ import annotations

import asyncio
import math
import socket
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from .errors import NO_RESPONDERS, NatsRefused, NatsUnavailable
from .messages import NatsMessage
from .names import INSTANCE
from .plan import is_end
from .status import FoundStatus, LeaseStatus, StatusKey
from .stream import ensured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from publisher import Cursor, Event, SinkContext

    from .connection import NatsConnection
    from .options import NatsOptions

# Two renewals may fail before viewers take the node for lost.
_RENEWALS_IN_A_LEASE = 3
_SHORTEST_TIMEOUT, _LONGEST_TIMEOUT = 1.0, 3.0
# Of the time limit: a server that has yet to learn of the status' stream gets it, and says so in time if it does not.
_PATIENCE = 0.8
_LONGEST_PAUSE = 1.0
_END_SECONDS = 2.0
_ATTEMPTS = 3
_LONGEST_HOST = 255


class LeaseSink(Protocol):
    """The sink that a lease is of."""

    connection: NatsConnection | None
    instance: str

    def connection_lost(self) -> None:
        """Has the connection made again."""

    def name_taken(self, status: LeaseStatus) -> None:
        """Takes note of another publisher that has the node's name now."""


class Lease:
    """Keeps a node online in the status bucket, from `begin` to `end`, by a task of the sink's loop.

    It is renewed also while a batch is written or waits for the servers: the publisher is there. No clock is compared:
    the server itself ends a lease. All calls come from the loop.
    """

    def __init__(self, options: NatsOptions, context: SinkContext, sink: LeaseSink) -> None:
        self._key = StatusKey(options.bucket, context.node)
        self._options = options
        self._log = context.log
        self._sink = sink
        # The server takes whole seconds, and cuts off the rest.
        self._seconds = math.ceil(options.lease.total_seconds())
        # Not the connection's own time: that is for a batch, and may be longer than the lease.
        self._timeout = min(max(self._seconds / 6, _SHORTEST_TIMEOUT), _LONGEST_TIMEOUT)
        self._status = LeaseStatus(
            node=context.node,
            online=True,
            epoch=context.epoch,
            in_sync=not options.snapshot,
            skips=options.skips,
            lease=self._seconds,
            host=socket.gethostname()[:_LONGEST_HOST],
        )
        self._takes_rows = options.snapshot
        self._seq = 0
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._is_over = False
        self._failures = 0
        self._is_taken = False

    async def begin(self) -> None:
        """Says that the node is online, and goes on to do so. Harmless when repeated.

        Whatever was there is replaced: the sink has looked for another publisher (rivals.py). Raises NatsUnavailable or
        NatsRefused.
        """
        if self._task is None:
            connection = self._open_connection()
            self._seq = (await self._key.read(connection)).seq
            await self._write(connection, self._status)
            self._is_over = False
            self._task = asyncio.create_task(self._renew_always())

    def located(self, cursor: Cursor | None) -> None:
        """Takes the place in the bucket: of another epoch, or without one, the rows there are not those of now."""
        is_known = cursor is not None and cursor.epoch == self._status.epoch
        self._update(cursor.seq if cursor is not None and is_known else 0, in_sync=is_known or not self._takes_rows)

    def sends(self, events: Sequence[Event]) -> None:
        """Takes the events that are written next: a part of a snapshot leaves the rows in between."""
        if events[-1].snapshot is not None and not is_end(events[-1]):
            self._update(self._status.seq, in_sync=False)

    def wrote(self, events: Sequence[Event]) -> None:
        """Takes the events that are there now."""
        self._update(events[-1].seq, in_sync=self._status.in_sync or any(map(is_end, events)))

    def _update(self, seq: int, *, in_sync: bool) -> None:
        """Keeps the state for the next renewal; a change of `in_sync` is written at once."""
        if in_sync != self._status.in_sync:
            self._changed.set()
        self._status = self._status.model_copy(update={"in_sync": in_sync, "seq": seq})

    async def end(self) -> None:
        """Says that the node is offline, unless another publisher has the name, or no server answers.

        A renewal that is under way is waited for: the servers of a cluster would write it all the same, a moment after
        they refused what was to follow it, and the node would be online until its lease is over.
        """
        task, self._task = self._task, None
        if task is None:
            return
        self._is_over = True
        self._changed.set()
        with suppress(NatsUnavailable, NatsRefused, TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await task
                if not self._is_taken:
                    offline = self._status.model_copy(update={"online": False})
                    await self._write(self._open_connection(), offline)

    async def _renew_always(self) -> None:
        pause = self._seconds / _RENEWALS_IN_A_LEASE
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(pause, _LONGEST_PAUSE) if self._failures else pause)
            if self._is_over:
                return
            self._changed.clear()
            connection = self._sink.connection
            was_open = connection is not None and connection.is_open
            try:
                await self._renew()
            except (NatsUnavailable, NatsRefused) as error:
                self._failed(error)
                if was_open and connection is not None and not connection.is_open:
                    self._sink.connection_lost()
            else:
                self._works()

    async def _renew(self) -> None:
        connection = self._open_connection()
        name = connection.name
        try:
            async with asyncio.timeout(self._timeout):
                await self._renew_by(connection)
        except TimeoutError:
            if self._failures:
                # Twice in a row: the server hangs, and another one is to be found while the lease lives.
                await connection.close()
            raise NatsUnavailable(f"{name} did not answer within {self._timeout:g} s") from None
        except NatsRefused as error:
            if error.code == NO_RESPONDERS:
                await ensured(connection, self._options)  # the stream was deleted
            raise

    async def _renew_by(self, connection: NatsConnection) -> None:
        if self._is_taken:
            found = await self._key.read(connection)
            if self._is_another(found):
                return
            self._is_taken, self._seq = False, found.seq
        await self._write(connection, self._status)

    def _is_another(self, found: FoundStatus) -> bool:
        return found.holder is not None and found.instance != self._sink.instance

    def _open_connection(self) -> NatsConnection:
        connection = self._sink.connection
        if connection is None or not connection.is_open:
            raise NatsUnavailable("there is no connection to a server")
        return connection

    async def _write(self, connection: NatsConnection, status: LeaseStatus) -> None:
        """Writes a status behind the last one of this publisher; raises NatsUnavailable or NatsRefused.

        Where another publisher is online, it writes nothing.
        """
        payload = status.model_copy(update={"time": datetime.now(UTC)}).model_dump_json().encode()
        headers = {INSTANCE: self._sink.instance} | ({"Nats-TTL": f"{self._seconds}s"} if status.online else {})
        message = NatsMessage(self._key.subject, payload, headers)
        for _ in range(_ATTEMPTS):
            if (seq := await self._key.put(connection, message, self._seq, self._timeout * _PATIENCE)) is not None:
                self._seq = seq
                return
            # The server's answer was lost, the lease ran out while this process was stopped, or the servers were put
            # back to an older state; or the name is another's now.
            found = await self._key.read(connection)
            if self._is_another(found) and found.status is not None:
                self._is_taken = True
                self._sink.name_taken(found.status)
                return
            self._seq = found.seq
        raise NatsRefused(f"{self._key.subject} is written by another program all the time")

    def _failed(self, error: NatsUnavailable | NatsRefused) -> None:
        # The first time, the next attempt is soon.
        log = self._log.warning if self._failures == 1 else self._log.debug
        self._failures += 1
        log("the status cannot be renewed; after %d s the node is lost for all who look: %s", self._seconds, error)

    def _works(self) -> None:
        if self._failures > 1:
            self._log.info("the status is renewed again")
        self._failures = 0
