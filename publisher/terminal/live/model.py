"""The live table as a person steers it: what is known, what was chosen, the answer to each key. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ...events import Event
from .choices import SORTS, Browsing, Choices, Folded, Helping, Item, Telling, Typing, arranged, key_of
from .interfaces import SAME_SECONDS, InterfaceKey, Interfaces, ToldChange, View

# The lines of a table that are no rows: title, headings, footer.
LINES_AROUND = 3
_LONGEST_FILTER = 200


class PageRequest(NamedTuple):
    """A page of the journal's history of an interface that is wanted: the changes before `before`, or the newest."""

    key: InterfaceKey
    before: int | None


class Model:
    """The live table: takes events and keys, and holds all that its picture shows. One thread.

    `has_past`: a journal can be asked for the changes of the time before; `wanted_history` then is what is asked next.
    `ended` is set by the key `q`.
    """

    def __init__(self, title: str, *, has_past: bool = False, clock: Callable[[], float] = time.time) -> None:
        self.title = title
        self.note = "reading the interfaces ..."
        """Shown in place of rows."""
        self.remark = ""
        """Shown in place of the newest change: something is wrong."""
        self.warning = ""
        """The same, until a key is pressed."""
        self.why_no_past = ""
        """Without a journal: the reason, for people."""
        self.interfaces = Interfaces(clock())
        self.choices = Choices()
        self.ended = False
        self.wanted_history: PageRequest | None = None
        self.has_past = has_past
        self._clock = clock
        self._paused: View | None = None
        self._arranged: tuple[object, list[Item]] = (None, [])
        self._height = 24
        self._page_lines = 0
        self._version = 0

    @property
    def paused(self) -> bool:
        return self._paused is not None

    @property
    def shown(self) -> View:
        """The view of now, or, while paused, of then."""
        return self._paused or self.interfaces.shown(self._clock())

    def apply(self, events: Sequence[Event]) -> None:
        """Applies events; those of the interface whose history is shown are read from the journal again."""
        self._version += 1
        self.note = self.note if not events else ""
        self.interfaces.apply(events)
        mode = self.choices.mode
        if isinstance(mode, Telling) and self.has_past and any(event.luid == mode.key.luid for event in events):
            self._ask(mode.key, None)

    def set_node(self, name: str, *, online: bool, in_sync: bool) -> None:
        """Sets the state of a node."""
        self._version += 1
        self.note = ""
        self.interfaces.set_node(name, online=online, in_sync=in_sync)
        if all(node.in_sync or not node.online for node in self.interfaces.nodes.values()):
            self.warning = ""  # a connection that was lost is there again

    def take_history(self, request: PageRequest, changes: Sequence[ToldChange], *, more: bool) -> None:
        """Takes a page of the journal, newest first; one that is no longer wanted is dropped."""
        mode = self.choices.mode
        if not isinstance(mode, Telling) or mode.key != request.key:
            return
        if request.before is None:
            newest = tuple(changes)
            known = [change for change in mode.older if not newest or change.seq < newest[-1].seq]
            older, more = (newest + tuple(known), mode.more) if known else (newest, more)
        else:
            older = mode.older + tuple(change for change in changes if change.seq < request.before)
        self._choose(mode=replace(mode, older=older, more=more, reading=False))

    def history(self, key: InterfaceKey) -> list[ToldChange]:
        """Returns the known changes of an interface, newest first: the journal's, and those seen since."""
        mode = self.choices.mode
        older = mode.older if isinstance(mode, Telling) else ()
        seen = [change for change in self.interfaces.changes if change.key == key]
        return [*(change for change in reversed(seen) if not self._is_among(change, older)), *older]

    def _is_among(self, change: ToldChange, others: Iterable[ToldChange]) -> bool:
        """Returns whether a change is one of those of the service's journal, which received it by itself."""
        return any(
            other.facts == change.facts
            and self.interfaces.began <= other.time
            and abs(other.time - change.time) < SAME_SECONDS
            for other in others
        )

    def items(self, shown: View) -> list[Item]:
        """Returns the lines of the table in order: interfaces, then the folded containers as one."""
        choices = self.choices
        state = (self._version, self.paused, choices.sort, choices.wanted, choices.folded)
        if choices.sort == "flaps" or self._arranged[0] != state:
            self._arranged = (state, arranged(shown, choices))
        return self._arranged[1]

    def fit(self, items: Sequence[Item], height: int) -> int:
        """Keeps the selected line in the window of this height; returns the number of the first line in it."""
        self._height = max(1, height)
        position = self._position(items)
        top = max(min(self.choices.top, position), position - self._height + 1)
        top = max(0, min(top, len(items) - self._height))
        # At the top nothing is held: a person who sorts anew there wants to see the first ones.
        selected = key_of(items[position]) if items and self.choices.selected is not None else None
        self._choose(position=position, top=top, selected=selected)
        return top

    def fit_page(self, top: int, lines: int, height: int) -> int:
        """Returns the first line of a page of text to show; where the end comes in sight, more of it is asked for."""
        self._height, self._page_lines = max(1, height), lines
        mode = self.choices.mode
        top = max(0, min(top, lines - self._height))
        if isinstance(mode, Helping | Telling) and mode.top != top:
            self._choose(mode=replace(mode, top=top))
        if isinstance(mode, Telling) and mode.more and not mode.reading and top + self._height >= lines and mode.older:
            self._choose(mode=replace(mode, reading=True))
            self._ask(mode.key, mode.older[-1].seq)
        return top

    def press(self, key: str) -> None:
        """Does what a key stands for."""
        self.warning = ""
        match self.choices.mode:
            case Typing(before):
                self._type(key, before)
            case Helping() as mode:
                if key in ("esc", "enter", "?", "left", "backspace"):
                    self._choose(mode=mode.back)
                elif not self._scroll(key, mode):
                    self._press_anywhere(key)
            case Telling() as mode:
                if key in ("esc", "enter", "left", "backspace"):
                    self._choose(mode=Browsing())
                elif not self._scroll(key, mode):
                    self._press_anywhere(key)
            case Browsing():
                self._press_in_table(key)

    def _press_anywhere(self, key: str) -> None:
        mode = self.choices.mode
        match key:
            case "q":
                self.ended = True
            case "p":
                self._paused = None if self._paused else self.interfaces.shown(self._clock())
            case "?" if isinstance(mode, Browsing | Telling):
                self._choose(mode=Helping(mode))

    def _press_in_table(self, key: str) -> None:
        choices = self.choices
        match key:
            case "/":
                self._choose(mode=Typing(choices.wanted))
            case "esc":
                self._choose(wanted="")
            case "s":
                self._choose(sort=SORTS[(SORTS.index(choices.sort) + 1) % len(SORTS)])
            case "c":
                self._choose(folded=not choices.folded)
            case "enter" | "right":
                self._enter()
            case _:
                if not self._move(key):
                    self._press_anywhere(key)

    def _enter(self) -> None:
        items = self._arranged[1]
        if not items:
            return
        match items[self._position(items)]:
            case Folded():
                self._choose(folded=False)
            case entry:
                self._choose(mode=Telling(entry.key, reading=self.has_past))
                if self.has_past:
                    self._ask(entry.key, None)

    def _type(self, key: str, before: str) -> None:
        wanted = self.choices.wanted
        match key:
            case "enter":
                self._choose(mode=Browsing())
            case "esc":
                self._choose(mode=Browsing(), wanted=before)
            case "backspace":
                self._choose(wanted=wanted[:-1]) if wanted else self._choose(mode=Browsing())
            case "ctrl-u":
                self._choose(wanted="")
            case "ctrl-w":
                self._choose(wanted=wanted.rstrip().rpartition(" ")[0])
            case _ if len(key) == 1:
                self._choose(wanted=(wanted + key)[:_LONGEST_FILTER])
            case _:
                self._move(key)

    def _move(self, key: str) -> bool:
        """Moves the selection; returns False for another key."""
        items = self._arranged[1]
        step = _step(key, self._height, len(items))
        if step is None:
            return False
        before = self._position(items)
        position = max(0, min(before + step, len(items) - 1))
        # A page moves what is in sight as well.
        top = self.choices.top + (position - before if abs(step) > 1 else 0)
        self._choose(position=position, top=top, selected=key_of(items[position]) if position else None)
        self.fit(items, self._height)
        return True

    def _scroll(self, key: str, mode: Helping | Telling) -> bool:
        step = _step(key, self._height, self._page_lines)
        if step is None:
            return False
        top = max(0, min(mode.top + step, self._page_lines - self._height))
        self._choose(mode=replace(mode, top=top))
        return True

    def _position(self, items: Sequence[Item]) -> int:
        """Returns the place of the selected line: it stays on its interface, or in its place when that is removed."""
        selected, position = self.choices.selected, self.choices.position
        if position < len(items) and key_of(items[position]) == selected:
            return position
        if selected is not None:
            for number, item in enumerate(items):
                if key_of(item) == selected:
                    return number
        return max(0, min(position, len(items) - 1))

    def _ask(self, key: InterfaceKey, before: int | None) -> None:
        self.wanted_history = PageRequest(key, before)

    def _choose(self, **chosen: object) -> None:
        self.choices = replace(self.choices, **chosen)  # type: ignore[arg-type]  # the names are checked by `replace`


def _step(key: str, page: int, everything: int) -> int | None:
    """Returns the number of lines that a key moves by."""
    match key:
        case "up" | "k":
            return -1
        case "down" | "j":
            return 1
        case "pageup":
            return -max(1, page - 1)
        case "pagedown" | " ":
            return max(1, page - 1)
        case "home" | "g":
            return -everything
        case "end" | "G":
            return everything
        case _:
            return None
