"""One life of an interface, and the events that it makes on Linux and on Windows: the same, but for the differences.

`test_parity.py` lives it in a network namespace, `inside/test_parity.py` with the stand-in. Each difference has a
reason, which is in docs/windows.md; for any other difference a test fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple


class Told(NamedTuple):
    """An event in short."""

    notification_type: str
    family: str
    changed: frozenset[str]
    cause: str = "notification"


class Difference(NamedTuple):
    """The events of a step on each system, and the reason why they are not the same."""

    linux: list[Told]
    windows: list[Told]
    reason: str


def changed(*members: str, families: Iterable[str] = ("inet", "inet6"), cause: str = "notification") -> list[Told]:
    return [Told("parameter_notification", family, frozenset(members), cause) for family in families]


def whole(notification_type: str) -> list[Told]:
    return [Told(notification_type, family, frozenset()) for family in ("inet", "inet6")]


ADMIN, MEDIA, OPER = "interface.admin_status", "interface.media_connect_state", "interface.oper_status"
SPEEDS = ("interface.receive_link_speed", "interface.transmit_link_speed")
CONNECTED = "row.connected"
ADDRESS = "addresses.192.0.2.10/24"
ROUTE, OTHER_ROUTE, ON_LINK = (f"default_routes.{hop}" for hop in ("192.0.2.1", "192.0.2.254", "on-link"))


def up(*members: str) -> Difference:
    return Difference(
        linux=[*changed(ADMIN, MEDIA, OPER, *SPEEDS, *members), *changed(OPER, CONNECTED)],
        windows=changed(ADMIN, MEDIA, OPER, CONNECTED, *members),
        reason="Linux reports the administrative state and the carrier one after the other; Windows reports no state, "
        "so what is read afterwards is one event",
    )


LIFE: dict[str, list[Told] | Difference] = {
    "add": whole("add_instance"),
    "up": up("interface.last_link_speed"),
    "rename": Difference(
        linux=changed("interface.alias"),
        windows=changed("interface.alias", cause="reconcile"),
        reason="Linux reports a new name at once; whether Windows does is not known, and the reconcile finds it",
    ),
    "mtu": changed("interface.mtu", "row.nl_mtu"),
    "address added": changed(ADDRESS, families=["inet"]),
    "default route added": changed(ROUTE, families=["inet"]),
    "its protocol changed": changed(ROUTE, families=["inet"]),
    "another gateway": changed(ROUTE, OTHER_ROUTE, families=["inet"]),
    "an on-link route besides": changed(ON_LINK, families=["inet"]),
    "another route": [],
    "default route removed": changed(OTHER_ROUTE, families=["inet"]),
    "on-link route removed": changed(ON_LINK, families=["inet"]),
    "address removed": changed(ADDRESS, families=["inet"]),
    "down": Difference(
        linux=changed(ADMIN, MEDIA, OPER, *SPEEDS, CONNECTED),
        windows=changed(ADMIN, MEDIA, OPER, CONNECTED),
        reason="Linux knows no speed of a link that is down; Windows keeps the last one",
    ),
    "up again": up(),
    "metric": Difference(
        linux=[],
        windows=changed("row.metric"),
        reason="On Linux routes have metrics, and interfaces have none",
    ),
    "forwarding": changed("row.forwarding_enabled", families=["inet"]),
    "delete": whole("delete_instance"),
    "re-create": whole("add_instance"),
}


def expected(system: str) -> dict[str, list[Told]]:
    """Returns the events of each step on `linux` or `windows`."""
    return {step: getattr(told, system) if isinstance(told, Difference) else told for step, told in LIFE.items()}


def in_short(events: Iterable[Any], luid: str | None) -> list[Told]:
    """Returns the events of this LUID."""
    return [
        Told(event.notification_type, event.family, frozenset(event.changed), event.cause)
        for event in events
        if event.luid == luid
    ]
