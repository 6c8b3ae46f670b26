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
        self._nodes: dict[str, dict[Key, InitialNotification | Added | Changed]] = {}
        self._begun: dict[str, set[Key]] = {}

    def apply(self, event: Event) -> None:
        """Takes the next event."""
        match event:
            case SnapshotStarted():
                self._begun[event.node] = set()
            case InitialNotification() | Added() | Changed():
                key = Key(event.luid, event.family)
                self._nodes.setdefault(event.node, {})[key] = event
                if event.node in self._begun:
                    self._begun[event.node].add(key)
            case Deleted():
                self._nodes.get(event.node, {}).pop(Key(event.luid, event.family), None)
        place = event.snapshot
        if place is not None and place.position == place.count:
            kept = self._begun.pop(event.node, None)
            if kept is not None:
                rows = self._nodes.get(event.node, {})
                self._nodes[event.node] = {key: row for key, row in rows.items() if key in kept}

    def forget(self, node: str) -> None:
        """Removes every row of a node."""
        self._nodes.pop(node, None)

    def of(self, node: str) -> dict[Key, InitialNotification | Added | Changed]:
        """Returns the rows of one node."""
        return dict(self._nodes.get(node, {}))

    def __getitem__(self, row: tuple[str, Key]) -> InitialNotification | Added | Changed:
        node, key = row
        if (event := self._nodes.get(node, {}).get(key)) is None:
            raise KeyError(row)
        return event

    def __iter__(self) -> Iterator[RowKey]:
        return (RowKey(node, key) for node, rows in self._nodes.items() for key in rows)

    def __len__(self) -> int:
        return sum(map(len, self._nodes.values()))
