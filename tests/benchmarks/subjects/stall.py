"""A broker that stands still in a steady stream: what a sink is behind is kept in the journal, and not in memory."""

from __future__ import annotations

import threading
import time

import psutil

from tests.benchmarks.busy_host import BusyHost, busy_host
from tests.benchmarks.figures import Figure, median


def measure(rate: float = 2500.0, seconds: float = 20.0, stopped: float = 4.0) -> list[Figure]:
    """The rate is half of what a machine of two processors can do; the broker stops for some of the seconds."""
    with busy_host() as host:
        host.at_a_rate(rate, seconds)
        before = median(host.memory)
        host.memory.clear()
        host.behind.clear()
        stopping = threading.Thread(target=stop, args=(host, stopped))
        stopping.start()
        late, lost = host.at_a_rate(rate, seconds)
        stopping.join()
        what = f"a broker that stops for {stopped:.0f} s, {rate:,.0f} events/s for {seconds:.0f} s"
        return [
            Figure(f"{what}: the last event after the last change", late.value, "s", late.limit),
            Figure(f"{what}: events lost", lost.value, "", 0),
            Figure(f"{what}: snapshots", host.stream.snapshots, "", 0),
            Figure(f"{what}: the most memory", max(host.memory), "MiB", 1.25, "without a stop", before),
        ]


def stop(host: BusyHost, seconds: float) -> None:
    """Stops the broker for so many seconds, in the middle of a stream."""
    assert host.broker.process is not None
    process = psutil.Process(host.broker.process.pid)
    time.sleep(seconds / 4)
    process.suspend()
    time.sleep(seconds)
    process.resume()
