"""Texts with names of an event's members in braces: `{interface.alias} is {interface.oper_status}`.

Nothing is evaluated: a name is looked up in the JSON of the event, and whatever else stands between braces is an error.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from publisher.events import Event, Interface, IpInterfaceRow
from publisher.terminal import printable
from publisher.text import speed_text, text_of

# An interface's name and an address list may be of any length, and a service takes a few thousand characters.
LONGEST_MESSAGE = 10_000
_LONGEST_VALUE = 500
_MOST_ENTRIES = 10
NOT_KNOWN = "?"
"""Stands in a message for a member that the event does not have: not known, or not changed."""
_NONE = "none"
_PART = re.compile(r"(?P<escaped>\{\{|\}\})|\{(?P<name>[^{}]*)\}|(?P<brace>[{}])|(?P<literal>[^{}]+)")
_FORMAT = re.compile(r"[\w.]*[:!\[(].*", re.DOTALL)


class Template:
    """A text in which names in braces are replaced by the members of events; `{{` and `}}` are braces."""

    def __init__(self, text: str) -> None:
        """Raises ValueError for a brace without a partner, and for a name that no event has."""
        self._parts = list(_parsed(text))

    def render(self, events: Sequence[Event]) -> str:
        """Returns the text for the events of one change; values that differ are all there, with commas between them.

        Values are printable, on one line and at most 500 characters long, lists at most 10 entries, the whole 10,000
        characters.
        """
        members = [json.loads(event.json_bytes) for event in events]
        shown = ""
        for literal, name in self._parts:
            shown += literal if name is None else _value(name, events, members)
            if len(shown) > LONGEST_MESSAGE:
                return f"{shown[: LONGEST_MESSAGE - 1]}…"
        return shown


def _parsed(text: str) -> Iterator[tuple[str, str | None]]:
    """Yields the parts of a template: a literal text, or the name of a member."""
    for part in _PART.finditer(text):
        if part["brace"]:
            raise ValueError(
                f"the brace {part['brace']} at character {part.start() + 1} has no partner: write a name between "
                "braces, like {node}, or {{ and }} for braces themselves"
            )
        if part["name"] is not None:
            _check_name(part["name"])
        yield (part["literal"] or (part["escaped"] or "")[:1], part["name"])


def _check_name(name: str) -> None:
    if name in known_names():
        return
    shown = printable(name if len(name) <= 60 else f"{name[:60]}...")
    if _FORMAT.fullmatch(name):
        raise ValueError(f"{{{shown}}}: expected a name alone, like {{node}}, without a format or an index")
    raise ValueError(f"unknown name {{{shown}}}{_nearest(name.strip().lower())}")


# What a mistyped name and the right one have in common at least: "state" is not near to "after".
_NEAR = 0.7
_OTHER_WORDS = {
    **dict.fromkeys(("name", "ifname", "iface", "interface", "device"), "interface.alias"),
    **dict.fromkeys(("state", "status", "link"), "interface.oper_status"),
    **dict.fromkeys(("ip", "ips", "ipv4", "ipv6", "address"), "addresses"),
    **dict.fromkeys(("gateway", "route", "routes", "default_route"), "default_routes"),
    "speed": "interface.transmit_link_speed",
    **dict.fromkeys(("host", "hostname"), "node"),
    **dict.fromkeys(("message", "event", "change"), "text"),
}


def _nearest(name: str) -> str:
    known = sorted(known_names(), key=lambda entry: (entry.count("."), entry))
    by_end = {entry.rpartition(".")[2]: entry for entry in reversed(known)}
    last = name.rpartition(".")[2]
    near = [by_end[name]] if name in by_end else [_OTHER_WORDS[last]] if last in _OTHER_WORDS else []
    near = near or difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
    near = near or [by_end[end] for end in difflib.get_close_matches(name, by_end, n=1, cutoff=_NEAR)]
    if near:
        return f"; did you mean {{{near[0]}}}?"
    return "; names are like {text}, {node}, {interface.alias} or {changed.interface.oper_status.before}"


@cache
def known_names() -> frozenset[str]:
    """Returns every name that a template may have: `text`, the event's members, and of changes before and after."""
    changed = (f"changed.{prefix}.{name}" for prefix, model in _CHANGING.items() for name in _plain_members(model))
    members = (name for name in _leaves(Event) if not name.startswith("changed"))
    return frozenset({"text", *members, *(f"{name}.{side}" for name in changed for side in ("before", "after"))})


_CHANGING: dict[str, type[BaseModel]] = {"row": IpInterfaceRow, "interface": Interface}


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yields the names of the members that are no models themselves, like `row.nl_mtu`."""
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is None:
            yield f"{prefix}{name}"
        else:
            yield from _leaves(inner, f"{prefix}{name}.")


def _plain_members(model: type[BaseModel]) -> list[str]:
    return [name for name, field in model.model_fields.items() if _model_in(field.annotation) is None]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Returns the model of a member that is one, or may be one; `None` for any other, also for a list of models."""
    choices = () if get_origin(annotation) is tuple else (annotation, *get_args(annotation))
    return next((kind for kind in choices if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _value(name: str, events: Sequence[Event], members: Sequence[dict[str, Any]]) -> str:
    if name == "text":
        return text_of(events)
    found = (_found(name, each) for each in members)
    # Lists are put together: the addresses of both families are one list.
    entries = [entry for value in found for entry in (value or [None] if isinstance(value, list) else [value])]
    shown = _shown_speed if "link_speed" in name else _shown
    texts = list(dict.fromkeys(map(shown, entries)))
    known = [text for text in texts if text not in (NOT_KNOWN, _NONE)] or texts[:1]
    more = [f"and {len(known) - _MOST_ENTRIES} more"] if len(known) > _MOST_ENTRIES else []
    return ", ".join(known[:_MOST_ENTRIES] + more)


_MISSING = object()


def _found(name: str, members: dict[str, Any]) -> Any:
    """Returns the JSON value of this name; `_MISSING` when the event does not have it."""
    if name.startswith("changed."):
        _, _, path = name.partition(".")
        member, _, side = path.rpartition(".")
        return members["changed"].get(member, {}).get(side, _MISSING)
    value: Any = members
    for part in name.split("."):
        value = value.get(part, _MISSING) if isinstance(value, dict) else _MISSING
    return value


def _shown_speed(value: Any) -> str:
    return speed_text(value) if isinstance(value, int) else _shown(value)


def _shown(value: Any) -> str:
    match value:
        case None:
            return _NONE
        case bool():
            return "yes" if value else "no"
        case {"address": address, "prefix_length": length}:
            return f"{address}/{length}"
        case {"metric": _}:
            return printable(str(value.get("next_hop", "on-link")))
        case str() | int() | float():
            text = printable(str(value))
            return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
        case _:
            return NOT_KNOWN
