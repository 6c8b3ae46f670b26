"""docs/examples/subscribe.mjs in Node.js, beside a real publisher and a real broker that fail."""

from __future__ import annotations

import copy
import json
import random
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults import changing
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.netns import NetNs
from tests.fixtures.node import JsSubscriber, changes_of
from tests.fixtures.poll import wait_for
from tests.fixtures.program import Changes, Program, comparable, journal_events

if sys.platform == "win32":
    pytest.skip("Windows has neither network namespaces nor SIGKILL", allow_module_level=True)

Events = list[dict[str, Any]]


class Bench:
    """A broker, a publisher in a namespace with links that change, and a subscriber in Node.js."""

    def __init__(self, netns: NetNs, folder: Path) -> None:
        netns.ip("link set lo up", *(f"link add {name} type ifb" for name in (*Changes.links, "mark")))
        (folder / "broker").mkdir()
        self.broker = Mosquitto(folder / "broker")
        sink = ("[sinks.broker]", 'type = "mqtt"', f'url = "{self.broker.url}"', "home_assistant = false")
        self.program = Program(netns, folder / "publisher", *sink)
        self.changes = Changes(netns)

    @property
    def seq(self) -> int:
        """The newest event of the journal."""
        with closing(sqlite3.connect(f"file:{self.program.journal}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT max(seq) FROM events").fetchone()[0] or 0)

    def close(self) -> None:
        self.changes.close()
        if self.program.process is not None:
            self.program.process.kill()
            self.program.process.wait()
        self.broker.kill()

    # The faults. Each ends when everything runs again.

    def broker_loses_its_store(self) -> None:
        self.broker.kill()
        self.broker.start()

    def publisher_is_killed(self) -> None:
        self.program.end(signal.Signals["SIGKILL"])
        self.program.start()

    def publisher_restarts(self) -> None:
        self.program.end()
        self.program.start()

    def both_are_killed(self) -> None:
        self.broker.kill()
        self.publisher_is_killed()
        self.broker.start()


FAULTS: tuple[Callable[[Bench], None], ...] = (
    Bench.broker_loses_its_store,
    Bench.publisher_is_killed,
    Bench.publisher_restarts,
    Bench.both_are_killed,
)


@pytest.fixture
def bench(inside_netns: NetNs, tmp_path: Path) -> Iterator[Bench]:
    made = inside_netns.in_thread(Bench, inside_netns, tmp_path)
    with closing(made):
        yield made


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_and_nothing_comes_twice(bench: Bench, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    faults = chance.sample(FAULTS, len(FAULTS))
    bench.broker.start()
    bench.program.start()
    with JsSubscriber(tmp_path / "js", bench.broker.url) as subscriber:
        wait_for(lambda: subscriber.events, what="the snapshot")
        first = whole_snapshots(subscriber.events)
        with changing(partial(bench.changes.make, 2), pause=0.01):
            subscriber.wait_for(first[0][0]["seq"] + 20)
            for fault in faults:
                fault(bench)
                subscriber.wait_for(bench.seq + 5)
        bench.program.mark(1400)
        subscriber.wait_for(bench.seq)
        assert len(whole_snapshots(subscriber.events)) == 1, "every gap was healed by the events that were missed"
        assert_like_the_journal(subscriber.events, bench.program)
        # A new journal is a new epoch, and begins with the rows.
        before = subscriber.events[-1]["epoch"]
        bench.program.end()
        for path in bench.program.data.glob("journal*"):
            path.unlink()
        bench.program.start()
        wait_for(lambda: subscriber.events[-1]["epoch"] > before, what="the new epoch")
        bench.program.mark(1401)
        subscriber.wait_for(bench.seq)
        assert len(whole_snapshots(subscriber.events)) == 2
        assert rows_of(subscriber.events) == bench.program.snapshot()


def whole_snapshots(events: Events) -> list[Events]:
    """Returns the snapshots, each of which is whole."""
    found = [place for place, event in enumerate(events) if event["snapshot"] and event["snapshot"]["position"] == 0]
    snapshots = [events[place : place + events[place]["snapshot"]["count"] + 1] for place in found]
    for snapshot in snapshots:
        assert [event["snapshot"]["position"] for event in snapshot] == list(range(len(snapshot)))
        assert len({event["snapshot"]["id"] for event in snapshot}) == 1
    assert sum(map(len, snapshots)) == sum(event["snapshot"] is not None for event in events)
    return snapshots


def assert_like_the_journal(events: Events, program: Program) -> None:
    """Checks that there are the journal's events behind the only snapshot, as they are there, each once."""
    told = changes_of(events)
    journal = journal_events(program.journal)
    assert [event["seq"] for event in told] == list(range(told[0]["seq"], max(journal) + 1))
    assert [event["id"] for event in told] == [json.loads(journal[event["seq"]])["id"] for event in told]
    assert told == [json.loads(journal[event["seq"]]) for event in told]
    assert rows_of(events) == program.snapshot()


def rows_of(events: Events) -> dict[tuple[str, str], Any]:
    """Returns the rows as whoever applied these events has them."""
    rows: dict[tuple[str, str], Any] = {}
    for event in events:
        if event["luid"] is None:
            rows.clear()
        elif event["notification_type"] == "delete_instance":
            del rows[event["luid"], event["family"]]
        else:
            state = {name: event[name] for name in ("row", "interface", "addresses", "default_routes")}
            rows[event["luid"], event["family"]] = comparable(copy.deepcopy(state))
    return rows
