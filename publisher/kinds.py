"""The kinds of change: what happened, in words that people filter by. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .events import Change, NotificationType
    from .rows import IpInterface

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

_BY_MEMBER: Mapping[str, Kind] = {
    "interface.alias": "renamed",
    "interface.mtu": "mtu_changed",
    "row.nl_mtu": "mtu_changed",
    "row.forwarding_enabled": "forwarding_changed",
}
_ORDER: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]  # a Literal's values, which typing does not show


def kinds_of(
    notification_type: NotificationType, ip_interface: IpInterface, changed: Mapping[str, Change]
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
            found = set(_of_changes(changed))
    return tuple(kind for kind in _ORDER if kind in found) or ("other",)


def _of_lists(ip_interface: IpInterface, address: Kind, default_route: Kind) -> Iterator[Kind]:
    """Yields the kinds of an IP interface that came or went with what it had."""
    if ip_interface.addresses:
        yield address
    if ip_interface.default_routes:
        yield default_route


def _of_changes(changed: Mapping[str, Change]) -> Iterator[Kind]:
    for name, change in changed.items():
        if kind := _BY_MEMBER.get(name):
            yield kind
        elif name == "row.connected" and change.before is not None:
            yield "link_up" if change.after else "link_down"
        elif name.startswith("addresses.") and None in (change.before, change.after):
            yield "address_added" if change.before is None else "address_removed"
