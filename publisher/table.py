"""The rows as last known: updates in, events out. No I/O."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, assert_never

from pydantic import BaseModel

from .carried import Carried
from .events import (
    Added,
    Address,
    AnyEvent,
    Cause,
    Change,
    Changed,
    DefaultRoute,
    Deleted,
    FrozenDict,
    InitialNotification,
    Interface,
    IpInterface,
    Key,
    Moment,
    NotificationType,
    SnapshotEvents,
    event_id,
)
from .kinds import kinds_of
from .sources import Remove, Resync, Update, Upsert

# Systems pick reachable_time at random around the base time every few minutes (RFC 4861, 6.3.2): reported, no change.
_UNSTABLE_ROW_MEMBERS = frozenset({"reachable_time"})
# Another program may have the number given, and a container's start sends enough events; and a link that flapped makes
# events by its state: reported, no change.
_QUIET_INTERFACE_MEMBERS = frozenset({"link_netnsid", "last_change", "carrier_transitions", "best_link_speed"})
# A change that comes with others; by itself it only was not known before.
_LAST_SPEED = "interface.last_link_speed"
_TRANSITIONS = "interface.carrier_transitions"
# The updates of a time in which nobody listened.
_GAPS = frozenset({"startup", "overrun"})
# The stack's lists: a bridge of 1,000 links must not carry all of them twice for each link that joins.
_LISTS = frozenset({"higher", "lower"})
# These are refreshed all the time; only "for ever" against "for a while" is a change.
_LIFETIMES = frozenset({"valid_until", "preferred_until"})


# The models without the wrapper of their `__init__`, which costs as much as the validation of a change.
_EVENTS: Mapping[NotificationType, Callable[[dict[str, Any]], AnyEvent]] = {
    "add_instance": Added.__pydantic_validator__.validate_python,
    "parameter_notification": Changed.__pydantic_validator__.validate_python,
    "delete_instance": Deleted.__pydantic_validator__.validate_python,
    "initial_notification": InitialNotification.__pydantic_validator__.validate_python,
}
_CHANGE: Callable[[dict[str, Any]], Change] = Change.__pydantic_validator__.validate_python


def new_epoch(after: str = "") -> str:
    """Returns an identity for a new journal: milliseconds since 1970 and 16 random bits, so that epochs sort by age.

    It is greater than `after`, the epoch before it, also when the clock was set back meanwhile.
    """
    moment = time.time_ns() // 1_000_000
    if after:
        moment = max(moment, int(after[:12], 16) + 1)
    return f"{moment:012x}{secrets.randbits(16):04x}"[-16:]


def now() -> datetime:
    """Returns this moment in UTC."""
    return datetime.now(UTC)


class Stamp:
    """The identity of the next event: the node, the epoch and its next `seq`. One thread at a time."""

    def __init__(
        self, node: str = "localhost", epoch: str | None = None, seq: int = 0, clock: Callable[[], datetime] = now
    ) -> None:
        self.node = node
        self.epoch = epoch or new_epoch()
        self.seq = seq
        self.clock = clock
        # The first event of each kind is validated whole; what differs in a later one is valid by itself.
        self._made: dict[tuple[NotificationType, Cause], AnyEvent] = {}

    def event(
        self,
        notification_type: NotificationType,
        cause: Cause,
        ip_interface: IpInterface,
        changed: Mapping[str, Change] | None = None,
    ) -> AnyEvent:
        """Returns the next event."""
        self.seq += 1
        luid, family = ip_interface.key
        changed = FrozenDict(changed or {})
        values = {
            "id": event_id(self.epoch, self.seq),
            "node": self.node,
            "epoch": self.epoch,
            "seq": self.seq,
            "time": self.clock(),
            "kinds": kinds_of(notification_type, ip_interface, changed),
            "luid": luid,
            "family": family,
            "row": ip_interface.row,
            "interface": ip_interface.interface,
            "addresses": ip_interface.addresses,
            "default_routes": ip_interface.default_routes,
            "changed": changed,
        }
        first = self._made.get((notification_type, cause))
        if first is not None:
            return first.replaced(values)
        made = _EVENTS[notification_type](values | {"notification_type": notification_type, "cause": cause})
        self._made[notification_type, cause] = made
        return made

    def snapshot(self, rows: Sequence[IpInterface], cause: Cause = "notification") -> Sequence[AnyEvent]:
        """Returns the rows as `initial_notification` events at the current `seq`, position 0 first."""
        moment = Moment(self.node, self.epoch, self.seq, self.clock())
        return SnapshotEvents(moment, cause, rows, lambda row: row)


class Table:
    """The rows as last known. Pure: the same updates make the same events, but for times and the epoch.

    With `rows=None` nothing was ever known: the first `Resync` is the baseline and makes no event.
    """

    def __init__(self, rows: Iterable[IpInterface] | None = None, stamp: Stamp | None = None) -> None:
        self.stamp = stamp or Stamp()
        self._rows = {row.key: row for row in rows or ()}
        self._known = rows is not None
        self._carried = Carried(self._rows)
        self._interface_difference = _InterfaceDifference()

    @property
    def rows(self) -> list[IpInterface]:
        """The rows, sorted by LUID and family."""
        return [self._rows[key] for key in sorted(self._rows)]

    def snapshot(self, cause: Cause = "notification") -> Sequence[AnyEvent]:
        """Returns the rows as a snapshot."""
        return self.stamp.snapshot(self.rows, cause)

    def apply(self, update: Update) -> list[AnyEvent]:
        """Brings an update into the table; returns the events that it makes, in order."""
        match update:
            case Upsert(row, cause):
                return self._upsert(row, cause)
            case Remove(luid, family, cause):
                return self._remove(Key(luid, family), cause)
            case Resync(rows, cause):
                return self._resync(rows, cause)
            case _:
                assert_never(update)

    def _resync(self, rows: Iterable[IpInterface], cause: Cause) -> list[AnyEvent]:
        current = {row.key: row for row in rows}
        if not self._known:
            self._known = True
            for row in current.values():
                self._rows[row.key] = self._carried.onto(row, cause, self.stamp.clock)
            return []
        removed = [event for key in sorted(self._rows.keys() - current) for event in self._remove(key, cause)]
        return removed + [event for key in sorted(current) for event in self._upsert(current[key], cause)]

    def _upsert(self, row: IpInterface, cause: Cause) -> list[AnyEvent]:
        before = self._rows.get(row.key)
        self._rows[row.key] = row = self._carried.onto(row, cause, self.stamp.clock)
        event = self.stamp.event
        if before is None:
            return [event("add_instance", cause, row)]
        if before.row.interface_index != row.row.interface_index and cause != "startup":
            # Another interface under the same LUID: one went, one came. Over a restart the index means nothing.
            return [event("delete_instance", cause, before), event("add_instance", cause, row)]
        changed = difference(before, row, self._interface_difference, gap=cause in _GAPS)
        return [event("parameter_notification", cause, row, changed)] if changed else []

    def _remove(self, key: Key, cause: Cause) -> list[AnyEvent]:
        before = self._rows.pop(key, None)
        if before is None:
            return []
        self._carried.forget(key.luid)
        return [self.stamp.event("delete_instance", cause, before)]


class _InterfaceDifference:
    """The members of an interface that differ. Those of the last two are kept: both families have the same objects."""

    def __init__(self) -> None:
        self._last: tuple[Interface, Interface, Mapping[str, Change]] | None = None

    def __call__(self, before: Interface, after: Interface) -> Mapping[str, Change]:
        last = self._last
        if last is not None and last[0] is before and last[1] is after:
            return last[2]
        changed = _members("interface", before, after, _QUIET_INTERFACE_MEMBERS)
        self._last = before, after, changed
        return changed


def difference(
    before: IpInterface,
    after: IpInterface,
    of_interfaces: Callable[[Interface, Interface], Mapping[str, Change]],
    *,
    gap: bool = False,
) -> dict[str, Change]:
    """Returns the members that differ: `row.<member>`, `interface.<member>`, `addresses.<address>/<prefix length>`,
    `default_routes.<next hop, or on-link>`.

    Of the lists `interface.higher` and `interface.lower`, `before` has the LUIDs removed and `after` those added. With
    `gap` nobody listened between the two, and transitions of the carrier are a change, too: the link flapped then.
    """
    changed: dict[str, Change] = {}
    if before.row is not after.row:
        changed |= _members("row", before.row, after.row, _UNSTABLE_ROW_MEMBERS)
    if before.interface is not after.interface:
        changed |= of_interfaces(before.interface, after.interface)
    if before.addresses != after.addresses:  # cheap where they are the same objects
        changed |= _addresses(before.addresses, after.addresses)
    if before.default_routes != after.default_routes:
        changed |= _default_routes(before.default_routes, after.default_routes)
    if gap and before.row.interface_index == after.row.interface_index:
        changed |= _transitions(before.interface.carrier_transitions, after.interface.carrier_transitions)
    return {} if len(changed) == 1 and _LAST_SPEED in changed else changed


def _transitions(before: int | None, after: int | None) -> dict[str, Change]:
    """Returns the transitions of the carrier; a count that is lower than before began anew."""
    if before is None or after is None or after <= before:
        return {}
    return {_TRANSITIONS: _change(before, after)}


def _default_routes(before: Iterable[DefaultRoute], after: Iterable[DefaultRoute]) -> dict[str, Change]:
    same = set(before) & set(after)
    old, new = _by_hop(before, same), _by_hop(after, same)
    return {f"default_routes.{name}": _change(old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys())}


def _by_hop(routes: Iterable[DefaultRoute], leave_out: Container[DefaultRoute]) -> dict[str, DefaultRoute]:
    """Returns the routes by next hop; the second of one next hop, with another metric, has `#2` behind its name."""
    named: dict[str, DefaultRoute] = {}
    counts: Counter[str] = Counter()
    for route in routes:
        if route not in leave_out:
            name = route.next_hop or "on-link"
            counts[name] += 1
            named[name if counts[name] == 1 else f"{name}#{counts[name]}"] = route
    return named


def _members(
    prefix: str, before: BaseModel, after: BaseModel, leave_out: frozenset[str] = frozenset()
) -> dict[str, Change]:
    old, new = before.__dict__, after.__dict__
    # An offload is mostly the same object, which costs a tenth of a comparison.
    names = [
        name for name, value in new.items() if value is not old[name] and value != old[name] and name not in leave_out
    ]
    return {f"{prefix}.{name}": (_list_change if name in _LISTS else _change)(old[name], new[name]) for name in names}


def _addresses(before: Iterable[Address], after: Iterable[Address]) -> dict[str, Change]:
    # Of thousands of addresses few differ; those that do not are mostly the same objects.
    same = {id(entry) for entry in before} & {id(entry) for entry in after}
    old, new = _by_name(before, same), _by_name(after, same)
    return {
        f"addresses.{name}": _change(old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if _lasting(old.get(name)) != _lasting(new.get(name))
    }


def _change(before: Any, after: Any) -> Change:
    return _CHANGE({"before": _jsonable(before), "after": _jsonable(after)})


def _list_change(before: Sequence[str], after: Sequence[str]) -> Change:
    old, new = set(before), set(after)
    return _CHANGE({"before": sorted(old - new), "after": sorted(new - old)})


def _by_name(addresses: Iterable[Address], leave_out: Container[int]) -> dict[str, Address]:
    return {f"{entry.address}/{entry.prefix_length}": entry for entry in addresses if id(entry) not in leave_out}


def _lasting(address: Address | None) -> dict[str, Any] | None:
    """Returns the members of an address whose change is a change of state."""
    if address is None:
        return None
    values = address.__dict__
    # A lifetime that is not known is none that ends.
    return values | {name: isinstance(values[name], datetime) for name in _LIFETIMES}


def _jsonable(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value
