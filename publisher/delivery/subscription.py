"""A sink's subscription to the journal: the snapshot when one is due, then the tail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import JournalDamagedError
from ..events import Cause, Event, SnapshotEvents
from ..journal.history import JournalHistory
from ..journal.journal import Journal
from ..journal.positions import NumberedResend, Position, ResendEvents, ResendSnapshot, SnapshotDue, Tail
from ..journal.sink_journal import SinkJournal
from ..sink import Cursor, Log, Sink
from .filtering import seen_through
from .inbox import Clock
from .place import Sending, State, begun_at, durable, has_begun
from .selection import Selection, UnsentEvents, seen_by

# The answer of `events_since` is held in memory as a whole; a sink that missed more gets the snapshot.
_ANSWER = 4096
# Where a filter lets little pass, so many events are read at a time, and so many times before the worker looks around.
_READ_AT_ONCE, _READS = 256, 16
# What a sink is behind stays in the journal: of the file no more than about so many bytes of events are read for it at
# once. As objects they take six times as much memory.
_BATCH_BYTES = 1 << 20
# While something settles, the journal is read on so often: it may have to delete what was not read.
_MOST_PAUSE = 1.0


class SinkSubscription:
    """One sink's way through the journal. The sink's thread; `seq`, `behind` and `done` may be read by any.

    The order is: the events up to a snapshot's `seq`, the snapshot, the events after it. So a row of a snapshot never
    comes after a newer event of that row, and a snapshot that is requested makes no event go missing. A sink that has
    no position in the journal, or lost it, begins with the snapshot, whose `seq` is in the file before any of it is
    sent: after a kill the events after that come next, and then the snapshot again.

    With a `selection` that is not the whole, events are read ahead of those that are sent: the position passes what the
    sink does not get, and stays before what settles. So after a crash what settled is read again; nothing is lost.
    """

    def __init__(
        self,
        journal: Journal,
        part: SinkJournal,
        log: Log,
        selection: Selection = Selection(),  # noqa: B008 - it is frozen
        clock: Clock | None = None,
    ) -> None:
        self._journal = journal
        self._events = journal.events
        self._part = part
        self._log = log
        self._selection = selection
        self._unsent = None if selection.is_whole else UnsentEvents(selection, clock or Clock())
        self._has: int | None = None
        """The last event at the destination, when it is not the one of the position."""
        self._reads_on = False
        if selection.settle is not None:
            part.patience_seconds += selection.settle.total_seconds()
        self._state: State = SnapshotDue("notification", 0, None)
        self._began_after = journal.seq
        """The event before those of a sink that takes no snapshot, and has no position yet."""
        self._newest_resend = 0
        # Replays of events that nothing was sent for yet: done with the first event, since after a kill before that
        # the destination's own report of its last event would hide the way back.
        self._replays: list[int] = []
        self._before_replays: Cursor | None = None
        """The last event at the destination when the first of them was requested."""
        # Resends that came before there was a position to report: done with the first one.
        self._early: list[int] = []

    def enter(self) -> None:
        """Notes where a sink begins that takes no snapshot, before it is opened: no kill takes an event from it then.

        Raises JournalError.
        """
        if not self._selection.snapshot and self._part.place()[0] is None:
            self._move(Tail(Cursor(self._journal.epoch, self._began_after)))
            self._part.begin(self._position(self._state))

    def begin(self, own: Cursor | None) -> None:
        """Starts after the event that the destination itself reports, else at the position; raises JournalError.

        Harmless when repeated, as after a failure to open.
        """
        position, resends = self._part.place()
        self._replays, self._early = [], []
        if position is None:
            first = None if self._selection.snapshot else Cursor(self._journal.epoch, self._began_after)
            self._move(Tail(own) if own else SnapshotDue("notification", 0, first))
        else:
            begun = begun_at(position, own, self._selection)
            if begun.has_other_rows:
                self._log.info("gets the snapshot: its filter chooses other rows than before")
            self._move(begun.state, begun.has)
        for resend in resends:
            self._take(resend)
        self._note_reading()

    def _move(self, state: State, has: int | None = None) -> None:
        """Goes on from another event than the one after the last; `has` is the last one at the destination."""
        self._state, self._has = state, has
        if self._unsent is not None:
            self._unsent.go_to(state.confirmed.seq if state.confirmed else 0)

    def go_to(self, own: Cursor | None) -> None:
        """Goes on after the event that the destination itself reports, after a failure; `None` changes nothing.

        What was there before a replay is no sign of the replay: of that, nothing may have arrived.
        """
        state = self._state
        confirmed = state.confirmed
        if own is None or own == self._newest_there or (self._replays and own == self._before_replays):
            return
        if isinstance(state, Sending) and not state.tail_first:
            # Its rows are being sent, and the destination may count them or not; only a step back is sure.
            if state.confirmed is None or own.epoch != state.confirmed.epoch or own.seq >= state.confirmed.seq:
                return
            self._move(SnapshotDue(state.cause, state.snapshot.seq, own, state.lost))
        elif confirmed and own.epoch == confirmed.epoch and self._unsent and self._unsent.sent_up_to(own.seq):
            self._note_sent(confirmed.epoch, own.seq)
        else:
            self._move(replace(state, confirmed=own))
        self._report(())

    def resend(self, numbered: NumberedResend) -> None:
        """Takes a request to send again; one that the journal already handed over is ignored."""
        if not 0 < numbered.number <= self._newest_resend:
            self._take(numbered)

    def _take(self, numbered: NumberedResend) -> None:
        number, resend = numbered
        match resend:
            case ResendSnapshot(cause, after):
                # A loss stays marked, whatever else is requested.
                marked: Cause = "overrun" if "overrun" in (cause, self._outstanding()) else cause
                self._state = SnapshotDue(marked, after, durable(self._state).confirmed, self._first_lost())
                self._report((number,) if number else ())
            case ResendEvents(since):
                state = self._back_to(since)
                if state is self._state:
                    self._part.settle(number)
                else:
                    if not self._replays:
                        self._before_replays = self._newest_there
                    self._move(state)
                    self._replays.append(number)
                    self._note_reading()
            case _:
                return
        self._newest_resend = max(self._newest_resend, number)

    @property
    def _newest_there(self) -> Cursor | None:
        """The last event at the destination, as far as is known: the position may have passed others."""
        confirmed = self._state.confirmed
        return confirmed if confirmed is None or self._has is None else confirmed._replace(seq=self._has)

    @property
    def seq(self) -> int | None:
        """The last event that the sink confirmed; `None` while it has no position."""
        confirmed = self._state.confirmed
        return confirmed and confirmed.seq

    @property
    def behind(self) -> int:
        """The number of events that the sink has yet to get; the rest of a snapshot counts."""
        state = self._state
        rest = len(state.snapshot) - state.sent if isinstance(state, Sending) else 0
        return (max(0, self._events.seq - state.confirmed.seq) if state.confirmed else 0) + rest

    @property
    def done(self) -> bool:
        """True if the sink has everything and nothing is due."""
        state = self._state
        return not self._events.known or (isinstance(state, Tail) and state.confirmed.seq >= self._events.seq)

    @property
    def pause(self) -> float | None:
        """The seconds until there may be a batch after one that was empty; `None` until the journal has news."""
        if self._unsent is None or self._reads_on:
            return 0.0 if self._reads_on else None
        pause = self._unsent.pause
        return None if pause is None else min(pause, _MOST_PAUSE)

    def next_batch(self, most: int = Sink.batch_size, *, at_once: bool = False) -> list[Event]:
        """Returns at most so many events, all of a snapshot or none of it; none when there are none.

        `at_once` is for the end: nothing more has the time to settle. Raises JournalError.
        """
        if not self._events.known:
            return []
        self._begin_anew_if_lost()
        match self._state:
            case SnapshotDue(_, after, confirmed) as due if confirmed is None or confirmed.seq >= after:
                self._begin_snapshot(due)
                self._report_progress()
                return self.next_batch(most, at_once=at_once)
            case Sending(snapshot, _, sent, confirmed) as sending:
                if confirmed is None or not sending.tail_first:
                    return [*snapshot[sent : sent + most]]
                most = min(most, snapshot.seq - confirmed.seq)
                return self._tail(confirmed.seq, most, snapshot.seq, at_once=at_once)
            case SnapshotDue(_, after, confirmed):
                return self._tail(confirmed.seq, most, after, at_once=at_once) if confirmed else []
            case Tail(confirmed):
                return self._tail(confirmed.seq, most, at_once=at_once)

    def _begin_snapshot(self, due: SnapshotDue) -> None:
        """Begins to send what is due: for a sink that takes no snapshot, the mark of a loss, if there was one."""
        cause, confirmed, lost = due.cause, due.confirmed, due.lost
        if self._selection.snapshot:
            sending = Sending(self.snapshot(cause, lost), cause, 0, confirmed, lost)
            if confirmed is None:
                self._part.begin(self._position(sending))
            self._state = sending
            return
        place = confirmed or Cursor(self._journal.epoch, self._events.seq)
        if cause == "overrun":
            self._state = Sending(self._journal.mark_of_loss(place.seq, lost), cause, 0, place, lost)
        elif confirmed is None:
            self._move(Tail(place))
        else:
            self._state = Tail(place)

    def snapshot(self, cause: Cause = "notification", lost: int | None = None) -> SnapshotEvents[bytes]:
        """Returns the snapshot of the rows that pass the sink's filter, as they are now."""
        only = self._selection.only
        return self._journal.snapshot(cause, lost, only.keeps if only.chooses_rows else None)

    def advance(self, sent: Sequence[Event]) -> None:
        """Moves past the first events of the last batch: they are safe at the destination."""
        if not sent:
            return
        last, state = sent[-1], self._state
        if last.snapshot is None:
            if self._unsent is not None:
                self._unsent.sent(len(sent))
            self._note_sent(last.epoch, last.seq)
        elif isinstance(state, Sending):
            safe = state.sent + len(sent)
            if safe < len(state.snapshot):
                self._state = replace(state, sent=safe)
                return
            self._move(Tail(Cursor(self._journal.epoch, state.snapshot.seq)))
        self._report_progress()

    def _note_sent(self, epoch: str, seq: int) -> None:
        """Moves to where everything is at the destination, whose last event is this one."""
        self._has = None
        if self._unsent is not None:
            self._has, seq = seq, self._unsent.passed
        state, confirmed = self._state, Cursor(epoch, seq)
        self._state = Tail(confirmed) if isinstance(state, Tail) else replace(state, confirmed=confirmed)

    def events_since(self, epoch: str, seq: int) -> list[Event] | None:
        """Returns the events after this one; `None` when they are no longer all kept, or too many or too large."""
        newest = self._events.seq
        if self._lost(Cursor(epoch, seq)) or newest - seq > _ANSWER:
            return None
        events = self._events.read(seq, _ANSWER)
        if events and (events[0].seq != seq + 1 or events[-1].seq < newest):
            return None
        return events if self._unsent is None else seen_by(self._selection, events)

    def history(self) -> JournalHistory:
        """Returns the history of the events that pass the sink's filter. Any thread."""
        only = self._selection.only
        if not only.chooses_rows and not only.chooses_events:
            return self._journal.history()

        def seen(event: Event) -> Event | None:
            found = seen_through(only, event)
            return found if found is not None and only.takes(found) else None

        return self._journal.history(seen)

    def _outstanding(self) -> Cause | None:
        """Returns the cause of the snapshot that the sink has yet to get, or to get to the end of."""
        return None if isinstance(self._state, Tail) else self._state.cause

    def _back_to(self, seq: int) -> State:
        """Returns the state with fewer events confirmed; a snapshot that is being sent is due again after its seq."""
        state = self._state
        if state.confirmed is None or seq >= state.confirmed.seq:
            return state
        confirmed = state.confirmed._replace(seq=seq)
        if isinstance(state, Sending):
            return SnapshotDue(state.cause, state.snapshot.seq, confirmed, state.lost)
        return replace(state, confirmed=confirmed)

    def _begin_anew_if_lost(self) -> None:
        state = self._state
        if state.confirmed is None or (isinstance(state, Sending) and not state.tail_first):
            return
        read = state.confirmed if self._unsent is None else state.confirmed._replace(seq=self._unsent.read)
        if reason := self._lost(read):
            self._log.warning("lost its position in the journal and gets the snapshot: %s", reason)
            self._begin_anew(state.confirmed)

    def _begin_anew(self, confirmed: Cursor) -> None:
        """Makes the snapshot due, at once: it makes up for the events after the confirmed one."""
        lost, cause = self._first_lost(), self._outstanding() or "notification"
        if confirmed.epoch == self._journal.epoch and not self._replays:  # what is replayed was there once
            cause = "overrun"
            if confirmed.seq < self._events.seq:
                lost = confirmed.seq + 1 if lost is None else min(lost, confirmed.seq + 1)
        self._move(SnapshotDue(cause, 0, None if self._selection.snapshot else self._rest(confirmed), lost))

    def _rest(self, confirmed: Cursor) -> Cursor:
        """Returns the place from which a sink that takes no snapshot goes on, when it cannot from this one."""
        is_trimmed = confirmed.epoch != self._journal.epoch or confirmed.seq + 1 < self._events.oldest
        return Cursor(self._journal.epoch, self._events.oldest - 1 if is_trimmed else self._events.seq)

    def _first_lost(self) -> int | None:
        """Returns the first event that the snapshot makes up for, of the one that is due or being sent."""
        return None if isinstance(self._state, Tail) else self._state.lost

    def _lost(self, cursor: Cursor) -> str | None:
        """Returns why the journal cannot go on from here; `None` when it can."""
        if cursor.epoch != self._journal.epoch:
            return f"its last event is of epoch {cursor.epoch}, this is {self._journal.epoch}"
        if cursor.seq + 1 < self._events.oldest:
            return f"its last event is {cursor.seq}, the oldest that is kept is {self._events.oldest}"
        if not self._events.holds(cursor.seq):
            return f"its last event is {cursor.seq}, the newest here is {self._events.seq}"
        return None

    def _tail(self, after: int, limit: int, goal: int | None = None, *, at_once: bool = False) -> list[Event]:
        """Returns the events after this one; when they cannot be had, the beginning of the snapshot.

        `goal` is the event before the snapshot that is due: whatever settles is sent before that.
        """
        if self._unsent is None:
            events = self._read(after, limit)
            return self.next_batch(limit, at_once=at_once) if events is None else events
        batch = self._chosen(self._unsent, limit, goal, at_once=at_once)
        is_there = goal is not None and self._state.confirmed is not None and self._state.confirmed.seq >= goal
        return self.next_batch(limit, at_once=at_once) if batch is None or (not batch and is_there) else batch

    def _chosen(self, unsent: UnsentEvents, limit: int, goal: int | None, *, at_once: bool) -> list[Event] | None:
        """Returns the events that the sink gets next, as far as they have settled; `None` when events were lost.

        It reads on until there are some, a bounded number of times.
        """
        self._reads_on = False
        for _ in range(_READS):
            if batch := unsent.batch(limit):
                return batch
            count = _READ_AT_ONCE if goal is None else min(_READ_AT_ONCE, goal - unsent.read)
            events = self._read(unsent.read, count) if count > 0 else []
            if events is None:
                return None
            if not events:
                batch = unsent.batch(limit, caught_up=True, all_of_them=at_once or goal is not None)
                break
            unsent.take(events)
        else:
            self._reads_on = True
        self._pass_over(unsent)
        return batch

    def _pass_over(self, unsent: UnsentEvents) -> None:
        """Moves the position past what the sink does not get."""
        state = self._state
        if state.confirmed is not None and unsent.passed > state.confirmed.seq:
            if self._has is None:
                self._has = state.confirmed.seq
            self._state = replace(state, confirmed=state.confirmed._replace(seq=unsent.passed))
            self._report_progress()

    def _read(self, after: int, limit: int) -> list[Event] | None:
        """Returns the events after this one; `None` when they cannot be had, and the sink begins anew."""
        try:
            events = self._events.read(after, limit, _BATCH_BYTES)
        except JournalDamagedError as error:
            self._log.error("events cannot be read, so it gets the snapshot: %s", error)
        else:
            # They may have been deleted between the look at the oldest and the reading.
            if not events or events[0].seq == after + 1:
                return events
        self._begin_anew(self._state.confirmed or Cursor(self._journal.epoch, after))
        return None

    def _report_progress(self) -> None:
        done, self._replays = self._replays, []
        self._report(done)

    def _report(self, done: Sequence[int]) -> None:
        position = self._position(self._state)
        if has_begun(position):
            early, self._early = self._early, []
            self._part.report(position, [*early, *done])
        else:
            self._early += done
        self._note_reading()

    def _position(self, state: State) -> Position:
        position = durable(state)
        if self._unsent is None and self._selection.snapshot:
            return position
        has = None if position.confirmed is None or self._has == position.confirmed.seq else self._has
        return replace(position, has=has, rows=self._selection.rows)

    def _note_reading(self) -> None:
        """Notes from which event on the journal must keep them for this sink."""
        match self._state:
            case Sending(snapshot) as sending if not sending.tail_first:
                self._part.reading = snapshot.seq
            case state:
                self._part.reading = state.confirmed and state.confirmed.seq
