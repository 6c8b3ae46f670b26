"""The choices of whoever looks at a live table, and the lines of the table in their order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

from .interfaces import InterfaceEntry, InterfaceKey, ToldChange, View

Sort = Literal["name", "changed", "flaps", "state", "speed"]
SORTS: tuple[Sort, ...] = ("name", "changed", "flaps", "state", "speed")


class Folded(NamedTuple):
    """The interfaces of containers and virtual machines, as one line of the table."""

    number: int
    down: int


Item = InterfaceEntry | Folded


@dataclass(frozen=True)
class Browsing:
    """The table is shown."""


@dataclass(frozen=True)
class Typing:
    """The table is shown while a filter is typed; Esc brings the one before back."""

    before: str


@dataclass(frozen=True)
class Helping:
    """The keys are explained; `back` is shown next."""

    back: Browsing | Telling
    top: int = 0


@dataclass(frozen=True)
class Telling:
    """The history of one interface is shown. `older` are the changes of the journal, newest first, as far as read."""

    key: InterfaceKey
    top: int = 0
    older: tuple[ToldChange, ...] = ()
    more: bool = False
    reading: bool = False


Mode = Browsing | Typing | Helping | Telling


@dataclass(frozen=True)
class Choices:
    """Everything that a person has chosen."""

    mode: Mode = Browsing()
    sort: Sort = "name"
    wanted: str = ""
    folded: bool = True
    selected: InterfaceKey | Literal["folded"] | None = None
    position: int = 0
    top: int = 0


def key_of(item: Item) -> InterfaceKey | Literal["folded"]:
    """Returns what a line is about."""
    return "folded" if isinstance(item, Folded) else item.key


def arranged(shown: View, choices: Choices) -> list[Item]:
    """Returns the lines of the table in order: interfaces, then the folded containers as one."""
    entries: Iterable[InterfaceEntry] = shown.entries.values()
    words = choices.wanted.lower().split()
    if words:
        # Whoever searches wants to find, also among what is folded.
        return [*sorted(filter(lambda entry: _matches(entry, words), entries), key=_order(shown, choices.sort))]
    if not choices.folded or not shown.containers:
        return [*sorted(entries, key=_order(shown, choices.sort))]
    folded = [entry for entry in entries if entry.key in shown.containers]
    others = [entry for entry in entries if entry.key not in shown.containers]
    down = sum(entry.words.state_style == "red" for entry in folded)
    return [*sorted(others, key=_order(shown, choices.sort)), Folded(len(folded), down)]


def _matches(entry: InterfaceEntry, words: Sequence[str]) -> bool:
    """Returns whether each word is somewhere in the interface's texts; one with `*` or `?` is a pattern of its name."""
    node, name = entry.key.node.lower(), entry.words.name.lower()
    for word in words:
        if "*" in word or "?" in word:
            if not fnmatchcase(name, word):
                return False
        elif word not in entry.words.search and word not in node and word not in entry.key.luid:
            return False
    return True


def _order(shown: View, sort: Sort) -> Callable[[InterfaceEntry], tuple[float, str, Any, str]]:
    first: dict[Sort, Callable[[InterfaceEntry], float]] = {
        "name": lambda _: 0.0,
        "changed": lambda entry: -(entry.changed_at or 0.0),
        "flaps": lambda entry: -shown.flaps.get(entry.key, 0),
        "state": lambda entry: entry.words.state_rank,
        "speed": lambda entry: -entry.words.bits_per_second,
    }
    return lambda entry: (first[sort](entry), entry.key.node, entry.words.order, entry.key.luid)
