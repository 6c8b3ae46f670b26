"""The option `settle`: the changes of one row within some time become one event. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter

from ..events import Change, Event, Key, NotificationType, Settled
from .filtering import remade
from .inbox import Clock

# JSON of the newest event of each fold, in all: beyond that the oldest settle early, however long their time is.
_MOST_BYTES = 4 << 20
# Both families of one change go out together: a fold ends early by up to this part of the time, beside an older one.
_TOGETHER = 20
# Of these, `before` has what was removed and `after` what was added (publisher.difference).
_LISTS = frozenset({"interface.higher", "interface.lower"})


@dataclass
class Fold:
    """The events of one row that become one: those up to `until`, by their own time.

    So the same events fold alike however late they are read, but for a fold that had to end early.
    """

    last: Event
    first: int
    until: datetime
    due: float
    """The moment of the clock at which it ends, whatever the events' times are: the host's clock may be set."""
    count: int = 0
    is_new: bool = False
    """Whether the row was added among these events."""
    overrun: bool = False
    changed: dict[str, Change] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Takes the next event of the row."""
        self.last = event
        self.count += 1
        self.is_new = self.is_new or event.notification_type == "add_instance"
        self.overrun = self.overrun or event.cause == "overrun"
        _join(self.changed, event.changed)

    @property
    def seq(self) -> int:
        """The newest event's."""
        return self.last.seq

    @property
    def event(self) -> Event:
        """The one event: from the first one's before to the last one's after.

        It has the id, seq and time of the last one, and the cause `overrun` if one of them had it.
        """
        if self.count == 1:
            return self.last
        settled = Settled(first=self.first, count=self.count)
        kind, changed = self._kind, self.changed
        if kind != "parameter_notification":
            changed = {}
        return remade(self.last, kind, changed, cause="overrun" if self.overrun else None, settled=settled)

    @property
    def _kind(self) -> NotificationType:
        """The type for all: a row that is not there in the end was deleted, one that was added meanwhile is new."""
        is_there = self.last.notification_type != "delete_instance"
        return "add_instance" if is_there and self.is_new else self.last.notification_type


def _join(earlier: dict[str, Change], later: Mapping[str, Change]) -> None:
    """Brings what changed later into what changed earlier; a member that is as it was before all is left out."""
    for name, change in later.items():
        before = earlier.pop(name, None)
        if before is not None:
            change = (
                _joined_lists(before, change) if name in _LISTS else Change(before=before.before, after=change.after)
            )
        if change.before != change.after:
            earlier[name] = change


def _joined_lists(first: Change, then: Change) -> Change:
    removed, added = set(first.before), set(first.after)
    removed_then, added_then = set(then.before), set(then.after)
    before = (removed - added_then) | (removed_then - added)
    after = (added - removed_then) | (added_then - removed)
    return Change(before=sorted(before), after=sorted(after))


class Settling:
    """The folds that have not ended, oldest first. One thread.

    A fold ends after the time `settle` of its first event, never later, and takes along those that began with it, and
    what would be overtaken: every fold that began before its newest event, and so on. So `seq` never goes back, and
    once the folds that were taken are delivered, everything up to their newest event is.
    """

    def __init__(self, settle: timedelta, clock: Clock) -> None:
        self._settle = settle
        self._clock = clock
        self._folds: deque[Fold] = deque()
        self._open: dict[Key | None, Fold] = {}
        self._newest: datetime | None = None
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._folds)

    @property
    def first(self) -> int | None:
        """The oldest event in any fold."""
        return self._folds[0].first if self._folds else None

    @property
    def pause(self) -> float | None:
        """The seconds until the oldest fold ends; `None` when there is none."""
        return max(0.0, self._folds[0].due - self._clock.monotonic()) if self._folds else None

    def clear(self) -> None:
        """Forgets all folds."""
        self._folds.clear()
        self._open.clear()
        self._newest, self._bytes = None, 0

    def take(self, event: Event) -> None:
        """Takes the next event."""
        fold = self._open.get(event.key)
        if fold is None or event.time >= fold.until:
            fold = self._begin(event)
        else:
            self._bytes -= len(fold.last.json_bytes)
        fold.take(event)
        self._bytes += len(event.json_bytes)
        self._newest = event.time

    def _begin(self, event: Event) -> Fold:
        age = min(max(self._clock.utc() - event.time, timedelta()), self._settle)
        due = self._clock.monotonic() + (self._settle - age).total_seconds()
        fold = self._open[event.key] = Fold(event, event.seq, event.time + self._settle, due)
        self._folds.append(fold)
        return fold

    def ended(self, *, caught_up: bool = False, all_of_them: bool = False) -> list[Fold]:
        """Takes out the folds that have ended, in the order of `seq`.

        While the journal has more to read, that is up to the events: `caught_up` is when there is no more, and the
        clock counts. `all_of_them` ends every fold now.
        """
        taken: list[Fold] = []
        while self._folds and (all_of_them or self._has_ended(self._folds[0], caught_up=caught_up)):
            taken += self._overlapping()
        return taken

    def _has_ended(self, fold: Fold, *, caught_up: bool) -> bool:
        if self._bytes > _MOST_BYTES or (self._newest is not None and fold.until <= self._newest):
            return True
        return caught_up and fold.due <= self._clock.monotonic()

    def _overlapping(self) -> list[Fold]:
        """Takes out the oldest fold, those that began with it, and those that these would overtake."""
        taken: list[Fold] = []
        reach, until = self._folds[0].seq, self._folds[0].until + self._settle / _TOGETHER
        while self._folds and (self._folds[0].first <= reach or self._folds[0].until <= until):
            fold = self._folds.popleft()
            reach = max(reach, fold.seq)
            self._bytes -= len(fold.last.json_bytes)
            if self._open.get(fold.last.key) is fold:
                del self._open[fold.last.key]
            taken.append(fold)
        return sorted(taken, key=attrgetter("seq"))
