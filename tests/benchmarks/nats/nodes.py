"""Many nodes in one process, each with the real sink and a connection of its own.

The program `python -m tests.benchmarks.nats.nodes FIRST COUNT ROWS SERVER...` reads a command a line, and answers each
with a line of JSON (`Delivered`) when every node is done:

- `snapshot`: opens the sinks, and each node publishes its rows;
- `change`: each node publishes an event for each of its rows, as one batch.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from publisher.delivery.backoff import Backoff, pause
from publisher.delivery.calls import Failed, cursor_of, published
from publisher.events import Event, IpInterface, Offload
from publisher.sink import Cursor
from publisher.testing import make_row, make_snapshot
from publisher.testing.context import FakeSinkContext
from publisher.testing.events import make_address, make_stamp
from publisher_nats.errors import NatsRefused
from publisher_nats.options import NatsOptions
from publisher_nats.sink import NatsSink

T = TypeVar("T")

_STACK = 256 << 10
_OFFLOAD = Offload(tl_datagram_checksum_supported=True, tl_stream_checksum_supported=True)


class Delivered(NamedTuple):
    """The end of a command, by time.perf_counter, the attempts that failed, and those that a server refused."""

    ended: float
    failed: int
    refused: int


class SinkOnSharedLoop(NatsSink):
    """The sink with its coroutines on one loop for all nodes: a thousand loops would be the machine's whole time."""

    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Returns the result of a coroutine, from the shared loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


class PlayedNode:
    """A node that does what a worker does, with events from memory. One thread at a time uses it."""

    def __init__(self, name: str, rows: Sequence[IpInterface], options: NatsOptions) -> None:
        self._context = FakeSinkContext(name, node=name)
        self._sink = SinkOnSharedLoop(options, self._context)
        self._backoff = Backoff()
        stamp = make_stamp(0, epoch=self._context.epoch, node=name)
        # Made before, with their JSON: all nodes are to publish at one moment.
        self._snapshot = make_snapshot(rows, node=name, epoch=stamp.epoch)
        self._changes: list[Event] = [stamp.event("parameter_notification", "notification", row) for row in rows]
        assert all(event.json_bytes for event in [*self._snapshot, *self._changes])
        self._opened = False
        self.failures: Counter[str] = Counter()

    def snapshot(self) -> None:
        """Publishes the rows."""
        self._deliver(self._snapshot)

    def change(self) -> None:
        """Publishes an event of each row."""
        self._deliver(self._changes)

    def _deliver(self, events: Sequence[Event]) -> None:
        """Returns when the destination has all; after a failure it goes on behind the destination's own cursor."""
        failures = 0
        while events:
            try:
                events = self._rest(events, failed_before=failures > 0)
                outcome = published(self._sink, events) if events else None
            except Exception as error:  # noqa: BLE001 - as the worker: whatever open and cursor raise leads to another try
                outcome = Failed(0, "open or cursor", error)
            if outcome is None:
                return
            assert isinstance(outcome, Failed), outcome
            failures += 1
            self.failures["refused" if isinstance(outcome.error.__cause__, NatsRefused) else "failed"] += 1
            time.sleep(pause(self._backoff.delay(failures), outcome.after))
            events = events[outcome.safe :]

    def _rest(self, events: Sequence[Event], *, failed_before: bool) -> Sequence[Event]:
        if not self._opened:
            self._sink.open()
            self._opened = True
        elif not failed_before:
            return events
        return left(events, cursor_of(self._sink))


def left(events: Sequence[Event], cursor: Cursor | None) -> Sequence[Event]:
    """Returns the events behind the cursor; a snapshot is whole or not there."""
    if cursor is None or cursor.epoch != events[0].epoch:
        return events
    return [event for event in events if event.seq > cursor.seq or event.snapshot is not None]


def rows_of_a_node(count: int) -> list[IpInterface]:
    """Returns the rows of half as many Ethernets in both families, with the members that Linux reports: 1.6 KB each."""
    return [_row(number // 2, number % 2 == 0) for number in range(count)]


def _row(number: int, is_inet: bool) -> IpInterface:
    addresses = [f"192.0.2.{number}/24"] if is_inet else [f"2001:db8::{number:x}/64", f"fe80::{number:x}/64"]
    return make_row(
        f"eth{number}",
        "inet" if is_inet else "inet6",
        index=number + 2,
        addresses=[make_address(text, prefix_origin="manual", suffix_origin="manual") for text in addresses],
        default_routes=["192.0.2.254" if is_inet else "fe80::ff"],
        interface={"permanent_physical_address": f"52:54:00:12:34:{number:02x}", "carrier_transitions": 2},
        weak_host_send=True,
        weak_host_receive=True,
        use_neighbor_unreachability_detection=True,
        base_reachable_time=30_000,
        reachable_time=29_396,
        retransmit_time=1_000,
        path_mtu_discovery_timeout=600_000,
        supports_neighbor_discovery=True,
        transmit_offload=_OFFLOAD,
    )


def name_of(number: int) -> str:
    """Returns the name of a played node."""
    return f"node{number:04d}"


def main(arguments: Sequence[str], commands: Iterable[str]) -> None:
    """Runs the commands."""
    first, count, rows = map(int, arguments[:3])
    options = NatsOptions.model_validate({"servers": arguments[3:]})
    threading.stack_size(_STACK)
    SinkOnSharedLoop.loop = asyncio.new_event_loop()
    threading.Thread(target=SinkOnSharedLoop.loop.run_forever, daemon=True).start()
    listed = rows_of_a_node(rows)
    nodes = [PlayedNode(name_of(number), listed, options) for number in range(first, first + count)]
    with ThreadPoolExecutor(count) as threads:
        print("ready", flush=True)
        for command in commands:
            done = threads.map(PlayedNode.snapshot if command.strip() == "snapshot" else PlayedNode.change, nodes)
            assert len(list(done)) == count
            failed, refused = (sum(node.failures[kind] for node in nodes) for kind in ("failed", "refused"))
            print(json.dumps(Delivered(time.perf_counter(), failed, refused)), flush=True)
            for node in nodes:
                node.failures.clear()


if __name__ == "__main__":
    main(sys.argv[1:], sys.stdin)
