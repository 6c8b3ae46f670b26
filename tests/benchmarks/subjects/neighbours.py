"""A healthy file sink beside a sink that hangs, and beside 49 others: its latency as a ratio to that alone.

Changes are 30 ms apart, so that each is the latency of a change and not the work that the sinks have left over from the
one before: back to back, 50 sinks are asked for what one processor can do.
"""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from contextlib import closing

from tests.benchmarks.changes import Mtu
from tests.benchmarks.figures import Figure, median, percentile
from tests.benchmarks.program import STDOUT, Running, namespace, publisher

PORT = 8080
HANGING = f'[sinks.hung]\ntype = "webhook"\nurl = "http://127.0.0.1:{PORT}/"\n'
LINK = "v0"
_APART = 0.03


def others(count: int) -> str:
    """Returns the configuration of so many file sinks more."""
    return "".join(f'[sinks.other{n}]\ntype = "file"\npath = "other{n}.jsonl"\n' for n in range(count))


def measure(rounds: int = 5, changes: int = 200, sinks: int = 50) -> list[Figure]:
    """Measures the three in turns."""
    kinds = {"alone": "", "hung": HANGING, "many": others(sinks - 1)}
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, configuration in kinds.items():
            found[name].append(percentile(times(configuration, changes), 99) * 1e3)
    alone, hung, many = (median(found[name]) for name in kinds)
    return [
        Figure("change to a line, beside a sink that hangs, p99", hung, "ms", 1.2, "alone", alone),
        Figure(f"change to a line, beside {sinks - 1} other sinks, p99", many, "ms", 2, "alone", alone),
    ]


def times(sinks: str, changes: int) -> list[float]:
    """Returns the seconds from each change to its line."""
    with namespace(f"link add {LINK} type ifb") as netns, closing(netns.call(receiver_that_hangs)) as receiver:
        with publisher(netns, STDOUT + sinks) as program:
            wait_for_snapshot(program)
            # Until the neighbour hangs it starts up, which is its own CPU time and not what is asked here.
            neighbour = [netns.call(receiver.accept)] if sinks == HANGING else []

            def follow() -> list[float]:
                with Mtu() as mtu:
                    return [one(program, mtu, 1300 + number) for number in range(changes + 20)][20:]

            found = netns.in_thread(follow)
        for connection, _ in neighbour:
            connection.close()
    return found


def receiver_that_hangs() -> socket.socket:
    """It takes connections, in the kernel, and never reads or answers."""
    return socket.create_server(("127.0.0.1", PORT))


def wait_for_snapshot(program: Running) -> None:
    """Waits for the end of the snapshot."""
    while not ((snapshot := program.line().get("snapshot")) and snapshot["position"] == snapshot["count"]):
        pass


def one(program: Running, mtu: Mtu, value: int) -> float:
    """Makes a change after a pause; returns the seconds to its line."""
    time.sleep(_APART)
    begun = mtu.set(LINK, value)
    while True:
        changed = program.line().get("changed", {}).get("row.nl_mtu")
        arrived = time.perf_counter()
        if changed and changed["after"] == value:
            return arrived - begun
