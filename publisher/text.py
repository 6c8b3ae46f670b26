"""Lines for people: one for an event, and one for the events of one change, in both families. Pure.

lines = [text_of(change) for change in joined(events)]
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .events import Added, Change, Changed, Deleted, Event, Family, InitialNotification
from .kinds import flaps
from .printable import printable

FAMILY_NAMES: Mapping[Family, str] = {"inet": "IPv4", "inet6": "IPv6"}
CAUSES = {
    "startup": "while publisher was away",
    "overrun": "after messages were lost",
    "reconcile": "noticed later",
}
"""The causes in words; an event that the system reported needs none."""

# A line of 2,000 addresses is read by nobody, and the event has them all.
_MOST_LISTED = 3
_UNITS = ((10**12, "Tbit/s"), (10**9, "Gbit/s"), (10**6, "Mbit/s"), (10**3, "kbit/s"))
_LAST_SPEED = "interface.last_link_speed"
_SPEEDS = (_LAST_SPEED, "interface.transmit_link_speed", "interface.receive_link_speed")
_STACK = ("interface.higher", "interface.lower")
# They change with `row.connected`, and say the same.
_STATES = ("interface.admin_status", "interface.oper_status", "interface.media_connect_state")


class ChangeText(NamedTuple):
    """A change in words, in parts that a terminal can paint; every part is printable.

    `remark` is what else there is to know, like the cause; mostly empty.
    """

    name: str
    facts: str
    remark: str

    def __str__(self) -> str:
        return f"{self.name} {self.facts} ({self.remark})" if self.remark else f"{self.name} {self.facts}"


class _Phrase(NamedTuple):
    """A part of a line. `of_family`: the family is named, unless the other one says the same."""

    text: str
    of_family: bool = False


def text_of(events: Sequence[Event]) -> str:
    """Returns one line for the events of one change, as `joined` returns them: "eth0 down, was 1 Gbit/s"."""
    return str(change_text(events))


def joined(events: Iterable[Event]) -> list[list[Event]]:
    """Returns the events in order, those of one change together: of one interface, in its two families."""
    changes: list[list[Event]] = []
    for event in events:
        if changes and len(changes[-1]) == 1 and _is_same_change(changes[-1][0], event):
            changes[-1].append(event)
        else:
            changes.append([event])
    return changes


def _is_same_change(first: Event, second: Event) -> bool:
    """Returns whether one change made both events: it shows in both, in an interface's two families."""
    if (first.node, first.epoch, first.luid, first.cause) != (second.node, second.epoch, second.luid, second.cause):
        return False
    if first.family == second.family or type(first) is not type(second):
        return False
    if isinstance(first, Changed):
        return any(second.changed.get(name) == change for name, change in first.changed.items())
    return isinstance(first, Added | Deleted)


def change_text(events: Sequence[Event], *, families: bool = True) -> ChangeText:
    """Returns the line for the events of one change in parts; without `families` where they are shown beside it."""
    first = events[0]
    remark = ", ".join(_remarks(events))
    if first.interface is None:
        return ChangeText(printable(first.node), _heading(first), remark)
    separator = "; " if isinstance(first, Changed) else ", "
    return ChangeText(printable(first.interface.alias), printable(separator.join(_facts(events, families))), remark)


def _heading(event: Event) -> str:
    """Returns the text of a snapshot's beginning; without rows it marks a loss, for a sink that takes no snapshot."""
    place = event.snapshot
    count = place.count if place else 0
    if count == 0 and event.cause == "overrun":
        return f"lost events {place.lost.first} to {place.lost.last}" if place and place.lost else "lost changes"
    return f"has {count} IP interface{'' if count == 1 else 's'}"


def _remarks(events: Sequence[Event]) -> Iterator[str]:
    settled = [event.settled.count for event in events if event.settled]
    if max(settled, default=1) > 1:
        yield f"{max(settled)} changes"
    if events[0].cause in CAUSES and not isinstance(events[0], InitialNotification):
        yield CAUSES[events[0].cause]


def _facts(events: Sequence[Event], families: bool) -> Iterator[str]:
    """Yields the facts of the first event, then what the second one adds; of one family, with its name."""
    facts = [list(_facts_of(event)) for event in events]
    shared = set.intersection(*map(set, facts)) if len(facts) > 1 else set()
    for place, event in enumerate(events):
        for fact in facts[place]:
            if fact in shared:
                if place == 0:
                    yield fact.text
            elif fact.of_family and families and event.family:
                yield f"{FAMILY_NAMES[event.family]} {fact.text}"
            else:
                yield fact.text


def _facts_of(event: Event) -> Iterator[_Phrase]:
    match event:
        case Changed():
            rest = dict(event.changed)
            facts = [fact for tell in _TELLERS for fact in tell(event, rest)]
            yield from facts or [_Phrase("as before")]
        case Added():
            yield _Phrase("added", of_family=True)
            yield from _state(event)
        case Deleted():
            yield _Phrase("removed", of_family=True)
        case InitialNotification():
            yield from _state(event)


def _state(event: Added | InitialNotification) -> Iterator[_Phrase]:
    """Yields an IP interface as it is."""
    yield _Phrase(event.interface.oper_status)
    if event.interface.transmit_link_speed:
        yield _Phrase(speed_text(event.interface.transmit_link_speed))
    if event.row.nl_mtu is not None:
        yield _Phrase(f"mtu {event.row.nl_mtu}", of_family=True)
    if event.addresses:
        yield _Phrase(listed([f"{entry.address}/{entry.prefix_length}" for entry in event.addresses]))
    if event.default_routes:
        hops = [route.next_hop for route in event.default_routes]
        yield _Phrase(f"default route {listed([hop_text(hop) for hop in hops])}", of_family=None in hops)


# Each of the following yields the facts of a change, and takes what they say out of `rest`.


def _link(event: Changed, rest: dict[str, Change]) -> Iterator[_Phrase]:
    connected = rest.get("row.connected")
    if connected is not None and connected.after is not None:
        _leave_out(rest, "row.connected", *_STATES, *_SPEEDS)
        now, last = event.interface.transmit_link_speed, event.interface.last_link_speed
        if connected.after:
            yield _Phrase(f"up, {speed_text(now)}{_was_speed(event)}" if now else "up")
        else:
            yield _Phrase(f"down, was {speed_text(last)}" if last else "down")
    if connected or {"link_up", "link_down"} <= set(event.kinds):
        _leave_out(rest, "interface.carrier_transitions")
    if {"link_up", "link_down"} <= set(event.kinds):
        times = flaps(event.changed)
        yield _Phrase({0: "flapped", 1: "flapped once"}.get(times, f"flapped {times} times"))


def _switch(event: Changed, rest: dict[str, Change]) -> Iterator[_Phrase]:
    """Yields that an interface without a link was switched on or off; its other states and speeds follow from that."""
    admin = rest.get("interface.admin_status")
    if admin is not None and event.interface.admin_status in ("up", "down") and not event.row.connected:
        _leave_out(rest, *_STATES, *_SPEEDS)
        yield _Phrase("switched on" if event.interface.admin_status == "up" else "switched off")


def _speed(event: Changed, rest: dict[str, Change]) -> Iterator[_Phrase]:
    now = event.interface.transmit_link_speed
    if now and any(name in rest for name in _SPEEDS):
        _leave_out(rest, *_SPEEDS)
        yield _Phrase(f"{speed_text(now)}{_was_speed(event)}")


def _was_speed(event: Changed) -> str:
    last = event.changed.get(_LAST_SPEED)
    return f", was {speed_text(last.before)}" if last and last.before else ""


def _name(_event: Changed, rest: dict[str, Change]) -> Iterator[_Phrase]:
    if alias := rest.pop("interface.alias", None):
        yield _Phrase(f"renamed, was {alias.before}")


def _addresses(_event: Changed, rest: dict[str, Change]) -> Iterator[_Phrase]:
    yield from map(_Phrase, _entries("address", _taken(rest, "addresses."), str))


def _default_routes(_event: Changed, rest: dict[str, Change]) -> Iterator[_Phrase]:
    changes = _taken(rest, "default_routes.")
    on_link = any(name.startswith("on-link") for name in changes)
    for text in _entries("default route", changes, lambda name: name if name.startswith("on-link") else f"via {name}"):
        yield _Phrase(text, of_family=on_link)


def _mtu(_event: Changed, rest: dict[str, Change]) -> Iterator[_Phrase]:
    own, whole = rest.pop("row.nl_mtu", None), rest.pop("interface.mtu", None)
    if mtu := own or whole:
        yield _Phrase(_was("mtu", mtu), of_family=own is not None and own != whole)


def _forwarding(_event: Changed, rest: dict[str, Change]) -> Iterator[_Phrase]:
    if forwarding := rest.pop("row.forwarding_enabled", None):
        yield _Phrase(_was("forwarding", forwarding), of_family=True)


def _others(_event: Changed, rest: dict[str, Change]) -> Iterator[_Phrase]:
    for name, change in rest.items():
        part, _, member = name.partition(".")
        text = _difference(member, change) if name in _STACK else _was(member, change)
        yield _Phrase(text, of_family=part == "row")


_TELLERS = (_link, _switch, _speed, _name, _addresses, _default_routes, _mtu, _forwarding, _others)


def _entries(title: str, changes: Mapping[str, Change], text: Callable[[str], str]) -> Iterator[str]:
    """Yields what was added to a list, removed and changed; the keys of `changes` name the entries."""
    added = [text(name) for name, change in changes.items() if change.before is None]
    removed = [text(name) for name, change in changes.items() if change.after is None]
    if len(added) == len(removed) == 1:
        yield f"{title} {added[0]}, was {removed[0]}"
    else:
        if added:
            yield f"new {title} {listed(added)}"
        if removed:
            yield f"lost {title} {listed(removed)}"
    for name, change in changes.items():
        if change.before is not None and change.after is not None:
            yield f"{title} {text(name)} {', '.join(_members(change.before, change.after))}"


def _members(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yields the members of an address or a route that differ."""
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        # Lifetimes are refreshed all the time: only that one begins or ends to exist is a change.
        if old != new and (None in (old, new) or not name.endswith("_until")):
            yield _was(name, Change(before=old, after=new), "never" if name.endswith("_until") else "unknown")


def _difference(member: str, change: Change) -> str:
    """Returns the change of a list, of which `changed` has what was removed and what was added."""
    removed, added = (
        listed([f"{sign}{entry}" for entry in entries]) for sign, entries in (("-", change.before), ("+", change.after))
    )
    return " ".join(filter(None, (member, added, removed)))


def _was(member: str, change: Change, unknown: str = "unknown") -> str:
    now = f"{member} {_value(change.after, unknown)}"
    return now if change.before is None else f"{now}, was {_value(change.before, unknown)}"


def _value(member: Any, unknown: str) -> str:
    match member:
        case None:
            return unknown
        case bool():
            return "on" if member else "off"
        case str() | int():
            return str(member)
        case _:
            return json.dumps(member, ensure_ascii=False)


def hop_text(next_hop: str | None) -> str:
    """Returns the way of a default route: via 192.0.2.1, or on-link."""
    return "on-link" if next_hop is None else f"via {next_hop}"


def speed_text(bits_per_second: int) -> str:
    """Returns a speed like "1 Gbit/s" or "866.7 Mbit/s"."""
    for size, unit in _UNITS:
        if bits_per_second >= size:
            return f"{bits_per_second / size:.4g} {unit}"
    return f"{bits_per_second} bit/s"


def listed(texts: Sequence[str]) -> str:
    """Returns the first ones, and how many there are besides."""
    more = len(texts) - _MOST_LISTED
    if more <= 1:
        return ", ".join(texts)
    return f"{', '.join(texts[:_MOST_LISTED])} and {more} more"


def _taken(rest: dict[str, Change], prefix: str) -> dict[str, Change]:
    """Takes out the members whose names begin so; returns them without the prefix."""
    names = [name for name in rest if name.startswith(prefix)]
    return {name.removeprefix(prefix): rest.pop(name) for name in names}


def _leave_out(rest: dict[str, Change], *names: str) -> None:
    for name in names:
        rest.pop(name, None)
