"""What a sink gets next: the snapshot when it needs one, then the tail."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import JournalDamagedError, JournalError
from ..events import Cause, Event
from ..journal.journal import Journal
from ..sink import Cursor, Sink
from ..snapshot import SnapshotEvents

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

# What `events_since` answers is held in memory as a whole; whoever missed more is better off with the snapshot.
_ANSWER = 4096


class Subscription:
    """One sink's way through the journal. The worker's thread calls everything but the two requests, which any may.

    The order is: the events up to a snapshot's `seq`, the snapshot, the events after it. So a row of a snapshot never
    comes after a newer event of that row, and a snapshot that is asked for makes no event go missing. A sink that
    has no place in the journal, or lost it, begins with the snapshot.
    """

    def __init__(self, journal: Journal, sink: str, destination: str, log: FilteringBoundLogger) -> None:
        self._journal = journal
        self._sink, self._destination = sink, destination
        self._log = log
        # A snapshot's cause and the event it comes after, or `None` and the event after which all are sent again.
        self._requests: deque[tuple[Cause | None, int]] = deque()
        self._cursor: Cursor | None = None
        # The snapshot that is being sent, and how many of its events are safe already.
        self._snapshot: SnapshotEvents[bytes] | None = None
        self._sent = 0
        # A snapshot that is wanted once the sink has come to this event.
        self._wanted: tuple[Cause, int] | None = None
        self._owed: Cause | None = None
        self.unconfirmed = False
        """Whether the journal did not take the cursor: `confirm` is to be tried again."""

    def begin(self, own: Cursor | None) -> None:
        """Start at the cursor that the destination itself told, else at the journal's; raises JournalError."""
        self._cursor = own or self._journal.cursor(self._sink, self._destination)
        owed = self._journal.owed(self._sink, self._destination)
        if owed is not None:
            self._requests.append((owed, self._journal.seq))

    def request_snapshot(self, cause: Cause) -> None:
        """Have the snapshot sent, after the events there are now; one that is under way is begun anew.

        A crash does not undo it.
        """
        self._requests.append((cause, self._journal.seq))
        try:
            self._journal.owe(self._sink, self._outstanding() or cause)
        except JournalError as error:
            self._log.warning("a crash now would undo the request for the snapshot", reason=str(error))

    def request_replay(self, since: int) -> None:
        """Go back: have the events after this one sent again, or the snapshot when they are no longer kept."""
        self._requests.append((None, since))

    @property
    def seq(self) -> int | None:
        """The last event that the sink has confirmed; `None` while it has no place in the journal."""
        cursor = self._cursor
        return cursor and cursor.seq

    @property
    def behind(self) -> int:
        """How many events the sink has yet to get; the rest of a snapshot counts."""
        cursor = self._cursor
        snapshot = self._snapshot
        rest = len(snapshot) - self._sent if snapshot else 0
        return (max(0, self._journal.seq - cursor.seq) if cursor else 0) + rest

    @property
    def done(self) -> bool:
        """Whether the sink has everything, and nothing was asked for."""
        return bool(self._cursor or not self._journal.known) and not (self.behind or self._requests or self._wanted)

    def next_batch(self, most: int = Sink.batch_size) -> list[Event]:
        """At most so many events, all of a snapshot or none of it; empty when there is nothing. Raises JournalError."""
        self._take_requests()
        if not self._journal.known:
            return []
        if not self._snapshot and (cause := self._due()):
            self._begin_snapshot(cause)
        if self._snapshot and (self._cursor is None or self._cursor.seq >= self._snapshot.seq):
            return self._snapshot[self._sent : self._sent + most]
        return self._tail(most)

    def advance(self, sent: Sequence[Event]) -> None:
        """The first events of the last batch are safe at the destination."""
        if not sent:
            return
        if sent[0].snapshot is None:
            self._cursor = Cursor(sent[-1].epoch, sent[-1].seq)
        else:
            self._sent += len(sent)
            if self._snapshot is None or self._sent < len(self._snapshot):
                return
            self._cursor = Cursor(self._journal.epoch, max(self._snapshot.seq, self.seq or 0))
            self._snapshot = self._owed = None
        self.confirm()

    def confirm(self) -> None:
        """Write the cursor; when the journal does not take it, a crash would cost no more than repeats."""
        if self._cursor is None:
            return
        try:
            self._journal.confirm(self._sink, self._destination, self._cursor, self._outstanding())
        except JournalError as error:
            if not self.unconfirmed:
                self._log.warning("the cursor is kept in memory for now", reason=str(error))
            self.unconfirmed = True
        else:
            self.unconfirmed = False

    def events_since(self, epoch: str, seq: int) -> list[Event] | None:
        """The events after this one; `None` when they are no longer all there, or more than 4,096."""
        if self._lost(Cursor(epoch, seq)) or self._journal.seq - seq > _ANSWER:
            return None
        events = self._journal.read(seq, _ANSWER)
        return None if events and events[0].seq != seq + 1 else events

    def _outstanding(self) -> Cause | None:
        """The cause of the snapshot that the sink has yet to get, or to get to the end of."""
        causes = [self._owed, self._wanted and self._wanted[0], *(cause for cause, _ in tuple(self._requests))]
        return "overrun" if "overrun" in causes else next((cause for cause in causes if cause), None)

    def _take_requests(self) -> None:
        while self._requests:
            cause, seq = self._requests.popleft()
            if cause is None:
                if self._cursor is not None:
                    self._cursor = Cursor(self._journal.epoch, min(seq, self._journal.seq))
                continue
            # A loss stays marked, whatever else is asked for.
            self._wanted = ("overrun" if "overrun" in (cause, self._outstanding()) else cause, seq)
            self._snapshot = None

    def _due(self) -> Cause | None:
        """The cause of the snapshot that must come now."""
        if self._cursor is not None and (reason := self._lost(self._cursor)):
            self._log.warning("the sink lost its place in the journal and gets the snapshot", reason=reason)
            self._cursor = None
        if self._cursor is None:
            return self._wanted[0] if self._wanted else "notification"
        return self._wanted[0] if self._wanted and self._cursor.seq >= self._wanted[1] else None

    def _lost(self, cursor: Cursor) -> str | None:
        """Why the journal cannot go on from here."""
        if cursor.epoch != self._journal.epoch:
            return f"its last event is of epoch {cursor.epoch}, this is {self._journal.epoch}"
        if cursor.seq + 1 < self._journal.oldest():
            return f"its last event is {cursor.seq}, the oldest that is kept is {self._journal.oldest()}"
        if cursor.seq > self._journal.seq:
            return f"its last event is {cursor.seq}, the newest here is {self._journal.seq}"
        return None

    def _begin_snapshot(self, cause: Cause) -> None:
        self._snapshot, self._sent = self._journal.snapshot(cause), 0
        self._wanted, self._owed = None, cause
        self.confirm()

    def _tail(self, most: int) -> list[Event]:
        """The events after the cursor; those that a snapshot holds come before it."""
        if self._cursor is None:
            return []
        after = self._cursor.seq
        limit = min(most, self._snapshot.seq - after) if self._snapshot else most
        try:
            events = self._journal.read(after, limit)
        except JournalDamagedError as error:
            self._log.error("events cannot be read, the sink gets the snapshot", reason=str(error))
            self._cursor = None
            return self.next_batch(most)
        if events and events[0].seq != after + 1:
            # They were let go between the look at the oldest and the reading.
            self._cursor = None
            return self.next_batch(most)
        return events
