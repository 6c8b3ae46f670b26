"""Reads IP interfaces with their interface, addresses, default routes and stack, over `calls.py` and `rows.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from typing import NamedTuple

from ...errors import InterfaceNotFoundError, NetioError, NotFoundError
from ...events import Address, DefaultRoute, Family, Interface, IpInterface, Key
from .. import Validator
from .calls import Iphlpapi
from .iphlpapi import ERROR_PROC_NOT_FOUND, FAMILIES, FILTER_INTERFACE
from .rows import address, default_route, interface, ip_interface_row, luid_text
from .structures import MibIfRow2, MibIpForwardRow2, MibIpInterfaceRow


class Absent(NamedTuple):
    """The answer of GetIpInterfaceEntry that an IP interface does not exist; `why` is its text."""

    why: str


class Undescribed(NamedTuple):
    """An IP interface that exists, while GetIfEntry2 finds no interface of its LUID; `why` is its text."""

    why: str


class Reading(NamedTuple):
    """Every IP interface; those that were known and exist no more; and those that exist and have no row yet."""

    rows: tuple[IpInterface, ...]
    absent: Mapping[Key, Absent]
    undescribed: Mapping[Key, Undescribed]


class InterfaceReader:
    """Describes interfaces with their place in the stack, which it reads once. One thread; for one batch.

    Filter modules are left out of the stack, and link their neighbours: an interface is on top of another also through
    filter modules (GetIfTable2 lists several of them for each network card, and no event explains their LUIDs).
    """

    def __init__(self, iphlpapi: Iphlpapi) -> None:
        self._iphlpapi = iphlpapi
        self._neighbor = cache(self._read_neighbor)

    def describe(self, raw: MibIfRow2) -> Interface:
        """Returns the model of an interface; raises pydantic's ValidationError."""
        below = [(higher, lower) for lower, higher in self._stack]
        return interface(raw, self._linked(raw, below), self._linked(raw, self._stack))

    @cached_property
    def _stack(self) -> list[tuple[int, int]]:
        """The pairs of indexes of neighbours, the higher first; none where this Windows has no such table."""
        try:
            return self._iphlpapi.if_stack()
        except NetioError as error:
            if error.winerror_code != ERROR_PROC_NOT_FOUND:
                raise
            return []

    def _linked(self, raw: MibIfRow2, pairs: Sequence[tuple[int, int]]) -> set[str]:
        """Returns the LUIDs of the next interfaces in the direction of the pairs that are no filter modules."""
        found: set[str] = set()
        seen, due = {raw.InterfaceIndex}, [raw.InterfaceIndex]
        while due:
            index = due.pop()
            for neighbor in {there for here, there in pairs if here == index} - seen:
                seen.add(neighbor)
                row = self._neighbor(neighbor)
                if row is not None and row.InterfaceAndOperStatusFlags & FILTER_INTERFACE:
                    due.append(neighbor)
                elif row is not None:
                    found.add(luid_text(row.InterfaceLuid.Value))
        return found

    def _read_neighbor(self, index: int) -> MibIfRow2 | None:
        """Returns the interface of an index; None for 0, which ends the stack, and for one that was removed."""
        try:
            return self._iphlpapi.if_entry(0, index) if index else None
        except InterfaceNotFoundError:
            return None


class WindowsReader:
    """Reads IP interfaces with everything that belongs to them, each table once. One thread; for one batch.

    An IP interface with a record that our models refuse stays as it was in `last`, the rows that were read before.
    """

    def __init__(
        self,
        iphlpapi: Iphlpapi,
        families: tuple[Family, ...],
        validator: Validator,
        last: Mapping[Key, IpInterface],
    ) -> None:
        self._iphlpapi = iphlpapi
        self._families = families
        self._validator = validator
        self._last = last
        self._interfaces = InterfaceReader(iphlpapi)
        self._interface = cache(self._read_interface)

    def everything(self) -> Reading:
        """Returns every IP interface. Of one that was known and is not found now, GetIpInterfaceEntry decides."""
        read = {key: self._complete(raw, key) for key, raw in self._listed()}
        unsure = [key for key in self._last if not isinstance(read.get(key), IpInterface)]
        found: dict[Key, IpInterface | Absent | Undescribed | None] = {**read}
        found |= {key: self.ip_interface(key) for key in unsure}
        rows = {key: self._last.get(key) if isinstance(row, Undescribed) else row for key, row in found.items()}
        return Reading(
            tuple(row for row in rows.values() if isinstance(row, IpInterface)),
            {key: row for key, row in found.items() if isinstance(row, Absent)},
            {key: row for key, row in found.items() if isinstance(row, Undescribed) and key not in self._last},
        )

    def ip_interface(self, key: Key) -> IpInterface | Absent | Undescribed | None:
        """Returns one IP interface, or None if our models refuse it and it was not read before."""
        try:
            raw = self._iphlpapi.ip_interface(FAMILIES[key.family], int(key.luid, 16))
        except (InterfaceNotFoundError, NotFoundError) as error:
            return Absent(str(error))
        return self._complete(raw, key)

    def _listed(self) -> Iterator[tuple[Key, MibIpInterfaceRow]]:
        for family in self._families:
            for raw in self._iphlpapi.ip_interfaces(FAMILIES[family]):
                yield Key(luid_text(raw.InterfaceLuid.Value), family), raw

    def _complete(self, raw: MibIpInterfaceRow, key: Key) -> IpInterface | Undescribed | None:
        row = self._validator.build(lambda: ip_interface_row(raw), raw)
        described = self._interface(raw.InterfaceLuid.Value)
        if isinstance(described, Undescribed):
            return described
        addresses = self._addresses.get(key, ())
        routes = self._routes_of(key, raw.Metric)
        if row is None or described is None or addresses is None or routes is None:
            return self._last.get(key)
        return IpInterface(row=row, interface=described, addresses=addresses, default_routes=routes)

    def _read_interface(self, luid: int) -> Interface | Undescribed | None:
        try:
            raw = self._iphlpapi.if_entry(luid)
        except InterfaceNotFoundError as error:
            return Undescribed(str(error))
        return self._validator.build(lambda: self._interfaces.describe(raw), raw)

    @cached_property
    def _addresses(self) -> dict[Key, tuple[Address, ...] | None]:
        """The addresses of each IP interface, sorted; None where our models refuse one of them."""
        found: dict[Key, list[Address | None]] = {}
        now = datetime.now(UTC)
        for family in self._families:
            for raw in self._iphlpapi.unicast_addresses(FAMILIES[family]):
                if raw.Address.si_family == FAMILIES[family]:
                    key = Key(luid_text(raw.InterfaceLuid.Value), family)
                    found.setdefault(key, []).append(self._validator.build(partial(address, raw, now), raw))
        return {key: _sorted(entries) for key, entries in found.items()}

    def _routes_of(self, key: Key, interface_metric: int) -> tuple[DefaultRoute, ...] | None:
        """Returns the default routes of an IP interface, best first; None where our models refuse one of them."""
        found = self._default_routes.get(key, ())
        routes = [self._validator.build(partial(default_route, raw, interface_metric), raw) for raw in found]
        valid = [route for route in routes if route is not None]
        if len(valid) < len(routes):
            return None
        return tuple(sorted(valid, key=lambda route: (route.metric, route.next_hop or "")))

    @cached_property
    def _default_routes(self) -> dict[Key, list[MibIpForwardRow2]]:
        """The default routes of each IP interface."""
        found: dict[Key, list[MibIpForwardRow2]] = {}
        for family in self._families:
            for raw in self._iphlpapi.default_routes(FAMILIES[family]):
                if raw.DestinationPrefix.Prefix.si_family == FAMILIES[family]:
                    found.setdefault(Key(luid_text(raw.InterfaceLuid.Value), family), []).append(raw)
        return found


def _sorted(entries: Sequence[Address | None]) -> tuple[Address, ...] | None:
    """Returns the addresses, sorted by their text, or None if one of them is None."""
    valid = [entry for entry in entries if entry is not None]
    if len(valid) < len(entries):
        return None
    return tuple(sorted(valid, key=lambda entry: (entry.address, entry.prefix_length)))
