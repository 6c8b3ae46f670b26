"""5,000 events in a second for ten minutes: nothing is lost, memory is flat. `make bench ARGS=soak`."""

from __future__ import annotations

import time

from tests.benchmarks.busy_host import busy_host
from tests.benchmarks.figures import Figure, median

# Until caches and the journal are full, memory may grow: this share of the time is the reference.
_FIRST = 4


def measure(rate: float = 5000.0, seconds: float = 600.0) -> list[Figure]:
    """The rate is absolute: what a machine of two processors of 2020 can do."""
    with busy_host() as host:
        figures = host.at_a_rate(rate, seconds)
        memory = host.memory
        first = median(memory[: 1 + len(memory) // _FIRST])
        time.sleep(1)
        return [
            *figures,
            Figure("soak: events that step back", host.stream.back, "", 0),
            Figure("soak: snapshots", host.stream.snapshots, "", 0),
            Figure("soak: states that are wrong in the end", host.wrong_states(), "", 0),
            Figure("soak: the largest backlog in seconds", max(host.behind) / rate, "s", 4),
            Figure("soak: the most memory", max(memory), "MiB", 1.25, "in the first quarter", first),
        ]
