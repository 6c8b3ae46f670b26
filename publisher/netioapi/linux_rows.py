"""Linux: the rows of the calls, from the published rows, the links and their counters. Pure.

docs/netioapi.md has the origin of each member of MIB_IF_ROW2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Any, NamedTuple

from ..errors import InterfaceNotFoundError
from ..events import Event, IpInterface, IpInterfaceRow, NotificationType
from ..sources.linux.attributes import MessageLayout, Wanted
from ..sources.linux.requests import NLM_F_REQUEST, RTM_GETLINK
from ..sources.linux.rows import text
from ..sources.linux.rtnetlink import AF_UNSPEC, HEADER, RTM_NEWLINK, Decoder, Link
from .rows import (
    DEFAULT_PREFIXES,
    AccessType,
    IfRow,
    IfStackRow,
    IpForwardRow,
    MediaType,
    PhysicalMediumType,
    UnicastIpAddressRow,
)
from .system import refusal

_NLM_F_ACK = 0x4
_LINK_REQUEST = Struct("=BxHiII")
_LINK_HEADER = Struct("=BxHiI4x")
_IFLA_STATS64 = 23
_IFF_BROADCAST, _IFF_LOOPBACK, _IFF_POINTOPOINT = 0x2, 0x8, 0x10
_ETHERNET, _WIFI, _TUNNEL = 6, 71, 131  # IANA ifType
_PHYSICAL_MEDIA: dict[int, PhysicalMediumType] = {_ETHERNET: "802_3", _WIFI: "native_802_11"}
# ARPHRD_* (include/uapi/linux/if_arp.h) to NDIS_MEDIUM, where both mean one thing.
_MEDIA: dict[int, MediaType] = {
    1: "802_3",
    24: "1394",
    32: "infiniband",
    512: "wan",
    768: "tunnel",
    769: "tunnel",
    772: "loopback",
    776: "tunnel",
    778: "tunnel",
    823: "tunnel",
}


class Counters(NamedTuple):
    """The counters of a link (struct rtnl_link_stats64, if_link.h); None where an older kernel has none."""

    family: int
    hardware_type: int
    ifindex: int
    flags: int
    rx_packets: int | None
    tx_packets: int | None
    rx_bytes: int | None
    tx_bytes: int | None
    rx_errors: int | None
    tx_errors: int | None
    rx_dropped: int | None
    tx_dropped: int | None
    rx_missed: int | None


_PLACES = (0, 1, 2, 3, 4, 5, 6, 7, 15)


class CountersDecoder(Decoder):
    """Decodes links to their counters."""

    def __init__(self) -> None:
        super().__init__()
        wanted = tuple(Wanted((_IFLA_STATS64,), "Q", 8 * place) for place in _PLACES)
        layout: MessageLayout[Any] = MessageLayout(Counters._make, _LINK_HEADER, wanted)
        self._by_type[RTM_NEWLINK] = layout.decode_run


def counters_request(seq: int, index: int) -> bytes:
    """Returns a request for one link with its counters, which is answered with the link and an acknowledgement."""
    body = _LINK_REQUEST.pack(AF_UNSPEC, 0, index, 0, 0)
    return HEADER.pack(HEADER.size + len(body), RTM_GETLINK, NLM_F_REQUEST | _NLM_F_ACK, seq, 0) + body


def found(rows: Iterable[IpInterface], luid: str | None, index: int | None) -> list[IpInterface]:
    """Returns the interface's rows, of each family; raises InterfaceNotFoundError."""
    entries = [row for row in rows if (row.luid == luid if luid else row.row.interface_index == index)]
    if not entries:
        raise refusal(InterfaceNotFoundError, f"there is no interface {luid or index}")
    return entries


def if_row(entry: IpInterface, link: Link | None, counters: Counters | None = None) -> IfRow:
    """Returns the row of an interface; without its link its flags and types are not known."""
    values = {
        **entry.interface.__dict__,
        "interface_luid": entry.luid,
        "interface_index": entry.row.interface_index,
        "tunnel_type": "other" if entry.interface.type == _TUNNEL else "none",
        "filter_interface": False,  # Linux has no filter modules: each row is an interface
        **(_of_link(link, entry.interface.type) if link else {}),
        **(_of_counters(counters) if counters else {}),
    }
    return IfRow(**values)


def _of_link(link: Link, if_type: int) -> dict[str, Any]:
    hardware = _is_hardware(link)
    return {
        "media_type": "native_802_11" if if_type == _WIFI else _MEDIA.get(link.hardware_type),
        "physical_medium_type": _PHYSICAL_MEDIA.get(if_type) if hardware else None,
        "access_type": _access(link.flags),
        "hardware_interface": hardware,
        "connector_present": hardware,
        "not_media_connected": None if link.carrier is None else not link.carrier,
    }


def _is_hardware(link: Link) -> bool | None:
    """Returns whether a device is behind the link; None where the kernel tells neither a device nor a kind."""
    if link.parent_name is not None:
        return True
    return False if text(link.kind) or link.flags & _IFF_LOOPBACK else None


def _access(flags: int) -> AccessType | None:
    if flags & _IFF_LOOPBACK:
        return "loopback"
    if flags & _IFF_POINTOPOINT:
        return "point_to_point"
    return "broadcast" if flags & _IFF_BROADCAST else None


def _of_counters(counters: Counters) -> dict[str, Any]:
    dropped, missed = counters.rx_dropped, counters.rx_missed
    return {
        "in_octets": counters.rx_bytes,
        "in_packets": counters.rx_packets,
        "in_errors": counters.rx_errors,
        "in_discards": None if dropped is None else dropped + (missed or 0),
        "out_octets": counters.tx_bytes,
        "out_packets": counters.tx_packets,
        "out_errors": counters.tx_errors,
        "out_discards": counters.tx_dropped,
    }


def stack_of(rows: Sequence[IpInterface]) -> list[IfStackRow]:
    """Returns the pairs of neighbours in the stack, by index; a neighbour that has no row is left out."""
    interfaces = {row.luid: row for row in rows}
    return [
        IfStackRow(row.row.interface_index, interfaces[lower].row.interface_index)
        for row in interfaces.values()
        for lower in row.interface.lower
        if lower in interfaces
    ]


def address_rows(entry: IpInterface) -> Iterator[UnicastIpAddressRow]:
    """Yields a row for each address of an IP interface."""
    for address in entry.addresses:
        yield UnicastIpAddressRow(
            family=entry.family,
            interface_luid=entry.luid,
            interface_index=entry.row.interface_index,
            **address.__dict__,
        )


def route_rows(entry: IpInterface) -> Iterator[IpForwardRow]:
    """Yields a row for each default route of an IP interface."""
    for route in entry.default_routes:
        yield default_route(entry.row, **route.__dict__)


def default_route(row: IpInterfaceRow, **members: Any) -> IpForwardRow:
    """Returns the row of a default route of this IP interface."""
    return IpForwardRow(
        family=row.family,
        destination_prefix=DEFAULT_PREFIXES[row.family],
        interface_luid=row.interface_luid,
        interface_index=row.interface_index,
        **members,
    )


def of_other_notifications(event: Event) -> bool:
    """Returns True for a change of addresses or routes alone: NotifyIpInterfaceChange does not report it, nor do we."""
    return bool(event.changed) and all(member.startswith(("addresses.", "default_routes.")) for member in event.changed)


def changed_addresses(event: Event) -> dict[str, NotificationType]:
    """Returns the addresses that an event is about, each with the kind of its change.

    Linux may have one address with two prefix lengths, which is one address for NotifyUnicastIpAddressChange.
    """
    if event.notification_type in ("add_instance", "delete_instance"):
        return {address.address: event.notification_type for address in event.addresses}
    before: set[str] = set()
    touched: dict[str, None] = {}
    for member, change in event.changed.items():
        if member.startswith("addresses."):
            address = member.removeprefix("addresses.").rpartition("/")[0]
            touched[address] = None
            if change.before is not None:
                before.add(address)
    after = {address.address for address in event.addresses}
    unchanged = {address.address for address in event.addresses if _member(address) not in event.changed}
    return {address: _kind(address in before | unchanged, address in after) for address in touched}


def changed_routes(event: Event) -> dict[str | None, NotificationType]:
    """Returns the next hops of the default routes that an event is about, each with the kind of its change.

    Linux may have one next hop with two metrics, which is one route for NotifyRouteChange2.
    """
    if event.notification_type in ("add_instance", "delete_instance"):
        return {route.next_hop: event.notification_type for route in event.default_routes}
    changes = [change for member, change in event.changed.items() if member.startswith("default_routes.")]
    old = [change.before for change in changes if change.before is not None]
    new = [change.after for change in changes if change.after is not None]
    unchanged = {route.next_hop for route in event.default_routes if route.model_dump(mode="json") not in new}
    before = {route.get("next_hop") for route in old} | unchanged
    after = {route.next_hop for route in event.default_routes}
    return {
        next_hop: _kind(next_hop in before, next_hop in after)
        for next_hop in dict.fromkeys(route.get("next_hop") for route in (*old, *new))
    }


def _member(address: Any) -> str:
    return f"addresses.{address.address}/{address.prefix_length}"


def _kind(was_there: bool, is_there: bool) -> NotificationType:
    if was_there and is_there:
        return "parameter_notification"
    return "add_instance" if is_there else "delete_instance"
