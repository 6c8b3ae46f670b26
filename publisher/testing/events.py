"""Makes rows, addresses, events and snapshots for tests: valid without arguments, different where arguments say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ..events import (
    Address,
    Cause,
    Change,
    DefaultRoute,
    Event,
    Family,
    Interface,
    IpInterface,
    IpInterfaceRow,
    NotificationType,
    make_luid,
)
from ..table import Stamp

EPOCH = "01926f6e8c7e4b3f"
"""The epoch of made events."""

BEGINNING = datetime(2026, 11, 22, 20, 4, 12, 123456, UTC)
"""The time of made events with seq 0; each `seq` is one second later."""


def make_row(
    alias: str = "eth0",
    family: Family = "inet",
    *,
    index: int = 2,
    luid: str | None = None,
    addresses: Iterable[str | Address] = (),
    default_routes: Iterable[str | DefaultRoute] = (),
    interface: Mapping[str, Any] | None = None,
    **members: Any,
) -> IpInterface:
    """Returns an IP interface: an Ethernet interface that is up.

    `members` replace members of its row, `interface` those of its interface. The LUID is made from `index` unless it is
    given, so two families of one interface have one LUID. Addresses may be texts like "192.0.2.10/24", default routes
    those of next hops, with metric 100.

        make_row("wlan0", "inet6", index=3, nl_mtu=1280, interface={"oper_status": "down"})
    """
    luid = luid or make_luid(6, 0x8000 + index)
    row: dict[str, Any] = {"metric": 100, "nl_mtu": 1500, "connected": True, "forwarding_enabled": False} | members
    about: dict[str, Any] = {
        "type": 6,
        "physical_address": f"52:54:00:12:34:{index & 0xFF:02x}",
        "mtu": 1500,
        "admin_status": "up",
        "oper_status": "up",
        "media_connect_state": "connected",
    }
    listed = [make_address(entry) if isinstance(entry, str) else entry for entry in addresses]
    routes = [DefaultRoute(next_hop=route, metric=100) if isinstance(route, str) else route for route in default_routes]
    return IpInterface(
        row=IpInterfaceRow(family=family, interface_luid=luid, interface_index=index, **row),
        interface=Interface(alias=alias, **(about | dict(interface or {}))),
        addresses=tuple(sorted(listed, key=lambda entry: (entry.address, entry.prefix_length))),
        default_routes=tuple(sorted(routes, key=lambda route: (route.metric, route.next_hop or ""))),
    )


def make_address(text: str = "192.0.2.10/24", **members: Any) -> Address:
    """Returns a unicast address from a text like "192.0.2.10/24"; `members` replace its other members."""
    address, _, prefix_length = text.partition("/")
    scope = "link" if address.startswith("fe80:") else "global"
    return Address(
        address=address,
        prefix_length=int(prefix_length or (128 if ":" in address else 32)),
        **({"scope": scope, "dad_state": "preferred", "valid_until": None, "preferred_until": None} | members),
    )


def make_stamp(seq: int = 0, *, epoch: str = EPOCH, node: str = "testnode") -> Stamp:
    """Returns a stamp, which numbers events: the next one is `seq` + 1, each one second later."""
    stamp = Stamp(node, epoch, seq)
    stamp.clock = lambda: BEGINNING + timedelta(seconds=stamp.seq)
    return stamp


def make_event(
    seq: int = 1,
    notification_type: NotificationType = "parameter_notification",
    row: IpInterface | None = None,
    *,
    changed: Mapping[str, Change] | None = None,
    cause: Cause = "notification",
    epoch: str = EPOCH,
    node: str = "testnode",
) -> Event:
    """Returns one event; by default, the `nl_mtu` of eth0 changed from 1500 to 1400."""
    if notification_type == "parameter_notification" and changed is None:
        changed = {"row.nl_mtu": Change(before=1500, after=1400)}
        row = row or make_row(nl_mtu=1400)
    stamp = make_stamp(seq - 1, epoch=epoch, node=node)
    return stamp.event(notification_type, cause, row or make_row(), changed)


def make_events(count: int, first: int = 1, *, row: IpInterface | None = None, epoch: str = EPOCH) -> list[Event]:
    """Returns `count` events with `seq` from `first` on: each time one interface's metric grows by one."""
    row = row or make_row()
    stamp = make_stamp(first - 1, epoch=epoch)
    return [_metric(stamp, row, seq) for seq in range(first, first + count)]


def _metric(stamp: Stamp, row: IpInterface, metric: int) -> Event:
    after = row.model_copy(update={"row": row.row.model_copy(update={"metric": metric})})
    return stamp.event(
        "parameter_notification", "notification", after, {"row.metric": Change(before=metric - 1, after=metric)}
    )


def make_snapshot(
    rows: Iterable[IpInterface] | None = None,
    seq: int = 0,
    *,
    cause: Cause = "notification",
    epoch: str = EPOCH,
    node: str = "testnode",
) -> list[Event]:
    """Returns a snapshot, position 0 first; by default of lo, and of eth0 in both families."""
    if rows is None:
        rows = [
            make_row("lo", index=1, addresses=["127.0.0.1/8"], interface={"type": 24, "physical_address": None}),
            make_row("eth0", addresses=["192.0.2.10/24"]),
            make_row("eth0", "inet6", addresses=["fe80::5054:ff:fe12:3402/64"]),
        ]
    return list(make_stamp(seq, epoch=epoch, node=node).snapshot(list(rows), cause))
