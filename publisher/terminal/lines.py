"""Formats events as lines for people. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Literal

from ..events import Event, InitialNotification, SnapshotStarted
from ..printable import printable
from ..text import ChangeText, change_text, hop_text, joined, listed
from .text import columns_of

Style = Literal["dim", "bold", "red", "green", "yellow", "magenta"]

_CODES: dict[Style, str] = {"dim": "2", "bold": "1", "red": "31", "green": "32", "yellow": "33", "magenta": "35"}
# Wider names push their own line to the right and leave the others alone.
_WIDEST = 16


class Lines:
    """Formats events as lines; the names' column is as wide as the longest so far, at most 16 characters.

    `zone` is the time zone of the times; `None` is the local one. With `nodes`, each line has the name of its node.
    """

    def __init__(self, *, colour: bool, zone: tzinfo | None = None, nodes: bool = False) -> None:
        self._colour = colour
        self._zone = zone
        self._nodes = nodes
        self._width = 4

    def lines(self, events: Sequence[Event]) -> list[str]:
        """Returns a line for each change, without a line feed, and for each row of a snapshot.

        One change of an interface in both families is one line. Nothing in it is a control character of others.
        """
        names = [printable(event.interface.alias) for event in events if event.interface]
        self._width = max([self._width, *(len(name) for name in names if len(name) <= _WIDEST)])
        return [self._line(change) for change in joined(events)]

    def _line(self, change: list[Event]) -> str:
        first = change[0]
        if isinstance(first, InitialNotification):  # the rows of a snapshot are listed below its heading
            return f"  {self._named(first, printable(first.interface.alias))}  {first.family:5}  {state(first)}"
        time = self._paint(first.time.astimezone(self._zone).strftime("%H:%M:%S"), "dim")
        text = change_text(change)
        if isinstance(first, SnapshotStarted):
            return f"{time}  {text.name} {text.facts}{self._remark(text)}"
        return f"{time}  {self._named(first, text.name)}  {self._paint(text.facts, _style(first))}{self._remark(text)}"

    def _named(self, event: Event, name: str) -> str:
        node = f"{printable(event.node)}  " if self._nodes else ""
        return node + self._paint(name.ljust(self._width), "bold")

    def _remark(self, text: ChangeText) -> str:
        return "  " + self._paint(f"({text.remark})", "magenta") if text.remark else ""

    def _paint(self, text: str, style: Style) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self._colour else text


def _style(event: Event) -> Style:
    """Returns the colour of a change: red when something is not there any more, green when it is there again."""
    kinds = set(event.kinds)
    if kinds & {"removed", "link_down"}:
        return "red"
    return "green" if kinds & {"added", "link_up"} else "yellow"


def state(event: InitialNotification) -> str:
    """Returns status, MTU, metric, addresses and default routes of an event's interface, aligned in a list."""
    texts = columns_of(event.row, event.interface, event.addresses)
    routes = listed([hop_text(route.next_hop) for route in event.default_routes])
    parts = [
        texts.status.ljust(7),
        *([f"mtu {texts.mtu}".ljust(9)] if texts.mtu else []),
        *([f"metric {texts.metric}".ljust(11)] if texts.metric else []),
        *texts.addresses,
        *([printable(f"default {routes}")] if routes else []),
    ]
    return "  ".join(parts).rstrip()
