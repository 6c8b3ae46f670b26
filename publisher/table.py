"""The rows as last known: updates in, events out. No I/O."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, assert_never

from .carried import Carried
from .difference import Difference
from .events import (
    Added,
    AnyEvent,
    Cause,
    Change,
    Changed,
    Deleted,
    FrozenDict,
    InitialNotification,
    IpInterface,
    Key,
    Moment,
    NotificationType,
    SnapshotEvents,
    event_id,
)
from .kinds import kinds_of
from .sources import Remove, Resync, Update, Upsert

# The updates of a time in which nobody listened.
_GAPS = frozenset({"startup", "overrun"})
_EVENTS: Mapping[NotificationType, Callable[..., AnyEvent]] = {
    "add_instance": Added,
    "parameter_notification": Changed,
    "delete_instance": Deleted,
    "initial_notification": InitialNotification,
}


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
        # The first event of each type and cause is validated whole; what differs in a later one is valid by itself.
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
        values: dict[str, Any] = {
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
        made = _EVENTS[notification_type](notification_type=notification_type, cause=cause, **values)
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
        self._differing = Difference()

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
        changed = self._differing(before, row, gap=cause in _GAPS)
        return [event("parameter_notification", cause, row, changed)] if changed else []

    def _remove(self, key: Key, cause: Cause) -> list[AnyEvent]:
        before = self._rows.pop(key, None)
        if before is None:
            return []
        self._carried.forget(key.luid)
        return [self.stamp.event("delete_instance", cause, before)]
