"""The states and calls of three dispatchers, as an event stands for them. Pure; docs/command.md has the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, TypeAlias

from publisher import Change, Event

Style: TypeAlias = Literal["event", "networkd-dispatcher", "networkmanager", "ifplugd"]
State: TypeAlias = Literal["missing", "off", "no-carrier", "dormant", "carrier", "degraded", "routable"]
"""networkd's operational state of a link, networkctl(1): here of one family, and without those of bonds."""

_WITH_CARRIER = ("carrier", "degraded", "routable")


class Transition(NamedTuple):
    """The state before an event, None where there was nothing before, and after it."""

    before: State | None
    after: State


def transition(event: Event) -> Transition:
    """Returns the state before and after an event about an interface. Not for position 0 of a snapshot."""
    assert event.interface is not None, "position 0 of a snapshot is about no interface"
    after = _state(event.interface.admin_status, event.interface.oper_status, _scopes(event))
    match event.notification_type:
        case "initial_notification" | "add_instance":
            return Transition(None, after)
        case "delete_instance":
            return Transition(after, "missing")
        case _:
            admin, oper = (_before(event, name) for name in ("admin_status", "oper_status"))
            return Transition(_state(admin, oper, _scopes_before(event)), after)


def arguments(style: Style, event: Event) -> tuple[str, ...] | None:
    """Returns the arguments that this dispatcher gives to a script; None when it runs none for such an event."""
    name = event.interface.alias if event.interface else ""
    match style:
        case "event":
            return ()
        case "networkd-dispatcher":
            before, after = transition(event)
            return () if before != after else None
        case "networkmanager":
            action = networkmanager_action(event)
            return None if action is None else (name, action)
        case "ifplugd":
            beats = link_beat(event)
            return None if beats[0] == beats[1] or beats == ("disabled", "down") else (name, beats[1])


def networkmanager_action(event: Event) -> str | None:
    """Returns NetworkManager's action, NetworkManager-dispatcher(8); None for an event that is none of them.

    A connection is up when it has an address that other networks can reach.
    """
    before, after = transition(event)
    if (before == "routable") != (after == "routable"):
        return "up" if after == "routable" else "down"
    if after == "routable" and any(name.startswith("addresses.") for name in event.changed):
        return "dhcp4-change" if event.family == "inet" else "dhcp6-change"
    return None


def link_beat(event: Event) -> tuple[str, str]:
    """Returns ifplugd's status of the link before and after, ifplugd(8): up, down, or before the first one disabled."""
    before, after = transition(event)
    return "disabled" if before is None else _beat(before), _beat(after)


def _beat(state: State) -> str:
    return "up" if state in _WITH_CARRIER else "down"


def _state(admin_status: str | None, oper_status: str | None, scopes: Iterable[str]) -> State:
    if admin_status == "down":
        return "off"
    if oper_status == "dormant":
        return "dormant"
    # Tunnels and other virtual interfaces report unknown while they work.
    if oper_status not in ("up", "unknown"):
        return "no-carrier"
    found = set(scopes)
    if found - {"interface", "link"}:
        return "routable"
    return "degraded" if found else "carrier"


def _before(event: Event, member: str) -> str | None:
    change = event.changed.get(f"interface.{member}")
    value = getattr(event.interface, member) if change is None else change.before
    return None if value is None else str(value)


def _scopes(event: Event) -> Iterator[str]:
    """Yields the scope of each address that can be used: networkd counts no tentative one."""
    return (address.scope for address in event.addresses if address.dad_state in _USABLE)


def _scopes_before(event: Event) -> Iterator[str]:
    changed = {name.removeprefix("addresses."): change for name, change in event.changed.items()}
    for address in event.addresses:
        if f"{address.address}/{address.prefix_length}" not in changed and address.dad_state in _USABLE:
            yield address.scope
    yield from (scope for name, change in changed.items() if (scope := _scope_before(name, change)) is not None)


def _scope_before(name: str, change: Change) -> str | None:
    before = change.before
    if "/" in name and isinstance(before, dict) and before.get("dad_state") in _USABLE:
        return str(before.get("scope"))
    return None


_USABLE = ("preferred", "deprecated")
