"""From the kernel's messages to a subscriber: bursts, and a steady rate."""

from __future__ import annotations

import time

from tests.benchmarks.busy_host import LINKS, BusyHost, Stream, busy_host
from tests.benchmarks.figures import Figure, median
from tests.benchmarks.peers import paho_alone
from tests.benchmarks.program import FILE


def measure(bursts: int = 5, changes: int = 20_000, steady: float = 60.0) -> list[Figure]:
    """Bursts beside paho alone with messages of the same size; then for some seconds a quarter of paho's rate."""
    payloads = [b"x" * 1150] * changes
    rates, alone = [], []
    with busy_host(FILE) as host:
        memory = host.program.memory
        for _ in range(bursts):
            before = host.stream.events
            seconds, _ = host.run(changes)
            rates.append((host.stream.events - before) / seconds)
            alone.append(changes / host.netns.in_thread(paho_alone.seconds, host.broker.port, payloads))
        paho, what = median(alone), "from netlink to a subscriber, bursts"
        return [
            Figure(what, median(rates), "events/s", 0.6, "paho alone", paho, 1, at_least=True),
            *after_bursts(host, f"{bursts} bursts of {changes:,} changes on {len(LINKS)} links", memory),
            *host.at_a_rate(paho / 4, steady),
        ]


def after_bursts(host: BusyHost, what: str, memory: float) -> list[Figure]:
    """The judgements on what the bursts left."""
    time.sleep(1)
    streams = (host.stream, in_file(host))
    return [
        Figure(f"{what}: memory after", host.program.memory, "MiB", 2, "before", memory, 1.5),
        Figure(f"{what}: live sinks that got a snapshot", sum(stream.snapshots > 0 for stream in streams), "", 0),
        Figure(f"{what}: events that step back", sum(stream.back for stream in streams), "", 0),
        Figure(f"{what}: states that are wrong in the end", host.wrong_states(), "", 0),
    ]


def in_file(host: BusyHost) -> Stream:
    """Returns the events of the file sink."""
    host.program.settled()
    stream = Stream()
    with (host.program.folder / "events.jsonl").open("rb") as lines:
        for line in lines:
            stream.take(line)
    stream.snapshots -= 1  # the one at the start
    return stream
