"""The kill test of a fleet: servers and publishers are killed by a seed, and once every store is put back.

The short form is a part of continuous integration, `make test-fleet` is the long one. At the end an independent reader
of the stream, the journals and a viewer are compared; a check that fails shows the seed and what happened.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from publisher.events import Event
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fleet.fleet import BUCKET, LEASE, REAL, Fleet, state_of
from tests.fleet.judge import Judge
from tests.fleet.verdict import judged
from tests.fleet.viewer import Viewer

if sys.platform != "linux":
    pytest.skip("only Linux has network namespaces", allow_module_level=True)
# nats-py 2.16 forgets a connection that a killed server had not answered yet, and asyncio finds it unclosed.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning")


def test_a_fleet_keeps_every_event_once_over_kills_and_older_stores(
    seed: int, inside_netns: NetNs, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seconds, nodes = float(request.config.getoption("--fleet-seconds")), int(request.config.getoption("--fleet-nodes"))
    inside_netns.ip("link set lo up")
    fleet = Fleet(inside_netns, tmp_path, seed, nodes)
    try:
        run(fleet, seconds)
    except BaseException as error:
        error.add_note(f"seed {seed}, {tmp_path}: {dict(fleet.done)}; {'; '.join(fleet.history)}")
        raise


def run(fleet: Fleet, seconds: float) -> None:
    """Runs a fleet and checks it at its end."""
    with fleet:
        wait_for(lambda: fleet.cluster.leader_now(f"KV_{BUCKET}_status"), what="the streams")
        with Judge(fleet.cluster.urls, BUCKET) as judge, Viewer(fleet.url) as viewer:
            wait_for(lambda: {one.node for one in judge.stored} >= set(fleet.nodes), what="each node's rows")
            fleet.happen(seconds, judge)
            fleet.rest()
            check_stream(fleet, judge, seconds)
            check_tables(fleet, judge)
            check_viewer(fleet, viewer)
            check_leases(fleet, judge, viewer)


def check_stream(fleet: Fleet, judge: Judge, seconds: float) -> None:
    """Checks that the stream held each event of each journal, once, in order and with the same bytes."""
    for node in fleet.nodes:
        try:
            wait_for(lambda: position_in(judge, node) == fleet.end(node), timeout=120, what=f"all of {node}")  # noqa: B023 - called at once
        except AssertionError as error:
            error.add_note(
                f"{judge.breaks}; {position_in(judge, node)}, not {fleet.end(node)}: {fleet.log(node)[-5000:]}"
            )
            raise
    assert not judge.unread, "the judge did not read everything"
    verdicts = {}
    for node in fleet.nodes:
        mine = [one for one in judge.stored if one.node == node]
        verdicts[node] = judged(mine, fleet.end(node).epoch, fleet.events(node))
    figures = {
        "seed": fleet.seed,
        "seconds": seconds,
        "nodes": len(fleet.nodes),
        **fleet.done,
        "events": sum(verdict.events for verdict in verdicts.values()),
        **{name: sum(len(getattr(v, name)) for v in verdicts.values()) for name in ("lost", "repeated", "wrong")},
        "events that older stores lacked": judge.events_put_back,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    bad = {node: verdict for node, verdict in verdicts.items() if not verdict.is_good}
    assert not bad, bad
    assert judge.events_put_back, "the older stores had everything"


def position_in(judge: Judge, node: str) -> Any:
    """Returns the newest position of a node that the judge has read."""
    return next(((one.epoch, one.seq) for one in reversed(judge.stored) if one.key == f"{node}.position"), None)


def check_tables(fleet: Fleet, judge: Judge) -> None:
    """Checks that a late subscriber gets the rows of each node's table, and nothing else."""
    last = judge.last_per_key()
    for node in fleet.nodes:
        found = {key: message for key, message in last.items() if key.startswith(f"{node}.")}
        position = json.loads(found.pop(f"{node}.position").data)
        assert (position["epoch"], position["seq"]) == fleet.end(node), node
        rows = {key.removeprefix(f"{node}."): state_of(Event.from_json(one.data)) for key, one in found.items()}
        assert rows == fleet.rows(node), node


def check_viewer(fleet: Fleet, viewer: Viewer) -> None:
    """Checks that the viewer that reconnected throughout holds the same, and missed nothing unmarked."""
    for node in fleet.nodes:
        try:
            wait_for(lambda: viewer.is_at(node, *fleet.end(node)), what="it is at the end")  # noqa: B023 - called at once
            assert rows_of(viewer, node) == fleet.rows(node)
            assert not viewer.holes(node)
        except AssertionError as error:
            error.add_note(
                f"the viewer of {node}, with {len(rows_of(viewer, node))} rows: {viewer.places[node][-5:]}, not"
                f" {fleet.end(node)}; holes: {viewer.holes(node)}; {viewer.status(node)} {viewer.failure!r}"
            )
            raise
    assert viewer.failure is None


def rows_of(viewer: Viewer, node: str) -> dict[str, Any]:
    """Returns the viewer's rows of a node, as they can be compared."""
    return {f"{key.luid}.{key.family}": state_of(event) for key, event in viewer.rows.of(node).items()}


def check_leases(fleet: Fleet, judge: Judge, viewer: Viewer) -> None:
    """Checks that nodes are online, that a killed one is lost within two leases, and an ended one offline."""
    wait_for(lambda: all(judge.online.get(node) for node in fleet.nodes), what=f"online: {judge.online}")
    wait_for(lambda: all(is_online(viewer, node) for node in fleet.nodes), what="the viewer: online")
    lost, *_, ended = fleet.players
    lost.kill()
    killed = time.monotonic()
    for node in lost.nodes:
        wait_for(lambda: not judge.online[node], timeout=2 * LEASE, what=f"{node} is lost")  # noqa: B023 - called at once
        ending = judge.endings[node][-1]
        assert ending.is_lost
        assert ending.at - killed < 2 * LEASE, f"{node} was lost after {ending.at - killed} s"
    wait_for(lambda: not any(is_online(viewer, node) for node in lost.nodes), what="the viewer: lost")
    ended.end()
    fleet.end_real()
    for node in (*ended.nodes, REAL):
        wait_for(lambda: not judge.online[node] and not is_online(viewer, node), what=f"{node} is offline")  # noqa: B023 - as above
        assert not judge.endings[node][-1].is_lost


def is_online(viewer: Viewer, node: str) -> bool:
    """Returns whether the viewer holds a node for online."""
    status = viewer.status(node)
    return status is not None and status.online
