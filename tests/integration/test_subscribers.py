"""Subscribers side by side under the same faults: in the end each has the same rows, and had each event once."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("the brokers, and the signals that end them, exist on Linux only", allow_module_level=True)

from tests.fixtures.poll import wait_for
from tests.fixtures.printed_subscriber import PrintedSubscriber
from tests.fixtures.subscriber_faults import Follower, Stage, assert_each_once, is_at_the_end

FAULTS = 10


def followers(stage: Stage) -> list[Follower]:
    return [PrintedSubscriber(stage.folder, stage.port, stage.nodes)]


@pytest.mark.timeout(1800)  # with --many twenty runs, each of which a busy machine can make ten times as long
def test_each_has_the_same_rows_and_each_event_once(tmp_path: Path, count: Callable[[int], int]) -> None:
    for seed in range(count(20)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        follow_faults(folder, seed)


def follow_faults(folder: Path, seed: int) -> None:
    """Runs the subscribers beside the faults of this seed, and checks each."""
    chance = random.Random(seed)
    with Stage(folder, chance, as_published=bool(seed % 2)) as stage:
        stage.followers = followers(stage)
        try:
            for follower in stage.followers:
                wait_for(lambda: all(map(follower.has_begun, follower.nodes)), what=f"{follower.name}'s first message")  # noqa: B023 - called at once
            for _ in range(FAULTS):
                stage.pause(0.3)
                stage.happen()
            stage.rest()
            for follower in stage.followers:
                check(stage, follower)
        except BaseException as error:
            error.add_note(f"seed {seed}: {', '.join(stage.history)}")
            raise


def check(stage: Stage, follower: Follower) -> None:
    """Checks that a subscriber comes to have everything, each once."""
    for node in follower.nodes:
        wait_for(lambda: is_at_the_end(stage, follower, node), what=f"{follower.name}: all of {node}")  # noqa: B023 - called at once
        assert_each_once(stage, follower, node)
        assert follower.rows(node) == stage.expected(node), f"{follower.name}: the rows of {node}"
