"""Promise: each benchmark runs, and its short form is within wide margins of the budgets, on any machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest

from tests.benchmarks.busy_host import Stream
from tests.benchmarks.figures import Curve, Figure, Result, figures_of
from tests.benchmarks.plots import svg
from tests.fixtures.requirements import need
from tests.fixtures.starved import judged_while_awake

if sys.platform != "linux":
    pytest.skip("the benchmarks measure rtnetlink", allow_module_level=True)

from tests.benchmarks.subjects import (
    command,
    fleet,
    growth,
    journal,
    latency,
    nats_fleet,
    nats_sink,
    neighbours,
    process,
    reading,
    soak,
    stall,
    stream,
    throughput,
    webhook,
)

# The tests beside this one may take four fifths of the machine.
MARGIN = 12.0
# Of two contenders, which are measured one after the other, a machine that is so late held up one.
_LATE = 0.03
SHORT: dict[str, Callable[[], Iterable[Result]]] = {
    "latency": partial(latency.measure, rounds=1, hot=100, isolated=20),
    "throughput": partial(throughput.measure, rounds=1, events=2000),
    "stream": partial(stream.measure, bursts=1, changes=1000, steady=1.0),
    "soak": partial(soak.measure, rate=500, seconds=2.0),
    "stall": partial(stall.measure, rate=500, seconds=2.0, stopped=1.0),
    "growth": partial(growth.measure, links=(10, 100), addresses=(25, 100), ports=(10, 50), sinks=(1, 4)),
    "reading": partial(reading.measure, rounds=1, sizes=(100,), links=100),
    "process": partial(process.measure, rounds=1, many=100, idle_seconds=1.0),
    "neighbours": partial(neighbours.measure, rounds=1, changes=50, sinks=5),
    "journal": partial(journal.measure, rounds=1),
    "webhook": partial(webhook.measure, rounds=1),
    "command": partial(command.measure, rounds=1, changes=20),
    "fleet": partial(fleet.measure, nodes=20),
    "nats_sink": partial(nats_sink.measure, rounds=1, events=1000, changes=50),
    "nats_fleet": partial(nats_fleet.measure, sizes=(1, 4), rounds=1),
}


@pytest.mark.parametrize("subject", SHORT)
def test_the_short_form_keeps_the_budgets_with_wide_margins(subject: str) -> None:
    need("mosquitto", package="mosquitto")
    need("ip", package="iproute2")

    def keeps_them() -> None:
        figures = figures_of(SHORT[subject]())
        assert figures
        assert not [figure.cells() for figure in figures if not depends_on_load(figure) and not figure.kept(MARGIN)]

    judged_while_awake(keeps_them, within=_LATE)


def depends_on_load(figure: Figure) -> bool:
    """Returns whether other programs decide: the slowest of a hundred, and times that have no peer."""
    return "p99" in figure.what or (figure.beside is None and figure.unit in ("us", "ms", "s", "% of a core"))


def test_a_budget_is_for_the_ratio_to_the_peer() -> None:
    most = Figure("latency", 4.0, "ms", 5, "peer", 1.0)
    assert most.kept()
    assert not Figure("latency", 6.0, "ms", 5, "peer", 1.0).kept()
    assert Figure("latency", 6.0, "ms", 5, "peer", 1.0).kept(margin=2)
    assert not Figure("rate", 0.5, "/s", 0.6, "peer", 1.0, at_least=True).kept()
    assert not Figure("lost", 1, "", 0).kept(margin=100)


def test_a_stream_counts_steps_back_and_snapshots() -> None:
    event = b'{"family":"inet","snapshot":null,"row":{"nl_mtu":%d},"interface":{"alias":"b0","mtu":%d}}'
    stream = Stream()
    for mtu in (1400, 1401, 1400, 1402):
        stream.take(event % (mtu, mtu))
    stream.take(b'{"snapshot":{"id":"x","position":0,"count":1}}')
    assert (stream.events, stream.back, stream.snapshots) == (4, 2, 1)
    assert stream.newest == {(b"b0", b"inet"): 1402, (b"b0", b"nlinet"): 1402}


def test_a_herd_counts_what_is_lost_repeated_and_wrong() -> None:
    rows = {f"$KV.interfaces.a.{n}.inet": n for n in range(3)}
    stored: list[tuple[str, dict[str, Any]]] = [
        *((subject, {"node": "a", "seq": 0, "snapshot": {"position": n + 1}}) for subject, n in rows.items()),
        ("$KV.interfaces.a.position", {"seq": 0}),
        *((subject, {"node": "a", "seq": n + 1, "snapshot": None}) for subject, n in rows.items()),
        ("$KV.interfaces.a.position", {"seq": 3}),
    ]
    assert nats_fleet.faults_in(stored, 1, 3) == (0, 0, 0)
    assert nats_fleet.faults_in([*stored, stored[-2]], 1, 3) == (0, 1, 0)
    assert nats_fleet.faults_in([*stored[:-2], stored[-1]], 1, 3) == (1, 0, 1)
    assert nats_fleet.faults_in(stored, 2, 3) == (3, 0, 3)


def test_quadratic_growth_misses_its_budget() -> None:
    linear, quadratic = (Curve("CPU", "links", "ms", [(n, n**power) for n in (10, 100, 1000)]) for power in (1, 2))
    assert linear.figure().kept()
    assert not quadratic.figure().kept()
    assert svg([linear, quadratic]).count("<polyline") == 6
