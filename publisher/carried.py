"""The members of an interface that no system reports: they are carried from one state of it to the next. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, get_args

from .events import Cause
from .rows import Family, Interface, IpInterface, Key

_FAMILIES: tuple[Family, ...] = get_args(Family)
_DOWN = frozenset({"down", "not_present", "lower_layer_down"})


class _Completed(NamedTuple):
    """An interface as the source reported it, and with the members that it did not report."""

    interface_index: int
    reported: Interface
    completed: Interface


class Carried:
    """`last_link_speed`, `best_link_speed` and `last_change` of the interfaces of a table. One thread at a time.

    Both families of an interface get one object, and that of the source where nothing was to be added: with 4,000
    interfaces an object more for each is 5 MB.
    """

    def __init__(self, rows: Mapping[Key, IpInterface]) -> None:
        self._rows = rows
        self._last: dict[str, _Completed] = {}

    def onto(self, row: IpInterface, cause: Cause, clock: Callable[[], datetime]) -> IpInterface:
        """Returns the row with what is carried from the rows before, of which it is not yet one."""
        last = self._last.get(row.luid)
        if last is None or not _shows(last, row):
            last = self._complete(row, cause, clock)
        return row if last.completed is row.interface else row.replaced({"interface": last.completed})

    def forget(self, luid: str) -> None:
        """Forgets an interface when none of its rows is left."""
        if not any(Key(luid, family) in self._rows for family in _FAMILIES):
            self._last.pop(luid, None)

    def _complete(self, row: IpInterface, cause: Cause, clock: Callable[[], datetime]) -> _Completed:
        before, after = self._before(row, cause), row.interface
        members: dict[str, Any] = {}
        speed = after.last_link_speed or _last_speed(before, after)
        if speed and after.last_link_speed is None:
            members["last_link_speed"] = speed
        if after.last_change is None and (moment := _last_change(before, row, cause, clock)):
            members["last_change"] = moment
        if after.best_link_speed is None and (best := _best_speed(before, speed)):
            members["best_link_speed"] = best
        completed = _Completed(row.row.interface_index, after, after.replaced(members) if members else after)
        self._last[row.luid] = completed
        return completed

    def _before(self, row: IpInterface, cause: Cause) -> IpInterface | None:
        """Returns the interface as it was, by either family: a family may be new, and the interface is not."""
        before = self._rows.get(row.key)
        if before is None:
            before = self._rows.get(Key(row.luid, "inet" if row.family == "inet6" else "inet6"))
        return before if before and (_is_the_same(before, row) or cause == "startup") else None


def _shows(last: _Completed, row: IpInterface) -> bool:
    """Returns whether the row has the interface as it was reported last, mostly by the same object."""
    same = last.reported is row.interface or last.reported.__dict__ == row.interface.__dict__
    return same and last.interface_index == row.row.interface_index


def _is_the_same(before: IpInterface, after: IpInterface) -> bool:
    return before.row.interface_index == after.row.interface_index


def _last_speed(before: IpInterface | None, after: Interface) -> int | None:
    """Returns the speed while the link is connected, and keeps it while it is not."""
    connected = after.media_connect_state != "disconnected" and after.oper_status not in _DOWN
    speed = after.transmit_link_speed if connected else None
    return speed or (before.interface.last_link_speed if before else None)


def _best_speed(before: IpInterface | None, speed: int | None) -> int | None:
    """Returns the greatest speed so far when that is more than the present one; else nothing has to be kept."""
    if before is None or speed is None:
        return None
    best = before.interface.best_link_speed or before.interface.last_link_speed
    return best if best and best > speed else None


def _last_change(
    before: IpInterface | None, after: IpInterface, cause: Cause, clock: Callable[[], datetime]
) -> datetime | None:
    """Returns the moment of the last change of `oper_status`; None when it changed while nobody listened.

    After an overrun the moment is this one, a little later than the change was.
    """
    if before and _is_the_same(before, after) and not _changed_state(before.interface, after.interface):
        return before.interface.last_change
    return None if cause == "startup" else clock()


def _changed_state(before: Interface, after: Interface) -> bool:
    """Returns whether the link is in another state, or was in between, by the count of its carrier."""
    if before.oper_status != after.oper_status:
        return True
    counts = before.carrier_transitions, after.carrier_transitions
    return after.oper_status == "up" and None not in counts and counts[0] != counts[1]
