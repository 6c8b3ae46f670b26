"""A new viewer of a whole fleet: `publisher.subscribe`, and nats-py alone that reads the same.

The program `python -m tests.benchmarks.nats.viewer ours|alone ROWS SERVER...` reads until it has so many rows, and
prints a line of JSON: the seconds from before it connects, the CPU seconds, and its memory in MiB.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import psutil

from publisher import NodeStatus, subscribe
from publisher.client import Rows
from tests.benchmarks.nats.alone import read

_LONGEST = 60.0


class Viewed(NamedTuple):
    """The cost of a complete view."""

    seconds: float
    cpu: float
    memory: float


def ours(rows: int, servers: Sequence[str]) -> object:
    """Returns the rows, once they are complete."""
    found, count, deadline = Rows(), 0, time.monotonic() + _LONGEST
    with subscribe(",".join(servers).replace(",nats://", ",")) as subscription:
        while count < rows:
            assert time.monotonic() < deadline, f"{count} of {rows} rows came"
            for entry in subscription.read(1.0):
                if not isinstance(entry, NodeStatus):
                    found.apply(entry)
                    count += not entry.is_marker
    assert len(found) == rows
    return found


def alone(rows: int, servers: Sequence[str]) -> object:
    """Returns the JSON of each key; the positions are beside the rows."""
    found = asyncio.run(read(servers, "KV_interfaces"))
    count = sum(not subject.endswith(".position") for subject, _ in found)
    assert count == rows, f"{count} of {rows} rows came"
    return found


def main(which: str, rows: int, servers: Sequence[str]) -> None:
    """Reads, and prints the cost."""
    begun, cpu = time.perf_counter(), time.process_time()
    kept = ours(rows, servers) if which == "ours" else alone(rows, servers)
    seconds = time.perf_counter() - begun
    memory = psutil.Process().memory_info().rss / 2**20
    assert kept
    print(json.dumps(Viewed(seconds, time.process_time() - cpu, memory)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
