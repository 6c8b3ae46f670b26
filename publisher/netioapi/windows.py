"""Windows: the calls over iphlpapi.dll."""

from __future__ import annotations

from collections.abc import Callable

from ..events import Family, IpInterfaceRow
from ..sources import Families
from ..sources.windows.calls import Iphlpapi, Notification, load
from ..sources.windows.iphlpapi import FAMILIES, FAMILY_NAMES, NOTIFICATION_TYPES, MibIfRow2
from ..sources.windows.reader import InterfaceReader
from ..sources.windows.rows import ip_interface_row, luid_text
from .system import IfRow, IfStackRow, InvertedIfStackRow, Receiver


class WindowsSystem:
    """The system itself; each call reads it once more."""

    def __init__(self, iphlpapi: Iphlpapi | None = None) -> None:
        self._iphlpapi = iphlpapi or load()

    def subscribe(self, family: Families, receiver: Receiver, initial: bool) -> Callable[[], None]:
        """Calls the receiver for each change from now on; the function that it returns ends that."""

        def notified(notification: Notification | None) -> None:
            # In a thread of the system: an exception here would be lost.
            if notification is None:
                receiver(None, "initial_notification")
            elif notification.family in FAMILY_NAMES and notification.type in NOTIFICATION_TYPES:
                receiver(_key(notification), NOTIFICATION_TYPES[notification.type])

        return self._iphlpapi.notify_ip_interface_change(FAMILIES[family], notified, initial=initial).cancel

    def ip_interface(self, family: Family, luid: str | None, index: int | None) -> IpInterfaceRow:
        """Returns the row; raises InterfaceNotFoundError or NotFoundError."""
        return ip_interface_row(self._iphlpapi.ip_interface(FAMILIES[family], int(luid or "0", 16), index or 0))

    def ip_interfaces(self, family: Families) -> list[IpInterfaceRow]:
        """Returns the rows of the family."""
        rows = self._iphlpapi.ip_interfaces(FAMILIES[family])
        return [ip_interface_row(raw) for raw in rows if raw.Family in FAMILY_NAMES]

    def if_row(self, luid: str | None, index: int | None) -> IfRow:
        """Returns the interface; raises InterfaceNotFoundError."""
        return _if_row(self._iphlpapi.if_entry(int(luid or "0", 16), index or 0), InterfaceReader(self._iphlpapi))

    def if_rows(self) -> list[IfRow]:
        """Returns each interface."""
        reader = InterfaceReader(self._iphlpapi)
        return [_if_row(raw, reader) for raw in self._iphlpapi.if_table()]

    def if_stack(self) -> list[IfStackRow]:
        """Returns the pairs of neighbours in the stack, the higher first."""
        return [IfStackRow(*pair) for pair in self._iphlpapi.if_stack()]

    def inverted_if_stack(self) -> list[InvertedIfStackRow]:
        """Returns the same pairs, the lower first."""
        return [InvertedIfStackRow(*pair) for pair in self._iphlpapi.inverted_if_stack()]


def _if_row(raw: MibIfRow2, reader: InterfaceReader) -> IfRow:
    return IfRow(luid_text(raw.InterfaceLuid.Value), raw.InterfaceIndex, reader.describe(raw))


def _key(notification: Notification) -> IpInterfaceRow:
    return IpInterfaceRow(
        family=FAMILY_NAMES[notification.family],
        interface_luid=luid_text(notification.luid),
        interface_index=notification.interface_index,
    )
