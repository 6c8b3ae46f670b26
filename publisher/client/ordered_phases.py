"""The phases in which a node of a stream in one order is followed, with the rows that are read. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from ..events import AnyEvent, Cause, Deleted, IpInterface, Key, Moment, SnapshotEvents
from ..sink import Cursor
from .received import EventPlace

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class PlacedRow(NamedTuple):
    """The newest message of a row; `data` is the event's JSON, `None` for one that is removed, or cannot be read."""

    place: int
    epoch: str
    seq: int
    time: datetime
    data: bytes | None


@dataclass
class RowsRead:
    """Rows are read. `is_forced`: they are given even if nothing happened since; `count` is a snapshot's.

    With `is_asked` they are the answer to a question, which ends them.
    """

    is_forced: bool = False
    is_asked: bool = False
    is_ended: bool = False
    count: int | None = None
    heard_at: float = 0.0
    rows: dict[Key, PlacedRow] = field(default_factory=dict)

    @property
    def newest(self) -> PlacedRow | None:
        """The newest message of a row."""
        return max(self.rows.values(), default=None)

    @property
    def there(self) -> set[Key]:
        """The keys of the rows that can be given."""
        return {key for key, row in self.rows.items() if row.data is not None}

    @property
    def lacks_some(self) -> bool:
        """True if they are those of a snapshot whose beginning was not received."""
        return self.count is not None and self.count != len(self.there)

    def put(self, place: int, key: Key, event: AnyEvent | EventPlace | None, data: bytes | None, now: float) -> None:
        """Takes a message of a row, unless a newer one was taken; without an event the row is removed."""
        known = self.rows.get(key)
        if known is not None and known.place > place:
            return
        if event is None:
            # The end of a removed row's own message, or a row that a snapshot does not have: no news of the publisher.
            self.rows.pop(key, None)
            return
        time = _NEVER if isinstance(event, EventPlace) else event.time
        row = None if isinstance(event, EventPlace | Deleted) else data or event.json_bytes
        self.rows[key] = PlacedRow(place, event.epoch, event.seq, time, row)
        self.heard_at = now
        if not isinstance(event, EventPlace) and event.snapshot is not None and self.count is not None:
            self.count = event.snapshot.count

    def snapshot(self, node: str, at: Cursor, cause: Cause) -> SnapshotEvents[bytes]:
        """Returns the snapshot of the rows that can be given, sorted, as of this event."""
        there = [row for _, row in sorted(self.rows.items()) if row.data is not None]
        time = max((row.time for row in there), default=datetime.now(UTC))
        moment = Moment(node, at.epoch, at.seq, time)
        return SnapshotEvents(moment, cause, [row.data or b"" for row in there], _ip_interface)


@dataclass
class ChangesRead:
    """The changes after `at` are read from the history."""

    early: dict[int, AnyEvent | EventPlace] = field(default_factory=dict)


@dataclass(frozen=True)
class Unread:
    """Nothing is read: every change comes by itself."""


def _ip_interface(event: bytes) -> IpInterface:
    """Returns the row of an event that was valid before: of its JSON, the row's members alone are looked at."""
    return IpInterface.model_validate_json(event, extra="ignore")
