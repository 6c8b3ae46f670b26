"""Two publishers with one node name: one is refused and told, and nothing of the other's is damaged."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count, groupby
from pathlib import Path

import pytest

from publisher.events import Event
from tests.faults import changing
from tests.fixtures.nats import NatsCluster, NatsServer
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.program import Program, journal_events
from tests.fleet.fleet import BUCKET, journal_end, journal_rows, state_of
from tests.fleet.judge import Judge
from tests.fleet.verdict import judged

if sys.platform != "linux":
    pytest.skip("only Linux has network namespaces", allow_module_level=True)

NODE, REFUSAL = "nas", "another publisher uses the node name"


@pytest.mark.parametrize("size", [1, 3])
def test_one_of_two_publishers_is_refused_and_the_other_loses_nothing(
    size: int, inside_netns: NetNs, tmp_path: Path
) -> None:
    inside_netns.ip("link set lo up", "link add mark type ifb")
    mtus = count(1300)
    with ExitStack() as around:
        urls = around.enter_context(servers(size, tmp_path))
        first, second = (publisher(inside_netns, tmp_path / name, urls) for name in ("first", "second"))
        around.enter_context(first.running())
        judge = around.enter_context(Judge(urls, BUCKET))
        with changing(lambda: inside_netns.ip(f"link set mark mtu {next(mtus)}"), pause=0.02):
            wait_for(lambda: len(judge.stored) > 20, what="events of the first publisher")
            around.enter_context(second.running())
            wait_for(lambda: any(map(is_refused, (first, second))), what="the refusal of one")
            read = len(judge.stored)
            wait_for(lambda: len(judge.stored) > read + 200, what="events of the other")
        [other] = [one for one in (first, second) if not is_refused(one)]
        other.mark(next(mtus))  # its journal has each change by then
        check_undamaged(judge, other)
        told = sum(one.log().count(REFUSAL) for one in (first, second))
        assert told < 10, f"the refusal is logged {told} times"


@contextmanager
def servers(size: int, folder: Path) -> Iterator[Sequence[str]]:
    """Yields the URLs of one server alone, or of a cluster."""
    if size == 1:
        with NatsServer(folder / "alone") as server:
            yield [server.url]
    else:
        with NatsCluster(folder, size) as cluster:
            yield cluster.urls


def publisher(netns: NetNs, folder: Path, urls: Sequence[str]) -> Program:
    """Returns a publisher with a journal of its own, of which each has the same name."""
    folder.mkdir()
    return Program(netns, folder, "[sinks.fleet]", 'type = "nats"', f"servers = {json.dumps(urls)}")


def is_refused(program: Program) -> bool:
    return REFUSAL in program.log()


def check_undamaged(judge: Judge, program: Program) -> None:
    """Checks that everything of a publisher is there, once and with nobody else's in between, and its table is kept."""
    end = journal_end(program.journal)
    wait_for(lambda: any(one[3:5] == end for one in reversed(judge.stored)), what=f"the end of the other: {end}")
    turns = [epoch for epoch, _ in groupby(one.epoch for one in judge.stored)]
    assert turns[-1] == end.epoch
    assert len(turns) <= 2, f"the two publishers took turns: {turns}"
    verdict = judged(
        [one for one in judge.stored if one.epoch == end.epoch], end.epoch, journal_events(program.journal)
    )
    assert verdict.is_good, verdict
    last = judge.last_per_key()
    del last[f"{NODE}.position"]
    rows = {key.removeprefix(f"{NODE}."): state_of(Event.from_json(one.data)) for key, one in last.items()}
    assert rows == journal_rows(program.journal)
