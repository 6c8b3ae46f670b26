"""The part of a journal that `publisher history` shows, read backwards: changes, sums, and the names of interfaces."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from fnmatch import fnmatchcase

from ..config.errors import nearest
from ..errors import ConfigurationError
from ..events import Event, Family, IpInterface, Kind
from ..history import HistoryQuery
from ..journal.requests import JournalClient
from ..kinds import MEANINGS
from ..text import speed_text
from ..timeline import InterfaceSum, PastChange, Timeline, together

_LINES = 100


@dataclass(frozen=True)
class PastRequest:
    """The question of `publisher history`: an alias, a LUID or a shell pattern; the rest as the options have it."""

    interface: str | None = None
    since: str | None = None
    kinds: tuple[Kind, ...] = ()
    family: Family | None = None
    limit: int | None = None
    """By default 100, and none with `since`."""


def known_kinds(names: Iterable[str]) -> tuple[Kind, ...]:
    """Returns the kinds of these names; raises ConfigurationError for one that is none."""
    given = dict.fromkeys(names)
    for name in given:
        if name not in MEANINGS:
            raise ConfigurationError(
                f"there is no kind {name!r}; the kinds are: {', '.join(MEANINGS)}{nearest(name, MEANINGS)}"
            )
    return tuple(kind for kind in MEANINGS if kind in given)


class ShownPast:
    """The past, read once: `changes` first, since what is shown decides about the rest."""

    def __init__(self, journal: JournalClient, request: PastRequest, since: datetime | None, now: datetime) -> None:
        """Raises ConfigurationError for an interface that the journal does not know, JournalError as reading does."""
        self.journal = journal
        self.since = since
        self.running = journal.running
        self._request = request
        self._history = journal.history()
        ends: tuple[Event | None, Event | None] = self._history.ends() or (None, None)
        self.oldest, self.newest = ends
        self._rows = journal.rows()
        self._names: dict[str, list[str]] = {}
        self._luids = self._selected() if request.interface is not None else frozenset[str]()
        self.limit = request.limit if request.limit is not None or since else _LINES
        self.end = now if self.running or self.newest is None else self.newest.time
        """The last moment of which something is known."""
        self.kept_since = _kept_since(journal.epoch, self.oldest)
        """The moment from which the journal has every event."""
        self.begin = max(since or self.kept_since, self.kept_since)
        """The moment from which every change is shown."""
        self.more = False
        """True when there are older changes, for which there was no line."""
        self._reached = self.begin
        self._timeline = Timeline(self.end, is_now=self.running is not None)
        self._sums: dict[str, InterfaceSum] = {}

    @property
    def is_whole(self) -> bool:
        """True when the epoch's beginning is shown, too."""
        return (self.oldest is None or self.oldest.seq == 1) and self.begin == self.kept_since and not self.more

    def changes(self) -> Iterator[PastChange]:
        """Yields the changes that are shown, newest first."""
        query = HistoryQuery(family=self._request.family, since=self.since)
        shown = 0
        for events in together(self._history.events(query, self._luids)):
            wanted = not self._request.kinds or any(set(event.kinds) & {*self._request.kinds} for event in events)
            if wanted and shown == self.limit:
                self.more, self.begin = True, self._reached
                return
            change = self._timeline.add(events)
            self._note_name(events[0])
            if wanted:
                shown += 1
                if shown == self.limit:  # perhaps the last line: what is older than the lines is in no sum
                    self._reached = max(self.begin, change.time)
                    self._sums = self._timeline.sums(self._reached)
                yield change
        self._sums = self._timeline.sums(self.begin)

    def sums(self) -> list[tuple[str, InterfaceSum]]:
        """Returns the sums of each interface that changed, or was asked for, by LUID; the most flaps first."""
        found = dict(self._sums)
        for luid in self._luids - found.keys():
            is_down = self.state(luid) == "down"
            found[luid] = InterfaceSum(down=max(self.end - self.begin, timedelta()) if is_down else timedelta())
        return sorted(
            found.items(), key=lambda item: (-item[1].flaps, -item[1].changes, self.names(item[0])[0], item[0])
        )

    def names(self, luid: str) -> list[str]:
        """Returns the interface's names, as far as they are known here: the present or last one first."""
        present = [row.interface.alias for row in self._rows_of(luid)][:1]
        return list(dict.fromkeys([*present, *self._names.get(luid, ())])) or [luid]

    def state(self, luid: str) -> str:
        """Returns the interface's state as last known: "up", "down", "gone", or its oper_status."""
        rows = self._rows_of(luid)
        if not rows:
            return "gone"
        links = {row.row.connected for row in rows}
        return "up" if True in links else "down" if False in links else rows[0].interface.oper_status

    def state_text(self, luid: str) -> str:
        """Returns the state in words: "up, 1 Gbit/s"."""
        rows = self._rows_of(luid)
        speed = rows[0].interface.transmit_link_speed if rows else None
        state = self.state(luid)
        return f"{state}, {speed_text(speed)}" if speed and state == "up" else state

    def _rows_of(self, luid: str) -> list[IpInterface]:
        return [row for row in self._rows if row.luid == luid]

    def _note_name(self, event: Event) -> None:
        if event.luid and event.interface:
            _add(self._names, event.luid, [event.interface.alias])

    def _selected(self) -> frozenset[str]:
        """Returns the LUIDs of the interfaces that are asked for, and notes the names that they ever had."""
        known = self._known()
        wanted = self._request.interface or ""
        luids = {luid for luid, names in known.items() if wanted in names or wanted.lower() == luid}
        if not luids:
            luids = {luid for luid, names in known.items() if any(fnmatchcase(name, wanted) for name in names)}
        if not luids:
            raise ConfigurationError(
                f"the journal {self.journal.path} knows no interface {wanted!r}{_near_names(wanted, known)} "
                "Without a name, publisher history shows what happened to all"
            )
        self._names = {luid: known[luid] for luid in luids}
        return frozenset(luids)

    def _known(self) -> dict[str, list[str]]:
        """Returns the names of each interface that the journal knows by LUID, also of those that are gone."""
        known = {row.luid: [row.interface.alias] for row in self._rows}
        for luid, names in self._history.names().items():
            _add(known, luid, names)
        for assignment in self.journal.load_luids():
            _add(known, assignment.luid, [assignment.name.decode("utf-8", "surrogateescape")])
        return known


def _add(known: dict[str, list[str]], luid: str, names: Collection[str]) -> None:
    have = known.setdefault(luid, [])
    have += [name for name in names if name not in have]


def _near_names(wanted: str, known: Mapping[str, Collection[str]]) -> str:
    """Returns the end of a sentence: a question with the names that are near, else some of those that there are."""
    names = sorted({name for found in known.values() for name in found})
    near = (
        get_close_matches(wanted, names, n=3)
        or [name for name in names if wanted and wanted.lower() in name.lower()][:3]
    )
    if near:
        return f"; did you mean {' or '.join(map(repr, near))}?"
    return f"; it knows {', '.join(map(repr, names[:5]))}{' and others' if len(names) > 5 else ''}." if names else "."


def _kept_since(epoch: str, oldest: Event | None) -> datetime:
    """Returns the moment from which a journal has every event: the beginning of its epoch, or its oldest event.

    An epoch's name begins with its milliseconds since 1970, of a clock that may have been ahead.
    """
    began = datetime.fromtimestamp(int(epoch[:12] or "0", 16) / 1000, UTC)
    if oldest is None:
        return began
    return min(began, oldest.time) if oldest.seq == 1 else oldest.time
