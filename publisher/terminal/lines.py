"""Formats events as lines for people. No I/O."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import tzinfo
from typing import Any, Literal

from ..events import Address, Change, Event
from .text import columns_of, printable

Style = Literal["dim", "bold", "red", "green", "yellow", "magenta"]

_CODES: dict[Style, str] = {"dim": "2", "bold": "1", "red": "31", "green": "32", "yellow": "33", "magenta": "35"}
_CAUSES = {
    "startup": "while publisher was away",
    "overrun": "after messages were lost",
    "reconcile": "noticed later",
}
# Wider names push their own line to the right and leave the others alone.
_WIDEST = 16


class Lines:
    """Formats events as lines; the names' column is as wide as the longest so far, at most 16 characters.

    `zone` is the time zone of the times; `None` is the local one.
    """

    def __init__(self, *, colour: bool, zone: tzinfo | None = None) -> None:
        self._colour = colour
        self._zone = zone
        self._width = 4

    def lines(self, events: Sequence[Event]) -> list[str]:
        """Returns a line for each event, without a line feed. Nothing in it is a control character of others."""
        names = [printable(event.interface.alias) for event in events if event.interface]
        self._width = max([self._width, *(len(name) for name in names if len(name) <= _WIDEST)])
        return [self._line(event) for event in events]

    def _line(self, event: Event) -> str:
        time = self._paint(event.time.astimezone(self._zone).strftime("%H:%M:%S"), "dim")
        if event.interface is None or event.family is None:
            return f"{time}  {self._heading(event)}"
        name = self._paint(printable(event.interface.alias).ljust(self._width), "bold")
        # The rows of a snapshot are listed below its heading.
        start = "  " if event.snapshot else f"{time}  "
        return f"{start}{name}  {event.family:5}  {self._fact(event)}{self._cause(event)}"

    def _heading(self, event: Event) -> str:
        count = event.snapshot.count if event.snapshot else 0
        return f"{printable(event.node)} has {count} IP interface{'' if count == 1 else 's'}{self._cause(event)}"

    def _cause(self, event: Event) -> str:
        in_rows = event.snapshot is not None and event.snapshot.position > 0
        cause = None if in_rows else _CAUSES.get(event.cause)
        return "  " + self._paint(f"({cause})", "magenta") if cause else ""

    def _fact(self, event: Event) -> str:
        match event.notification_type:
            case "add_instance":
                return self._paint("added", "green") + f"  {state(event, columns=False)}"
            case "delete_instance":
                return self._paint("deleted", "red")
            case "initial_notification":
                return state(event, columns=True)
            case _:
                return self._paint(", ".join(difference(*item) for item in event.changed.items()), "yellow")

    def _paint(self, text: str, style: Style) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self._colour else text


def state(event: Event, *, columns: bool) -> str:
    """Returns status, MTU, metric and addresses of an event's interface; `columns` aligns them in a list."""
    assert event.row
    assert event.interface
    texts = columns_of(event.row, event.interface, event.addresses)
    parts = [
        texts.status.ljust(7 if columns else 0),
        *([f"mtu {texts.mtu}".ljust(9 if columns else 0)] if texts.mtu else []),
        *([f"metric {texts.metric}".ljust(11 if columns else 0)] if texts.metric else []),
        *texts.addresses,
    ]
    return "  ".join(parts).rstrip()


def difference(name: str, change: Change) -> str:
    """Returns one entry of `changed` as text: `nl_mtu 1500 -> 1400`, `+192.0.2.10/24`."""
    part, _, member = name.partition(".")
    if part != "addresses":
        return printable(f"{member} {value(change.before)} -> {value(change.after)}")
    if change.before is None or change.after is None:
        return printable(f"{'+' if change.before is None else '-'}{member}")
    changes = [
        f"{name} {value(before)} -> {value(after)}"
        for name in Address.model_fields
        if (before := change.before.get(name)) != (after := change.after.get(name))
        # Lifetimes are refreshed all the time: only that one begins or ends to exist is a change.
        and (None in (before, after) or not name.endswith("_until"))
    ]
    return printable(f"{member} {' '.join(changes)}")


def value(member: Any) -> str:
    """Returns a member's value as a short text."""
    match member:
        case None:
            return "none"
        case bool():
            return "yes" if member else "no"
        case str() | int():
            return str(member)
        case _:
            return json.dumps(member, ensure_ascii=False)
