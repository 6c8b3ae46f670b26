"""What a sink gets next, event by event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from publisher.delivery.subscription import Subscription
from publisher.events import Event
from publisher.sink import Cursor
from tests.fixtures.pipeline import Pipeline


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    with closing(Pipeline(tmp_path / "journal.db")) as pipeline:
        yield pipeline


@pytest.fixture
def feed(pipeline: Pipeline) -> Subscription:
    """The feed of a sink that has the first five events."""
    pipeline.change(5)
    feed = Subscription(pipeline.journal, "sink", "there", pipeline.log)
    feed.begin(Cursor(pipeline.journal.epoch, 5))
    return feed


def take(feed: Subscription, most: int = 256) -> list[str]:
    """The next batch, confirmed, in short: seq, and `+` for a row of a snapshot."""
    batch = feed.next_batch(most)
    feed.advance(batch)
    return [short(event) for event in batch]


def short(event: Event) -> str:
    return f"{event.seq}" if event.snapshot is None else f"{event.seq}+{event.snapshot.position}"


def test_events_stop_where_a_snapshot_was_taken_until_it_is_sent(pipeline: Pipeline, feed: Subscription) -> None:
    feed.request_snapshot("overrun")
    pipeline.change(3)
    assert take(feed, 2) == ["6", "7"]
    pipeline.change(2)
    assert take(feed) == ["8"], "9 and 10 are newer than the snapshot's rows"
    assert take(feed, 2) == ["8+0", "8+1"]
    assert pipeline.journal.owed("sink", "there") == "overrun"
    assert take(feed, 2) == ["8+2"]
    assert pipeline.journal.owed("sink", "there") is None
    assert take(feed) == ["9", "10"]
    assert take(feed) == []
    assert feed.done


def test_what_waits_is_counted(pipeline: Pipeline, feed: Subscription) -> None:
    pipeline.change(3)
    assert (feed.seq, feed.behind, feed.done) == (5, 3, False)
    take(feed)
    assert (feed.seq, feed.behind, feed.done) == (8, 0, True)
    feed.request_snapshot("notification")
    assert not feed.done


def test_a_replay_goes_back_and_no_further_than_the_newest(pipeline: Pipeline, feed: Subscription) -> None:
    feed.request_replay(2)
    assert take(feed) == ["3", "4", "5"]
    feed.request_replay(99)
    assert take(feed) == []
    pipeline.change(1)
    assert take(feed) == ["6"]


def test_partly_confirmed_batches_go_on_after_what_is_safe(feed: Subscription) -> None:
    feed.request_replay(0)
    batch = feed.next_batch()
    feed.advance(batch[:2])
    feed.advance([])
    assert take(feed) == ["3", "4", "5"]
