"""`publisher.netioapi` on Windows: the calls of iphlpapi.dll."""

from __future__ import annotations

from collections.abc import Callable

from ..events import Family, IpInterfaceRow
from ..sources import Families
from ..sources.windows.calls import Told, load
from ..sources.windows.iphlpapi import FAMILIES, FAMILY_NAMES, NOTIFICATION_TYPES, MibIfRow2
from ..sources.windows.reading import Reading
from ..sources.windows.rows import luid_text
from .system import IfRow, IfStackRow, InvertedIfStackRow, Ring


class WindowsSystem:
    """The system itself; every call reads anew."""

    def __init__(self) -> None:
        self._iphlpapi = load()

    def subscribe(self, family: Families, ring: Ring, initial: bool) -> Callable[[], None]:
        def told(change: Told | None) -> None:
            if change is None:
                ring(None, "initial_notification")
            elif change.family in FAMILY_NAMES and change.type in NOTIFICATION_TYPES:
                ring(_key(change), NOTIFICATION_TYPES[change.type])

        return self._iphlpapi.notify_ip_interface_change(FAMILIES[family], told, initial=initial).cancel

    def ip_interface(self, family: Family, luid: str | None, index: int | None) -> IpInterfaceRow:
        return self._iphlpapi.ip_interface(FAMILIES[family], int(luid or "0", 16), index or 0)

    def ip_interfaces(self, family: Families) -> list[IpInterfaceRow]:
        return self._iphlpapi.ip_interfaces(FAMILIES[family])

    def if_row(self, luid: str | None, index: int | None) -> IfRow:
        return self._row(self._iphlpapi.if_entry(int(luid or "0", 16), index or 0), self._reading())

    def if_rows(self) -> list[IfRow]:
        reading = self._reading()
        return [self._row(raw, reading) for raw in self._iphlpapi.if_table()]

    def if_stack(self) -> list[IfStackRow]:
        return [IfStackRow(*pair) for pair in self._iphlpapi.if_stack()]

    def inverted_if_stack(self) -> list[InvertedIfStackRow]:
        return [InvertedIfStackRow(*pair) for pair in self._iphlpapi.inverted_if_stack()]

    def _reading(self) -> Reading:
        return Reading(self._iphlpapi, ())

    def _row(self, raw: MibIfRow2, reading: Reading) -> IfRow:
        return IfRow(luid_text(raw.InterfaceLuid.Value), raw.InterfaceIndex, reading.describe(raw))


def _key(told: Told) -> IpInterfaceRow:
    return IpInterfaceRow(
        family=FAMILY_NAMES[told.family],
        interface_luid=luid_text(told.luid),
        interface_index=told.interface_index,
    )
