"""The kinds of change: what happened, in words that people filter by. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from pydantic import WithJsonSchema

from .changes import Change, NotificationType

Kind = Literal[
    "link_up",
    "link_down",
    "speed_increased",
    "speed_decreased",
    "address_added",
    "address_removed",
    "default_route_added",
    "default_route_removed",
    "default_route_changed",
    "renamed",
    "mtu_changed",
    "forwarding_changed",
    "added",
    "removed",
    "other",
]

MEANINGS: Mapping[Kind, str] = {
    "link_up": "`row.connected` became true; with link_down: the link flapped",
    "link_down": "`row.connected` became false; with link_up: the link flapped",
    "speed_increased": "`interface.last_link_speed` is greater than before, also when the link was down in between",
    "speed_decreased": "`interface.last_link_speed` is less than before, also when the link was down in between",
    "address_added": "There is an address that was not there; with added: the IP interface came with an address",
    "address_removed": "An address is not there any more; with removed: the IP interface had an address",
    "default_route_added": "There is a further default route; with added: the IP interface came with one",
    "default_route_removed": "There is a default route less; with removed: the IP interface had one",
    "default_route_changed": "A default route was replaced by another one, or has another metric or protocol",
    "renamed": "`interface.alias` changed",
    "mtu_changed": "`row.nl_mtu` or `interface.mtu` changed",
    "forwarding_changed": "`row.forwarding_enabled` changed",
    "added": "The IP interface is new",
    "removed": "The IP interface was removed",
    "other": "Something else changed; it stands alone",
}
"""The meaning of each kind, for the schema."""

KIND_SCHEMA = WithJsonSchema({"oneOf": [{"const": kind, "description": text} for kind, text in MEANINGS.items()]})
"""Explains each kind in the JSON Schema."""

_TRANSITIONS = "interface.carrier_transitions"
# The members of these that have a kind are in a table.
_OTHERS = ("row.", "interface.")


class HasEntries(Protocol):
    """An IP interface, or an event about one."""

    @property
    def addresses(self) -> Sequence[object]: ...

    @property
    def default_routes(self) -> Sequence[object]: ...


def kinds_of(
    notification_type: NotificationType, ip_interface: HasEntries, changed: Mapping[str, Change]
) -> tuple[Kind, ...]:
    """Returns the kinds of an event, in the order of `Kind`: none for a row of a snapshot, else at least one.

    `ip_interface` is the state after the event; for `delete_instance`, the last state. `other` stands alone.
    """
    match notification_type:
        case "initial_notification":
            return ()
        case "add_instance":
            found = {"added", *_of_lists(ip_interface, "address_added", "default_route_added")}
        case "delete_instance":
            found = {"removed", *_of_lists(ip_interface, "address_removed", "default_route_removed")}
        case _:
            found = _of_changes(changed)
    return in_order(found)


def in_order(found: set[Kind]) -> tuple[Kind, ...]:
    """Returns the kinds in the order of `Kind`; `other` for none."""
    if len(found) > 1:
        return tuple(kind for kind in MEANINGS if kind in found)
    return tuple(found) or ("other",)


def _of_lists(ip_interface: HasEntries, address: Kind, default_route: Kind) -> Iterator[Kind]:
    """Yields the kinds of an IP interface that came or went with what it had."""
    if ip_interface.addresses:
        yield address
    if ip_interface.default_routes:
        yield default_route


def _of_changes(changed: Mapping[str, Change]) -> set[Kind]:
    found: set[Kind] = set()
    for name, change in changed.items():
        of_member = _OF_MEMBERS.get(name)
        if of_member is None and not name.startswith(_OTHERS):
            of_member = _OF_LISTS.get(name.partition(".")[0])
        if of_member and (kind := of_member(change.before, change.after)):
            found.add(kind)
    if _TRANSITIONS in changed and flaps(changed):
        found |= {"link_up", "link_down"}
    if (
        "default_route_added" in found and "default_route_removed" in found
    ):  # another gateway in place of the one before
        found = found - {"default_route_added", "default_route_removed"} | {"default_route_changed"}
    return found


def _of_link(before: bool | None, after: bool | None) -> Kind | None:
    """Returns nothing when it was not known before, or is not known now."""
    return None if before is None or after is None else "link_up" if after else "link_down"


def _of_speed(before: int | None, after: int | None) -> Kind | None:
    if before is None or after is None:
        return None
    return "speed_increased" if after > before else "speed_decreased"


def _of_address(before: object, after: object) -> Kind | None:
    return "address_added" if before is None else "address_removed" if after is None else None


def _of_default_route(before: object, after: object) -> Kind:
    if before is None:
        return "default_route_added"
    return "default_route_removed" if after is None else "default_route_changed"


_OF_MEMBERS: Mapping[str, Callable[[Any, Any], Kind | None]] = {
    "row.connected": _of_link,
    "interface.last_link_speed": _of_speed,
    "interface.alias": lambda _before, _after: "renamed",
    "interface.mtu": lambda _before, _after: "mtu_changed",
    "row.nl_mtu": lambda _before, _after: "mtu_changed",
    "row.forwarding_enabled": lambda _before, _after: "forwarding_changed",
}
_OF_LISTS: Mapping[str, Callable[[Any, Any], Kind | None]] = {
    "addresses": _of_address,
    "default_routes": _of_default_route,
}


def flaps(changed: Mapping[str, Change]) -> int:
    """Returns how often a link flapped while nobody listened: lost its carrier and got it again, or the reverse.

    `interface.carrier_transitions` is in `changed` only for what happened then.
    """
    transitions = changed.get(_TRANSITIONS)
    if transitions is None or transitions.before is None or transitions.after is None:
        return 0
    # With a change of the link, one of them is the change itself.
    count: int = transitions.after - transitions.before
    return max(0, count) // 2
