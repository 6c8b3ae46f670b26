"""The key `<node>.status`: online while it is renewed, and replaced by the server's marker when it is not."""

from __future__ import annotations

import asyncio
import math
import socket
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from publisher.untrusted import UntrustedError, parse_model

from .errors import STREAM_NOT_FOUND, WRONG_LAST_SEQUENCE, NatsRefused, NatsUnavailable
from .messages import NatsMessage
from .names import INSTANCE, NodeSubjects, status_bucket, stream_of
from .place import last_message
from .plan import is_end
from .stream import ensured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from publisher import Cursor, Event, SinkContext

    from .connection import NatsConnection
    from .options import NatsOptions

# Two renewals may fail before viewers take the node for lost.
_RENEWALS_IN_A_LEASE = 3
_SHORTEST_TIMEOUT, _LONGEST_TIMEOUT = 1.0, 3.0
_LONGEST_PAUSE = 1.0
_END_SECONDS = 2.0
_ATTEMPTS = 3
_MOST_BYTES = 1 << 16
_LONGEST_HOST = 255


class LeaseStatus(BaseModel):
    """The value of the status key."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    node: str = Field(min_length=1, max_length=255)
    online: bool
    in_sync: bool = Field(default=False, description="True once the rows there are whole")
    epoch: str = Field(default="", max_length=64)
    seq: int = Field(default=0, ge=0, description="The newest event there, at the last renewal")
    skips: bool = Field(default=False, description="True with `only` or `settle`: a hole in `seq` is no loss")
    lease: float = Field(default=0.0, ge=0, description="Seconds; it is renewed each third of it")
    time: AwareDatetime | None = Field(default=None, description="For people: nothing is decided by it")
    host: str = Field(default="", max_length=255, description="The host's own name")


class FoundStatus(NamedTuple):
    """The last message of a status key: its sequence, 0 for none, its status, None for a marker, and its writer."""

    seq: int = 0
    status: LeaseStatus | None = None
    instance: str = ""
    is_forgotten: bool = False

    @property
    def holder(self) -> LeaseStatus | None:
        """The status of the publisher that holds the lease, if one does: the server removes one that was killed."""
        return self.status if self.status is not None and self.status.online else None


class StatusKey:
    """The status of one node in the status bucket."""

    def __init__(self, bucket: str, node: str) -> None:
        self.stream = stream_of(status_bucket(bucket))
        self.subject = NodeSubjects(bucket, node).status

    async def read(self, connection: NatsConnection) -> FoundStatus:
        """Returns the last message, as the stream's leader knows it; raises NatsUnavailable or NatsRefused."""
        try:
            message = await last_message(connection, self.stream, self.subject)
        except NatsRefused as error:
            if error.code != STREAM_NOT_FOUND:
                raise
            message = None
        if message is None:
            return FoundStatus()
        try:
            status = parse_model(message.value, LeaseStatus, max_bytes=_MOST_BYTES) if message.value else None
        except UntrustedError:
            status = None
        instance, operation = message.headers.get(INSTANCE, ""), message.headers.get("KV-Operation")
        return FoundStatus(message.seq, status, instance, operation is not None)

    async def put(self, connection: NatsConnection, message: NatsMessage, after: int) -> int | None:
        """Writes behind the message `after`; returns the new sequence, None when another message is the last one.

        Raises NatsUnavailable, after which it may be written or not, or NatsRefused.
        """
        guarded = message.with_headers({"Nats-Expected-Last-Subject-Sequence": str(after)})
        try:
            return (await connection.put(guarded)).seq
        except NatsRefused as error:
            if error.code in WRONG_LAST_SEQUENCE:
                return None
            raise


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
        """Says that the node is offline, unless another publisher has the name, or no server answers."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        if not self._is_taken:
            offline = self._status.model_copy(update={"online": False})
            with suppress(NatsUnavailable, NatsRefused, TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await self._write(self._open_connection(), offline)

    async def _renew_always(self) -> None:
        pause = self._seconds / _RENEWALS_IN_A_LEASE
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(pause, _LONGEST_PAUSE) if self._failures else pause)
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
            from .connection import NO_RESPONDERS

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
            if (seq := await self._key.put(connection, message, self._seq)) is not None:
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
