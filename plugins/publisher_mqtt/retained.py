"""What the broker retains of this node, and which messages make it say what the events say. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from publisher import Cursor
from publisher.events import Event, Key

from .homeassistant.devices import Devices
from .messages import Message, Messages
from .payloads import Resynced


class Planned(NamedTuple):
    """A message, and the place in the batch of the event that it stands for; `None` when it stands for none."""

    message: Message
    at: int | None


class RetainedState:
    """The retained states and devices of one node.

    Of each row a batch publishes the newest state first, then every event in order. So whoever gets the retained states
    gets every event after them, and drops those that a state's `seq` says it has. A state never goes back: events up to
    the newest one that is on the board are published without touching the states.
    """

    def __init__(self, messages: Messages, devices: Devices | None) -> None:
        self._messages = messages
        self.devices = devices
        self.newest: Cursor | None = None
        self.resynced: Resynced | None = None
        self._keys: set[Key] = set()
        self._snapshot_id: str | None = None
        self._snapshot_keys: set[Key] = set()

    @property
    def rows(self) -> int:
        """How many states are retained."""
        return len(self._keys)

    def found(self, keys: Iterable[Key], *, complete: bool) -> None:
        """What was read back from the broker; when it is not complete, what was believed before is kept too."""
        self._keys = set(keys) | (set() if complete else self._keys)

    def takes_snapshot(self, event: Event) -> bool:
        """Whether this event begins or goes on with a snapshot that says everything anew."""
        if event.snapshot is None or self._is_older(event):
            return False
        return event.snapshot.position == 0 or event.snapshot.id == self._snapshot_id

    def plan(self, events: Sequence[Event]) -> Iterator[Planned]:
        """The messages for these events, in order."""
        for is_snapshot, group in groupby(enumerate(events), key=lambda entry: entry[1].snapshot is not None):
            if is_snapshot:
                # Not gathered: it may be one of thousands of rows, made as they are asked for.
                yield from self._snapshot(group)
            else:
                yield from self._tail(list(group))

    def _tail(self, run: list[tuple[int, Event]]) -> Iterator[Planned]:
        news = {event.key: (index, event) for index, event in run if self._is_news(event)}
        if self.devices is not None:
            # Before the states: a device that goes must not see its state emptied.
            changed = self.devices.apply(event for _, event in news.values())
            yield from (Planned(message, None) for message in changed)
        for index, event in news.values():
            yield Planned(self._state(event), index)
        for index, event in run:
            yield Planned(self._messages.event(event), index)
        self._advance(run[-1][1])

    def _snapshot(self, run: Iterable[tuple[int, Event]]) -> Iterator[Planned]:
        for index, event in run:
            place = event.snapshot
            if place is None:
                continue
            if self._is_older(event):
                # The states are newer already; but that something was lost is not to be lost itself.
                if event.cause == "overrun":
                    self._mark(event)
                continue
            if place.position == 0:
                self._begin(event, place.id)
            else:
                yield from self._snapshot_row(index, event)
            if place.position == place.count and place.id == self._snapshot_id:
                yield from self._end(event, place.count)

    def _begin(self, event: Event, snapshot_id: str) -> None:
        self._snapshot_id, self._snapshot_keys = snapshot_id, set()
        self._advance(event)
        if self.devices is not None:
            self.devices.begin_snapshot()

    def _snapshot_row(self, index: int, event: Event) -> Iterator[Planned]:
        if self.devices is not None:
            self.devices.remember(event)
        if event.key is not None:
            self._snapshot_keys.add(event.key)
        yield Planned(self._state(event), index)

    def _end(self, event: Event, count: int) -> Iterator[Planned]:
        """Bring the devices up to date, and take away what is no more if each row was really seen."""
        whole = len(self._snapshot_keys) == count
        if self.devices is not None:
            # Now, not row by row: a device has the entities of all its rows.
            yield from (Planned(message, None) for message in self.devices.settle(removing=whole))
        if whole:
            gone = sorted(self._keys - self._snapshot_keys)
            yield from (Planned(self._messages.no_state(key), None) for key in gone)
            self._keys = self._snapshot_keys
        self._snapshot_id, self._snapshot_keys = None, set()
        self._mark(event)

    def _mark(self, event: Event) -> None:
        self.resynced = Resynced(seq=event.seq, cause=event.cause, time=event.time.isoformat())

    def _state(self, event: Event) -> Message:
        if event.key is not None:
            (self._keys.discard if event.notification_type == "delete_instance" else self._keys.add)(event.key)
        return self._messages.state(event)

    def _is_news(self, event: Event) -> bool:
        return self.newest is None or event.epoch != self.newest.epoch or event.seq > self.newest.seq

    def _is_older(self, event: Event) -> bool:
        return self.newest is not None and event.epoch == self.newest.epoch and event.seq < self.newest.seq

    def _advance(self, event: Event) -> None:
        if self._is_news(event):
            self.newest = Cursor(event.epoch, event.seq)
