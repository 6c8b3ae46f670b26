"""A sink that hangs and a sink that raises change neither the order nor the latency of another one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from publisher.delivery.inbox import Clock
from publisher.events import Event
from publisher.sink import Sink, SinkContext, SinkOptions
from publisher.testing import Recorder
from tests.fixtures.pipeline import Pipeline

ROUNDS, EVENTS = 6, 80


class Timed(Sink):
    """A sink that records the time at which each event arrives."""

    def __init__(self, arrivals: dict[int, float], context: SinkContext) -> None:
        super().__init__(SinkOptions(), context)
        self.arrivals = arrivals

    def open(self) -> None: ...

    def publish(self, events: Sequence[Event]) -> None:
        for event in events:
            self.arrivals[event.seq] = time.perf_counter()

    def close(self) -> None: ...


class Raising(Timed):
    """A sink that fails at every batch."""

    def publish(self, events: Sequence[Event]) -> None:
        raise RuntimeError(f"as always, with {len(events)} events")


def latencies(directory: Path, *, troubled: bool) -> list[float]:
    """Returns the seconds from append to arrival of single events, alone or beside two troubled sinks."""
    arrivals: dict[int, float] = {}
    hung = Recorder()
    hung.hang()
    with closing(Pipeline(directory / f"{troubled}.db")) as pipeline:
        if troubled:
            pipeline.deliver(hung, "hangs", clock=Clock())
            pipeline.deliver(lambda context: Raising({}, context), "raises", clock=Clock())
        pipeline.deliver(lambda context: Timed(arrivals, context), "well", clock=Clock())
        begun: dict[int, float] = {}
        for _ in range(EVENTS):
            begun[pipeline.table.stamp.seq + 1] = time.perf_counter()
            [event] = pipeline.change()
            deadline = time.monotonic() + 30
            while event.seq not in arrivals:
                assert time.monotonic() < deadline
                time.sleep(0)
        hung.flow()
    assert list(arrivals) == sorted(arrivals)
    return [arrivals[seq] - started for seq, started in begun.items()]


def test_bad_company_costs_a_sink_nothing(tmp_path: Path) -> None:
    alone: list[list[float]] = []
    beside: list[list[float]] = []
    for number in range(ROUNDS):
        directory = tmp_path / str(number)
        directory.mkdir()
        alone.append(latencies(directory, troubled=False))
        beside.append(latencies(directory, troubled=True))
    # Of the best round of each: a sink that holds others up does it in all rounds, and a busy machine in some.
    assert best(beside, 10) < 3 * best(alone, 10) + 0.001
    assert best(beside, 19) < 5 * best(alone, 19) + 0.005


def best(rounds: list[list[float]], part: int) -> float:
    """Returns the smallest of the rounds' quantiles, of twenty parts: 10 for the median."""
    return min(statistics.quantiles(seconds, n=20)[part - 1] for seconds in rounds)
