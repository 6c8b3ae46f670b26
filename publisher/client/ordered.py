"""One node of a stream in one order that keeps the last messages of each row, as a NATS bucket does. No I/O.

The rows are those messages, and every change is one more; after each batch the publisher moves the node's position. So
the rows are whole when the position is the newest message, and a hole in `seq` is a loss: then the rows are read again.
Anybody with the right to write may have written a message: the place of what was given moves only with the next event,
or to the position.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..events import AnyEvent, Cause, Deleted, Key
from ..sink import Cursor
from .given import Surroundings
from .ordered_phases import ChangesRead, RowsRead, Unread
from .outbox import NodeStatus
from .questions import DueQuestion
from .received import EventPlace, OrderedStatus

# A batch that is not atomic is written within milliseconds; a publisher that was killed in it does not end it.
_UNSETTLED_SECONDS = 2.0
# A publisher notices a stream that was put back to an older copy with its next batch, and sends what is missing.
_BEHIND_SECONDS = 30.0
# Changes that come while older ones are read.
_MOST_EARLY = 1_000
# A lease is renewed each third of it, and its end is a message; this is for a message that does not come.
_LEASES = 1.75


class OrderedNode:
    """One node. `at` is the last event that was given to the reader, `None` before the first."""

    def __init__(
        self, node: str, around: Surroundings, clock: Callable[[], float], since: Cursor | None = None
    ) -> None:
        self.node = node
        self.at = since
        self._around = around
        self._clock = clock
        self._phase: RowsRead | ChangesRead | Unread = RowsRead()
        # Of the newest message of the position.
        self._position: Cursor | None = None
        self._position_place = 0
        self._keys: set[Key] = set()
        self._state: OrderedStatus | None = None
        self._online_until = 0.0
        self._is_whole = False
        self._is_resumed = False
        self._snapshots = 0
        self._behind_since: float | None = None
        self._question = DueQuestion(node)
        self._told = NodeStatus(node, online=False, in_sync=False)
        self._tells = False

    @property
    def is_busy(self) -> bool:
        """True while something is due after some time."""
        is_unsettled = isinstance(self._phase, RowsRead) and self._phase.is_ended and bool(self._phase.rows)
        return is_unsettled or self._question.is_due or self._behind_since is not None

    @property
    def row_count(self) -> int:
        """The rows that are held, or known."""
        return max(len(self._phase.rows) if isinstance(self._phase, RowsRead) else 0, len(self._keys))

    @property
    def byte_count(self) -> int:
        """The bytes that are held."""
        held = self._phase.rows.values() if isinstance(self._phase, RowsRead) else ()
        return sum(len(row.data or b"") for row in held)

    # What the transport calls.

    def begin(self) -> None:
        """Notes that everything is read anew: the newest message of each row, and the position."""
        self._position, self._position_place = None, 0
        self._collect(RowsRead())

    def appeared(self) -> None:
        """Notes that nothing of this node was there before: its rows come as it writes them."""
        self._collect(RowsRead(is_ended=True, heard_at=self._clock()))

    def resumed(self) -> None:
        """Notes that the stream goes on behind what was given."""
        self._is_resumed = True
        match self._phase:
            case RowsRead(is_forced=is_forced):
                self._read_rows(is_forced=is_forced)
            case ChangesRead():
                self._recover_changes()

    def message(self, place: int, key: Key, event: AnyEvent | EventPlace | None, data: bytes | None) -> None:
        """Takes a message of a row, with the event's JSON if that is at hand; without an event the row is removed."""
        match self._phase:
            case RowsRead() as collecting:
                collecting.put(place, key, event, data, self._clock())
            case ChangesRead() as recovering if event is not None:
                self._recover(recovering, event)
            case Unread() if event is None:
                if key in self._keys:
                    self._read_rows(is_forced=True)
            case Unread() if event is not None:
                self._follow(place, key, event, data)

    def position(self, place: int, position: Cursor | None) -> None:
        """Takes the node's position; `None` when it is removed, as for a node that is forgotten."""
        if place < self._position_place:
            return
        self._position, self._position_place = position, place
        match self._phase:
            case RowsRead() as collecting:
                self._try(collecting)
            case Unread():
                self._compare()

    def end(self, *, is_answer: bool) -> None:
        """Notes that all was given that was there, or that a question was answered.

        A connection that went on after a question was lost has given nothing of its answer.
        """
        match self._phase:
            case RowsRead(is_asked=True) | ChangesRead() if not is_answer:
                pass
            case RowsRead() as collecting:
                collecting.is_ended, collecting.heard_at = True, self._clock()
                self._try(collecting)
            case ChangesRead():
                self._phase = Unread()
                if self._position is not None and self.at == self._position:
                    self._compare()
                else:
                    self._read_rows(is_forced=True)
            case Unread() if self._position is not None:
                self._compare()

    def status(self, state: OrderedStatus | None) -> None:
        """Takes the node's status; `None` when its lease has run out, or it is removed."""
        self._state = state
        if state is not None:
            self._online_until = self._clock() + _LEASES * state.lease
        self._tell()

    def disconnected(self) -> None:
        """Notes that the connection is lost: nobody knows of the node."""
        self._state, self._is_whole = None, False
        self._tell()

    def look(self) -> None:
        """Ends a lease that was not renewed."""
        if self._state is not None and self._state.online and self._clock() > self._online_until:
            self.status(None)

    def tick(self) -> None:
        """Does what is due by now."""
        now = self._clock()
        if self._around.has_room and (question := self._question.take(now)) is not None:
            self._around.ask(question)
        elif self._behind_since is not None and now - self._behind_since >= _BEHIND_SECONDS:
            self._read_rows(is_forced=True)
        elif isinstance(self._phase, RowsRead) and self._phase.is_ended and not self._question.is_due:
            self._try(self._phase)

    # Rows.

    def _collect(self, collecting: RowsRead) -> None:
        self._phase = collecting
        self._question.drop()
        self._behind_since, self._is_whole = None, False
        self._tell()

    def _try(self, collecting: RowsRead) -> None:
        """Ends the collection when the position is the newest message, or when it does not come."""
        if not collecting.is_ended:
            return
        newest = collecting.newest
        if newest is None and self._position is None:
            if collecting.is_forced:
                self._forget()
            elif self.at is not None:
                self._is_behind()  # removed, all of it; its publisher may be about to write it again
        elif self._position is not None and (newest is None or newest.place < self._position_place):
            self._collected(collecting, self._position, is_whole=True)
        elif self._clock() - collecting.heard_at >= _UNSETTLED_SECONDS:
            newest_at = Cursor(newest.epoch, newest.seq) if newest is not None else Cursor("", 0)
            self._collected(collecting, self._position or newest_at, is_whole=False)

    def _collected(self, collecting: RowsRead, upto: Cursor, *, is_whole: bool) -> None:
        at = self.at
        if collecting.lacks_some:
            self._read_rows(is_forced=True)
        elif at is None or collecting.is_forced or upto.epoch > at.epoch:
            self._give_rows(collecting, upto, is_whole=is_whole)
        elif at == upto:
            self._phase, self._is_whole = Unread(), is_whole
            self._keys = collecting.there
            self._tell()
        elif upto < at:
            self._phase = Unread()
            self._is_behind()
        elif self._skips:
            self._give_rows(collecting, upto, is_whole=is_whole)
        else:
            self._keys = collecting.there
            self._recover_changes()

    def _give_rows(self, collected: RowsRead, at: Cursor, *, is_whole: bool) -> None:
        cause: Cause = "overrun" if self._snapshots else "notification"
        self._snapshots += 1
        self._phase, self._is_whole, self.at, self._behind_since = Unread(), is_whole, at, None
        self._keys = collected.there
        self._around.put(collected.snapshot(self.node, at, cause))
        self._tell()

    def _read_rows(self, *, is_forced: bool = False) -> None:
        """Has the rows read again; they are given if something happened since, or if it is forced."""
        self._collect(RowsRead(is_forced, is_asked=True))
        self._question.ask(None, self._clock())

    def _recover_changes(self) -> None:
        """Has the changes after `at` read from the history."""
        self._phase = ChangesRead()
        self._question.ask(self.at, self._clock())

    def _forget(self) -> None:
        at, self.at = self.at, None
        if self._keys and at is not None:
            self._give_rows(RowsRead(), at, is_whole=False)
            self.at = None
        self.appeared()

    # Changes.

    @property
    def _skips(self) -> bool:
        return self._state.skips if self._state is not None else self._told.skips

    def _follow(self, place: int, key: Key, event: AnyEvent | EventPlace, data: bytes | None) -> None:
        at = self.at
        is_snapshot = not isinstance(event, EventPlace) and event.snapshot is not None
        if is_snapshot or at is None:
            collecting = RowsRead(is_forced=True, is_ended=True, count=0 if is_snapshot else None)
            self._collect(collecting)
            collecting.put(place, key, event, data, self._clock())
        elif event.epoch > at.epoch:
            self._read_rows()
        elif event.epoch == at.epoch and event.seq > at.seq:
            if event.seq == at.seq + 1 or (self._skips and not self._is_resumed):
                self._give(event)
            else:
                self._read_rows()
            self._is_resumed = False

    def _recover(self, recovering: ChangesRead, event: AnyEvent | EventPlace) -> None:
        if self.at is None or event.epoch != self.at.epoch or event.seq <= self.at.seq:
            return
        if not isinstance(event, EventPlace) and event.snapshot is not None:
            return
        if len(recovering.early) < _MOST_EARLY:
            recovering.early[event.seq] = event
        elif event.seq == self.at.seq + 1:
            self._give(event)
        while (following := recovering.early.pop(self.at.seq + 1, None)) is not None:
            self._give(following)

    def _give(self, event: AnyEvent | EventPlace) -> None:
        self.at = Cursor(event.epoch, event.seq)
        if isinstance(event, EventPlace):
            return
        if event.key is not None:
            (self._keys.discard if isinstance(event, Deleted) else self._keys.add)(event.key)
        self._around.put(event)

    def _compare(self) -> None:
        """Compares what was given with the position: more than that is made up, or the stream is an older copy."""
        at, position = self.at, self._position
        if position is None:
            self._forget()
        elif at is None or at < position:
            self._read_rows()
        elif at > position:
            self._is_behind()
        else:
            self._is_whole, self._behind_since = True, None
            self._tell()

    def _is_behind(self) -> None:
        if self._behind_since is None:
            self._behind_since = self._clock()
        self._is_whole = False
        self._tell()

    def _tell(self) -> None:
        """Gives the node's status to the reader, when it differs."""
        at, state = self.at or Cursor("", 0), self._state
        online = state is not None and state.online
        in_sync = self._is_whole and isinstance(self._phase, Unread) and (state is None or state.in_sync)
        status = NodeStatus(self.node, online, in_sync, at.epoch, at.seq, self._skips)
        if not self._tells or replace(status, seq=0) != replace(self._told, seq=0):
            self._tells = True
            self._around.put(status)
        self._told = status
