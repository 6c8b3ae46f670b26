"""The interfaces of many nodes, as the page shows them: received by a subscription, and held here."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from publisher import Event, HistoryQuery, IpInterface, NodeStatus, __version__
from publisher.client import Rows
from publisher.events import Moment, SnapshotEvents
from publisher.history import flaps_of, page_of

from ..stream.messages import SseMessage, SseMessages, compact, event_with_text, message_of, row_json
from ..stream.shared import SharedCopy
from ..stream.stream import EventStream
from .interfaces import HistoryRequest

# The history that is held: so many events, and so many bytes of their JSON.
_MOST_EVENTS, _MOST_BYTES = 2000, 8 << 20
# Of so many interfaces the answers of their nodes are held.
_MOST_PASTS = 20
_FLAPS_SINCE = timedelta(hours=1)


class ShownFleet:
    """The nodes, their rows, and the newest events, as the page shows them. On the server's loop.

    The messages have an epoch and a seq of their own, since those of the nodes are independent: whoever returns gets
    what it missed while this process lives and holds it, else the rows.
    """

    def __init__(self, ask: Callable[[str, str], Sequence[Event] | None] = lambda _node, _luid: None) -> None:
        """`ask` returns the newest events of an interface as its node has them; `None` without an answer. It blocks."""
        self._ask = ask
        self._asker = ThreadPoolExecutor(1, "history of nodes")
        self._past: dict[tuple[str, str], list[Event]] = {}
        self.epoch = f"{time.time_ns() // 1000:016x}"
        self.stream = EventStream()
        self._rows = Rows()
        self._nodes: dict[str, NodeStatus] = {}
        self._seq = 0
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._begun: list[Event | NodeStatus] = []
        """The beginning of a snapshot, whose other rows come next."""
        self._snapshots: SharedCopy[SseMessages] = SharedCopy(self._made_snapshot, lambda: self._seq)

    def close(self) -> None:
        """Ends the thread that asks nodes, when it has its answer."""
        self._asker.shutdown(wait=False, cancel_futures=True)

    def take(self, entries: Iterable[Event | NodeStatus]) -> None:
        """Shows events, and states of nodes.

        A snapshot is shown when it is whole: who began in the middle of one would keep the rows that it does not have.
        """
        entries = [*self._begun, *entries]
        whole = len(entries)
        while whole and _is_within_snapshot(entries[whole - 1]):
            whole -= 1
        self._begun = entries[whole:]
        self.stream.add([self._message(entry) for entry in entries[:whole]])

    def _message(self, entry: Event | NodeStatus) -> SseMessage:
        self._seq += 1
        if isinstance(entry, NodeStatus):
            self._nodes[entry.node] = entry
            return SseMessage(self._seq, self._id, compact(_node(entry)), b"", name=b"node")
        self._rows.apply(entry)
        if entry.snapshot is None:
            self._remember(entry)
        if entry.node in self._nodes:
            self._nodes[entry.node] = replace(self._nodes[entry.node], epoch=entry.epoch, seq=entry.seq)
        message = message_of(entry)
        return message._replace(seq=self._seq, id=self._id if message.id else b"")

    @property
    def _id(self) -> bytes:
        return f"{self.epoch}-{self._seq:016d}".encode()

    def _remember(self, event: Event) -> None:
        self._events.append(event)
        self._bytes += len(event.json_bytes)
        while len(self._events) > _MOST_EVENTS or (self._bytes > _MOST_BYTES and len(self._events) > 1):
            self._bytes -= len(self._events.popleft().json_bytes)

    def nodes(self, seq: int, *, in_sync: bool) -> list[dict[str, Any]]:  # noqa: ARG002  # each node has its own
        return [node | {"in_sync": in_sync and node["in_sync"]} for node in map(_node, self._nodes.values())]

    def knows_rows(self, snapshot: SseMessages) -> bool:  # noqa: ARG002  # each node's state says it
        """Returns True: what is not in sync, is said of each node."""
        return True

    async def snapshot(self) -> SseMessages:
        return await self._snapshots.get()

    async def _made_snapshot(self) -> SseMessages:
        messages = [message_of(event)._replace(id=b"", seq=self._seq) for event in self._snapshot_events()]
        if messages:
            messages[-1] = messages[-1]._replace(id=self._id)
        return SseMessages(self._seq, tuple(messages))

    def _snapshot_events(self) -> Iterator[Event]:
        for status in self._nodes.values():
            rows = [
                IpInterface(
                    row=event.row,
                    interface=event.interface,
                    addresses=event.addresses,
                    default_routes=event.default_routes,
                )
                for event in self._rows.of(status.node).values()
            ]
            moment = Moment(status.node, status.epoch or "0" * 16, status.seq, datetime.now(UTC))
            yield from SnapshotEvents(moment, "notification", rows, lambda row: row)

    async def missed(self, seq: int) -> None:
        """Returns `None`: what the stream no longer has is nowhere."""

    async def rows(self) -> Iterable[bytes]:
        since = datetime.now(UTC) - _FLAPS_SINCE
        flaps = {node: self._flaps(node, since) for node in self._nodes}
        head = {"nodes": self.nodes(0, in_sync=True), "flaps": flaps, "fleet": True, "version": __version__}
        head["cursor"] = self._id.decode()
        return _rows_json(compact(head), tuple(self._rows.values()))

    def _flaps(self, node: str, since: datetime) -> dict[str, list[tuple[str, int]]]:
        found = flaps_of((event for event in self._events if event.node == node), since)
        return {luid: [(flap.time.isoformat(), flap.count) for flap in flaps] for luid, flaps in found.items()}

    async def history(self, request: HistoryRequest) -> bytes:
        query = HistoryQuery(luid=request.luid, family=request.family, before=request.before, limit=request.limit)
        if request.node is not None and request.luid is not None and request.before is None:
            await self._read_past(request.node, request.luid)
        page = page_of(self._known(request), query)
        return b'{"events":[%b],"more":%b}' % (b",".join(map(event_with_text, page.events)), compact(page.more))

    async def _read_past(self, node: str, luid: str) -> None:
        """Asks the node, whose journal reaches back to before this process began."""
        events = await asyncio.get_running_loop().run_in_executor(self._asker, self._ask, node, luid)
        if events is not None:
            self._past.pop((node, luid), None)
            if len(self._past) >= _MOST_PASTS:
                del self._past[next(iter(self._past))]
            self._past[node, luid] = list(events)

    def _known(self, request: HistoryRequest) -> list[Event]:
        """Returns the events of a node that are known, oldest first: those it answered with, and those seen since."""
        past = self._past.get((request.node or "", request.luid or ""), [])
        seen = (event for event in self._events if request.node in (None, event.node))
        known = {(event.node, event.epoch, event.seq): event for event in (*past, *seen)}
        return list(known.values()) if request.node is None else [known[place] for place in sorted(known)]

    async def status(self) -> Mapping[str, Any]:
        return {"nodes": self.nodes(0, in_sync=True)}


def _is_within_snapshot(entry: Event | NodeStatus) -> bool:
    """Returns whether more of the same snapshot follows."""
    place = None if isinstance(entry, NodeStatus) else entry.snapshot
    return place is not None and place.position < place.count


def _rows_json(head: bytes, rows: Sequence[Event]) -> Iterator[bytes]:
    yield head[:-1] + b',"rows":['
    for index, event in enumerate(rows):
        yield row_json(event) if index == 0 else b"," + row_json(event)
    yield b"]}"


def _node(status: NodeStatus) -> dict[str, Any]:
    """Returns a node's state, as messages and answers have it."""
    names = ("node", "online", "in_sync", "epoch", "seq", "skips")
    return {name: getattr(status, name) for name in names}
