"""The events of one node that its reader was given, and the rows and the place that follow from them. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..events import AnyEvent, Cause, Deleted, Key, SnapshotEvents
from ..sink import Cursor
from .collected import CollectedRow, snapshot_of
from .outbox import NodeStatus, Waiting
from .received import EventPlace
from .transport import Question


class Surroundings(Protocol):
    """The place of a node's outcome."""

    @property
    def has_room(self) -> bool:
        """False while the reader is behind."""
        ...

    def put(self, entry: Waiting) -> None:
        """Gives an entry to the reader."""
        ...

    def ask(self, question: Question) -> None:
        """Sends a question to the node."""
        ...

    def states_again(self, node: str) -> None:
        """Has the node's retained messages sent once more."""
        ...


class GivenRows:
    """The rows that the reader has; `at` is the last event that was given, `None` before the first."""

    def __init__(self, node: str, around: Surroundings, since: Cursor | None) -> None:
        self.node = node
        self.at = since
        self._around = around
        self._rows: dict[Key, int] = {}
        # With `since` the rows that the reader has are not known, until they are received.
        self.are_known = False
        self.are_whole = since is not None
        self._snapshots = 0
        self._told: NodeStatus | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: Key) -> bool:
        return key in self._rows

    def has(self, rows: Mapping[Key, CollectedRow]) -> bool:
        """Returns whether these are the reader's rows, and none is newer."""
        return rows.keys() == self._rows.keys() and all(held.seq <= self._rows[key] for key, held in rows.items())

    def know(self, rows: Mapping[Key, CollectedRow]) -> None:
        """Takes these for the rows that the reader has."""
        self._rows = {key: held.seq for key, held in rows.items()}
        self.are_known = True

    def put(self, event: AnyEvent | EventPlace) -> None:
        """Gives the next event; of one that cannot be read, the place counts."""
        self.at = Cursor(event.epoch, event.seq)
        if isinstance(event, EventPlace):
            return
        if event.node != self.node:
            # As the topic has it: a journal keeps the events of a host that was renamed.
            event = event.replaced({"node": self.node})
        if isinstance(event, Deleted):
            self._rows.pop(Key(event.luid, event.family), None)
        elif event.key is not None:
            self._rows[event.key] = event.seq
        self._around.put(event)

    def put_snapshot(self, rows: dict[Key, CollectedRow], at: Cursor, *, are_whole: bool = True) -> None:
        """Gives the rows, which contain every event up to `at`, when they are whole."""
        self.are_whole = are_whole
        cause: Cause = "overrun" if self._snapshots else "notification"
        self._snapshots += 1
        self.know(rows)
        self.at = at
        snapshot: SnapshotEvents[bytes] = snapshot_of(self.node, at, rows, cause)
        self._around.put(snapshot)

    def forget(self) -> None:
        """Removes every row, and begins anew."""
        if self._rows and self.at is not None:
            self.put_snapshot({}, self.at)
        self.at = None

    def put_status(self, *, online: bool, in_sync: bool, skips: bool) -> None:
        """Gives the node's status, when it differs."""
        at = self.at or Cursor("", 0)
        status = NodeStatus(self.node, online, in_sync, at.epoch, at.seq, skips)
        told = self._told
        if told is None or (told.online, told.in_sync, told.epoch, told.skips) != (online, in_sync, at.epoch, skips):
            self._told = status
            self._around.put(status)
