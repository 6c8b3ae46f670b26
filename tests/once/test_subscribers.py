"""Subscribers side by side under the same faults: in the end each has the same rows, and had each event once."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if sys.platform == "win32":
    pytest.skip("the brokers, and the signals that end them, exist on Linux only", allow_module_level=True)

from publisher import Backoff
from publisher.client import subscription
from tests.fixtures.browser import COMMAND, Browser
from tests.fixtures.followers import PageFollower, SubscriptionFollower
from tests.fixtures.poll import wait_for
from tests.fixtures.printed_subscriber import PrintedSubscriber
from tests.fixtures.requirements import need
from tests.fixtures.subscriber_faults import Follower, Stage, assert_each_once

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

FAULTS = 10


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Chromium in the network of the brokers and publishers."""
    need(COMMAND, package="chromium-headless-shell")
    with Browser(None) as chromium:
        yield chromium


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test restarts brokers more often than people do."""
    monkeypatch.setattr(subscription, "_BACKOFF", Backoff(0.05, 0.5))


@pytest.mark.timeout(1800)  # with --many twenty runs, each of which a busy machine can make ten times as long
def test_each_has_the_same_rows_and_each_event_once(
    tmp_path: Path, browser: Browser, count: Callable[[int], int]
) -> None:
    for seed in range(count(20)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        with browser.context() as context:
            follow_faults(folder, seed, context)


def follow_faults(folder: Path, seed: int, context: BrowserContext) -> None:
    """Runs the subscribers beside the faults of this seed, and checks each."""
    chance = random.Random(seed)
    with Stage(folder, chance, as_published=bool(seed % 2)) as stage:
        try:
            for follower in begin(stage, context):
                wait_for(lambda: all(map(follower.has_begun, follower.nodes)), what=f"{follower.name}'s first event")  # noqa: B023 - called at once
            for _ in range(FAULTS):
                stage.pause(0.3)
                stage.happen()
            stage.rest()
            for follower in stage.followers:
                check(stage, follower)
        except BaseException as error:
            error.add_note(f"seed {seed}: {', '.join(stage.history)}; {stage.state()}")
            raise


def begin(stage: Stage, context: BrowserContext) -> list[Follower]:
    """Starts the subscribers: of both nodes over MQTT, of the first one over HTTP, too."""
    first, url = stage.nodes[0], stage.page(stage.nodes[0])
    wait_for(lambda: stage.is_open(first), what="the page")
    stage.followers.append(PrintedSubscriber(stage.folder, stage.port, stage.nodes))
    stage.followers.append(SubscriptionFollower("subscribe, MQTT", f"mqtt://127.0.0.1:{stage.port}", stage.nodes))
    stage.followers.append(SubscriptionFollower("subscribe, HTTP", url, [first]))
    stage.followers.append(PageFollower(context, url, first))
    return stage.followers


def check(stage: Stage, follower: Follower) -> None:
    """Checks that a subscriber comes to have everything, each once."""
    for node in follower.nodes:
        end, expected = stage.end(node), follower.told(stage.expected(node))
        what = f"{follower.name}: all of {node}, up to {end}"
        wait_for(lambda: follower.is_at(end, node), timeout=120, what=what)  # noqa: B023 - called at once
        wait_for(lambda: follower.rows(node) == expected, what=f"{follower.name}: the rows of {node}")  # noqa: B023 - called at once
        assert_each_once(stage, follower, node)
