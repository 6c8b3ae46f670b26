"""What a sink gets next, event by event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from publisher.delivery.subscription import SinkSubscription
from publisher.errors import JournalError
from publisher.events import Event
from publisher.journal.positions import Position, Resend, ResendEvents, ResendSnapshot, SnapshotDue, Tail
from publisher.sink import Cursor
from publisher.sources import Upsert
from publisher.testing.events import make_row
from tests.fixtures.pipeline import Pipeline


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    with closing(Pipeline(tmp_path / "journal.db")) as pipeline:
        yield pipeline


@pytest.fixture
def subscription(pipeline: Pipeline) -> SinkSubscription:
    """Returns the subscription of a sink that has the first five events."""
    pipeline.change(5)
    return subscribed(pipeline, 5)


def subscribed(pipeline: Pipeline, seq: int | None = None) -> SinkSubscription:
    """Returns the subscription of a sink whose destination reports this event as its last."""
    subscription = SinkSubscription(pipeline.journal, pipeline.journal.sink("sink", "there"), pipeline.log)
    subscription.begin(None if seq is None else Cursor(pipeline.journal.epoch, seq))
    return subscription


def resend(pipeline: Pipeline, subscription: SinkSubscription, what: Resend) -> None:
    """Has something sent again, as the core and the worker do it."""
    [numbered] = pipeline.journal.append((), {"sink": what}).values()
    subscription.resend(numbered)


def position(pipeline: Pipeline) -> Position | None:
    """Returns the position in the file."""
    pipeline.journal.commit()
    return pipeline.journal.sink("sink", "there").place()[0]


def take(subscription: SinkSubscription, most: int = 256) -> list[str]:
    """The next batch, confirmed, in short: seq, and `+` for a row of a snapshot."""
    batch = subscription.next_batch(most)
    subscription.advance(batch)
    return [short(event) for event in batch]


def short(event: Event) -> str:
    return f"{event.seq}" if event.snapshot is None else f"{event.seq}+{event.snapshot.position}"


def test_events_stop_where_a_snapshot_was_taken_until_it_is_sent(
    pipeline: Pipeline, subscription: SinkSubscription
) -> None:
    resend(pipeline, subscription, ResendSnapshot("overrun", pipeline.journal.seq))
    pipeline.change(3)
    assert take(subscription, 2) == ["6", "7"]
    pipeline.change(2)
    assert take(subscription) == ["8"], "9 and 10 are newer than the snapshot's rows"
    assert take(subscription, 2) == ["8+0", "8+1"]
    assert isinstance(due := position(pipeline), SnapshotDue)
    assert due.cause == "overrun"
    assert take(subscription, 2) == ["8+2"]
    assert position(pipeline) == Tail(Cursor(pipeline.journal.epoch, 8))
    assert take(subscription) == ["9", "10"]
    assert take(subscription) == []
    assert subscription.done


def test_what_waits_is_counted(pipeline: Pipeline, subscription: SinkSubscription) -> None:
    pipeline.change(3)
    assert (subscription.seq, subscription.behind, subscription.done) == (5, 3, False)
    take(subscription)
    assert (subscription.seq, subscription.behind, subscription.done) == (8, 0, True)
    resend(pipeline, subscription, ResendSnapshot("notification", pipeline.journal.seq))
    assert not subscription.done


def test_in_a_snapshot_its_rest_is_counted_and_the_events_after_it_are_kept(
    pipeline: Pipeline, subscription: SinkSubscription
) -> None:
    resend(pipeline, subscription, ResendSnapshot("notification", 5))
    pipeline.change(2)
    take(subscription)
    assert take(subscription, 1) == ["7+0"]
    pipeline.change(2)
    assert subscription.behind == 2 + 2, "two rows, two events"
    assert subscription._part.unread(9) == 7


def test_missed_events_are_not_answered_when_they_are_trimmed_meanwhile(
    pipeline: Pipeline, subscription: SinkSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch, read = pipeline.journal.epoch, pipeline.journal.events.read
    assert subscription.events_since(epoch, 2) == read(2, 9)
    monkeypatch.setattr(pipeline.journal.events, "read", lambda after, limit: read(after + 1, limit))
    assert subscription.events_since(epoch, 2) is None


def test_what_a_sink_is_behind_stays_in_the_journal(pipeline: Pipeline, subscription: SinkSubscription) -> None:
    """1,000 events of 4 KB, as objects 24 MB, were read at once for each sink that was behind."""
    rows = [make_row(metric=n, interface={"description": "x" * 4000}) for n in range(2000, 5000)]
    events = [event for row in rows for event in pipeline.table.apply(Upsert(row))]
    pipeline.journal.append(events)
    read: list[Event] = []
    while batch := subscription.next_batch(1000):
        if pipeline.journal.seq - batch[-1].seq > 2048:
            assert sum(len(event.json_bytes) for event in batch) < (1 << 20) + 10_000
        read += batch
        subscription.advance(batch)
    assert read == events


def test_a_replay_goes_back_and_no_further_than_the_newest(pipeline: Pipeline, subscription: SinkSubscription) -> None:
    resend(pipeline, subscription, ResendEvents(2))
    assert take(subscription) == ["3", "4", "5"]
    resend(pipeline, subscription, ResendEvents(99))
    assert take(subscription) == []
    pipeline.change(1)
    assert take(subscription) == ["6"]


def test_a_replay_survives_a_kill_before_its_first_event_whatever_the_destination_reports(
    pipeline: Pipeline, subscription: SinkSubscription
) -> None:
    resend(pipeline, subscription, ResendEvents(2))
    assert subscription.next_batch()
    pipeline.journal.commit()
    again = subscribed(pipeline, 5)
    assert take(again, 1) == ["3"]
    pipeline.journal.commit()
    assert take(subscribed(pipeline, 3)) == ["4", "5"], "what was sent again is not sent once more"


def test_a_replay_survives_a_failure_before_its_first_event_whatever_the_destination_reports(
    pipeline: Pipeline, subscription: SinkSubscription
) -> None:
    take(subscription)
    resend(pipeline, subscription, ResendEvents(2))
    assert subscription.next_batch()
    subscription.go_to(Cursor(pipeline.journal.epoch, 5))
    assert take(subscription, 1) == ["3"]
    subscription.go_to(Cursor(pipeline.journal.epoch, 4))
    assert take(subscription) == ["5"], "what arrived of it is not sent once more"


def test_a_second_attempt_to_begin_forgets_no_resend(pipeline: Pipeline, subscription: SinkSubscription) -> None:
    """The journal could not be read between the resends and the end of the opening."""
    resend(pipeline, subscription, ResendSnapshot("overrun", 5))
    cursor = Cursor(pipeline.journal.epoch, 5)
    again = subscribed(pipeline, 5)
    again.begin(cursor)
    assert take(again) == ["5+0", "5+1", "5+2"]
    pipeline.journal.commit()
    again.begin(cursor)
    assert take(again) == []


def test_partly_confirmed_batches_go_on_after_what_is_safe(pipeline: Pipeline, subscription: SinkSubscription) -> None:
    resend(pipeline, subscription, ResendEvents(0))
    batch = subscription.next_batch()
    subscription.advance(batch[:2])
    subscription.advance([])
    assert take(subscription) == ["3", "4", "5"]


def test_a_replay_amid_a_snapshot_leaves_the_snapshot_due(pipeline: Pipeline, subscription: SinkSubscription) -> None:
    resend(pipeline, subscription, ResendSnapshot("overrun", pipeline.journal.seq))
    assert take(subscription, 2) == ["5+0", "5+1"]
    resend(pipeline, subscription, ResendEvents(3))
    assert take(subscription) == ["4", "5"]
    assert take(subscription) == ["5+0", "5+1", "5+2"]
    assert subscription.done


def test_a_kill_after_the_first_snapshot_of_a_new_sink_takes_no_event_from_it(pipeline: Pipeline) -> None:
    """The position was on the disk up to a second later, and the next start began with a snapshot of its own."""
    pipeline.change(5)
    assert take(subscribed(pipeline)) == ["5+0", "5+1", "5+2"]
    pipeline.kill()
    pipeline.change(3)
    again = subscribed(pipeline)
    assert [take(again), take(again), take(again)] == [["6", "7", "8"], ["8+0", "8+1", "8+2"], []]
    assert again.done


def test_a_kill_amid_the_first_snapshot_takes_no_event_either(pipeline: Pipeline) -> None:
    """The rest may have arrived unconfirmed, and then the events after it are due."""
    pipeline.change(5)
    first = subscribed(pipeline)
    assert take(first, 2) == ["5+0", "5+1"]
    assert (first.seq, len(first.next_batch())) == (None, 1)
    pipeline.change(1)
    pipeline.kill()
    pipeline.change(1)
    again = subscribed(pipeline)
    assert [take(again), take(again), take(again)] == [["6", "7"], ["7+0", "7+1", "7+2"], []]


def test_a_kill_before_anything_was_sent_leaves_a_new_sink_that_begins_with_the_snapshot(pipeline: Pipeline) -> None:
    pipeline.change(5)
    resend(pipeline, subscribed(pipeline), ResendSnapshot("overrun", 5))
    pipeline.change(1)
    pipeline.kill()
    pipeline.change(1)
    [first, *_] = subscribed(pipeline).next_batch()
    assert (short(first), first.cause) == ("7+0", "overrun"), "the mark of the loss that was requested, too"


def test_a_kill_after_the_first_snapshot_of_another_epoch_takes_no_event(pipeline: Pipeline) -> None:
    pipeline.change(5)
    pipeline.confirm(90, epoch="0" * 16)
    assert take(subscribed(pipeline)) == ["5+0", "5+1", "5+2"]
    pipeline.kill()
    pipeline.change(1)
    again = subscribed(pipeline)
    assert [take(again), take(again)] == [["6"], ["6+0", "6+1", "6+2"]]


def test_a_snapshot_that_is_requested_amid_the_first_one_comes_after_the_events_in_between(pipeline: Pipeline) -> None:
    """The first one may be there whole, unconfirmed: what happened between the two was in no event and unmarked."""
    pipeline.change(5)
    subscription = subscribed(pipeline)
    assert take(subscription, 2) == ["5+0", "5+1"]
    pipeline.change(2)
    resend(pipeline, subscription, ResendSnapshot("notification", pipeline.journal.seq))
    assert [take(subscription), take(subscription)] == [["6", "7"], ["7+0", "7+1", "7+2"]]


def test_nothing_is_sent_before_the_journal_takes_where_a_new_sink_begins(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.change(5)
    subscription = subscribed(pipeline)
    with monkeypatch.context() as full:
        full.setattr(subscription._part, "begin", takes_nothing)
        with pytest.raises(JournalError):
            subscription.next_batch()
    pipeline.change(1)
    assert take(subscription) == ["6+0", "6+1", "6+2"]


def takes_nothing(_: Position) -> None:
    """The write of a position on a full disk."""
    raise JournalError("the disk is full")
