"""docs/examples/subscribe.mjs in Node.js, over MQTT and HTTP, beside a real publisher and a real broker that fail."""

from __future__ import annotations

import copy
import json
import random
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
from tests.fixtures.program import Program, comparable, journal_events
from tests.fixtures.subscribed_host import SubscribedHost

if sys.platform == "win32":
    pytest.skip("Windows has neither network namespaces nor SIGKILL", allow_module_level=True)

Events = list[dict[str, Any]]
TOKEN = "a-token-of-the-page"


FAULTS: tuple[Callable[[SubscribedHost], None], ...] = (
    SubscribedHost.broker_loses_its_store,
    SubscribedHost.publisher_is_killed,
    SubscribedHost.publisher_restarts,
    SubscribedHost.both_are_killed,
)


@pytest.fixture
def host(inside_netns: NetNs, tmp_path: Path) -> Iterator[SubscribedHost]:
    made = inside_netns.in_thread(SubscribedHost, inside_netns, tmp_path, TOKEN)
    with closing(made):
        yield made


@contextmanager
def subscribers(host: SubscribedHost, folder: Path) -> Iterator[dict[str, JsSubscriber]]:
    """Two that keep up, and two that can't, for which only a few events wait."""
    made = {
        "mqtt": JsSubscriber(folder / "mqtt", host.broker.url),
        "http": JsSubscriber(folder / "http", host.page, token=TOKEN),
        "slow mqtt": JsSubscriber(folder / "slow mqtt", host.broker.url, pause=5, limit=5),
        "slow http": JsSubscriber(folder / "slow http", host.page, pause=5, token=TOKEN),
    }
    with ExitStack() as around:
        for name, each in made.items():
            around.enter_context(each)
            each.wait(bool, f"the snapshot over {name}")
        yield made


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_and_nothing_comes_twice(host: SubscribedHost, tmp_path: Path, seed: int) -> None:
    faults = random.Random(seed).sample(FAULTS, len(FAULTS))
    with host.running(), subscribers(host, tmp_path) as made:
        quick = [made["mqtt"], made["http"]]
        assert_ends(JsSubscriber(tmp_path / "no token", host.page, token="wrong"), "answers 401")
        with changing(partial(host.changes.make, 2), pause=0.05):
            for fault in faults:
                fault(host)
                for each in quick:
                    each.wait_for(host.seq + 5)
        host.program.mark(1400)
        for each in made.values():
            each.wait_for(host.seq)
            assert_each_once(each.events)
        for each in quick:
            assert len(whole_snapshots(each.events)) == 1, "every gap was healed by the events that were missed"
            assert_like_the_journal(each.events, host.program)
        # A new journal is a new epoch, and begins with the rows.
        before = quick[0].events[-1]["epoch"]
        host.program.end()
        for path in host.program.data.glob("journal*"):
            path.unlink()
        host.program.start()
        for name, each in made.items():
            each.wait(lambda events: events[-1]["epoch"] > before, f"the new epoch over {name}")
        host.program.mark(1401)
        for name, each in made.items():
            each.wait_for(host.seq)
            assert_each_once(each.events)
            assert rows_of(each.events) == host.program.snapshot(), name


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
