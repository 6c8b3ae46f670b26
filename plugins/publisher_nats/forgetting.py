"""Empties what a node left in the buckets, when the configuration no longer names it, or when a person asks for it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from publisher import Rejected, Retry

from .errors import STREAM_NOT_FOUND, WRONG_LAST_SEQUENCE, NatsRefused
from .lease import FoundStatus, LeaseStatus, StatusKey
from .messages import NatsMessage
from .names import NodeSubjects, stream_of
from .place import last_message

if TYPE_CHECKING:
    from publisher import SinkContext

    from .connection import NatsConnection

_NO_EPOCH = "0" * 16
# The sink that takes this one's place may be about to connect.
_GRACE_SECONDS = 3.0
# The server needs about a second to replace a status whose lease has ended. A person waits for a minute at most.
_MARKER_DELAY_SECONDS, _LONGEST_WAIT_SECONDS = 3.0, 45.0
_LOOK_SECONDS = 0.25
# The key's past is purged with it: it would be the key's value again when the marker ends. A follower that comes back
# within a day reads the marker.
_MARKER = {"KV-Operation": "PURGE", "Nats-Rollup": "sub", "Nats-TTL": "24h"}


class NodeForgetting:
    """Empties one node's keys, over a connection of its own. One event loop.

    It needs the right to write the node's keys, and no other. Other nodes' keys are not touched, nor those of a
    publisher that runs.
    """

    def __init__(self, connection: NatsConnection, bucket: str, context: SinkContext) -> None:
        self._connection = connection
        self._stream = stream_of(bucket)
        self._subjects = NodeSubjects(bucket, context.node)
        self._status = StatusKey(bucket, context.node)
        self._context = context

    async def empty(self) -> None:
        """Returns when nothing of the node is left; raises Retry, Rejected, NatsUnavailable or NatsRefused.

        The status is last: as long as it is there, the rest is known to be unfinished.
        """
        if (status := await self._publisher()) is None:
            await self._empty_bucket()
            await self._empty_status()
        elif self._is_for_a_person:
            raise Rejected(
                f"a publisher runs that has the node name {status.node} there: host {status.host!r}, epoch "
                f"{status.epoch}; stop it, or take the sink out of its configuration"
            )
        # Else: the same bucket by another server, or another host has the name now. What it uses is its own.

    @property
    def _is_for_a_person(self) -> bool:
        """True for `publisher forget`, which has no journal of its own."""
        return self._context.epoch == _NO_EPOCH

    async def _publisher(self) -> LeaseStatus | None:
        """Returns the status of a publisher that renews it; None when there is none. Raises Retry when that is open."""
        found = await self._status.read(self._connection)
        while (newer := await self._newer(found)) is not None:
            if newer.holder is not None:
                return newer.holder
            found = newer
        if (holder := found.holder) is not None:
            raise Retry(
                f"a publisher that has the node name {holder.node} may run there: host {holder.host!r}; its lease of "
                f"{holder.lease:.0f} s has not ended yet",
                after=holder.lease,
            )
        return None

    async def _newer(self, found: FoundStatus) -> FoundStatus | None:
        """Waits for another status than this one, as long as one is to be expected, and returns it."""
        seconds = 0.0 if self._is_for_a_person else _GRACE_SECONDS
        if found.holder is not None:
            seconds = min(found.holder.lease + _MARKER_DELAY_SECONDS, _LONGEST_WAIT_SECONDS)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(_LOOK_SECONDS)
            newer = await self._status.read(self._connection)
            if newer.seq != found.seq:
                return newer
        return None

    async def _empty_bucket(self) -> None:
        """Removes the rows, in any order, and then the position."""
        try:
            info = await self._connection.api(f"STREAM.INFO.{self._stream}", {"subjects_filter": self._subjects.every})
        except NatsRefused as error:
            if error.code == STREAM_NOT_FOUND:
                return
            raise
        kept = info["state"].get("subjects") or {}
        for subject in sorted(filter(self._subjects.is_row, kept)):
            await self._remove(subject, kept[subject])
        if self._subjects.position in kept:
            await self._remove(self._subjects.position, kept[self._subjects.position])

    async def _remove(self, subject: str, count: int) -> None:
        """Puts a marker in the place of a key and of its past, unless one is all that is there."""
        message = await last_message(self._connection, self._stream, subject)
        if message is None or (count == 1 and not message.value):
            return
        guard = {"Nats-Expected-Last-Subject-Sequence": str(message.seq)}
        try:
            await self._connection.put(NatsMessage(subject, b"", _MARKER | guard))
        except NatsRefused as error:
            if error.code not in WRONG_LAST_SEQUENCE:
                raise
            raise Retry(f"{subject} was written meanwhile: a publisher may have begun to use this node name") from error

    async def _empty_status(self) -> None:
        """Removes the status: the node is not lost, it is no longer known."""
        found = await self._status.read(self._connection)
        if not found.seq or found.is_forgotten:
            return
        message = NatsMessage(self._status.subject, b"", _MARKER)
        if await self._status.put(self._connection, message, found.seq) is None:
            raise Retry("the status was written meanwhile: a publisher has begun to use this node name")
