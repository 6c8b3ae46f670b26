"""The rows of one node as they are collected from its retained states. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from ..events import AnyEvent, Cause, IpInterface, Key, Moment, SnapshotEvents
from ..sink import Cursor
from .received import EventPlace, NodeInfo, ReceivedState


class CollectedRow(NamedTuple):
    """A row at its place; `data` is its JSON, and `None` for one that is removed, or that cannot be read."""

    epoch: str
    seq: int
    time: datetime
    data: bytes | None
    is_there: bool = True


_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class CollectedRows:
    """The newest state of each row. Epochs are not compared: which of them counts, the node's `info` or answer says."""

    rows: dict[tuple[str, Key], CollectedRow] = field(default_factory=dict)
    """By epoch and key."""

    def __len__(self) -> int:
        return len(self.rows)

    def put_state(self, key: Key, state: ReceivedState) -> None:
        """Takes a state."""
        self._put(key, CollectedRow(state.epoch, state.seq, state.time, state.ip_interface.model_dump_json().encode()))

    def put_unreadable(self, key: Key, place: EventPlace) -> None:
        """Takes a state with values that this version does not know: it counts, and cannot be given."""
        self._put(key, CollectedRow(place.epoch, place.seq, _NEVER, None))

    def put_event(self, event: AnyEvent) -> None:
        """Takes the state after an event."""
        if event.key is not None:
            is_there = event.notification_type != "delete_instance"
            data = event.ip_interface_json if is_there else None
            self._put(event.key, CollectedRow(event.epoch, event.seq, event.time, data, is_there))

    def remove(self, key: Key) -> None:
        """Takes an empty state: the row was removed, in whatever epoch."""
        for place in [place for place in self.rows if place[1] == key]:
            self.rows[place] = self.rows[place]._replace(data=None, is_there=False)

    def _put(self, key: Key, held: CollectedRow) -> None:
        known = self.rows.get((held.epoch, key))
        if known is None or held.seq > known.seq or (held.seq == known.seq and known.data is None and known.is_there):
            self.rows[held.epoch, key] = held

    def of(self, epoch: str) -> dict[Key, CollectedRow]:
        """Returns the rows of an epoch that are there."""
        return {key: held for (own, key), held in self.rows.items() if own == epoch and held.is_there}

    def newest(self, epoch: str) -> int:
        """Returns the greatest seq of an epoch; -1 without any row."""
        return max((held.seq for (own, _), held in self.rows.items() if own == epoch), default=-1)

    def is_whole(self, info: NodeInfo) -> bool:
        """Returns whether these are all rows: as many as `info` says, and none of another epoch.

        New states are counted there before they are published, and emptied ones until they are empty.
        """
        return len(self.of(info.epoch)) == info.rows and not any(
            row.is_there for (epoch, _), row in self.rows.items() if epoch != info.epoch
        )

    def likely_epoch(self, info: NodeInfo | None) -> str | None:
        """Returns the epoch that counts: that of `info`, else that of most rows; `None` without either."""
        if info is not None:
            return info.epoch
        counts: dict[str, int] = {}
        for epoch, _ in self.rows:
            counts[epoch] = counts.get(epoch, 0) + 1
        return max(counts, key=lambda epoch: counts[epoch], default=None)


def snapshot_of(node: str, at: Cursor, rows: dict[Key, CollectedRow], cause: Cause) -> SnapshotEvents[bytes]:
    """Returns the rows as a snapshot."""
    readable = [held for _, held in sorted(rows.items()) if held.data is not None]
    time = max((held.time for held in readable), default=datetime.now(UTC))
    moment = Moment(node, at.epoch, at.seq, time)
    return SnapshotEvents(moment, cause, [held.data or b"" for held in readable], IpInterface.model_validate_json)
