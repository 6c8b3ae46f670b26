"""Empties what a node left in the buckets, when the configuration no longer names it, or when a person asks for it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Literal

from publisher import Rejected, Retry

from .errors import STREAM_NOT_FOUND, WRONG_LAST_SEQUENCE, NatsRefused
from .messages import NatsMessage
from .names import POSITION, NodeSubjects, stream_of
from .place import last_message
from .status import FoundStatus, LeaseStatus, StatusKey

if TYPE_CHECKING:
    from publisher import SinkContext

    from .connection import NatsConnection

_NO_EPOCH = "0" * 16
# The sink that takes this one's place may be about to connect.
_GRACE_SECONDS = 3.0
# The server needs about a second to replace a status whose lease has ended. A person waits for a minute at most.
_MARKER_DELAY_SECONDS, _LONGEST_WAIT_SECONDS = 3.0, 45.0
_LOOK_SECONDS = 0.25
_MARKER = {"KV-Operation": "PURGE"}
# A follower that comes back within a day reads the marker.
_MARKER_OF_A_DAY = _MARKER | {"Nats-TTL": "24h"}
# Seconds for a server to learn of the status' stream.
_PATIENCE = 2.0
Way = Literal["roll up", "purge", "keep"]
# Not each stream allows rollups: a node that may remove its own past by one may remove that of all nodes by another.
_HEADERS: dict[Way, dict[str, str]] = {
    "roll up": _MARKER_OF_A_DAY | {"Nats-Rollup": "sub"},
    "purge": _MARKER_OF_A_DAY,
    "keep": _MARKER,
}


class NodeForgetting:
    """Empties one node's keys, over a connection of its own. One event loop.

    It needs the right to write the node's keys, and where the stream does not allow rollups, that to purge it, for
    their past. Other nodes' keys are not touched, nor those of a publisher that runs.
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
            refusal = await self._empty_bucket()
            await self._empty_status()
            if refusal is not None:
                self._tell_of_past(refusal)
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

    async def _empty_bucket(self) -> NatsRefused | None:
        """Removes the rows, in any order, and then the position; returns the reason for which their past stays."""
        try:
            info = await self._connection.api(f"STREAM.INFO.{self._stream}", {"subjects_filter": self._subjects.every})
        except NatsRefused as error:
            if error.code == STREAM_NOT_FOUND:
                return None
            raise
        kept = info["state"].get("subjects") or {}
        subjects = [*sorted(filter(self._subjects.is_row, kept)), *({self._subjects.position} & kept.keys())]
        if not subjects:
            return None
        refusal = None if (may_roll_up := info["config"].get("allow_rollup_hdrs")) else await self._refusal_to_purge()
        way: Way = "roll up" if may_roll_up else "purge" if refusal is None else "keep"
        for subject in subjects:
            await self._remove(subject, kept[subject], way)
        return refusal

    async def _refusal_to_purge(self) -> NatsRefused | None:
        """Returns the refusal of a purge by this user, tried with a key that nobody has."""
        try:
            await self._purge(f"{self._subjects.position}.{POSITION}", 1)
        except NatsRefused as error:
            return error
        return None

    async def _purge(self, subject: str, before: int) -> None:
        await self._connection.api(f"STREAM.PURGE.{self._stream}", {"filter": subject, "seq": before})

    async def _remove(self, subject: str, messages: int, past: Way) -> None:
        """Puts a marker in the place of a key, and removes its past in one of these ways.

        Where that stays, the marker stays, too: the key would have its last value again when the marker ends.
        """
        message = await last_message(self._connection, self._stream, subject)
        if message is None or (not message.value and (messages == 1 or past == "keep")):
            return
        headers = _HEADERS[past] | {"Nats-Expected-Last-Subject-Sequence": str(message.seq)}
        try:
            ack = await self._connection.put(NatsMessage(subject, b"", headers))
        except NatsRefused as error:
            if error.code not in WRONG_LAST_SEQUENCE:
                raise
            raise Retry(f"{subject} was written meanwhile: a publisher may have begun to use this node name") from error
        if past == "purge":
            await self._purge(subject, ack.seq)

    def _tell_of_past(self, refusal: NatsRefused) -> None:
        told = (
            f"the rows are removed for all who look, and their past stays in the stream {self._stream}: forget the "
            f"node once more as a user that may purge that stream ({refusal})"
        )
        if self._is_for_a_person:
            raise Rejected(told)
        self._context.log.warning("%s", told)

    async def _empty_status(self) -> None:
        """Removes the status: the node is not lost, it is no longer known."""
        found = await self._status.read(self._connection)
        if not found.seq or found.is_forgotten:
            return
        message = NatsMessage(self._status.subject, b"", _MARKER_OF_A_DAY)
        if await self._status.put(self._connection, message, found.seq, _PATIENCE) is None:
            raise Retry("the status was written meanwhile: a publisher has begun to use this node name")
