"""Links as last reported by the kernel: one with its details and its rows, and the stack of them. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Set
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, Protocol

from ...events import Address, Family, Interface, IpInterface, IpInterfaceRow
from .. import Remove, Update, Upsert, Validator
from ..identity import Identity
from .addresses import address_values, own_address
from .identity import burned_in, identity_of
from .iftype import interface_type
from .rows import (
    PathMtuTimes,
    Raw,
    Times,
    bare_name,
    interface_values,
    may_be_wireless,
    may_have_speed,
    rows_values,
)
from .rtnetlink import AF_INET, AF_INET6, AddressMessage, Link, NeighbourParameters

FAMILIES: dict[int, Family] = {AF_INET: "inet", AF_INET6: "inet6"}
_UNKNOWN = Times()
# IFLA_LINK of these is the other end, which is not a layer below.
_PEERS = (b"veth", b"netkit", b"vxcan")
# `model_validate` without its wrapper, which costs as much as an address does.
_INTERFACE: Callable[[dict[str, Any]], Interface] = Interface.__pydantic_validator__.validate_python
_ROW: Callable[[dict[str, Any]], IpInterfaceRow] = IpInterfaceRow.__pydantic_validator__.validate_python
_ADDRESS: Callable[[dict[str, Any]], Address] = Address.__pydantic_validator__.validate_python
_IP_INTERFACE: Callable[[dict[str, Any]], IpInterface] = IpInterface.__pydantic_validator__.validate_python
# The address and that of the other end: a link may have 10.0.0.1 twice, with two peers.
_AddressKey = tuple[bytes, int, bytes | None]


class LinkDetails(Protocol):
    """Details of a link, by its name."""

    def times(self, family: Family, name: bytes) -> Times: ...
    def speed(self, name: bytes) -> int | None: ...
    def is_wireless(self, name: bytes, index: int) -> bool: ...
    def dev_port(self, name: bytes, index: int) -> int | None: ...


class Dump(NamedTuple):
    """Everything that was read at one moment; `neighbours` is None where the kernel does not list them."""

    links: list[Link]
    addresses: list[AddressMessage]
    neighbours: list[NeighbourParameters] | None
    path_mtu: PathMtuTimes


class CachedLink:
    """A link with its addresses and rows. An object with the same values as before is kept: equal is mostly identical.

    `build` raises ValueError for what does not fit, and so do the methods that take addresses; the link then stays as
    it was.
    """

    __slots__ = (
        "_addresses",
        "_interface",
        "_sorted",
        "dev_port",
        "if_type",
        "link",
        "luid",
        "reported_at",
        "rows",
        "speed",
        "times",
    )

    def __init__(self, link: Link) -> None:
        self.link = link
        self.if_type = 0
        self.dev_port: int | None = None
        self.luid = ""
        self.speed: int | None = None
        self.reported_at = -math.inf
        self.times: dict[Family, Times] = {}
        self.rows: dict[Family, IpInterface] = {}
        self._interface: Interface | None = None
        self._addresses: dict[Family, dict[_AddressKey, Address]] = {}
        self._sorted: dict[Family, tuple[Address, ...]] = {}

    @property
    def identity(self) -> Identity:
        """The facts by which the link is known again."""
        return identity_of(self.link, self.if_type, self.dev_port)

    def read_kind(self, details: LinkDetails) -> None:
        """Reads the type, and for hardware the number of its port."""
        name, index = bare_name(self.link), self.link.ifindex
        wireless = may_be_wireless(self.link) and details.is_wireless(name, index)
        self.if_type = interface_type(self.link, wireless=wireless)
        self.dev_port = details.dev_port(name, index) if burned_in(self.link) else None

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
        return removed

    def build(
        self, families: Iterable[Family], path_mtu: PathMtuTimes, higher: tuple[str, ...], lower: tuple[str, ...]
    ) -> list[Update]:
        """Builds the rows again and returns the updates of what differs."""
        raw = Raw(self.link, self.times.get("inet", _UNKNOWN), self.times.get("inet6", _UNKNOWN), path_mtu)
        addressed = [family for family, addresses in self._addresses.items() if addresses]
        members = rows_values(families, self.luid, raw, addressed)
        permanent = burned_in(self.link)
        values = interface_values(self.link, self.if_type, permanent, self.speed, higher, lower)
        interface = self._build_interface(values)
        rows = {family: self._build_row(family, row, interface) for family, row in members.items()}
        before = self.rows
        self.rows = rows
        removed: list[Update] = [Remove(self.luid, family) for family in before if family not in rows]
        return removed + [Upsert(row) for family, row in rows.items() if row is not before.get(family)]

    def add_address(self, message: AddressMessage, now: datetime) -> None:
        """Adds an address, or replaces it."""
        family = FAMILIES[message.family]
        known = self._addresses.setdefault(family, {})
        key = _key(message)
        before = known.get(key)
        address = _address(message, now, before)
        if address is not before:
            known[key] = address
            self._sorted.pop(family, None)

    def remove_address(self, message: AddressMessage) -> None:
        """Removes an address; harmless when it is not there."""
        family = FAMILIES[message.family]
        self._sorted.pop(family, None)
        self._addresses.get(family, {}).pop(_key(message), None)

    def set_addresses(self, messages: Iterable[AddressMessage], now: datetime, validator: Validator) -> None:
        """Replaces all addresses by those that are valid."""
        before = self._addresses
        after: dict[Family, dict[_AddressKey, Address]] = {}
        for message in messages:
            if family := FAMILIES.get(message.family):
                key = _key(message)
                known = before.get(family, {}).get(key)
                if address := validator.build(partial(_address, message, now, known), message):
                    after.setdefault(family, {})[key] = address
        for family in FAMILIES.values():
            old, new = before.get(family, {}), after.get(family, {})
            if old.keys() != new.keys() or any(old[key] is not new[key] for key in new):
                self._sorted.pop(family, None)
        self._addresses = after

    def _build_interface(self, values: dict[str, Any]) -> Interface:
        if not _has(self._interface, values):
            self._interface = _INTERFACE(values)
        assert self._interface is not None
        return self._interface

    def _build_row(self, family: Family, values: dict[str, Any], interface: Interface) -> IpInterface:
        before = self.rows.get(family)
        row = before.row if before and _has(before.row, values) else _ROW(values)
        addresses = self._in_order(family)
        if before and before.row is row and before.interface is interface and before.addresses is addresses:
            return before
        built = _IP_INTERFACE({"row": row, "interface": interface, "addresses": addresses})
        # Validation copies the tuple; kept, it is the same object next time.
        self._sorted[family] = built.addresses
        return built

    def _in_order(self, family: Family) -> tuple[Address, ...]:
        addresses = self._sorted.get(family)
        if addresses is None:
            # One entry for each address: one with two peers is in the row once.
            by_name = {
                (entry.address, entry.prefix_length): entry for entry in self._addresses.get(family, {}).values()
            }
            addresses = self._sorted[family] = tuple(by_name[name] for name in sorted(by_name))
        return addresses


def _key(message: AddressMessage) -> _AddressKey:
    return own_address(message), message.prefix_length, message.address


def _address(message: AddressMessage, now: datetime, before: Address | None) -> Address:
    values = address_values(message, now, before)
    return before if before is not None and _has(before, values) else _ADDRESS(values)


def _has(model: Address | Interface | IpInterfaceRow | None, values: dict[str, Any]) -> bool:
    """Returns whether the model has these values, which spares their validation; members without one are None."""
    return model is not None and values.items() <= model.__dict__.items()


class LinkStack:
    """The links by what they name: a port names its master, a VLAN names the link below. Indexes in, indexes out."""

    def __init__(self) -> None:
        self._links: dict[int, Link] = {}
        # By index: the links that name this one.
        self._naming: dict[int, set[int]] = {}

    def put(self, link: Link) -> None:
        """Adds the link, or replaces the one with its index."""
        self.remove(link.ifindex)
        self._links[link.ifindex] = link
        for other in named_by(link):
            self._naming.setdefault(other, set()).add(link.ifindex)

    def remove(self, index: int) -> None:
        """Removes the link; harmless when it is not there."""
        link = self._links.pop(index, None)
        for other in named_by(link) if link else ():
            self._naming[other].discard(index)
            if not self._naming[other]:
                del self._naming[other]

    def adjacent(self, index: int) -> set[int]:
        """Returns the links directly above and below, also those that are not there."""
        link = self._links.get(index)
        return (named_by(link) if link else set()) | self._naming.get(index, set())

    def higher(self, index: int) -> set[int]:
        """Returns the links directly above that are there."""
        on_top = {other for other in self._naming.get(index, ()) if lower_index(self._links[other]) == index}
        return self._known(on_top | {self._links[index].master or 0})

    def lower(self, index: int) -> set[int]:
        """Returns the links directly below that are there."""
        ports = {other for other in self._naming.get(index, ()) if self._links[other].master == index}
        return self._known(ports | {lower_index(self._links[index]) or 0})

    def _known(self, indexes: Set[int]) -> set[int]:
        return indexes & self._links.keys()


def named_by(link: Link) -> set[int]:
    """Returns the links directly above and below that this link names."""
    return {index for index in (link.master, lower_index(link)) if index}


def lower_index(link: Link) -> int | None:
    """Returns the link directly below, in this namespace; the ports of a bridge are found by their `master`."""
    if link.lower in (None, 0, link.ifindex) or link.lower_namespace is not None:
        return None
    return None if (link.kind or b"").rstrip(b"\0") in _PEERS else link.lower


def speed_of(link: Link, details: LinkDetails) -> int | None:
    """Returns the speed of a link in bit/s, None when it is not known."""
    return details.speed(bare_name(link)) if may_have_speed(link) else None


def may_change_speed(before: Link, after: Link) -> bool:
    """Returns whether the driver is to be asked again: each call takes the lock that all links of the host share."""
    return any(getattr(before, name) != getattr(after, name) for name in ("flags", "operstate", "carrier", "name"))


def unreported_losses(before: Link, after: Link) -> int:
    """Returns how often the carrier was lost and came back between two states of a link (docs/linux.md, trap 7).

    It makes no update: between two received states there is no third one that could be reported.
    """
    if before.carrier_downs is None or after.carrier_downs is None or before.carrier != after.carrier:
        return 0
    return max(0, after.carrier_downs - before.carrier_downs)
