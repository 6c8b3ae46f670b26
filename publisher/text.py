"""Lines for people: one for an event, and one for the events of one change, in both families. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .events import Event
from .terminal.text import printable


def joined(events: Iterable[Event]) -> list[list[Event]]:
    """Returns the events in order, those of one change together: an interface's in its two families."""
    return [[event] for event in events]


def text_of(events: Sequence[Event]) -> str:
    """Returns one line for the events of one change, as `joined` returns them."""
    first = events[0]
    name = printable(first.interface.alias if first.interface else first.node)
    return f"{name} {', '.join(kind.replace('_', ' ') for kind in first.kinds)}"
