"""Reads IP interfaces with their interface, addresses and stack, over `calls.py` and `rows.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from typing import TypeVar

from ...errors import InterfaceNotFoundError, NetioError, NotFoundError
from ...events import Address, Family, Interface, IpInterface, Key
from .. import Validator
from .calls import Iphlpapi
from .iphlpapi import ERROR_NOT_SUPPORTED, FAMILIES, MibIfRow2, MibIpInterfaceRow
from .rows import address, interface, ip_interface_row, luid_text

T = TypeVar("T")


class InterfaceReader:
    """Describes interfaces with their place in the stack, which it reads once. One thread; for one batch."""

    def __init__(self, iphlpapi: Iphlpapi) -> None:
        self._iphlpapi = iphlpapi
        self._luid = cache(self._luid_of)

    def describe(self, raw: MibIfRow2) -> Interface:
        """Returns the model of an interface; raises pydantic's ValidationError."""
        higher = {self._luid(above) for above, below in self._stack if below == raw.InterfaceIndex}
        lower = {self._luid(below) for above, below in self._stack if above == raw.InterfaceIndex}
        return interface(raw, filter(None, higher), filter(None, lower))

    @cached_property
    def _stack(self) -> list[tuple[int, int]]:
        """The pairs of indexes of neighbours, the higher first."""
        return _supported(self._iphlpapi.if_stack)

    def _luid_of(self, index: int) -> str | None:
        """Returns the LUID of an index in the stack; None for 0, which ends the stack, and for a removed interface."""
        try:
            return luid_text(self._iphlpapi.luid_of(index)) if index else None
        except InterfaceNotFoundError:
            return None


class WindowsReader:
    """Reads IP interfaces with everything that belongs to them, each table once. One thread; for one batch.

    A transport that is missing (ERROR_NOT_SUPPORTED: IPv6 can be removed from Windows) has no rows and no addresses.
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

    def everything(self) -> tuple[IpInterface, ...]:
        """Returns every IP interface. One that is removed meanwhile is left out; its removal is reported later."""
        rows = [(raw, family) for family in self._families for raw in self._table(family)]
        read = [self._complete_if_there(raw, family) for raw, family in rows]
        return tuple(row for row in read if row is not None)

    def ip_interface(self, key: Key) -> IpInterface | None:
        """Returns one IP interface; raises InterfaceNotFoundError or NotFoundError.

        Returns None if our models refuse it and it was not read before.
        """
        raw = self._iphlpapi.ip_interface(FAMILIES[key.family], int(key.luid, 16))
        return self._complete(raw, key.family)

    def _complete_if_there(self, raw: MibIpInterfaceRow, family: Family) -> IpInterface | None:
        try:
            return self._complete(raw, family)
        except (InterfaceNotFoundError, NotFoundError):
            return None

    def _complete(self, raw: MibIpInterfaceRow, family: Family) -> IpInterface | None:
        key = Key(luid_text(raw.InterfaceLuid.Value), family)
        row = self._validator.build(lambda: ip_interface_row(raw), raw)
        described = self._interface(raw.InterfaceLuid.Value)
        addresses = self._addresses.get(key, ())
        if row is None or described is None or addresses is None:
            return self._last.get(key)
        return IpInterface(row=row, interface=described, addresses=addresses)

    def _table(self, family: Family) -> list[MibIpInterfaceRow]:
        return _supported(partial(self._iphlpapi.ip_interfaces, FAMILIES[family]))

    def _read_interface(self, luid: int) -> Interface | None:
        raw = self._iphlpapi.if_entry(luid)
        return self._validator.build(lambda: self._interfaces.describe(raw), raw)

    @cached_property
    def _addresses(self) -> dict[Key, tuple[Address, ...] | None]:
        """The addresses of each IP interface, sorted; None where our models refuse one of them."""
        found: dict[Key, list[Address | None]] = {}
        now = datetime.now(UTC)
        for family in self._families:
            for raw in _supported(partial(self._iphlpapi.unicast_addresses, FAMILIES[family])):
                if raw.Address.si_family == FAMILIES[family]:
                    key = Key(luid_text(raw.InterfaceLuid.Value), family)
                    found.setdefault(key, []).append(self._validator.build(partial(address, raw, now), raw))
        return {key: _sorted(entries) for key, entries in found.items()}


def _supported(read: Callable[[], list[T]]) -> list[T]:
    """Returns what is read, or nothing where this Windows does not support it."""
    try:
        return read()
    except NetioError as error:
        if error.winerror_code != ERROR_NOT_SUPPORTED:
            raise
        return []


def _sorted(entries: Sequence[Address | None]) -> tuple[Address, ...] | None:
    """Returns the addresses, sorted by their text, or None if one of them is None."""
    valid = [entry for entry in entries if entry is not None]
    if len(valid) < len(entries):
        return None
    return tuple(sorted(valid, key=lambda entry: (entry.address, entry.prefix_length)))
