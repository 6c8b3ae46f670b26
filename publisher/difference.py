"""The members that differ between two states of a row. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from .events import Address, Change, DefaultRoute, FrozenDict, Interface, IpInterface

# Systems pick reachable_time at random around the base time every few minutes (RFC 4861, 6.3.2): reported, no change.
_UNSTABLE_ROW_MEMBERS = frozenset({"reachable_time"})
# Another program may have the number given, and a container's start sends enough events; and a link that flapped makes
# events by its state: reported, no change.
_QUIET_INTERFACE_MEMBERS = frozenset({"link_netnsid", "last_change", "carrier_transitions", "best_link_speed"})
# A change that comes with others; by itself it only was not known before.
_LAST_SPEED = "interface.last_link_speed"
_TRANSITIONS = "interface.carrier_transitions"
# The stack's lists: a bridge of 1,000 links must not carry all of them twice for each link that joins.
_LISTS = frozenset({"higher", "lower"})
# These are refreshed all the time; only "for ever" against "for a while" is a change.
_LIFETIMES = frozenset({"valid_until", "preferred_until"})


class Difference:
    """Compares two states of a row. One thread at a time.

    Both families of an interface have one object for it, one after the other: its members are compared once.
    """

    def __init__(self) -> None:
        self._last: tuple[Interface, Interface, Mapping[str, Change]] | None = None

    def __call__(self, before: IpInterface, after: IpInterface, *, gap: bool = False) -> dict[str, Change]:
        """Returns the members that differ: `row.<member>`, `interface.<member>`, `addresses.<address>/<prefix length>`,
        `default_routes.<next hop, or on-link>`.

        Of the lists `interface.higher` and `interface.lower`, `before` has the LUIDs removed and `after` those added.
        With `gap` nobody listened between the two, and transitions of the carrier are a change, too: the link flapped
        then.
        """
        changed: dict[str, Change] = {}
        if before.row is not after.row:
            changed |= _members("row", before.row, after.row, _UNSTABLE_ROW_MEMBERS)
        if before.interface is not after.interface:
            changed |= self._of_interface(before.interface, after.interface)
        if before.addresses != after.addresses:  # cheap where they are the same objects
            changed |= _addresses(before.addresses, after.addresses)
        if before.default_routes != after.default_routes:
            changed |= _default_routes(before.default_routes, after.default_routes)
        if gap and before.row.interface_index == after.row.interface_index:
            changed |= _transitions(before.interface.carrier_transitions, after.interface.carrier_transitions)
        return {} if len(changed) == 1 and _LAST_SPEED in changed else changed

    def _of_interface(self, before: Interface, after: Interface) -> Mapping[str, Change]:
        last = self._last
        if last is not None and last[0] is before and last[1] is after:
            return last[2]
        changed = _members("interface", before, after, _QUIET_INTERFACE_MEMBERS)
        self._last = before, after, changed
        return changed


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
    return Change.of_valid({"before": _jsonable(before), "after": _jsonable(after)})


def _list_change(before: Sequence[str], after: Sequence[str]) -> Change:
    old, new = set(before), set(after)
    return Change.of_valid({"before": sorted(old - new), "after": sorted(new - old)})


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
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, BaseModel):
        return FrozenDict(value.model_dump(mode="json"))
    return list(value) if isinstance(value, tuple) else value
