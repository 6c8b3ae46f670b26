"""Any order of changes, renames, failures, crashes and restarts, through a filter and a settle: nothing is lost."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from publisher.delivery.selection import Selection
from publisher.delivery.subscription import SinkSubscription
from publisher.events import Event, IpInterface, Key
from publisher.filters import EventFilter
from publisher.journal.positions import ResendEvents, ResendSnapshot
from publisher.sink import Cursor
from publisher.sources import Remove, Upsert
from publisher.testing import make_row
from tests.delivery.test_settling import SetClock
from tests.fixtures.pipeline import Pipeline

WAN = EventFilter(interfaces=("wan*",))
SELECTIONS = (
    Selection(WAN),
    Selection(settle=timedelta(seconds=2)),
    Selection(WAN, timedelta(seconds=2)),
    Selection(WAN, timedelta(seconds=2), snapshot=False),
)


class SelectionMachine(RuleBasedStateMachine):
    """One sink and its destination, which keeps every event that it was given; with or without a cursor of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.pipeline = Pipeline(Path(self._folder.name) / "journal.db")
        self.clock = SetClock()
        self.log: list[Event] = []
        """Every event of the journal."""
        self.there: list[Event] = []
        """Everything at the destination, in order of arrival."""
        self.baseline = 0
        """The event of the snapshot that the sink was offered first: none before it was sent by itself."""
        self.newest = 0
        """The newest event since the start, a crash or a replay: `seq` may go back there only."""
        self.replaying = False
        """Nothing of a replay was confirmed: it begins again after a failure, whatever arrived."""

    @initialize(selection=st.sampled_from(SELECTIONS), reports=st.booleans())
    def choose(self, selection: Selection, reports: bool) -> None:
        self.selection, self.reports = selection, reports
        self.begin()

    def begin(self) -> None:
        self.pipeline.table.stamp.clock = self.clock.utc
        part = self.pipeline.journal.sink("sink", "there")
        self.subscription = SinkSubscription(self.pipeline.journal, part, self.pipeline.log, self.selection, self.clock)
        self.subscription.enter()
        self.subscription.begin(self.cursor)
        self.newest = 0
        self.begins_anew = self.subscription.seq is None

    @property
    def cursor(self) -> Cursor | None:
        """The last event that the destination reports, as a file does; a snapshot that is cut short does not count."""
        if not self.reports:
            return None
        ends = [
            event for event in self.there if event.snapshot is None or event.snapshot.position == event.snapshot.count
        ]
        return Cursor(ends[-1].epoch, ends[-1].seq) if ends else None

    @rule(index=st.integers(2, 4), name=st.sampled_from(["wan0", "wan1", "lan0"]), metric=st.integers(0, 3))
    def change(self, index: int, name: str, metric: int) -> None:
        self.append(Upsert(make_row(f"{name}.{index}", index=index, metric=metric)))

    @rule(index=st.integers(2, 4))
    def remove(self, index: int) -> None:
        self.append(Remove(*make_row(index=index).key))

    def append(self, update: Upsert | Remove) -> None:
        made = self.pipeline.table.apply(update)
        self.pipeline.journal.append(made)
        self.log += made

    @rule(seconds=st.sampled_from([0.1, 0.7, 2.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.clock.seconds += seconds

    def next_batch(self, most: int = 256, *, at_once: bool = False) -> list[Event]:
        """Returns the next batch; a sink that takes no snapshot begins with what comes after its first one."""
        batch = self.subscription.next_batch(most, at_once=at_once)
        if self.begins_anew and not self.selection.snapshot and self.subscription.seq is not None:
            self.baseline, self.begins_anew = self.subscription.seq, False
        if self.subscription.seq is None and batch and batch[0].snapshot is not None:
            self.baseline = batch[0].seq
        return batch

    @rule(most=st.integers(1, 3), share=st.floats(0, 1))
    def deliver(self, most: int, share: float) -> None:
        batch = self.next_batch(most)
        self.take(batch[: round(share * len(batch))])

    @rule(most=st.integers(1, 3), share=st.floats(0, 1))
    def fail(self, most: int, share: float) -> None:
        """The destination has taken more than its answer said; it is asked where it is."""
        batch = self.next_batch(most)
        if self.reports:
            self.keep(batch[: round(share * len(batch))])
            self.subscription.go_to(self.cursor)
            self.newest = 0 if self.replaying else self.newest

    @rule()
    def request_snapshot(self) -> None:
        resend = ResendSnapshot("notification", self.pipeline.journal.seq)
        [numbered] = self.pipeline.journal.append((), {"sink": resend}).values()
        self.subscription.resend(numbered)

    @rule(back=st.integers(0, 6))
    def replay(self, back: int) -> None:
        since = max(0, self.pipeline.journal.seq - back)
        [numbered] = self.pipeline.journal.append((), {"sink": ResendEvents(since)}).values()
        self.subscription.resend(numbered)
        self.newest, self.replaying = 0, True

    @rule()
    def commit(self) -> None:
        self.pipeline.journal.commit()

    @rule()
    def restart(self) -> None:
        """A stop, which delivers everything at once, and a start."""
        self.catch_up()
        self.pipeline.restart()
        before = len(self.there)
        self.begin()
        assert self.next_batch() == []
        assert len(self.there) == before, "nothing is sent twice over a clean stop"

    @rule(share=st.floats(0, 1))
    def crash(self, share: float) -> None:
        """A kill amid a batch: the destination may have a part of it, and the last positions are lost."""
        batch = self.next_batch(5)
        self.keep(batch[: round(share * len(batch))])
        self.pipeline.kill()
        self.begin()

    @rule()
    def catch_up(self) -> None:
        for _ in range(200):
            batch = self.next_batch(7, at_once=True)
            if not batch:
                break
            self.take(batch)
        assert self.subscription.done
        self.everything_is_there()

    def take(self, events: list[Event]) -> None:
        self.keep(events)
        self.replaying = self.replaying and not events
        self.subscription.advance(events)

    def keep(self, events: list[Event]) -> None:
        for event in events:
            assert event.snapshot is not None or event.seq > self.newest, "seq never goes back"
            self.newest = max(self.newest, event.seq) if event.snapshot is None else self.newest
            self.there.append(event)

    def everything_is_there(self) -> None:
        rows: dict[Key, Event] = {}
        covered: set[int] = set()
        for event in self.there:
            if event.is_marker:
                rows = {}
            elif event.key and event.notification_type == "delete_instance":
                rows.pop(event.key, None)
            elif event.key:
                rows[event.key] = event
            covered |= self.stood_for(event)
        if self.selection.snapshot:
            wanted = {row.key: row for row in self.pipeline.table.rows if self.selection.only.keeps(row)}
            assert {key: ip_interface(event) for key, event in rows.items()} == wanted
        missing = {event.seq for event in self.log if event.seq > self.baseline and self.passes(event)} - covered
        assert not missing, "each event that passes is in an event at the destination"

    def stood_for(self, event: Event) -> set[int]:
        """The events of the journal that this one stands for."""
        if event.snapshot is not None:
            return set()
        first = event.settled.first if event.settled else event.seq
        within = [
            raw for raw in self.log if first <= raw.seq <= event.seq and raw.key == event.key and self.passes(raw)
        ]
        assert len(within) == (event.settled.count if event.settled else 1), "the count says how many"
        return {raw.seq for raw in within}

    def passes(self, event: Event) -> bool:
        names = [event.interface.alias] if event.interface else []
        if renamed := event.changed.get("interface.alias"):
            names.append(renamed.before)
        return not self.selection.only.interfaces or any(name.startswith("wan") for name in names)

    @invariant()
    def the_position_is_before_all_that_is_missing(self) -> None:
        if not hasattr(self, "subscription") or self.subscription.seq is None or not self.there:
            return
        covered = set[int]().union(*(self.stood_for(event) for event in self.there))
        passed = {raw.seq for raw in self.log if self.baseline < raw.seq <= self.subscription.seq and self.passes(raw)}
        assert not passed - covered

    def teardown(self) -> None:
        self.pipeline.close()
        self._folder.cleanup()


def ip_interface(event: Event) -> IpInterface:
    return IpInterface.model_validate_json(event.ip_interface_json)


TestSelectionMachine = SelectionMachine.TestCase
TestSelectionMachine.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
