"""The keys that Windows calls back with, copied inside the callback. No I/O: it is tested on every system."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .iphlpapi import AF_INET, NOTIFICATION_TYPES
from .structures import SockaddrInet


class Notification(NamedTuple):
    """The key of the IP interface that changed, and the kind of change (MIB_NOTIFICATION_TYPE), as numbers."""

    luid: int
    interface_index: int
    family: int
    type: int


class AddressNotification(NamedTuple):
    """The key of the unicast address that changed, its octets, and the kind of change, as numbers."""

    luid: int
    interface_index: int
    family: int
    address: bytes
    type: int


class RouteNotification(NamedTuple):
    """The key of the default route that changed, the octets of its next hop, and the kind of change, as numbers."""

    luid: int
    interface_index: int
    family: int
    next_hop: bytes
    type: int


# Receives a notification, or `None` for the initial one. Called in threads of the system, in several at once
# (docs/windows.md, rule 6), so it only queues.
OnNotification = Callable[[Notification | None], None]
OnAddressNotification = Callable[[AddressNotification | None], None]
OnRouteNotification = Callable[[RouteNotification | None], None]


def ip_interface_changed(on_notification: OnNotification, _context: int | None, row: Any, type_number: int) -> None:
    """Passes on what NotifyIpInterfaceChange calls back with.

    Only the key of the row is set, and the row is the system's, so the key is copied here (docs/windows.md, rules 3-5).
    """
    if NOTIFICATION_TYPES.get(type_number) == "initial_notification":
        on_notification(None)
    elif row:
        key = row.contents
        on_notification(Notification(key.InterfaceLuid.Value, key.InterfaceIndex, key.Family, type_number))


def address_changed(on_notification: OnAddressNotification, _context: int | None, row: Any, type_number: int) -> None:
    """Passes on what NotifyUnicastIpAddressChange calls back with: the key of the address, copied as above."""
    if NOTIFICATION_TYPES.get(type_number) == "initial_notification":
        on_notification(None)
    elif row:
        key = row.contents
        family = key.Address.si_family
        octets = address_octets(key.Address, family)
        on_notification(AddressNotification(key.InterfaceLuid.Value, key.InterfaceIndex, family, octets, type_number))


def route_changed(on_notification: OnRouteNotification, _context: int | None, row: Any, type_number: int) -> None:
    """Passes on what NotifyRouteChange2 calls back with, of default routes alone: the key, copied as above.

    Other routes are left out here: one lost neighbor of a router can change all routes of a full routing table.
    """
    if NOTIFICATION_TYPES.get(type_number) == "initial_notification":
        on_notification(None)
    elif row and row.contents.DestinationPrefix.PrefixLength == 0:
        key = row.contents
        family = key.DestinationPrefix.Prefix.si_family
        octets = address_octets(key.NextHop, family)
        on_notification(RouteNotification(key.InterfaceLuid.Value, key.InterfaceIndex, family, octets, type_number))


def address_octets(address: SockaddrInet, family: int) -> bytes:
    """Returns the 4 or 16 octets of an address of this family."""
    return bytes(address.Ipv4.sin_addr if family == AF_INET else address.Ipv6.sin6_addr)
