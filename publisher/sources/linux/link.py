"""One interface as last known, and its rows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ...events import Address, Family, Interface, IpInterface, IpInterfaceRow
from .. import Remove, Update, Upsert
from .addresses import address_values, told_address
from .rows import PathMtuTimes, Raw, Times, has_row, interface_values, row_values
from .rtnetlink import AF_INET, AF_INET6, Link
from .rtnetlink import Address as ToldAddress

FAMILIES: dict[int, Family] = {AF_INET: "inet", AF_INET6: "inet6"}
_LIFETIMES = ("valid_lifetime", "preferred_lifetime")
# `model_validate` without its wrapper, which costs as much as an address does.
_INTERFACE: Callable[[dict[str, Any]], Interface] = Interface.__pydantic_validator__.validate_python
_ROW: Callable[[dict[str, Any]], IpInterfaceRow] = IpInterfaceRow.__pydantic_validator__.validate_python
_ADDRESS: Callable[[dict[str, Any]], Address] = Address.__pydantic_validator__.validate_python
_IP_INTERFACE: Callable[[dict[str, Any]], IpInterface] = IpInterface.__pydantic_validator__.validate_python
# An address is this one and the other end's: 10.0.0.1 may be there twice, with two peers.
_AddressKey = tuple[bytes, int, bytes | None]


class CachedLink:
    """One interface. Objects that say the same as before are kept, so that equal is mostly identical."""

    __slots__ = ("_addresses", "_interface", "_sorted", "if_type", "link", "luid", "rows", "speed", "times")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.if_type = 0
        self.luid = ""
        self.speed: int | None = None
        self.times: dict[Family, Times] = {}
        self.rows: dict[Family, IpInterface] = {}
        self._interface: Interface | None = None
        self._addresses: dict[Family, dict[_AddressKey, Address]] = {}
        self._sorted: dict[Family, tuple[Address, ...]] = {}

    def give(self, luid: str) -> list[Update]:
        """It has this LUID; under another one before, its rows are removed."""
        if luid == self.luid:
            return []
        removed: list[Update] = [Remove(self.luid, family) for family in self.rows]
        self.luid = luid
        self.rows = {}
        return removed

    def build(
        self, families: Iterable[Family], path_mtu: PathMtuTimes, higher: tuple[str, ...], lower: tuple[str, ...]
    ) -> list[Update]:
        """The rows anew, and what differs from before; raises pydantic.ValidationError, and then stays as it was."""
        interface = self._build_interface(higher, lower)
        raw = Raw(self.link, self.times.get("inet", _UNKNOWN), self.times.get("inet6", _UNKNOWN), path_mtu)
        rows = {family: self._build_row(family, raw, interface) for family in families if has_row(family, self.link)}
        before = self.rows
        self.rows = rows
        removed: list[Update] = [Remove(self.luid, family) for family in before if family not in rows]
        return removed + [Upsert(row) for family, row in rows.items() if row is not before.get(family)]

    def add_address(self, told: ToldAddress) -> bool:
        """Whether more than its lifetimes is new; raises pydantic.ValidationError."""
        family = FAMILIES[told.family]
        known = self._addresses.setdefault(family, {})
        before = known.get(_key(told))
        address = _address(told, before)
        if address is before:
            return False
        known[_key(told)] = address
        self._sorted.pop(family, None)
        return before is None or not _same_but_lifetimes(before, address)

    def remove_address(self, told: ToldAddress) -> bool:
        """Whether it was there."""
        family = FAMILIES[told.family]
        self._sorted.pop(family, None)
        return self._addresses.get(family, {}).pop(_key(told), None) is not None

    def set_addresses(self, told: Iterable[ToldAddress]) -> None:
        """These are all; raises pydantic.ValidationError, and then keeps those before."""
        before = self._addresses
        after: dict[Family, dict[_AddressKey, Address]] = {}
        for entry in told:
            if family := FAMILIES.get(entry.family):
                key = _key(entry)
                after.setdefault(family, {})[key] = _address(entry, before.get(family, {}).get(key))
        for family in FAMILIES.values():
            old, new = before.get(family, {}), after.get(family, {})
            if old.keys() != new.keys() or any(old[key] is not new[key] for key in new):
                self._sorted.pop(family, None)
        self._addresses = after

    def _build_interface(self, higher: tuple[str, ...], lower: tuple[str, ...]) -> Interface:
        values = interface_values(self.link, self.if_type, self.speed, higher, lower)
        if not _says(self._interface, values):
            self._interface = _INTERFACE(values)
        assert self._interface is not None
        return self._interface

    def _build_row(self, family: Family, raw: Raw, interface: Interface) -> IpInterface:
        before = self.rows.get(family)
        values = row_values(family, self.luid, raw)
        row = before.row if before and _says(before.row, values) else _ROW(values)
        addresses = self._in_order(family)
        if before and before.row is row and before.interface is interface and before.addresses is addresses:
            return before
        return _IP_INTERFACE({"row": row, "interface": interface, "addresses": addresses})

    def _in_order(self, family: Family) -> tuple[Address, ...]:
        addresses = self._sorted.get(family)
        if addresses is None:
            # One entry an address: with two peers, the row has it once.
            by_name = {
                (entry.address, entry.prefix_length): entry for entry in self._addresses.get(family, {}).values()
            }
            addresses = self._sorted[family] = tuple(by_name[name] for name in sorted(by_name))
        return addresses


_UNKNOWN = Times()


def _key(told: ToldAddress) -> _AddressKey:
    return told_address(told), told.prefix_length, told.address


def _address(told: ToldAddress, before: Address | None) -> Address:
    values = address_values(told)
    return before if before is not None and _says(before, values) else _ADDRESS(values)


def _says(model: Address | Interface | IpInterfaceRow | None, values: dict[str, Any]) -> bool:
    """Whether the model has these values (all others are None in each of ours): spares validating them again."""
    return model is not None and values.items() <= model.__dict__.items()


def _same_but_lifetimes(one: Address, other: Address) -> bool:
    """Lifetimes count down and are refreshed; only "for ever" against "for a while" is a change (table.py)."""
    return all(
        (value is None) == (other.__dict__[name] is None) if name in _LIFETIMES else value == other.__dict__[name]
        for name, value in one.__dict__.items()
    )
