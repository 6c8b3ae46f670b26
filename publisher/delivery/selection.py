"""The part of the journal that one sink gets: its options `only`, `settle` and `snapshot`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from ..events import Event
from ..filters import EventFilter
from ..sink import SinkOptions
from .filtering import seen_through
from .inbox import Clock
from .settling import Settling


@dataclass(frozen=True)
class Selection:
    """The options of a sink by which it gets less than the journal has; without arguments, it gets everything."""

    only: EventFilter = field(default_factory=EventFilter)
    settle: timedelta | None = None
    snapshot: bool = True

    @classmethod
    def of(cls, options: SinkOptions) -> Selection:
        """Returns the selection of a sink with these options."""
        return cls(options.only, options.settle, options.snapshot)

    @property
    def is_whole(self) -> bool:
        """True if the sink gets each event as it is."""
        return self.settle is None and not self.only.chooses_rows and not self.only.chooses_events

    @cached_property
    def rows(self) -> str:
        """The rows that the sink knows, as a text: with another one, it needs the snapshot. Empty for all rows."""
        if not self.snapshot:
            return "none"
        if not self.only.chooses_rows:
            return ""
        return self.only.model_dump_json(include={"interfaces", "exclude", "families"})


class Unsent(NamedTuple):
    """An event that the sink does not have yet, and the first event of the journal that it stands for."""

    event: Event
    first: int


class UnsentEvents:
    """The events that were read from the journal for a sink and are not there yet, as the sink gets them.

    Only for a selection that is not the whole. The sink's thread. Those that settle come once they have.
    """

    def __init__(self, selection: Selection, clock: Clock) -> None:
        self.read = 0
        """The last event of the journal that was read."""
        self._only = selection.only
        settle = selection.settle
        self._settling = None if settle is None else Settling(settle, clock)
        self._ready: deque[Unsent] = deque()

    def go_to(self, seq: int) -> None:
        """Forgets everything, to go on after this event."""
        self.read = seq
        self._ready.clear()
        if self._settling is not None:
            self._settling.clear()

    def take(self, events: Iterable[Event]) -> None:
        """Takes the next events of the journal."""
        for event in events:
            self.read = event.seq
            seen = seen_through(self._only, event)
            if seen is None:
                continue
            if self._settling is not None:
                self._settling.take(seen)
            elif self._only.takes(seen):
                self._ready.append(Unsent(seen, seen.seq))

    def batch(self, most: int, *, caught_up: bool = False, all_of_them: bool = False) -> list[Event]:
        """Returns at most so many events that are to be sent now; the same again until they are `sent`."""
        if self._settling is not None:
            folds = self._settling.ended(caught_up=caught_up, all_of_them=all_of_them)
            made = (Unsent(fold.event, fold.first) for fold in folds)
            self._ready.extend(unsent for unsent in made if self._only.takes(unsent.event))
        return [unsent.event for unsent in islice(self._ready, most)]

    def sent(self, count: int) -> None:
        """Forgets the first events of the last batch."""
        for _ in range(count):
            self._ready.popleft()

    def sent_up_to(self, seq: int) -> bool:
        """Forgets the events up to the one of this `seq`; returns False when it is none of the last batches'."""
        if not any(unsent.event.seq == seq for unsent in self._ready):
            return False
        while self._ready and self._ready[0].event.seq <= seq:
            self._ready.popleft()
        return True

    @property
    def passed(self) -> int:
        """The last event up to which the sink has everything."""
        return min(self._firsts(), default=self.read + 1) - 1

    def _firsts(self) -> Iterator[int]:
        yield from (unsent.first for unsent in self._ready)
        if self._settling is not None and self._settling.first is not None:
            yield self._settling.first

    @property
    def pause(self) -> float | None:
        """The seconds until something settles; `None` when nothing has to."""
        return None if self._settling is None else self._settling.pause


def seen_by(selection: Selection, events: Iterable[Event]) -> list[Event]:
    """Returns these events, which follow one another, as a sink gets them in the end."""
    unsent = UnsentEvents(selection, Clock())
    unsent.take(events)
    return unsent.batch(unsent.read, all_of_them=True)
