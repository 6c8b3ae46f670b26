"""What a sink gets of the journal through `only`, `settle` and without snapshots, and where its position is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from publisher.delivery.selection import Selection
from publisher.delivery.subscription import SinkSubscription
from publisher.events import Event, LostEvents
from publisher.filters import EventFilter
from publisher.journal.positions import Position, Resend, ResendEvents, ResendSnapshot, SnapshotDue, Tail
from publisher.sink import Cursor
from publisher.sources import Upsert
from publisher.testing import make_row
from tests.delivery.test_settling import SetClock
from tests.delivery.test_subscription import short
from tests.fixtures.pipeline import Pipeline

ONE = EventFilter(interfaces=("eth1",))
SETTLE = timedelta(seconds=2)
NO_SNAPSHOT = Selection(snapshot=False)


class Reader:
    """One sink's subscription, and what it was given."""

    def __init__(self, pipeline: Pipeline, selection: Selection, own: int | None = None, epoch: str = "") -> None:
        self.clock = SetClock()
        pipeline.table.stamp.clock = self.clock.utc
        self.journal = pipeline.journal
        self.part = pipeline.journal.sink("sink", "there")
        self.subscription = SinkSubscription(pipeline.journal, self.part, pipeline.log, selection, self.clock)
        self.subscription.begin(None if own is None else Cursor(epoch or pipeline.journal.epoch, own))

    def take(self, most: int = 256, *, at_once: bool = False) -> list[Event]:
        """Takes one batch, confirmed."""
        batch = self.subscription.next_batch(most, at_once=at_once)
        self.subscription.advance(batch)
        return batch

    def took(self, most: int = 256, *, at_once: bool = False) -> list[str]:
        """Takes one batch, confirmed, in short."""
        return [short(event) for event in self.take(most, at_once=at_once)]

    def resend(self, what: Resend) -> None:
        [numbered] = self.journal.append((), {"sink": what}).values()
        self.subscription.resend(numbered)

    @property
    def position(self) -> Position | None:
        self.journal.commit()
        return self.part.place()[0]


def change(pipeline: Pipeline, count: int, alias: str = "eth0") -> None:
    """Changes an interface's metric so often."""
    for _ in range(count):
        row = make_row(alias, index=2 if alias == "eth0" else 3, metric=pipeline.table.stamp.seq + 1000)
        pipeline.journal.append(pipeline.table.apply(Upsert(row)))


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    with closing(Pipeline(tmp_path / "journal.db", max_events=100)) as pipeline:
        yield pipeline


def rows(selection: Selection) -> str:
    assert selection.rows
    return selection.rows


def test_a_snapshot_has_the_rows_that_pass_and_says_how_many(pipeline: Pipeline) -> None:
    reader = Reader(pipeline, Selection(ONE))
    marker, row = reader.take()
    assert marker.snapshot
    assert (marker.snapshot.count, marker.snapshot.position) == (1, 0)
    assert row.interface
    assert row.snapshot
    assert (row.interface.alias, row.snapshot.position, row.snapshot.count) == ("eth1", 1, 1)
    [none] = Reader(pipeline, Selection(EventFilter(families=("inet6",)))).take()
    assert none.snapshot
    assert none.snapshot.count == 0


def test_the_position_passes_what_the_filter_leaves_out(pipeline: Pipeline) -> None:
    reader = Reader(pipeline, Selection(ONE))
    reader.take()
    change(pipeline, 3, "eth1")
    assert reader.took() == ["1", "2", "3"]
    change(pipeline, 40)
    assert reader.took() == []
    assert (reader.subscription.seq, reader.subscription.behind, reader.subscription.done) == (43, 0, True)
    assert reader.subscription.pause is None
    assert reader.part.reading == 43
    cursor = Cursor(pipeline.journal.epoch, 43)
    assert reader.position == Tail(cursor, has=3, rows=rows(Selection(ONE)))
    change(pipeline, 1, "eth1")
    assert reader.took() == ["44"]
    assert reader.position == Tail(Cursor(pipeline.journal.epoch, 44), rows=rows(Selection(ONE)))


@pytest.mark.parametrize(("own", "expected"), [(3, ["44"]), (2, ["3", "44"]), (44, [])])
def test_a_destination_that_reports_its_last_event_goes_on_after_it(
    pipeline: Pipeline, own: int, expected: list[str]
) -> None:
    """A file holds the last event that passed, not the position behind it: it is not taken for one that fell back."""
    reader = Reader(pipeline, Selection(ONE))
    reader.take()
    change(pipeline, 3, "eth1")
    change(pipeline, 40)
    reader.took()
    reader.took()
    change(pipeline, 1, "eth1")
    pipeline.restart()
    assert Reader(pipeline, Selection(ONE), own).took() == expected


def test_a_destination_whose_last_event_is_trimmed_long_ago_gets_no_snapshot(pipeline: Pipeline) -> None:
    reader = Reader(pipeline, Selection(ONE))
    reader.take()
    change(pipeline, 1, "eth1")
    reader.take()
    for _ in range(5):
        pipeline.change_at_once(90)
        assert reader.took() == []
    assert pipeline.journal.events.oldest > 300
    change(pipeline, 1, "eth1")
    pipeline.restart()
    assert Reader(pipeline, Selection(ONE), 1).took() == ["452"]


def test_little_that_passes_is_found_in_bounded_steps(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("publisher.delivery.subscription._READ_AT_ONCE", 2)
    monkeypatch.setattr("publisher.delivery.subscription._READS", 3)
    reader = Reader(pipeline, Selection(ONE))
    reader.take()
    change(pipeline, 8)
    change(pipeline, 1, "eth1")
    assert reader.took() == []
    assert (reader.subscription.pause, reader.subscription.seq) == (0.0, 6)
    assert reader.took() == ["9"]
    assert reader.took() == []
    assert reader.subscription.pause is None


def test_other_rows_than_before_are_a_snapshot_and_other_kinds_are_none(pipeline: Pipeline) -> None:
    reader = Reader(pipeline, Selection())
    reader.take()
    change(pipeline, 2)
    reader.take()
    reader.journal.commit()
    change(pipeline, 1, "eth1")
    filtered = Reader(pipeline, Selection(ONE))
    assert filtered.took() == ["3"]
    assert filtered.took() == ["3+0", "3+1"]
    assert filtered.position == Tail(Cursor(pipeline.journal.epoch, 3), rows=rows(Selection(ONE)))
    kinds = EventFilter(interfaces=("eth1",), kinds=("other",))
    assert Reader(pipeline, Selection(kinds, SETTLE)).took() == []
    whole = Reader(pipeline, Selection())
    assert whole.took() == ["3+0", "3+1", "3+2"]
    assert whole.position == Tail(Cursor(pipeline.journal.epoch, 3))


def test_a_destination_that_lost_what_came_after_the_filter_was_taken_away_gets_it_again(pipeline: Pipeline) -> None:
    kinds = Selection(EventFilter(kinds=("mtu_changed",)))
    reader = Reader(pipeline, kinds)
    reader.take()
    change(pipeline, 3)
    assert reader.took() == []
    reader.journal.commit()
    whole = Reader(pipeline, Selection(), own=0)
    change(pipeline, 2)
    assert whole.took() == ["4", "5"]
    whole.subscription.go_to(Cursor(pipeline.journal.epoch, 0))
    assert whole.took() == ["1", "2", "3", "4", "5"]


def test_a_snapshot_that_is_due_for_other_rows_survives_a_crash(pipeline: Pipeline) -> None:
    Reader(pipeline, Selection()).take()
    pipeline.journal.commit()
    reader = Reader(pipeline, Selection(ONE))
    assert reader.took(1) == ["0+0"]
    assert isinstance(reader.position, SnapshotDue)
    assert Reader(pipeline, Selection(ONE)).took() == ["0+0", "0+1"]


def test_kinds_and_causes_leave_snapshots_alone(pipeline: Pipeline) -> None:
    reader = Reader(pipeline, Selection(EventFilter(kinds=("mtu_changed",), causes=("notification",))))
    assert reader.took() == ["0+0", "0+1", "0+2"]
    change(pipeline, 3)
    pipeline.journal.append(pipeline.table.apply(Upsert(make_row(metric=1, nl_mtu=9000))))
    pipeline.journal.append(pipeline.table.apply(Upsert(make_row(metric=1, nl_mtu=1500), "reconcile")))
    assert reader.took() == ["4"]
    assert reader.took() == []
    assert reader.subscription.seq == 5


def test_a_context_sees_what_its_sink_gets(pipeline: Pipeline) -> None:
    reader = Reader(pipeline, Selection(ONE))
    change(pipeline, 2)
    change(pipeline, 2, "eth1")
    assert [event.seq for event in reader.subscription.events_since(pipeline.journal.epoch, 0) or ()] == [3, 4]
    assert [event.interface and event.interface.alias for event in reader.subscription.snapshot()] == [None, "eth1"]
    settled = Reader(pipeline, Selection(ONE, SETTLE))
    [event] = settled.subscription.events_since(pipeline.journal.epoch, 0) or []
    assert (event.seq, event.settled and event.settled.count) == (4, 2)


def test_a_replay_of_events_is_chosen_and_settled_too(pipeline: Pipeline) -> None:
    reader = Reader(pipeline, Selection(ONE, SETTLE))
    reader.take()
    change(pipeline, 2)
    change(pipeline, 2, "eth1")
    reader.clock.seconds = 2.0
    assert reader.took() == ["4"]
    reader.resend(ResendEvents(0))
    assert reader.took() == ["4"]


def settling(pipeline: Pipeline) -> Reader:
    """Returns a sink that has the snapshot, and for which three events of eth0 and one of eth1 settle."""
    reader = Reader(pipeline, Selection(settle=SETTLE))
    reader.take()
    change(pipeline, 2)
    change(pipeline, 1, "eth1")
    change(pipeline, 1)
    assert reader.took() == []
    return reader


def test_the_position_stays_before_what_settles(pipeline: Pipeline) -> None:
    reader = settling(pipeline)
    assert (reader.subscription.seq, reader.subscription.behind, reader.subscription.done) == (0, 4, False)
    assert reader.subscription.pause == 1.0, "it reads on each second"
    reader.clock.seconds = 1.5
    assert reader.took() == []
    assert reader.subscription.pause == pytest.approx(0.5)
    reader.clock.seconds = 2.0
    assert reader.took(1) == ["3"]
    assert reader.position == Tail(Cursor(pipeline.journal.epoch, 0), has=3), "the event of eth0 began before"
    assert reader.took() == ["4"]
    assert reader.position == Tail(Cursor(pipeline.journal.epoch, 4))
    assert reader.subscription.done
    assert not reader.subscription.pause


def test_what_settles_is_delivered_after_a_crash(pipeline: Pipeline) -> None:
    settling(pipeline)
    pipeline.restart()
    reader = Reader(pipeline, Selection(settle=SETTLE))
    reader.clock.seconds = 2.0
    first, second = reader.take()
    assert (first.seq, second.seq, second.settled and second.settled.count) == (3, 4, 3)


def test_a_file_that_has_a_part_of_what_settled_gets_the_rest_with_all_that_it_stands_for(pipeline: Pipeline) -> None:
    reader = settling(pipeline)
    reader.clock.seconds = 2.0
    assert reader.took(1) == ["3"]
    pipeline.kill()
    again = Reader(pipeline, Selection(settle=SETTLE), own=3)
    again.clock.seconds = 2.0
    assert [(event.seq, event.settled and event.settled.count) for event in again.take()] == [(3, None), (4, 3)]


def test_what_is_read_already_is_not_lost_when_the_journal_deletes_it(pipeline: Pipeline) -> None:
    reader = settling(pipeline)
    for _ in range(6):
        pipeline.change_at_once(60)
        assert reader.took() == []
    assert pipeline.journal.events.oldest > 4
    assert reader.subscription.seq == 0
    reader.clock.seconds = 2.0
    assert [(event.seq, event.settled and event.settled.count) for event in reader.take()] == [(3, None), (364, 363)]


def test_a_stop_delivers_what_settles_at_once(pipeline: Pipeline) -> None:
    reader = settling(pipeline)
    assert reader.took(at_once=True) == ["3", "4"]
    assert reader.subscription.done


def test_what_settles_comes_before_a_snapshot(pipeline: Pipeline) -> None:
    reader = settling(pipeline)
    reader.resend(ResendSnapshot("overrun", 4))
    change(pipeline, 1)
    assert reader.took() == ["3", "4"]
    assert reader.took() == ["5"]
    assert reader.took() == ["5+0", "5+1", "5+2"]
    assert reader.took() == []
    assert reader.subscription.done


def test_events_that_settle_long_are_kept_as_long(pipeline: Pipeline) -> None:
    part = Reader(pipeline, Selection(settle=timedelta(minutes=5))).part
    assert part.patience_seconds == 360.0


def without_snapshots(pipeline: Pipeline, own: int | None = None, epoch: str = "") -> Reader:
    return Reader(pipeline, NO_SNAPSHOT, own, epoch)


def test_a_sink_that_takes_no_snapshot_begins_with_the_next_event(pipeline: Pipeline) -> None:
    change(pipeline, 3)
    reader = without_snapshots(pipeline)
    assert reader.took() == []
    change(pipeline, 2)
    assert reader.took() == ["4", "5"]
    reader.resend(ResendSnapshot("notification", 5))
    assert reader.took() == []
    assert reader.position == Tail(Cursor(pipeline.journal.epoch, 5), rows="none")
    assert Reader(pipeline, Selection()).took() == ["5+0", "5+1", "5+2"], "it never had the rows"


def test_a_sink_that_takes_no_snapshot_gets_what_happened_while_it_could_not_be_opened(pipeline: Pipeline) -> None:
    subscription = SinkSubscription(pipeline.journal, pipeline.journal.sink("sink", "there"), pipeline.log, NO_SNAPSHOT)
    change(pipeline, 2)
    subscription.begin(None)
    assert [short(event) for event in subscription.next_batch()] == ["1", "2"]


def test_the_mark_of_a_loss_is_the_beginning_of_a_snapshot_without_rows(pipeline: Pipeline) -> None:
    reader = without_snapshots(pipeline)
    reader.take()
    change(pipeline, 2)
    reader.resend(ResendSnapshot("overrun", 2))
    change(pipeline, 1)
    assert reader.took() == ["1", "2", "3"]
    [mark] = reader.take()
    assert (mark.seq, mark.cause, mark.is_marker) == (3, "overrun", True)
    assert mark.snapshot
    assert (mark.snapshot.count, mark.snapshot.lost) == (0, None)
    assert reader.took() == []
    assert reader.subscription.done


def test_a_sink_that_takes_no_snapshot_gets_what_is_left_after_a_loss(pipeline: Pipeline) -> None:
    reader = without_snapshots(pipeline)
    reader.take()
    pipeline.change_at_once(450)
    oldest = pipeline.journal.events.oldest
    assert oldest > 1
    [mark] = reader.take()
    assert mark.snapshot
    assert (mark.seq, mark.snapshot.lost) == (oldest - 1, LostEvents(first=1, last=oldest - 1))
    assert reader.took(1) == [f"{oldest}"]


def test_a_sink_that_takes_no_snapshot_follows_a_new_epoch_from_its_beginning(pipeline: Pipeline) -> None:
    change(pipeline, 2)
    assert without_snapshots(pipeline, 7, "0" * 16).took() == ["1", "2"]


def test_a_row_that_leaves_the_filter_is_deleted_and_one_that_enters_added(pipeline: Pipeline) -> None:
    reader = Reader(pipeline, Selection(EventFilter(interfaces=("eth*",))))
    reader.take()
    for alias in ("wan0", "wan1", "eth7"):
        pipeline.journal.append(pipeline.table.apply(Upsert(make_row(alias))))
    assert [(event.seq, event.notification_type) for event in reader.take()] == [
        (1, "delete_instance"),
        (3, "add_instance"),
    ]
