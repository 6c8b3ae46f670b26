"""The interfaces of one or many nodes as last known, and what happened to them. No I/O, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from ...containers import has_container_name, is_of_containers
from ...events import Added, Changed, Deleted, Event, Family, InitialNotification, SnapshotStarted
from ...kinds import flaps
from ...text import change_text, joined
from .words import Words, style_of, words_of

RowEvent = InitialNotification | Added | Changed

# The texts of changes that are kept, for the history of an interface where no journal has it.
_MOST_CHANGES = 10_000
_HOUR = 3600.0
SAME_SECONDS = 2.0
"""Two programs on one host receive the same change at nearly the same time."""


class InterfaceKey(NamedTuple):
    """The key of an interface among those of many nodes."""

    node: str
    luid: str


class ToldChange(NamedTuple):
    """One change in words, with its time in seconds since 1970; `seq` is that of its first event."""

    time: float
    key: InterfaceKey
    name: str
    facts: str
    remark: str
    style: str
    seq: int

    @property
    def text(self) -> str:
        """The facts and the remark."""
        return f"{self.facts} ({self.remark})" if self.remark else self.facts


@dataclass(frozen=True)
class InterfaceEntry:
    """One interface with its rows by family, and the time of its last change, if that is known."""

    key: InterfaceKey
    rows: Mapping[Family, RowEvent]
    changed_at: float | None

    @cached_property
    def newest(self) -> RowEvent:
        """The newest event of the two families: its interface is the interface as it is."""
        return max(self.rows.values(), key=lambda event: event.seq)

    @cached_property
    def words(self) -> Words:
        """The interface in words."""
        return words_of(self.newest.interface, self.rows)

    @cached_property
    def has_container_name(self) -> bool:
        """True if container engines and hypervisors give such names."""
        return has_container_name(self.newest.interface.alias)


class _ContainerFacts(NamedTuple):
    """The members of a row by which an interface of a container is recognised."""

    alias: str
    kind: str | None
    link_netnsid: int | None
    higher: tuple[str, ...]
    lower: tuple[str, ...]
    has_global_address: bool


class LinkFlaps:
    """The times at which a link went down, of each family: both report the same flap."""

    def __init__(self) -> None:
        self._times: dict[Family, deque[tuple[float, int]]] = {"inet": deque(), "inet6": deque()}

    def add(self, family: Family, time: float, count: int) -> None:
        """Adds flaps; those of one second are kept as one number, so that an hour has at most 3,600."""
        times = self._times[family]
        if times and times[-1][0] >= time - 1:
            times[-1] = (times[-1][0], times[-1][1] + count)
        else:
            times.append((time, count))
        self._forget(time)

    def put_before(self, times: Iterable[tuple[float, int]], began: float) -> None:
        """Puts flaps of both families, in the order of their times, before all others.

        Those that are here already are left out: since `began` the journal's service received the same ones.
        """
        earlier = list(times)
        first = min((kept[0][0] for kept in self._times.values() if kept), default=float("inf"))
        for kept in self._times.values():
            kept.extendleft(entry for entry in reversed(earlier) if entry[0] < max(began, first - SAME_SECONDS))

    def count(self, now: float) -> int:
        """Returns the number of flaps in the hour before this moment."""
        self._forget(now)
        return max(sum(count for _, count in times) for times in self._times.values())

    def _forget(self, now: float) -> None:
        for times in self._times.values():
            while times and times[0][0] <= now - _HOUR:
                times.popleft()


@dataclass
class WatchedNode:
    """The state of one node as its publisher or its broker reports it."""

    online: bool = True
    in_sync: bool = True


class View(NamedTuple):
    """Everything that is known at one moment: the picture of a paused table is drawn from it, too."""

    entries: Mapping[InterfaceKey, InterfaceEntry]
    containers: frozenset[InterfaceKey]
    flaps: Mapping[InterfaceKey, int]
    nodes: Mapping[str, WatchedNode]
    newest: ToldChange | None
    gaps: int
    now: float


@dataclass
class _Listing:
    """A snapshot that is being received: the rows so far."""

    count: int
    seen: set[tuple[InterfaceKey, Family]] = field(default_factory=set)


class Interfaces:
    """The interfaces by node and LUID. One thread.

    `began` is the time from which changes are received; of the journal's, those before it are no repetition.
    """

    def __init__(self, began: float) -> None:
        self.began = began
        self.entries: dict[InterfaceKey, InterfaceEntry] = {}
        self.nodes: dict[str, WatchedNode] = {}
        self.changes: deque[ToldChange] = deque(maxlen=_MOST_CHANGES)
        self.gaps = 0
        """How often a node's changes were not all received, and came again."""
        self._flaps: dict[InterfaceKey, LinkFlaps] = {}
        self._listings: dict[str, _Listing] = {}
        self._containers: frozenset[InterfaceKey] | None = None

    def apply(self, events: Iterable[Event]) -> None:
        """Applies events in their order; those of one change are told once."""
        for change in joined(events):
            for event in change:
                self._apply(event)
            if told := told_change(change):
                self.changes.append(told)
        self._containers = None

    def set_node(self, name: str, *, online: bool, in_sync: bool) -> None:
        """Sets the state of a node; the rows of one that is offline are the last that are known."""
        before = self.nodes.get(name)
        # Before its rows nothing of a node can be missing.
        if before is not None and before.in_sync and not in_sync and any(key.node == name for key in self.entries):
            self.gaps += 1
        self.nodes[name] = WatchedNode(online, in_sync)

    def add_flaps(self, node: str, luid: str, times: Iterable[tuple[float, int]]) -> None:
        """Adds flaps that were before everything that was applied, in the order of their times."""
        self._flaps.setdefault(InterfaceKey(node, luid), LinkFlaps()).put_before(times, self.began)

    def shown(self, now: float) -> View:
        """Returns everything as of now; what is applied later does not change it."""
        counts = {key: count for key, times in self._flaps.items() if (count := times.count(now))}
        newest = self.changes[-1] if self.changes else None
        return View(dict(self.entries), self.containers, counts, dict(self.nodes), newest, self.gaps, now)

    @property
    def containers(self) -> frozenset[InterfaceKey]:
        """The interfaces of containers and virtual machines."""
        if self._containers is None:
            known: dict[InterfaceKey, bool] = {}
            self._containers = frozenset(key for key in self.entries if self._is_of_containers(key, known))
        return self._containers

    def _is_of_containers(self, key: InterfaceKey, known: dict[InterfaceKey, bool]) -> bool:
        if key not in known:
            known[key] = False  # of links that are stacked on each other, one has to be the first
            entry = self.entries.get(key)
            known[key] = entry is not None and (
                entry.has_container_name
                or is_of_containers(
                    {family: _container_facts(event) for family, event in entry.rows.items()},
                    lambda luid: self._is_of_containers(InterfaceKey(key.node, luid), known),
                    bridge_before=False,
                    announced=False,
                )
            )
        return known[key]

    def _apply(self, event: Event) -> None:
        match event:
            case SnapshotStarted():
                self._begin(event.node, event.snapshot.count)
            case InitialNotification():
                self._put(event, None)
                self._list(event)
            case Added() | Changed():
                self._put(event, event.time.timestamp())
                self._count_flaps(event)
            case Deleted():
                self._remove(InterfaceKey(event.node, event.luid), event.family, event.time.timestamp())

    def _begin(self, node: str, count: int) -> None:
        self.nodes.setdefault(node, WatchedNode())
        self._listings[node] = _Listing(count)
        if count == 0:
            self._end(node)

    def _list(self, event: InitialNotification) -> None:
        listing = self._listings.get(event.node)
        if listing is not None:
            listing.seen.add((InterfaceKey(event.node, event.luid), event.family))
            if event.snapshot.position == event.snapshot.count:
                self._end(event.node)

    def _end(self, node: str) -> None:
        """Removes the rows of this node that its snapshot does not have."""
        seen = self._listings.pop(node).seen
        rows = [(key, family) for key, entry in self.entries.items() if key.node == node for family in entry.rows]
        for key, family in rows:
            if (key, family) not in seen:
                self._remove(key, family, None)

    def _put(self, event: RowEvent, changed_at: float | None) -> None:
        key = InterfaceKey(event.node, event.luid)
        before = self.entries.get(key)
        if changed_at is None:
            changed_at = before.changed_at if before else None
        if changed_at is None and event.interface.last_change is not None:
            changed_at = event.interface.last_change.timestamp()
        rows = {**(before.rows if before else {}), event.family: event}
        self.entries[key] = InterfaceEntry(key, rows, changed_at)

    def _remove(self, key: InterfaceKey, family: Family, changed_at: float | None) -> None:
        before = self.entries.get(key)
        if before is None:
            return
        rows = {other: event for other, event in before.rows.items() if other != family}
        if rows:
            self.entries[key] = InterfaceEntry(key, rows, changed_at or before.changed_at)
        else:
            del self.entries[key]

    def _count_flaps(self, event: Added | Changed) -> None:
        if "link_down" not in event.kinds:
            return
        went = event.changed.get("row.connected")
        count = flaps(event.changed) + (went is not None and went.after is False)
        key = InterfaceKey(event.node, event.luid)
        self._flaps.setdefault(key, LinkFlaps()).add(event.family, event.time.timestamp(), max(1, count))


def told_change(change: Sequence[Event]) -> ToldChange | None:
    """Returns the events of one change in words; `None` for a snapshot's."""
    first = change[0]
    if first.luid is None or isinstance(first, InitialNotification):
        return None
    key = InterfaceKey(first.node, first.luid)
    name, facts, remark = change_text(change)
    return ToldChange(first.time.timestamp(), key, name, facts, remark, style_of(first), first.seq)


def _container_facts(event: RowEvent) -> _ContainerFacts:
    interface = event.interface
    has_global = any(address.scope == "global" for address in event.addresses)
    return _ContainerFacts(
        interface.alias, interface.kind, interface.link_netnsid, interface.higher, interface.lower, has_global
    )
