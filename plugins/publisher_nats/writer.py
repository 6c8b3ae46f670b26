"""Writes a node's events into its bucket: as atomic batches, or as plain messages on one server alone."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from publisher import Event, Rejected

from .errors import WRONG_LAST_SEQUENCE, NatsRefused, PlaceMovedError
from .messages import Ack, NatsMessage
from .names import INSTANCE, NodeSubjects, stream_of
from .place import Place, last_message, position_value, read_place
from .plan import OPERATION, KeyWrite, SnapshotRows, chunks, is_end, step_of

if TYPE_CHECKING:
    from .connection import NatsConnection

# JetStream takes 1,000 messages in one batch; one is the position.
MOST_IN_BATCH = 999
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
# One server alone syncs each batch, which takes about so long however many messages it has; a plain message takes an
# answer's way (docs/nats.md).
_BATCH_SECONDS = 0.02
_BATCH_HEADER_BYTES = 200
KEPT = timedelta(days=1)
"""A removed interface's key, with its history, stays so long."""
_MOST_SWEPT = 200
_REMOVED = {OPERATION: "PURGE", "Nats-Rollup": "sub", "Nats-TTL": "1s"}


class NatsWriter:
    """Writes events behind the place that it knows. `place` is None when that is to be read again. One loop."""

    _connection: NatsConnection

    def __init__(self, bucket: str, subjects: NodeSubjects, instance: str) -> None:
        self._bucket = bucket
        self._subjects = subjects
        self._instance = {INSTANCE: instance}
        self._rows = SnapshotRows(subjects)
        self._answer_seconds = 0.001
        self.place: Place | None = None
        self.done = 0
        """So many events of the batch are stored."""
        self.alone = False
        """Whether the bucket is on one server: plain messages are quicker there."""
        self.may_remove = False
        """Whether the stream lets publishers remove messages: any node those of all, so not every stream does."""
        self.max_message = 0
        """The most bytes of a message that the stream takes, 0 for no limit of its own."""

    def use(self, connection: NatsConnection, config: Mapping[str, Any]) -> None:
        """Takes a connection and the stream's configuration; the place is to be read again."""
        self._connection, self.place = connection, None
        self.alone = config.get("num_replicas", 1) == 1
        self.max_message = max(0, config.get("max_msg_size", -1))
        self.may_remove = bool(config.get("allow_rollup_hdrs"))

    async def locate(self) -> Place:
        """Reads the place from the stream's leader."""
        self.place = await read_place(self._connection, self._bucket, self._subjects)
        return self.place

    async def write(self, events: Sequence[Event], *, deletes: bool) -> None:
        """Returns when all is stored. `deletes`: the end of a snapshot deletes the keys that it does not have.

        Raises NatsUnavailable, NatsRefused, Rejected or PlaceMovedError, after which `done` events are stored.
        """
        self.done = 0
        assert self.place is not None, "it was read"
        if len(events) == 1 and self._is_late(events[0], self.place):
            await self._write_late(events[0], self.place)
            return
        steps: list[KeyWrite] = []
        for index, event in enumerate(events):
            if event.snapshot is not None:
                self._rows.take(event)
            step = step_of(event, index, self._subjects)
            if step.message is not None and (reason := self._too_large(step.message)):
                await self._store(steps)
                raise Rejected(reason, index=index)
            if is_end(event) and deletes:
                steps += await self._deletions(index)
            steps.append(step)
        await self._store(steps)

    def _is_late(self, event: Event, place: Place) -> bool:
        """Returns whether this is an old event by itself, a dead letter: what follows it is there."""
        cursor = place.cursor
        return event.snapshot is None and cursor is not None and cursor.epoch == event.epoch and event.seq < cursor.seq

    async def _write_late(self, event: Event, place: Place) -> None:
        """Stores an old event, and its row's newest again behind it; the position stays."""
        step = step_of(event, 0, self._subjects)
        assert step.message is not None, "it is no marker"
        if reason := self._too_large(step.message):
            raise Rejected(reason, index=0)
        newest = await last_message(self._connection, stream_of(self._bucket), step.message.subject)
        steps = [replace(step, cursor=place.cursor, event_id=place.event_id)]
        if newest is not None:
            kept = {OPERATION: newest.headers[OPERATION]} if OPERATION in newest.headers else {}
            steps.append(replace(steps[0], message=NatsMessage(newest.subject, newest.value, kept)))
        await self._store_batch(steps)

    def _too_large(self, message: NatsMessage) -> str | None:
        size = message.size + _BATCH_HEADER_BYTES
        limits = [limit for limit in (self._connection.max_payload, self.max_message) if limit]
        if not limits or size <= min(limits):
            return None
        which = "max_payload" if min(limits) == self._connection.max_payload else "the stream's max_msg_size"
        return f"its {size} bytes are more than the {min(limits)} that the server takes ({which}): raise that limit"

    async def _deletions(self, index: int) -> list[KeyWrite]:
        """Returns the steps that delete the keys which the snapshot does not have, unless they are deleted."""
        deletions = []
        for subject in self._rows.missing(await self._stored()):
            newest = await last_message(self._connection, stream_of(self._bucket), subject)
            if newest is not None and OPERATION not in newest.headers:
                deletions.append(KeyWrite(NatsMessage(subject, b"", {OPERATION: "DEL"}), index, None))
        return deletions

    async def _stored(self) -> list[str]:
        """Returns the subjects of the node that the stream has messages of, also of deleted keys."""
        body = {"subjects_filter": self._subjects.every}
        found = await self._connection.api(f"STREAM.INFO.{stream_of(self._bucket)}", body)
        return [*(found["state"].get("subjects") or {})]

    async def sweep(self, live: Collection[str], older: timedelta = KEPT) -> bool:
        """Removes the keys that were deleted so long ago, with their history; returns whether there may be more.

        A deletion with a TTL would do it by itself, and then the value before it would be the key's newest again.
        Raises NatsUnavailable, NatsRefused or PlaceMovedError.
        """
        assert self.place is not None, "it was read"
        if self.place.cursor is None or not self.may_remove:
            return False
        removals: list[KeyWrite] = []
        for subject in sorted(await self._stored()):
            if not self._subjects.is_row(subject) or subject in live:
                continue
            newest = await last_message(self._connection, stream_of(self._bucket), subject)
            if newest is not None and OPERATION in newest.headers and datetime.now(UTC) - newest.time > older:
                message = NatsMessage(subject, b"", _REMOVED)
                removals.append(KeyWrite(message, 0, self.place.cursor, self.place.event_id))
            if len(removals) == _MOST_SWEPT:
                break
        await self._store_batch(removals)
        return len(removals) == _MOST_SWEPT

    async def _store(self, steps: Sequence[KeyWrite]) -> None:
        if self.alone and len(steps) * self._answer_seconds < _BATCH_SECONDS:
            await self._store_plain(steps)
            return
        for part in chunks(steps, MOST_IN_BATCH):
            await self._store_batch(part)

    async def _store_plain(self, steps: Sequence[KeyWrite]) -> None:
        """Stores each message by itself, guarded by the node's last one: behind a lost one none is taken."""
        began, stored = time.monotonic(), 0
        for step in steps:
            if step.message is not None:
                await self._put_behind_last(step.message)
                stored += 1
            self._took(step.done, step)
        if steps and (moved := _moved(steps)) is not None:
            ack = await self._put_behind_last(self._position(moved))
            self._took(steps[-1].done, moved, guard=ack.seq)
            stored += 1
        if stored:
            self._answer_seconds += ((time.monotonic() - began) / stored - self._answer_seconds) / 8

    async def _put_behind_last(self, message: NatsMessage) -> Ack:
        assert self.place is not None, "it was read"
        guard = {_EXPECTED: str(self.place.last), f"{_EXPECTED}-Subject": self._subjects.every}
        ack = await self._put(message.with_headers(guard))
        self.place = replace(self.place, last=ack.seq)
        return ack

    async def _store_batch(self, steps: Sequence[KeyWrite]) -> None:
        """Stores all of them and the position, or nothing."""
        if not steps:
            return
        assert self.place is not None, "it was read"
        messages = [step.message for step in steps if step.message is not None]
        guard = {_EXPECTED: str(self.place.guard)}
        moved = _moved(steps)
        if moved is not None:
            messages.append(self._position(moved).with_headers(guard))
        elif messages:
            messages[0] = messages[0].with_headers(guard | {f"{_EXPECTED}-Subject": self._subjects.position})
        if messages:
            ack = await self._put_batch(messages)
            self.place = replace(self.place, last=ack.seq)
            self._took(steps[-1].done, moved, guard=ack.seq if moved else None)

    def _position(self, step: KeyWrite) -> NatsMessage:
        assert step.cursor is not None, "it moves"
        return NatsMessage(self._subjects.position, position_value(step.cursor, step.event_id))

    async def _put_batch(self, messages: Sequence[NatsMessage]) -> Ack:
        *first, last = messages
        with _guarded():
            return await self._connection.put_batch([*first, last.with_headers(self._instance)])

    async def _put(self, message: NatsMessage) -> Ack:
        with _guarded():
            return await self._connection.put(message.with_headers(self._instance))

    def _took(self, done: int, moved: KeyWrite | None, guard: int | None = None) -> None:
        """Notes that so many events are stored, and the step that moved the position, if one did."""
        assert self.place is not None, "it was read"
        self.done = max(self.done, done)
        if moved is not None and moved.cursor is not None:
            self.place = replace(self.place, cursor=moved.cursor, event_id=moved.event_id)
        if guard is not None:
            self.place = replace(self.place, guard=guard)


def _moved(steps: Sequence[KeyWrite]) -> KeyWrite | None:
    """Returns the last of the steps that move the position."""
    return next((step for step in reversed(steps) if step.cursor is not None), None)


@contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except NatsRefused as error:
        if error.code in WRONG_LAST_SEQUENCE:
            raise PlaceMovedError(str(error)) from error
        raise
