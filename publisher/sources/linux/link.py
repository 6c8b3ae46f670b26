"""Links as last reported by the kernel: one with its details and its rows. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Any, Protocol

from ...events import Address, DefaultRoute, Family, Interface, IpInterface, IpInterfaceRow
from .. import Remove, Update, Upsert, Validator
from ..identity import Identity
from .addresses import address_values, own_address
from .identity import burned_in, identity_of
from .iftype import interface_type
from .known_routes import NO_ROUTES, LinkRoutes
from .models import made
from .rows import (
    Offloads,
    PathMtuTimes,
    Raw,
    Times,
    bare_name,
    has_row,
    interface_values,
    may_be_wireless,
    may_have_speed,
    row_values,
)
from .rtnetlink import AF_INET, AF_INET6, FAMILIES, AddressMessage, Link, NeighbourParameters

_UNKNOWN = Times()
_RESOLVING = {
    (True, True): (AF_INET, AF_INET6),
    (True, False): (AF_INET,),
    (False, True): (AF_INET6,),
    (False, False): (AF_INET, AF_INET6),
}
# The address and that of the other end: a link may have 10.0.0.1 twice, with two peers.
_AddressKey = tuple[bytes, int, bytes | None]
_NONE: Mapping[_AddressKey, Address] = {}


def _members(*names: str) -> Callable[[Link], tuple[object, ...]]:
    return itemgetter(*map(Link._fields.index, names))


identifying = _members(
    "hardware_type", "name", "kind", "permanent_address", "parent_name", "parent_bus", "lower", "port_name"
)
"""Returns the members of a link that its identity depends on."""
_shown_by_driver = _members("flags", "operstate", "carrier", "name")


class LinkDetails(Protocol):
    """Details of a link, by its name."""

    def times(self, family: Family, name: bytes) -> Times: ...
    def speed(self, name: bytes) -> int | None: ...
    def is_wireless(self, name: bytes, index: int) -> bool: ...
    def dev_port(self, name: bytes, index: int) -> int | None: ...
    def offloads(self, name: bytes) -> Offloads | None: ...
    def can_wake(self, bus: bytes, device: bytes) -> bool | None: ...


class CachedLink:
    """A link with its addresses and rows. An object with the same values as before is kept: equal is mostly identical.

    `build` raises ValueError for what does not fit, and so do the methods that take addresses; the link then stays as
    it was.
    """

    __slots__ = (
        "_addresses",
        "_interface",
        "_made_of",
        "_sorted",
        "can_wake",
        "dev_port",
        "if_type",
        "link",
        "luid",
        "offloads",
        "reported_at",
        "rows",
        "speed",
        "times",
    )

    def __init__(self, link: Link) -> None:
        self.link = link
        self.if_type = 0
        self.dev_port: int | None = None
        self.can_wake: bool | None = None
        self.offloads: Offloads | None = None
        self.luid = ""
        self.speed: int | None = None
        self.reported_at = -math.inf
        self.times: dict[Family, Times] = {}
        self.rows: dict[Family, IpInterface] = {}
        # The arguments of the last `build`: the same ones make the same rows.
        self._made_of: tuple[Any, ...] = ()
        self._interface: Interface | None = None
        # Of each family that has some.
        self._addresses: dict[Family, dict[_AddressKey, Address]] = {}
        self._sorted: dict[Family, tuple[Address, ...]] = {}

    @property
    def identity(self) -> Identity:
        """The facts by which the link is known again."""
        return identity_of(self.link, self.if_type, self.dev_port)

    @property
    def resolving(self) -> tuple[int, ...]:
        """The families, as AF_*, in which the link has parameters of neighbours: both where nothing is reported."""
        return _RESOLVING[bool(self.link.has_inet), bool(self.link.has_inet6)]

    def read_kind(self, details: LinkDetails) -> None:
        """Reads the type and the offloads, and for hardware the number of its port and whether it can wake the host."""
        name, index = bare_name(self.link), self.link.ifindex
        wireless = may_be_wireless(self.link) and details.is_wireless(name, index)
        self.if_type = interface_type(self.link, wireless=wireless)
        self.dev_port = details.dev_port(name, index) if burned_in(self.link) else None
        bus, device = self.link.parent_bus, self.link.parent_name
        self.can_wake = details.can_wake(bus.rstrip(b"\0"), device.rstrip(b"\0")) if bus and device else None
        self.read_offloads(details)

    def complete_kind(self, details: LinkDetails) -> None:
        """Reads by a new name what had no answer by the one before: udev renames a link just after it was made."""
        name, index = bare_name(self.link), self.link.ifindex
        if may_be_wireless(self.link) and details.is_wireless(name, index):
            self.if_type = interface_type(self.link, wireless=True)
        if self.dev_port is None and burned_in(self.link):
            self.dev_port = details.dev_port(name, index)

    def read_offloads(self, details: LinkDetails) -> bool:
        """Reads the offloads; returns whether they differ."""
        before, read = self.offloads, details.offloads(bare_name(self.link))
        # Without an answer the link has another name by now, of which the message comes, or is removed.
        self.offloads = before if read is None else read
        return before != self.offloads

    @property
    def entries(self) -> int:
        """The number of addresses and of links in the stack, in the rows as last built."""
        addresses = sum(len(row.addresses) for row in self.rows.values())
        return addresses + (len(self._interface.higher) + len(self._interface.lower) if self._interface else 0)

    def set_luid(self, luid: str) -> list[Update]:
        """Returns the removals of the rows under another LUID than this one."""
        if luid == self.luid:
            return []
        removed: list[Update] = [Remove(self.luid, family) for family in self.rows]
        self.luid = luid
        self.rows = {}
        self._made_of = ()
        return removed

    def build(
        self,
        families: Iterable[Family],
        path_mtu: PathMtuTimes,
        higher: tuple[str, ...],
        lower: tuple[str, ...],
        routes: LinkRoutes = NO_ROUTES,
    ) -> list[Update]:
        """Builds the rows again and returns the updates of what differs."""
        times, times6 = self.times.get("inet", _UNKNOWN), self.times.get("inet6", _UNKNOWN)
        raw = Raw(self.link, times, times6, path_mtu, self.offloads, self.can_wake, self._has_link_local())
        addresses = {family: self._in_order(family) for family in FAMILIES.values()}
        made_of = raw, self.luid, self.if_type, self.speed, higher, lower, addresses, routes
        if made_of == self._made_of:
            return []
        values = interface_values(self.link, self.if_type, burned_in(self.link), self.speed, higher, lower)
        interface = self._build_interface(values)
        rows: dict[Family, IpInterface] = {}
        for family in families:
            if has_row(family, self.link, self._addresses):
                values = row_values(family, self.luid, raw)
                rows[family] = self._build_row(family, values, interface, addresses[family], routes.of(family))
        before, self.rows, self._made_of = self.rows, rows, made_of
        removed: list[Update] = [Remove(self.luid, family) for family in before if family not in rows]
        return removed + [Upsert(row) for family, row in rows.items() if row is not before.get(family)]

    def add_address(self, message: AddressMessage, now: datetime) -> None:
        """Adds an address, or replaces it."""
        family, key = FAMILIES[message.family], _key(message)
        before = self._addresses.get(family, _NONE).get(key)
        address = _address(message, now, before)
        if address is not before:
            self._addresses.setdefault(family, {})[key] = address
            self._sorted.pop(family, None)

    def remove_address(self, message: AddressMessage) -> None:
        """Removes an address; harmless when it is not there."""
        family = FAMILIES[message.family]
        known = self._addresses.get(family)
        if known and known.pop(_key(message), None):
            self._sorted.pop(family, None)
            if not known:
                del self._addresses[family]

    def set_addresses(self, messages: Iterable[AddressMessage], now: datetime, validator: Validator) -> bool:
        """Replaces all addresses by those that are valid; returns whether any differs."""
        before = self._addresses
        after: dict[Family, dict[_AddressKey, Address]] = {}
        for message in messages:
            if family := FAMILIES.get(message.family):
                key = _key(message)
                known = before.get(family, _NONE).get(key)
                if address := validator.build(partial(_address, message, now, known), message):
                    after.setdefault(family, {})[key] = address
        self._addresses = after
        # The same objects stay for what is equal.
        if before == after:
            return False
        for family in before.keys() | after:
            if before.get(family) != after.get(family):
                self._sorted.pop(family, None)
        return True

    def set_times(self, parameters: NeighbourParameters) -> bool:
        """Takes the parameters of a neighbour table; returns whether those differ that do not change by themselves."""
        family = FAMILIES.get(parameters.family)
        if family is None:  # DECnet had a table of its own until Linux 6.1
            return False
        before = self.times.get(family, _UNKNOWN)
        self.times[family] = Times(
            parameters.base_reachable_time, parameters.retransmit_time, parameters.reachable_time
        )
        return before[:2] != self.times[family][:2]

    def set_speed(self, speed: int | None) -> bool:
        """Takes a speed in bit/s; returns whether it differs."""
        before, self.speed = self.speed, speed
        return before != speed

    def _has_link_local(self) -> bool:
        """Returns whether one of its addresses is in fe80::/10."""
        return any(own[0] == 0xFE and own[1] & 0xC0 == 0x80 for own, *_ in self._addresses.get("inet6", _NONE))

    def _build_interface(self, values: dict[str, Any]) -> Interface:
        self._interface = made(Interface, values, self._interface)
        return self._interface

    def _build_row(
        self,
        family: Family,
        values: dict[str, Any],
        interface: Interface,
        addresses: tuple[Address, ...],
        routes: tuple[DefaultRoute, ...],
    ) -> IpInterface:
        before = self.rows.get(family)
        row = made(IpInterfaceRow, values, before.row if before else None)
        parts = {"row": row, "interface": interface, "addresses": addresses, "default_routes": routes}
        if before is None:
            built = made(IpInterface, parts, None)
            # Validation copies the tuple; kept, it is the same object next time.
            self._sorted[family] = built.addresses
            return built
        same = before.row is row and before.interface is interface and before.addresses is addresses
        # Each part is valid, and a row may have thousands of addresses.
        return before if same and before.default_routes == routes else before.replaced(parts)

    def _in_order(self, family: Family) -> tuple[Address, ...]:
        addresses = self._sorted.get(family)
        if addresses is None:
            addresses = self._sorted[family] = _in_order(self._addresses.get(family, _NONE).values())
        return addresses


def _in_order(addresses: Collection[Address]) -> tuple[Address, ...]:
    """Returns the addresses sorted, one entry for each: one with two peers is in the row once."""
    if len(addresses) < 2:
        return tuple(addresses)
    by_name = {(entry.address, entry.prefix_length): entry for entry in addresses}
    return tuple(by_name[name] for name in sorted(by_name))


def _key(message: AddressMessage) -> _AddressKey:
    return own_address(message), message.prefix_length, message.address


def _address(message: AddressMessage, now: datetime, before: Address | None) -> Address:
    return made(Address, address_values(message, now, before), before)


def speed_of(link: Link, details: LinkDetails) -> int | None:
    """Returns the speed of a link in bit/s, None when it is not known."""
    return details.speed(bare_name(link)) if may_have_speed(link) else None


def may_change_speed(before: Link, after: Link) -> bool:
    """Returns whether the driver is to be asked again: each call takes the lock that all links of the host share."""
    return _shown_by_driver(before) != _shown_by_driver(after)


def unreported_losses(before: Link, after: Link) -> int:
    """Returns how often the carrier was lost and came back between two states of a link (docs/linux.md, trap 7).

    It makes no update: between two received states there is no third one that could be reported.
    """
    if before.carrier_downs is None or after.carrier_downs is None or before.carrier != after.carrier:
        return 0
    return max(0, after.carrier_downs - before.carrier_downs)
