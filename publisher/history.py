"""The history of IP interfaces: the question, the answer, and the count of the times that links went down. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from .events import Event, Family
from .kinds import Kind, flaps

# Both families of an interface tell of one loss of its link; on Windows they are read one after the other.
TOGETHER = timedelta(seconds=5)
_OTHER: Mapping[Family, Family] = {"inet": "inet6", "inet6": "inet"}


@dataclass(frozen=True)
class HistoryQuery:
    """A question about the events in a journal. What is left out restricts nothing, but for `limit`.

        HistoryQuery(luid="0006008001000000", kinds=("link_down",), since=datetime.now(UTC) - timedelta(hours=1))

    `since` must have a time zone, and `limit` be at least 1: anything else raises ValueError.
    """

    luid: str | None = None
    family: Family | None = None
    since: datetime | None = None
    """No event that happened before this moment."""
    before: int | None = None
    """No event of this `seq` or a later one: to go on, that of the last event of the page before."""
    kinds: tuple[Kind, ...] = ()
    """Only events of at least one of these."""
    limit: int = 100

    def __post_init__(self) -> None:
        if self.since is not None and self.since.tzinfo is None:
            raise ValueError(f"since has no time zone: {self.since}")
        if self.limit < 1:
            raise ValueError(f"limit must be at least 1, and is {self.limit}")

    def takes(self, event: Event) -> bool:
        """Returns whether the answer has this event, but for `limit`."""
        return (
            self.luid in (None, event.luid)
            and self.family in (None, event.family)
            and (self.since is None or event.time >= self.since)
            and (self.before is None or event.seq < self.before)
            and (not self.kinds or any(kind in self.kinds for kind in event.kinds))
        )


class HistoryPage(NamedTuple):
    """The answer: events, newest first. With `more`, there are older ones that the question asks for.

    There are fewer than `limit` when they are large: an interface with thousands of addresses has events of 400 kB.
    """

    events: tuple[Event, ...]
    more: bool


@dataclass(frozen=True, order=True, slots=True)
class Flap:
    """A moment at which the link of an interface went down: once, or `count` times while nobody listened."""

    time: datetime
    count: int


def times_down(event: Event) -> int:
    """Returns how often the link went down by this event.

    That is once for a link that was connected, and as often as the count of its carrier says for what happened while
    the publisher was away or messages were lost.
    """
    connected = event.changed.get("row.connected")
    itself = connected is not None and connected.before is True and connected.after is False
    return flaps(event.changed) + itself


class FlapCounter:
    """Counts the times that links went down, each once for both families of an interface. One thread.

    Events may come in either order, as long as they are in order.
    """

    def __init__(self) -> None:
        self._flaps: dict[str, list[Flap]] = defaultdict(list)
        # Those that only one family has told of so far.
        self._single: dict[tuple[str, Family], deque[datetime]] = defaultdict(deque)

    def add(self, luid: str, family: Family, flap: Flap) -> bool:
        """Counts a loss of the link that one family tells of; returns False when the other one already did."""
        if self._waiting(luid, _OTHER[family], flap.time):
            self._single[luid, _OTHER[family]].popleft()
            return False
        self._waiting(luid, family, flap.time)
        self._single[luid, family].append(flap.time)
        self._flaps[luid].append(flap)
        return True

    def flaps(self) -> dict[str, tuple[Flap, ...]]:
        """Returns the flaps of each interface by its LUID, oldest first."""
        return {luid: tuple(sorted(found)) for luid, found in self._flaps.items()}

    def _waiting(self, luid: str, family: Family, time: datetime) -> deque[datetime]:
        """Returns what this family alone has told of about that time, and forgets the rest."""
        single = self._single[luid, family]
        while single and abs(time - single[0]) > TOGETHER:
            single.popleft()
        return single


def page_of(events: Iterable[Event], query: HistoryQuery) -> HistoryPage:
    """Returns the answer from these events, oldest first."""
    found = [event for event in events if query.takes(event)]
    return HistoryPage(tuple(reversed(found[-query.limit :])), len(found) > query.limit)


def flaps_of(events: Iterable[Event], since: datetime | None = None) -> dict[str, tuple[Flap, ...]]:
    """Returns how often each link went down, from these events: of those since a moment, if one is given."""
    counter = FlapCounter()
    for event in events:
        if event.luid and event.family and (since is None or event.time >= since) and (count := times_down(event)):
            counter.add(event.luid, event.family, Flap(event.time, count))
    return counter.flaps()
