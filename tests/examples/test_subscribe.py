"""docs/examples/subscribe.mjs in Node.js, over MQTT and HTTP, beside a real publisher and a real broker that fail."""

from __future__ import annotations

import copy
import json
import random
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.faults import changing
from tests.fixtures.brokers import Mosquitto, write_passwords
from tests.fixtures.netns import NetNs
from tests.fixtures.node import JsSubscriber, changes_of
from tests.fixtures.ports import free_port
from tests.fixtures.program import Changes, Program, comparable, journal_events

if sys.platform == "win32":
    pytest.skip("Windows has neither network namespaces nor SIGKILL", allow_module_level=True)

Events = list[dict[str, Any]]
TOKEN = "a-token-of-the-page"


class Bench:
    """A broker, and a publisher with that and a page as its sinks, in a namespace with links that change."""

    def __init__(self, netns: NetNs, folder: Path, token: str | None = TOKEN) -> None:
        netns.ip("link set lo up", *(f"link add {name} type ifb" for name in (*Changes.links, "mark")))
        (folder / "broker").mkdir()
        self.broker = Mosquitto(folder / "broker")
        address = f"127.0.0.1:{free_port()}"
        self.page = f"http://{address}/"
        sinks = ["[sinks.broker]", 'type = "mqtt"', f'url = "{self.broker.url}"', "home_assistant = false"]
        sinks += ["[sinks.page]", 'type = "web"', f'address = "{address}"']
        sinks += [f'token = "{token}"'] if token else []
        self.program = Program(netns, folder / "publisher", *sinks)
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


@contextmanager
def subscribers(bench: Bench, folder: Path) -> Iterator[dict[str, JsSubscriber]]:
    """Two that keep up, and two that can't, for which only a few events wait."""
    made = {
        "mqtt": JsSubscriber(folder / "mqtt", bench.broker.url),
        "http": JsSubscriber(folder / "http", bench.page, token=TOKEN),
        "slow mqtt": JsSubscriber(folder / "slow mqtt", bench.broker.url, pause=5, limit=5),
        "slow http": JsSubscriber(folder / "slow http", bench.page, pause=5, token=TOKEN),
    }
    with ExitStack() as around:
        for name, each in made.items():
            around.enter_context(each)
            each.wait(bool, f"the snapshot over {name}")
        yield made


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_and_nothing_comes_twice(bench: Bench, tmp_path: Path, seed: int) -> None:
    faults = random.Random(seed).sample(FAULTS, len(FAULTS))
    bench.broker.start()
    with bench.program.running(), subscribers(bench, tmp_path) as made:
        quick = [made["mqtt"], made["http"]]
        assert_ends(JsSubscriber(tmp_path / "no token", bench.page, token="wrong"), "answers 401")
        with changing(partial(bench.changes.make, 2), pause=0.05):
            for fault in faults:
                fault(bench)
                for each in quick:
                    each.wait_for(bench.seq + 5)
        bench.program.mark(1400)
        for each in made.values():
            each.wait_for(bench.seq)
            assert_each_once(each.events)
        for each in quick:
            assert len(whole_snapshots(each.events)) == 1, "every gap was healed by the events that were missed"
            assert_like_the_journal(each.events, bench.program)
        # A new journal is a new epoch, and begins with the rows.
        before = quick[0].events[-1]["epoch"]
        bench.program.end()
        for path in bench.program.data.glob("journal*"):
            path.unlink()
        bench.program.start()
        for name, each in made.items():
            each.wait(lambda events: events[-1]["epoch"] > before, f"the new epoch over {name}")
        bench.program.mark(1401)
        for name, each in made.items():
            each.wait_for(bench.seq)
            assert_each_once(each.events)
            assert rows_of(each.events) == bench.program.snapshot(), name


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1:{nobody}/", "fetch failed"),
        ("mqtt://127.0.0.1:{nobody}", "ECONNREFUSED"),
        ("nats://127.0.0.1", "expected mqtt://"),
    ],
)
def test_a_first_connection_that_fails_is_an_error(tmp_path: Path, url: str, error: str) -> None:
    assert_ends(JsSubscriber(tmp_path / "js", url.format(nobody=free_port())), error)


def test_a_refused_login_is_an_error(tmp_path: Path) -> None:
    passwords = write_passwords(tmp_path / "passwords")
    with Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}") as broker:
        assert_ends(JsSubscriber(tmp_path / "js", broker.url, username="nas", password="wrong"), "Not authorized")


def assert_ends(subscriber: JsSubscriber, error: str) -> None:
    """Checks that the loop throws this error."""
    with subscriber:
        assert subscriber.wait_until_end() == 1
        assert error in subscriber.log()


def assert_each_once(events: Events) -> None:
    """Checks that the changes are in order, each once, with a snapshot wherever some are left out."""
    for before, event in pairwise(events):
        if event["snapshot"] is None and before["epoch"] == event["epoch"]:
            missing = event["seq"] - before["seq"] - 1
            assert missing == 0 or (missing > 0 and before["snapshot"]), (before, event)


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
