"""This host's interfaces, as the page shows them: read from the journal."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from publisher import Event, HistoryQuery, SinkContext, __version__

from ..stream.messages import SseMessage, SseMessages, compact, event_with_text, message_of, row_json
from ..stream.shared import SharedCopy, SharedPast
from ..stream.stream import EventStream
from .interfaces import HistoryRequest
from .journal_calls import JournalCalls

# Of what somebody missed, no more than this is held in memory; else he gets the snapshot.
_MOST_MISSED_BYTES = 16 << 20
_FLAPS_SINCE = timedelta(hours=1)


class _RowsJson(NamedTuple):
    seq: int
    rows: tuple[bytes, ...]


class ShownHost:
    """The journal, as the page shows it. On the server's loop.

    The rows are not held here: they are read from the journal when somebody wants them, by the sink's thread, which
    alone may. All that ask at one time get one copy.
    """

    def __init__(self, context: SinkContext, *, skips: bool, settles: bool) -> None:
        self.epoch = context.epoch
        self.stream = EventStream()
        self._context = context
        self._skips, self._settles = skips, settles
        self._calls = JournalCalls(context)
        self._snapshots = SharedCopy(lambda: self._calls.on_sink_thread(self._read_snapshot), self._newest)
        self._rows = SharedCopy(lambda: self._calls.on_sink_thread(self._read_rows), self._newest)
        self._past = SharedPast(
            lambda after: self._calls.on_sink_thread(lambda: self._read_missed(after)), self.stream.reaches
        )
        self._lost_at = -1
        self._beginning: list[SseMessage] = []

    def close(self) -> None:
        """Ends what reads the journal."""
        self._calls.close()

    def take(self, events: Iterable[Event]) -> None:
        """Shows events: of a snapshot to all viewers, who begin again with it; else the changes."""
        tail: list[SseMessage] = []
        for event in events:
            message = message_of(event)
            if event.snapshot is None:
                tail.append(message)
            else:
                self.stream.add(tail)
                tail = []
                self._take_row(event, message)
        self.stream.add(tail)

    def _take_row(self, event: Event, message: SseMessage) -> None:
        assert event.snapshot is not None
        if event.is_marker:
            self._beginning = []
            if event.cause == "overrun":
                self._lost_at = event.seq
        self._beginning.append(message)
        if event.snapshot.position == event.snapshot.count:
            snapshot, self._beginning = SseMessages(event.seq, tuple(self._beginning)), []
            self._snapshots.offer(snapshot)
            self.stream.begin_again(snapshot)

    def _newest(self) -> int:
        return self.stream.seq

    def nodes(self, seq: int, *, in_sync: bool) -> list[dict[str, Any]]:
        node = {"node": self._context.node, "online": True, "in_sync": in_sync, "epoch": self.epoch}
        newest = max(self.stream.seq, seq)
        return [node | {"seq": newest, "skips": self._skips, "os": platform.system().lower()}]

    def knows_rows(self, snapshot: SseMessages) -> bool:
        """Returns whether the journal knows the rows: until the first are read, there are none."""
        return len(snapshot.messages) > 1 or self.stream.round > 0

    async def snapshot(self) -> SseMessages:
        return await self._snapshots.get()

    async def missed(self, seq: int) -> SseMessages | None:
        """Returns the events after this one, from the journal; `None` also where the loss of some is marked.

        With `settle` also: what waits to settle would be there twice.
        """
        return None if seq < self._lost_at or self._settles else await self._past.get(seq)

    async def rows(self) -> Iterable[bytes]:
        rows = await self._rows.get()
        flaps = await self._calls.on_reader(self._flaps)
        return self._rows_json(rows, flaps)

    def _rows_json(self, rows: _RowsJson, flaps: Mapping[str, Any]) -> Iterator[bytes]:
        is_known = bool(rows.rows) or self.stream.round > 0
        head = {
            "nodes": self.nodes(rows.seq, in_sync=is_known),
            "flaps": {self._context.node: flaps},
            "fleet": False,
            "version": __version__,
        }
        yield compact(head)[:-1] + b',"rows":['
        for index, row in enumerate(rows.rows):
            yield row if index == 0 else b"," + row
        yield b"]}"

    def _flaps(self) -> dict[str, list[tuple[str, int]]]:
        found = self._context.flaps(datetime.now(UTC) - _FLAPS_SINCE)
        return {luid: [(flap.time.isoformat(), flap.count) for flap in flaps] for luid, flaps in found.items()}

    async def history(self, request: HistoryRequest) -> bytes:
        if request.node not in (None, self._context.node):
            return b'{"events":[],"more":false}'
        return await self._calls.on_reader(lambda: self._history(request))

    def _history(self, request: HistoryRequest) -> bytes:
        query = HistoryQuery(luid=request.luid, family=request.family, before=request.before, limit=request.limit)
        page = self._context.history(query)
        return b'{"events":[%b],"more":%b}' % (b",".join(map(event_with_text, page.events)), compact(page.more))

    async def status(self) -> Mapping[str, Any]:
        return self._context.status()

    def _read_snapshot(self) -> SseMessages:
        messages = tuple(map(message_of, self._context.snapshot()))
        return SseMessages(messages[-1].seq if messages else 0, messages)

    def _read_rows(self) -> _RowsJson:
        seq, rows = 0, []
        for event in self._context.snapshot():
            seq = event.seq
            if not event.is_marker:
                rows.append(row_json(event))
        return _RowsJson(seq, tuple(rows))

    def _read_missed(self, seq: int) -> SseMessages | None:
        events = self._context.events_since(self.epoch, seq)
        found, size = [], 0
        for event in events or ():
            found.append(message_of(event))
            size += found[-1].size
        if events is None or size > _MOST_MISSED_BYTES:
            return None
        return SseMessages(found[-1].seq if found else seq, tuple(found))
