"""The rows of one node as they are collected from its retained states. Pure."""

from __future__ import annotations

from collections import Counter
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


class CollectedRows:
    """The newest state of each row. Epochs are not compared: which of them counts, the node's `info` or answer says."""

    def __init__(self) -> None:
        self._epochs: dict[str, dict[Key, CollectedRow]] = {}
        # Counted here, since `is_whole` is called for each message.
        self._held = 0
        self._there: Counter[str] = Counter()
        self._all_there = 0
        self._newest: dict[str, int] = {}
        self._newest_events: dict[str, int] = {}

    def __len__(self) -> int:
        return self._held

    def put_state(self, key: Key, state: ReceivedState) -> None:
        """Takes a state."""
        self._put(key, CollectedRow(state.epoch, state.seq, state.time, state.ip_interface.model_dump_json().encode()))

    def put_unreadable(self, key: Key, place: EventPlace) -> None:
        """Takes a state with values that this version does not know: it counts, and cannot be given."""
        self._put(key, CollectedRow(place.epoch, place.seq, _NEVER, None))

    def put_event(self, event: AnyEvent) -> None:
        """Takes the state after an event."""
        self._newest_events[event.epoch] = max(self._newest_events.get(event.epoch, -1), event.seq)
        if event.key is not None:
            is_there = event.notification_type != "delete_instance"
            data = event.ip_interface_json if is_there else None
            self._put(event.key, CollectedRow(event.epoch, event.seq, event.time, data, is_there))

    def remove(self, key: Key) -> None:
        """Takes an empty state: the row was removed, in whatever epoch."""
        for rows in self._epochs.values():
            if (held := rows.get(key)) is not None:
                self._set(key, held._replace(data=None, is_there=False))

    def _put(self, key: Key, held: CollectedRow) -> None:
        known = self._epochs.get(held.epoch, {}).get(key)
        if known is None or held.seq > known.seq or (held.seq == known.seq and known.data is None and known.is_there):
            self._set(key, held)

    def _set(self, key: Key, held: CollectedRow) -> None:
        rows = self._epochs.setdefault(held.epoch, {})
        known = rows.get(key)
        rows[key] = held
        self._newest[held.epoch] = max(self._newest.get(held.epoch, -1), held.seq)
        change = held.is_there - (known is not None and known.is_there)
        self._held += known is None
        self._there[held.epoch] += change
        self._all_there += change

    def of(self, epoch: str) -> dict[Key, CollectedRow]:
        """Returns the rows of an epoch that are there."""
        return {key: held for key, held in self._epochs.get(epoch, {}).items() if held.is_there}

    def newest(self, epoch: str) -> int:
        """Returns the greatest seq of an epoch; -1 without any row."""
        return self._newest.get(epoch, -1)

    def upto(self, epoch: str, info: NodeInfo | None) -> int:
        """Returns the seq up to which these rows contain every event of an epoch; the newest one's without `info`.

        A node publishes the states of some events, then the events, and `info` after a quiet second. So states that
        are newer than both may lack an event: a subscriber came between two of them, or the node ended there.
        """
        if info is None or info.epoch != epoch:
            return self.newest(epoch)
        return max(info.seq, self._newest_events.get(epoch, -1))

    def is_whole(self, info: NodeInfo) -> bool:
        """Returns whether these are all rows: as many as `info` says, and none of another epoch.

        New states are counted there before they are published, and emptied ones until they are empty.
        """
        return self._there[info.epoch] == info.rows == self._all_there

    def likely_epoch(self, info: NodeInfo | None) -> str | None:
        """Returns the epoch that counts: that of `info`, else that of most rows; `None` without either."""
        if info is not None:
            return info.epoch
        return max(self._epochs, key=lambda epoch: len(self._epochs[epoch]), default=None)


def snapshot_of(node: str, at: Cursor, rows: dict[Key, CollectedRow], cause: Cause) -> SnapshotEvents[bytes]:
    """Returns the rows as a snapshot."""
    readable = [held for _, held in sorted(rows.items()) if held.data is not None]
    time = max((held.time for held in readable), default=datetime.now(UTC))
    moment = Moment(node, at.epoch, at.seq, time)
    return SnapshotEvents(moment, cause, [held.data or b"" for held in readable], IpInterface.model_validate_json)
