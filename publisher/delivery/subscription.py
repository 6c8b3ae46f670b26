"""A sink's subscription to the journal: the snapshot when one is due, then the tail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import JournalDamagedError
from ..events import Cause, Event, SnapshotEvents
from ..journal.journal import Journal
from ..journal.positions import NumberedResend, Position, ResendEvents, ResendSnapshot, SnapshotDue, Tail
from ..journal.sink_journal import SinkJournal
from ..sink import Cursor, Log, Sink

# The answer of `events_since` is held in memory as a whole; a sink that missed more gets the snapshot.
_ANSWER = 4096


@dataclass(frozen=True)
class Sending:
    """The snapshot is being sent: the tail up to its `seq`, then its events, of which `sent` are safe."""

    snapshot: SnapshotEvents[bytes]
    cause: Cause
    sent: int
    confirmed: Cursor | None
    lost: int | None = None

    @property
    def tail_first(self) -> bool:
        """True while the sink has yet to get events that the snapshot contains."""
        return self.confirmed is not None and self.confirmed.seq < self.snapshot.seq


State = Tail | SnapshotDue | Sending


class Subscription:
    """One sink's way through the journal. The sink's thread; `seq`, `behind` and `done` may be read by any.

    The order is: the events up to a snapshot's `seq`, the snapshot, the events after it. So a row of a snapshot never
    comes after a newer event of that row, and a snapshot that is requested makes no event go missing. A sink that has
    no position in the journal, or lost it, begins with the snapshot.
    """

    def __init__(self, journal: Journal, part: SinkJournal, log: Log) -> None:
        self._journal = journal
        self._events = journal.events
        self._part = part
        self._log = log
        self._state: State = SnapshotDue("notification", 0, None)
        self._newest_resend = 0
        # Replays of events that nothing was sent for yet: done with the first event, since after a kill before that
        # the destination's own report of its last event would hide the way back.
        self._replays: list[int] = []

    def begin(self, own: Cursor | None) -> None:
        """Starts after the event that the destination itself reports, else at the position; raises JournalError.

        Harmless when repeated, as after a failure to open.
        """
        position, resends = self._part.place()
        self._replays = []
        if own is not None:
            self._state = replace(position, confirmed=own) if position else Tail(own)
        else:
            self._state = position or SnapshotDue("notification", 0, None)
        for resend in resends:
            self._take(resend)
        self._note_reading()

    def go_to(self, own: Cursor | None) -> None:
        """Goes on after the event that the destination itself reports, after a failure; `None` changes nothing."""
        state = self._state
        if own is None or own == state.confirmed:
            return
        if isinstance(state, Sending) and not state.tail_first:
            # Its rows are being sent, and the destination may count them or not; only a step back is sure.
            if state.confirmed is None or own.epoch != state.confirmed.epoch or own.seq >= state.confirmed.seq:
                return
            self._state = SnapshotDue(state.cause, state.snapshot.seq, own, state.lost)
        else:
            self._state = replace(state, confirmed=own)
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
                self._state = SnapshotDue(marked, after, self._state.confirmed, self._first_lost())
                self._report((number,) if number else ())
            case ResendEvents(since):
                before, self._state = self._state, self._back_to(since)
                if self._state is before:
                    self._part.settle(number)
                else:
                    self._replays.append(number)
                    self._note_reading()
            case _:
                return
        self._newest_resend = max(self._newest_resend, number)

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

    def next_batch(self, most: int = Sink.batch_size) -> list[Event]:
        """Returns at most so many events, all of a snapshot or none of it; none when there are none.

        Raises JournalError.
        """
        if not self._events.known:
            return []
        self._begin_anew_if_lost()
        match self._state:
            case SnapshotDue(cause, after, confirmed, lost) if confirmed is None or confirmed.seq >= after:
                self._state = Sending(self._journal.snapshot(cause, lost), cause, 0, confirmed, lost)
                self._report_progress()
                return self.next_batch(most)
            case Sending(snapshot, _, sent, confirmed) as sending:
                if confirmed is None or not sending.tail_first:
                    return snapshot[sent : sent + most]
                return self._tail(confirmed.seq, min(most, snapshot.seq - confirmed.seq))
            case Tail(confirmed) | SnapshotDue(confirmed=confirmed):
                return self._tail(confirmed.seq, most) if confirmed else []

    def advance(self, sent: Sequence[Event]) -> None:
        """Moves past the first events of the last batch: they are safe at the destination."""
        if not sent:
            return
        last, state = sent[-1], self._state
        if last.snapshot is None:
            confirmed = Cursor(last.epoch, last.seq)
            self._state = Tail(confirmed) if isinstance(state, Tail) else replace(state, confirmed=confirmed)
        elif isinstance(state, Sending):
            safe = state.sent + len(sent)
            if safe < len(state.snapshot):
                self._state = replace(state, sent=safe)
                return
            self._state = Tail(Cursor(self._journal.epoch, state.snapshot.seq))
        self._report_progress()

    def events_since(self, epoch: str, seq: int) -> list[Event] | None:
        """Returns the events after this one; `None` when they are no longer all kept, or too many or too large."""
        newest = self._events.seq
        if self._lost(Cursor(epoch, seq)) or newest - seq > _ANSWER:
            return None
        events = self._events.read(seq, _ANSWER)
        if events and (events[0].seq != seq + 1 or events[-1].seq < newest):
            return None
        return events

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
        if reason := self._lost(state.confirmed):
            self._log.warning("lost its position in the journal and gets the snapshot: %s", reason)
            self._begin_anew(state.confirmed)

    def _begin_anew(self, confirmed: Cursor) -> None:
        """Makes the snapshot due, at once: it makes up for the events after the confirmed one."""
        lost, cause = self._first_lost(), self._outstanding() or "notification"
        if confirmed.epoch == self._journal.epoch and not self._replays:  # what is replayed was there once
            cause = "overrun"
            if confirmed.seq < self._events.seq:
                lost = confirmed.seq + 1 if lost is None else min(lost, confirmed.seq + 1)
        self._state = SnapshotDue(cause, 0, None, lost)

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

    def _tail(self, after: int, limit: int) -> list[Event]:
        """Returns the events after this one; when they cannot be had, the beginning of the snapshot."""
        try:
            events = self._events.read(after, limit)
        except JournalDamagedError as error:
            self._log.error("events cannot be read, so it gets the snapshot: %s", error)
        else:
            # They may have been deleted between the look at the oldest and the reading.
            if not events or events[0].seq == after + 1:
                return events
        self._begin_anew(Cursor(self._journal.epoch, after))
        return self.next_batch(limit)

    def _report_progress(self) -> None:
        done, self._replays = self._replays, []
        self._report(done)

    def _report(self, done: Sequence[int]) -> None:
        self._part.report(_durable(self._state), done)
        self._note_reading()

    def _note_reading(self) -> None:
        """Notes from which event on the journal must keep them for this sink."""
        match self._state:
            case Sending(snapshot) as sending if not sending.tail_first:
                self._part.reading = snapshot.seq
            case state:
                self._part.reading = state.confirmed and state.confirmed.seq


def _durable(state: State) -> Position:
    """Returns the position to go on from after a restart: a snapshot that was not sent whole is due again."""
    if isinstance(state, Sending):
        return SnapshotDue(state.cause, state.snapshot.seq, state.confirmed, state.lost)
    return state
