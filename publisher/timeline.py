"""Changes of interfaces in time: each once, how long it lasted, and the sums of each interface. Pure.

timeline = Timeline(end=datetime.now(UTC), is_now=True)
changes = list(timeline.changes(events))  # newest first, as the events
sums = timeline.sums(begin)
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .events import Added, Changed, Deleted, Event, Family
from .history import TOGETHER, Flap, FlapCounter, times_down
from .kinds import MEANINGS, Kind
from .text import joined

# Changes of many interfaces at once come one after the other; the two events of one change are not far apart.
_MOST_OPEN = 256
_NOTHING = timedelta()

# The thing that a kind is a change of: it lasts until the next change of the same.
_ASPECTS: Mapping[Kind, str] = {
    "link_up": "link",
    "link_down": "link",
    "speed_increased": "speed",
    "speed_decreased": "speed",
    "address_added": "addresses",
    "address_removed": "addresses",
    "default_route_added": "default routes",
    "default_route_removed": "default routes",
    "default_route_changed": "default routes",
    "renamed": "name",
    "mtu_changed": "mtu",
    "forwarding_changed": "forwarding",
    "added": "presence",
    "removed": "presence",
}


@dataclass(frozen=True)
class PastChange:
    """A change of an interface, in one or both families.

    `lasted` is the time until the next change of the same: of the link after `link_down`, of the addresses after
    `address_added`. It is `None` where that is not known. With `lasts` it is still so.
    """

    events: tuple[Event, ...]
    lasted: timedelta | None
    lasts: bool

    @property
    def time(self) -> datetime:
        """The moment of its first event."""
        return self.events[0].time

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of its events, each once."""
        found = {kind for event in self.events for kind in event.kinds}
        return tuple(kind for kind in MEANINGS if kind in found)


@dataclass
class InterfaceSum:
    """The sums of one interface in a period: changes, losses of its link, and the time without one."""

    changes: int = 0
    flaps: int = 0
    down: timedelta = _NOTHING


@dataclass
class _LinkTime:
    """The time that the link of one row was down, added up backwards."""

    until: datetime
    """The beginning of what is added up."""
    down: timedelta = _NOTHING
    was_down: bool = False
    """Whether the link was down before that, as far as is known."""

    def add(self, event: Event) -> None:
        """Adds the event before the last one that was added."""
        connected = event.row.connected if event.row else None
        change = event.changed.get("row.connected")
        self.was_down = connected is False
        match event:
            case Deleted():
                self.until = event.time
            case Added():
                self._go_back(event.time, was_down=connected is False)
                self.was_down = False
            case Changed() if change is not None:
                self._go_back(event.time, was_down=change.after is False)
                self.was_down = change.before is False

    def total(self, begin: datetime) -> timedelta:
        """Returns the time down since a moment."""
        return self.down + (_between(begin, self.until) if self.was_down else _NOTHING)

    def _go_back(self, time: datetime, *, was_down: bool) -> None:
        if was_down:
            self.down += _between(time, self.until)
        self.until = time


@dataclass
class Timeline:
    """Adds up changes, newest first. `end` is the last moment of which something is known.

    With `is_now` that is this moment, and the last change of everything still lasts. One thread.
    """

    end: datetime
    is_now: bool
    _ended: dict[tuple[str, Family, str], datetime] = field(default_factory=dict)
    _links: dict[tuple[str, Family], _LinkTime] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _flaps: FlapCounter = field(default_factory=FlapCounter)

    def add(self, events: tuple[Event, ...]) -> PastChange:
        """Adds the change before the last one that was added, and returns it."""
        for event in reversed(events):
            self._add_up(event)
        ends = [end for event in events for end in self._ends(event)]
        time = events[0].time
        places = {place: event.time for event in events for place in _places(event)}
        if ends:
            change = PastChange(events, _between(time, min(ends)), lasts=False)
        elif self.is_now and places:
            change = PastChange(events, _between(time, self.end), lasts=True)
        else:
            change = PastChange(events, None, lasts=False)
        self._ended |= places
        self._counts[events[0].luid or ""] += 1
        return change

    def sums(self, begin: datetime) -> dict[str, InterfaceSum]:
        """Returns the sums since a moment, by LUID, of all changes so far."""
        flaps = self._flaps.flaps()
        found = {luid: InterfaceSum(changes) for luid, changes in self._counts.items()}
        for luid, each in found.items():
            each.flaps = sum(flap.count for flap in flaps.get(luid, ()))
        for (luid, _), link in self._links.items():
            found[luid].down = max(found[luid].down, link.total(begin))
        return found

    def _ends(self, event: Event) -> Iterator[datetime]:
        """Yields the moments at which the state ended that the event led to: the main one, for several."""
        if event.luid is None or event.family is None:
            return
        places = [place for place in _places(event) if place[2] == "presence"] or _places(event)[:1]
        for place in places:
            for ended in (place, (event.luid, event.family, "presence")):
                if ended in self._ended:
                    yield self._ended[ended]

    def _add_up(self, event: Event) -> None:
        if event.luid is None or event.family is None:
            return
        key = event.luid, event.family
        self._links.setdefault(key, _LinkTime(self.end)).add(event)
        if count := times_down(event):
            self._flaps.add(event.luid, event.family, Flap(event.time, count))


def together(events: Iterable[Event]) -> Iterator[tuple[Event, ...]]:
    """Yields the events of each change together, the changes newest first as the events are, each change in order.

    Between the two events of one change there may be others, of other interfaces.
    """
    begun: deque[list[Event]] = deque()
    newest: dict[str | None, list[Event]] = {}
    for event in events:
        while begun and (len(begun) == _MOST_OPEN or abs(begun[0][-1].time - event.time) > TOGETHER):
            yield tuple(begun.popleft())
        other = newest.get(event.luid)
        if other is not None and len(other) == 1 and len(joined([event, *other])) == 1 and other in begun:
            other.insert(0, event)
        else:
            newest[event.luid] = [event]
            begun.append(newest[event.luid])
    yield from map(tuple, begun)


def _places(event: Event) -> list[tuple[str, Family, str]]:
    """Returns what the event is a change of, in the order of its kinds."""
    if event.luid is None or event.family is None:
        return []
    return [(event.luid, event.family, _ASPECTS[kind]) for kind in event.kinds if kind in _ASPECTS]


def _between(begin: datetime, end: datetime) -> timedelta:
    """Returns the time between two moments; none when the clock was set back between them."""
    return max(end - begin, _NOTHING)
