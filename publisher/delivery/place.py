"""The place of a sink in the journal: its states, and the one to begin with. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from ..events import Cause, SnapshotEvents
from ..journal.positions import Position, SnapshotDue, Tail
from ..sink import Cursor
from .selection import Selection


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

    @property
    def end(self) -> Cursor:
        """The event up to which the sink has everything once the snapshot is there whole."""
        return Cursor(self.snapshot[0].epoch, self.snapshot.seq)


State = Tail | SnapshotDue | Sending


class BegunPlace(NamedTuple):
    """The state to begin with, the last event at the destination, and whether the sink is to know other rows."""

    state: Position
    has: int | None
    has_other_rows: bool


def begun_at(position: Position, own: Cursor | None, selection: Selection) -> BegunPlace:
    """Returns where to go on from a position, given what the destination reports as its last event.

    The snapshot is due when the sink is to know other rows than before.
    """
    has = position.has
    if own is not None and not _stands(position, own, selection):
        position, has = replace(position, confirmed=own), None
    has_other_rows = selection.snapshot and position.rows != selection.rows
    if has_other_rows:
        cause, lost = ("notification", None) if isinstance(position, Tail) else (position.cause, position.lost)
        after = position.confirmed.seq if position.confirmed else 0
        position = SnapshotDue(cause, after, position.confirmed, lost)
    return BegunPlace(replace(position, has=None, rows=""), has, has_other_rows)


def _stands(position: Position, own: Cursor, selection: Selection) -> bool:
    """Returns whether the position holds, given what the destination reports as its last event.

    What settled is in the order of `seq`, but stands for events before that, of which others may be missing: then the
    position counts, which is before all of them.
    """
    if position.confirmed is None or own.epoch != position.confirmed.epoch:
        return False
    has = position.confirmed.seq if position.has is None else position.has
    return own.seq == has or (own.seq > has and selection.settle is not None)


def durable(state: State) -> Position:
    """Returns the position to go on from after a restart: a snapshot that was not sent whole is due again.

    The sink may have all of it, unconfirmed, so the events after it come first, even where nothing was confirmed yet.
    When it makes up for events that are no longer kept, the next one does so for everything up to itself.
    """
    if not isinstance(state, Sending):
        return state
    confirmed = state.confirmed or (state.end if state.lost is None else None)
    return SnapshotDue(state.cause, state.snapshot.seq, confirmed, state.lost)


def has_begun(position: Position) -> bool:
    """Returns whether the position tells where to go on; where it does not, nothing was sent yet."""
    return position.confirmed is not None or position.lost is not None
