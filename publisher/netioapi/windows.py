"""Windows: the calls over iphlpapi.dll."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from ..errors import InterfaceNotFoundError, InvalidParameterError
from ..events import Family, IpInterfaceRow, NotificationType
from ..sources import Families
from ..sources.windows.calls import Iphlpapi, load
from ..sources.windows.iphlpapi import FAMILIES, FAMILY_NAMES, NOTIFICATION_TYPES
from ..sources.windows.notifications import AddressNotification, Notification, RouteNotification
from ..sources.windows.reader import InterfaceReader
from ..sources.windows.rows import ip_interface_row, luid_text
from ..sources.windows.structures import Guid
from .rows import IfRow, IfStackRow, InvertedIfStackRow, IpForwardRow, UnicastIpAddressRow
from .system import AddressReceiver, NameKind, Receiver, RouteReceiver, Unsubscribe, refusal
from .windows_rows import address_key, address_row, guid_text, if_row, route_key, route_row

T = TypeVar("T")
Row = TypeVar("Row")
Notified = TypeVar("Notified", Notification, AddressNotification, RouteNotification)
_OF_LUID: dict[NameKind, str] = {"alias": "ConvertInterfaceLuidToAlias", "name": "ConvertInterfaceLuidToNameW"}
_TO_LUID: dict[NameKind, str] = {"alias": "ConvertInterfaceAliasToLuid", "name": "ConvertInterfaceNameToLuidW"}


class WindowsSystem:
    """The system itself; each call reads it once more."""

    def __init__(self, iphlpapi: Iphlpapi | None = None) -> None:
        self._iphlpapi = iphlpapi or load()

    def subscribe(self, family: Families, receiver: Receiver, initial: bool) -> Unsubscribe:
        """Calls the receiver for each change of an IP interface from now on."""
        notified = _receiving(receiver, _key)
        return self._iphlpapi.notify_ip_interface_change(FAMILIES[family], notified, initial=initial).cancel

    def subscribe_addresses(self, family: Families, receiver: AddressReceiver, initial: bool) -> Unsubscribe:
        """Calls the receiver for each change of a unicast address from now on; of its row the key is set."""
        notified = _receiving(receiver, address_key)
        return self._iphlpapi.notify_unicast_ip_address_change(FAMILIES[family], notified, initial=initial).cancel

    def subscribe_routes(self, family: Families, receiver: RouteReceiver, initial: bool) -> Unsubscribe:
        """Calls the receiver for each change of a default route from now on; of its row the key is set."""
        notified = _receiving(receiver, route_key)
        return self._iphlpapi.notify_route_change2(FAMILIES[family], notified, initial=initial).cancel

    def ip_interface(self, family: Family, luid: str | None, index: int | None) -> IpInterfaceRow:
        """Returns the row; raises InterfaceNotFoundError or NotFoundError."""
        return ip_interface_row(self._iphlpapi.ip_interface(FAMILIES[family], int(luid or "0", 16), index or 0))

    def ip_interfaces(self, family: Families) -> list[IpInterfaceRow]:
        """Returns the rows of the family."""
        rows = self._iphlpapi.ip_interfaces(FAMILIES[family])
        return [ip_interface_row(raw) for raw in rows if raw.Family in FAMILY_NAMES]

    def addresses(self, family: Families) -> list[UnicastIpAddressRow]:
        """Returns the unicast addresses of the family."""
        now = datetime.now(UTC)
        rows = self._iphlpapi.unicast_addresses(FAMILIES[family])
        return [address_row(raw, now) for raw in rows if raw.Address.si_family in FAMILY_NAMES]

    def default_routes(self, family: Families) -> list[IpForwardRow]:
        """Returns the default routes of the family; without a metric where the interface was removed meanwhile."""
        now = datetime.now(UTC)
        rows = self._iphlpapi.default_routes(FAMILIES[family])
        interfaces = self._iphlpapi.ip_interfaces(FAMILIES[family])
        metrics = {(raw.Family, raw.InterfaceLuid.Value): raw.Metric for raw in interfaces}
        return [
            route_row(raw, metrics.get((number, raw.InterfaceLuid.Value)), now)
            for raw in rows
            if (number := raw.DestinationPrefix.Prefix.si_family) in FAMILY_NAMES
        ]

    def if_row(self, luid: str | None, index: int | None) -> IfRow:
        """Returns the interface with its counters; raises InterfaceNotFoundError."""
        raw = self._iphlpapi.if_entry(int(luid or "0", 16), index or 0, statistics=True)
        return if_row(raw, InterfaceReader(self._iphlpapi).describe(raw), counters=True)

    def if_rows(self) -> list[IfRow]:
        """Returns each interface, without counters."""
        reader = InterfaceReader(self._iphlpapi)
        return [if_row(raw, reader.describe(raw), counters=False) for raw in self._iphlpapi.if_table()]

    def if_stack(self) -> list[IfStackRow]:
        """Returns the pairs of neighbours in the stack, the higher first."""
        return [IfStackRow(*pair) for pair in self._iphlpapi.if_stack()]

    def inverted_if_stack(self) -> list[InvertedIfStackRow]:
        """Returns the same pairs, the lower first."""
        return [InvertedIfStackRow(*pair) for pair in self._iphlpapi.inverted_if_stack()]

    def luid_of_index(self, index: int) -> str:
        """Returns the LUID of an index; raises InterfaceNotFoundError."""
        return luid_text(_found(f"the index {index}", lambda: self._iphlpapi.luid_of(index)))

    def index_of(self, luid: str) -> int:
        """Returns the index of a LUID; raises InterfaceNotFoundError."""
        return _found(f"the LUID {luid}", lambda: self._iphlpapi.index_of(int(luid, 16)))

    def luid_of(self, kind: NameKind, name: str) -> str:
        """Returns the LUID of a name of this kind; raises InterfaceNotFoundError."""
        if kind == "guid":
            guid = Guid.from_buffer_copy(UUID(name).bytes_le)
            return luid_text(_found(f"the GUID {name}", lambda: self._iphlpapi.luid_of_guid(guid)))
        found = _found(f"the {kind} {name!r}", lambda: self._iphlpapi.luid_of_text(_TO_LUID[kind], name))
        return luid_text(found)

    def name_of(self, kind: NameKind, luid: str) -> str:
        """Returns the name of this kind; raises InterfaceNotFoundError."""
        if kind == "guid":
            guid = _found(f"the LUID {luid}", lambda: self._iphlpapi.guid_of(int(luid, 16)))
            return guid_text(guid) or str(UUID(int=0))
        return _found(f"the LUID {luid}", lambda: self._iphlpapi.text_of(_OF_LUID[kind], int(luid, 16)))

    def after_fork(self) -> None:
        """Does nothing: Windows has no fork."""


def _receiving(
    receiver: Callable[[Row | None, NotificationType], None], key: Callable[[Notified], Row]
) -> Callable[[Notified | None], None]:
    """Returns the function that a registration of iphlpapi.dll calls; one of no name is left out."""

    def notified(notification: Notified | None) -> None:
        # In a thread of the system: an exception here would be lost.
        if notification is None:
            receiver(None, "initial_notification")
        elif notification.family in FAMILY_NAMES and notification.type in NOTIFICATION_TYPES:
            receiver(key(notification), NOTIFICATION_TYPES[notification.type])

    return notified


def _found(what: str, convert: Callable[[], T]) -> T:
    """Returns what is converted. The Convert functions document 87 for a value that no interface has."""
    try:
        return convert()
    except InvalidParameterError as error:
        raise refusal(InterfaceNotFoundError, f"no interface has {what}") from error


def _key(notification: Notification) -> IpInterfaceRow:
    return IpInterfaceRow(
        family=FAMILY_NAMES[notification.family],
        interface_luid=luid_text(notification.luid),
        interface_index=notification.interface_index,
    )
