"""One look at Windows' IP interfaces: the tables that many of them share are read once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property, partial
from typing import TypeVar

from ...errors import InterfaceNotFoundError, NetioError, NotFoundError
from ...events import Address, Family, Interface, IpInterface, IpInterfaceRow
from .calls import Iphlpapi
from .iphlpapi import ERROR_NOT_SUPPORTED, FAMILIES, MibIfRow2
from .rows import interface, luid_text

T = TypeVar("T")


class Reading:
    """Reads IP interfaces with everything that belongs to them. One thread; to be dropped after a batch.

    A transport that is not there (ERROR_NOT_SUPPORTED: IPv6 may be taken out of Windows) has no rows and no addresses.
    """

    def __init__(self, iphlpapi: Iphlpapi, families: tuple[Family, ...]) -> None:
        self._iphlpapi = iphlpapi
        self._families = families
        self.interface = cache(self._interface)
        self._luid = cache(self._luid_of)

    def everything(self) -> tuple[IpInterface, ...]:
        """Every IP interface; one that goes while this reads is left out, and is told of as gone."""
        rows = [row for family in self._families for row in self._table(family)]
        read = [self._complete(row) for row in rows]
        return tuple(entry for entry in read if entry is not None)

    def ip_interface(self, luid: int, family: Family) -> IpInterface:
        """One of them; raises InterfaceNotFoundError or NotFoundError."""
        row = self._iphlpapi.ip_interface(FAMILIES[family], luid)
        return IpInterface(row=row, interface=self.interface(luid), addresses=self._addresses.get((luid, family), ()))

    def _complete(self, row: IpInterfaceRow) -> IpInterface | None:
        luid = int(row.interface_luid, 16)
        try:
            described = self.interface(luid)
        except (InterfaceNotFoundError, NotFoundError):
            return None
        return IpInterface(row=row, interface=described, addresses=self._addresses.get((luid, row.family), ()))

    def describe(self, raw: MibIfRow2) -> Interface:
        """The interface of this MIB_IF_ROW2, with its place in the stack."""
        higher = {self._luid(above) for above, below in self._stack if below == raw.InterfaceIndex}
        lower = {self._luid(below) for above, below in self._stack if above == raw.InterfaceIndex}
        return interface(raw, filter(None, higher), filter(None, lower))

    def _table(self, family: Family) -> list[IpInterfaceRow]:
        return _supported(partial(self._iphlpapi.ip_interfaces, FAMILIES[family]))

    def _interface(self, luid: int) -> Interface:
        return self.describe(self._iphlpapi.if_entry(luid))

    @cached_property
    def _addresses(self) -> dict[tuple[int, Family], tuple[Address, ...]]:
        found: dict[tuple[int, Family], list[Address]] = {}
        for family in self._families:
            for luid, of, address in _supported(partial(self._iphlpapi.unicast_addresses, FAMILIES[family])):
                found.setdefault((luid, of), []).append(address)
        return {key: tuple(sorted(entries, key=_by_name)) for key, entries in found.items()}

    @cached_property
    def _stack(self) -> list[tuple[int, int]]:
        return _supported(self._iphlpapi.if_stack)

    def _luid_of(self, index: int) -> str | None:
        """The LUID of an index in the stack; `None` for index 0, the stack's ends, and for one that is gone."""
        try:
            return luid_text(self._iphlpapi.luid_of(index)) if index else None
        except InterfaceNotFoundError:
            return None


def _supported(read: Callable[[], list[T]]) -> list[T]:
    """What is read; nothing where this Windows does not support it."""
    try:
        return read()
    except NetioError as error:
        if error.winerror_code != ERROR_NOT_SUPPORTED:
            raise
        return []


def _by_name(address: Address) -> tuple[str, int]:
    return address.address, address.prefix_length
