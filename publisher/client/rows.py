"""The rows of all nodes, made of events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..events import Added, Changed, Deleted, Event, InitialNotification, Key, SnapshotStarted


class RowKey(NamedTuple):
    """The key of a row among those of many nodes."""

    node: str
    key: Key


class Rows(Mapping[RowKey, InitialNotification | Added | Changed]):
    """The rows by node and key: for each the event with its present state. Used by one thread.

        rows = Rows()
        for event in publisher.subscribe("mqtt://broker"):
            rows.apply(event)

    The rows of a node that a snapshot no longer has are removed with the last event of the snapshot, not before.
    """

    def __init__(self) -> None:
        self._rows: dict[RowKey, InitialNotification | Added | Changed] = {}
        self._begun: dict[str, set[RowKey]] = {}

    def apply(self, event: Event) -> None:
        """Takes the next event."""
        match event:
            case SnapshotStarted():
                self._begun[event.node] = set()
            case InitialNotification() | Added() | Changed():
                key = RowKey(event.node, Key(event.luid, event.family))
                self._rows[key] = event
                if event.node in self._begun:
                    self._begun[event.node].add(key)
            case Deleted():
                self._rows.pop(RowKey(event.node, Key(event.luid, event.family)), None)
        place = event.snapshot
        if place is not None and place.position == place.count:
            kept = self._begun.pop(event.node, None)
            if kept is not None:
                self._keep_only(event.node, kept)

    def forget(self, node: str) -> None:
        """Removes every row of a node."""
        self._keep_only(node, set())

    def of(self, node: str) -> dict[Key, InitialNotification | Added | Changed]:
        """Returns the rows of one node."""
        return {row.key: event for row, event in self._rows.items() if row.node == node}

    def _keep_only(self, node: str, kept: set[RowKey]) -> None:
        for row in [row for row in self._rows if row.node == node and row not in kept]:
            del self._rows[row]

    def __getitem__(self, row: tuple[str, Key]) -> InitialNotification | Added | Changed:
        return self._rows[RowKey(*row)]

    def __iter__(self) -> Iterator[RowKey]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
