"""Any order of appends, trims, requests, failures and restarts: no gap, no row after a newer event, marks kept."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from publisher.delivery.subscription import SinkSubscription
from publisher.events import Event
from publisher.journal.positions import ResendEvents, ResendSnapshot
from tests.fixtures.pipeline import Pipeline


class SubscriptionMachine(RuleBasedStateMachine):
    """One sink of a journal of ten events. The model is what the sink was given: `state` of each row, and `seen`."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.pipeline = Pipeline(Path(self._folder.name) / "journal.db", max_events=10)
        self.marked = False
        """Whether a snapshot with cause `overrun` is owed."""
        self.newest = 0
        """The newest event that the sink was given, or that a whole snapshot contained; replays go back."""
        self.rows: dict[str, int] = {}
        """The newest seq that each row was given with."""
        self.expected: int | None = None
        """The next position of the snapshot that is being given."""
        self.whole_from = 0
        """The event from which on the tail must have no hole, since a snapshot or the start."""
        self.first = 0
        """The event of the snapshot that the sink was offered before it confirmed anything: it may have all of it."""
        self.begin()

    def begin(self) -> None:
        part = self.pipeline.journal.sink("sink", "there")
        self.subscription = SinkSubscription(self.pipeline.journal, part, self.pipeline.log)
        self.subscription.begin(None)
        self.expected = None
        self.rows = {}

    @rule(count=st.integers(1, 4))
    def append(self, count: int) -> None:
        self.pipeline.change(count)

    @rule(count=st.integers(11, 40))
    def append_and_trim(self, count: int) -> None:
        """More than the journal keeps, in one transaction."""
        self.pipeline.change_at_once(count)

    @rule(lost=st.booleans())
    def request_snapshot(self, lost: bool) -> None:
        resend = ResendSnapshot("overrun" if lost else "notification", self.pipeline.journal.seq)
        [numbered] = self.pipeline.journal.append((), {"sink": resend}).values()
        self.subscription.resend(numbered)
        self.marked |= lost
        self.break_off()

    @rule(back=st.integers(0, 12))
    def replay(self, back: int) -> None:
        since = max(0, self.pipeline.journal.seq - back)
        [numbered] = self.pipeline.journal.append((), {"sink": ResendEvents(since)}).values()
        self.subscription.resend(numbered)
        confirmed = self.subscription.seq
        if confirmed is not None and confirmed < self.newest:
            self.newest = confirmed
            self.rows = {}
            self.expected = None

    @rule(most=st.integers(1, 4), share=st.floats(0, 1))
    def deliver(self, most: int, share: float) -> None:
        """A batch of which the destination takes the first part, as with Retry(index=...)."""
        batch = self.next_batch(most)
        taken = batch[: round(share * len(batch))]
        for event in taken:
            self.take(event)
        self.subscription.advance(taken)

    @rule(count=st.integers(11, 40))
    def deliver_while_the_journal_trims(self, count: int) -> None:
        """Events are deleted between the look at the oldest and the reading."""
        events = self.pipeline.journal.events
        read = events.read

        def read_too_late(after: int, limit: int, most_bytes: int = sys.maxsize) -> list[Event]:
            events.read = read  # type: ignore[method-assign]  # once
            self.pipeline.change_at_once(count)
            return read(after, limit, most_bytes)

        events.read = read_too_late  # type: ignore[method-assign]  # the moment between look and read
        try:
            self.deliver(3, 1.0)
        finally:
            events.read = read  # type: ignore[method-assign]  # back to the journal's own

    @rule()
    def fail(self) -> None:
        """A batch that the destination does not take: the next one is the same."""
        before = [event.id for event in self.next_batch(3)]
        if before:
            assert [event.id for event in self.next_batch(3)][: len(before)] == before

    @rule()
    def restart(self) -> None:
        """A clean end, and a new start: what was reported is there."""
        self.pipeline.restart()
        self.begin()
        self.break_off()

    @rule()
    def crash(self) -> None:
        """A kill: what was reported since the last commit is lost, and sent again."""
        self.pipeline.kill()
        self.begin()
        self.break_off()
        confirmed = self.subscription.seq
        if confirmed is not None:
            self.newest = min(self.newest, confirmed)
        else:  # It begins anew: it never got anything, or the snapshot has a mark.
            self.marked |= self.newest > 0

    def break_off(self) -> None:
        """Notes that the snapshot that was being sent is not sent on."""
        self.expected = None
        self.newest = max(self.newest, self.first)

    def next_batch(self, most: int) -> list[Event]:
        batch = self.subscription.next_batch(most)
        if batch and batch[0].snapshot is not None and self.subscription.seq is None:
            self.first = batch[0].seq
        return batch

    @precondition(lambda self: self.pipeline.journal.seq > 0)
    @rule()
    def catch_up(self) -> None:
        """Everything that is due is given in the end, with the mark of every loss."""
        for _ in range(200):
            batch = self.next_batch(7)
            if not batch:
                break
            for event in batch:
                self.take(event)
            self.subscription.advance(batch)
        assert self.subscription.done
        assert not self.marked
        assert self.newest == self.pipeline.journal.seq

    @invariant()
    def confirmed_is_what_was_given(self) -> None:
        confirmed = self.subscription.seq
        assert confirmed is None or confirmed <= self.newest

    def take(self, event: Event) -> None:
        if event.snapshot is None:
            assert event.seq == self.newest + 1, "no gap, and nothing twice but what was asked for"
            self.newest = event.seq
            assert event.luid
            self.rows[f"{event.luid}/{event.family}"] = event.seq
            return
        position, count = event.snapshot.position, event.snapshot.count
        assert position == (self.expected or 0), "a snapshot comes in order, from its beginning"
        self.expected = None if position == count else position + 1
        if position and event.luid:
            assert self.rows.get(f"{event.luid}/{event.family}", 0) <= event.seq, "no row after a newer event of it"
        if position == count:
            self.newest, self.first = event.seq, 0
            self.marked &= event.cause != "overrun"

    def teardown(self) -> None:
        self.pipeline.close()
        self._folder.cleanup()


TestSubscriptionMachine = SubscriptionMachine.TestCase
TestSubscriptionMachine.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
