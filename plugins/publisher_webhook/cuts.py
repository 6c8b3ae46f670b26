"""The cuts of events into batches: a batch that is sent again has the same events, and so the same id and body."""

from __future__ import annotations

from collections.abc import Sequence

from publisher import Event

from .formats import batches

# Of batches that were never settled, as after a snapshot came in their place.
_MOST = 1000


class Cuts:
    """Remembers each batch from its first try until it is settled. For one thread, while the process lives."""

    def __init__(self) -> None:
        self._cuts: dict[str, tuple[str, ...]] = {}

    def next(self, events: Sequence[Event]) -> Sequence[Event]:
        """Returns the first batch of these events: as it was cut before, or cut now."""
        ids = self._cuts.get(events[0].id, ())
        if ids and tuple(event.id for event in events[: len(ids)]) == ids:
            return events[: len(ids)]
        part = next(batches(events))
        self._remember(part)
        return part

    def settle(self, part: Sequence[Event]) -> None:
        """Forgets a batch: it was delivered, or refused."""
        self._cuts.pop(part[0].id, None)

    def split(self, part: Sequence[Event]) -> None:
        """Cuts a refused batch into single events."""
        for event in part:
            self._remember([event])

    def _remember(self, part: Sequence[Event]) -> None:
        if len(self._cuts) >= _MOST:
            self._cuts.clear()
        self._cuts[part[0].id] = tuple(event.id for event in part)
