"""The stand-in for iphlpapi.dll, controlled from Python: its interfaces, its notifications and its errors."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address, ip_interface
from typing import Any

from publisher.events import make_luid
from publisher.sources.windows.calls import Registration
from publisher.sources.windows.iphlpapi import FAMILIES
from publisher.sources.windows.structures import MibIfRow2, MibIpForwardRow2, MibIpInterfaceRow, MibUnicastIpAddressRow

CHANGED, ADDED, DELETED, INITIAL = 0, 1, 2, 3


class Counters(ctypes.Structure):
    """The counts of the stand-in since it was reset."""

    _fields_ = [
        (name, ctypes.c_int32)
        for name in (
            "tables", "registrations", "running", "cancels_inside", "cancels_null", "cancels_unknown", "bad_frees",
            "reads", "delivered", "most_running",
        )
    ]  # fmt: skip


class StandIn:
    """Interfaces by alias. A change is reported only with `report=True`, or by a later `report`."""

    def __init__(self) -> None:
        self.library = library("iphlpapi.dll")
        # Without the override, Wine silently loads its own library.
        assert hasattr(self.library, "standin_reset"), "this is not the stand-in: see WINEDLLOVERRIDES"
        for name, arguments in _ARGUMENTS.items():
            getattr(self.library, name).argtypes = arguments
        self.library.standin_reset()
        self.indexes: dict[str, int] = {}
        self.ip_rows: dict[tuple[str, str], MibIpInterfaceRow] = {}
        self.rows: dict[str, MibIfRow2] = {}

    @property
    def counters(self) -> Counters:
        into = Counters()
        self.library.standin_counters(ctypes.byref(into))
        return into

    def luid(self, alias: str) -> str:
        return f"{self._luid(alias):016x}"

    def index(self, alias: str) -> int:
        return self.indexes[alias]

    def add(
        self, alias: str, families: Sequence[str] = ("inet", "inet6"), *, report: bool = False, **members: Any
    ) -> None:
        """Adds an interface with its rows; it has a new index each time."""
        number = len(self.indexes)
        self.indexes[alias] = 10 + number if alias not in self.indexes else self.indexes[alias] + 1000
        row = self._new(MibIfRow2)
        row.InterfaceLuid.Value, row.InterfaceIndex = self._luid(alias), self.indexes[alias]
        encoded = alias.encode("utf-16-le") + b"\0\0"
        ctypes.memmove(row.Alias, encoded, len(encoded))
        ctypes.memmove(row.Description, encoded, len(encoded))
        row.InterfaceGuid.Data1, row.InterfaceGuid.Data2 = number + 1, 0x4711
        row.Type, row.Mtu, row.AdminStatus, row.OperStatus, row.MediaConnectState = 6, 1500, 1, 1, 1
        row.PhysicalAddressLength = 6
        row.TransmitLinkSpeed = row.ReceiveLinkSpeed = 1_000_000_000
        self.rows[alias] = row
        self.library.standin_set_interface(ctypes.byref(row))
        for family in families:
            self.add_family(alias, family, report=report, **members)

    def add_family(self, alias: str, family: str, *, report: bool = False, **members: Any) -> None:
        row = self._new(MibIpInterfaceRow)
        row.Family, row.InterfaceLuid.Value, row.InterfaceIndex = (
            FAMILIES[family],
            self._luid(alias),
            self.indexes[alias],
        )
        row.NlMtu, row.Connected, row.Metric, row.SitePrefixLength = 1500, 1, 25, 64
        self.ip_rows[alias, family] = row
        self.change(alias, family, kind=ADDED, report=report, **members)

    def change(self, alias: str, family: str, *, kind: int = CHANGED, report: bool = False, **members: Any) -> None:
        row = self.ip_rows[alias, family]
        for name, value in members.items():
            setattr(row, name, value)
        self.library.standin_set_ip(ctypes.byref(row))
        if report:
            self.report(alias, family, kind)

    def change_interface(self, alias: str, **members: Any) -> None:
        for name, value in members.items():
            setattr(self.rows[alias], name, value)
        self.library.standin_set_interface(ctypes.byref(self.rows[alias]))

    def remove(self, alias: str, *, report: bool = False) -> None:
        self.library.standin_remove_interface(self._luid(alias))
        for family in ("inet", "inet6"):
            self.remove_family(alias, family, report=report)

    def remove_family(self, alias: str, family: str, *, report: bool = False) -> None:
        if self.ip_rows.pop((alias, family), None):
            self.library.standin_remove_ip(self._luid(alias), FAMILIES[family])
            if report:
                self.report(alias, family, DELETED)

    def hide(self, alias: str, family: str, reads: int) -> None:
        """Makes the next `reads` readings of this row fail, as if it did not exist."""
        self.library.standin_hide(self._luid(alias), FAMILIES[family], reads)

    def read_as(self, alias: str, family: str, number: int) -> None:
        """Makes readings of this row return another number as its family; 0 is the true one."""
        self.library.standin_read_as(self._luid(alias), FAMILIES[family], number)

    def add_address(self, alias: str, address: str, *, report: bool = False, **members: Any) -> None:
        known = ip_interface(address)
        row = self._new(MibUnicastIpAddressRow)
        row.InterfaceLuid.Value, row.InterfaceIndex = self._luid(alias), self.indexes[alias]
        row.Address.si_family = FAMILIES["inet" if known.version == 4 else "inet6"]
        part = row.Address.Ipv4.sin_addr if known.version == 4 else row.Address.Ipv6.sin6_addr
        ctypes.memmove(part, known.ip.packed, len(known.ip.packed))
        row.OnLinkPrefixLength, row.DadState, row.ValidLifetime, row.PreferredLifetime = (
            known.network.prefixlen,
            4,
            600,
            300,
        )
        for name, value in members.items():
            setattr(row, name, value)
        self.library.standin_add_address(ctypes.byref(row))
        if report:
            self.report_address(alias, address, ADDED)

    def clear_addresses(self, alias: str) -> None:
        self.library.standin_clear_addresses(self._luid(alias))

    def set_route(self, alias: str, next_hop: str, *, report: bool = False, kind: int = ADDED, **members: Any) -> None:
        """Adds a default route, or changes the one with this next hop; "0.0.0.0" and "::" are on-link."""
        hop = ip_address(next_hop)
        row = self._new(MibIpForwardRow2)
        row.InterfaceLuid.Value, row.InterfaceIndex = self._luid(alias), self.indexes[alias]
        family = FAMILIES["inet" if hop.version == 4 else "inet6"]
        row.DestinationPrefix.Prefix.si_family = row.NextHop.si_family = family
        part = row.NextHop.Ipv4.sin_addr if hop.version == 4 else row.NextHop.Ipv6.sin6_addr
        ctypes.memmove(part, hop.packed, len(hop.packed))
        row.ValidLifetime = row.PreferredLifetime = 0xFFFF_FFFF
        row.SitePrefixLength, row.Protocol, row.Immortal = 255, 3, 1
        for name, value in members.items():
            setattr(row, name, value)
        self.library.standin_set_route(ctypes.byref(row))
        if report:
            self.report_route(alias, next_hop, kind)

    def clear_routes(self, alias: str, family: str) -> None:
        self.library.standin_clear_routes(self._luid(alias), FAMILIES[family])

    def fill_routes(self, count: int) -> None:
        """Puts so many other routes into the table, before and after the default routes."""
        self.library.standin_fill_routes(count)

    def stack(self, higher: str, lower: str) -> None:
        self.library.standin_add_stack(self.indexes[higher], self.indexes[lower])

    def report(self, alias: str, family: str, kind: int = CHANGED) -> None:
        """Calls back in a thread of the system; returns when the callbacks have returned."""
        self.library.standin_notify(self._luid(alias), self.indexes[alias], FAMILIES[family], kind)

    def report_twice(self, alias: str, family: str, first: int = CHANGED, second: int = CHANGED) -> None:
        """Calls back in two threads at once."""
        self.library.standin_notify_twice(self._luid(alias), self.indexes[alias], FAMILIES[family], first, second)

    def report_address(self, alias: str, address: str, kind: int = CHANGED) -> None:
        known = ip_interface(address)
        family = FAMILIES["inet" if known.version == 4 else "inet6"]
        octets = known.ip.packed
        self.library.standin_notify_address(self._luid(alias), self.indexes[alias], family, kind, octets)

    def report_route(self, alias: str, next_hop: str, kind: int = CHANGED, *, prefix_length: int = 0) -> None:
        hop = ip_address(next_hop)
        family = FAMILIES["inet" if hop.version == 4 else "inet6"]
        self.library.standin_notify_route(
            self._luid(alias), self.indexes[alias], family, kind, hop.packed, prefix_length
        )

    def initial(self, mode: int) -> None:
        """Sets when the initial call comes: 0 in the caller's thread, 1 in another, before the handle, 2 later."""
        self.library.standin_initial_mode(mode)

    def release_initial(self) -> None:
        self.library.standin_release_initial()

    def fail(self, function: str, code: int, times: int = 1, family: str | None = None) -> None:
        """Makes this function return an error code; -1 times is always."""
        number = -1 if family is None else FAMILIES[family]
        self.library.standin_fail(function.encode(), number, code, times)

    def storm(self, changes: int, seed: int) -> None:
        self.library.standin_storm(changes, seed)

    def _luid(self, alias: str) -> int:
        """Returns an Ethernet LUID that is made of the alias, so it is the same when the interface is added again."""
        return int(
            make_luid(6, 0x8000 + sum(ord(letter) * 31**place for place, letter in enumerate(alias)) % 0x7FFF), 16
        )

    def _new(self, kind: type[Any]) -> Any:
        return kind()


def library(name: str) -> Any:
    """Loads a library whose functions release the GIL while they run."""
    if sys.platform != "win32":
        raise RuntimeError(f"{name} is a library for Windows")
    return ctypes.WinDLL(name)


def cancel_forgotten() -> None:
    """Cancels each registration that a test has left."""
    for found in gc.get_objects():
        if isinstance(found, Registration):
            found.cancel()


@contextmanager
def prepared() -> Iterator[StandIn]:
    """Yields a clean stand-in. At the end no table or registration is left, and no free or cancel was wrong."""
    standin = StandIn()
    yield standin
    left = standin.counters
    assert (left.tables, left.registrations, left.running, left.bad_frees) == (0, 0, 0, 0)
    assert (left.cancels_inside, left.cancels_null, left.cancels_unknown) == (0, 0, 0)


_ARGUMENTS: dict[str, list[Any]] = {
    "standin_clear_addresses": [ctypes.c_uint64],
    "standin_clear_routes": [ctypes.c_uint64, ctypes.c_uint32],
    "standin_hide": [ctypes.c_uint64, ctypes.c_uint32, ctypes.c_int32],
    "standin_read_as": [ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint32],
    "standin_remove_interface": [ctypes.c_uint64],
    "standin_remove_ip": [ctypes.c_uint64, ctypes.c_uint32],
    "standin_notify": [ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_int32],
    "standin_notify_address": [ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_int32, ctypes.c_char_p],
    "standin_notify_route": [
        ctypes.c_uint64,
        ctypes.c_uint32,
        ctypes.c_uint32,
        ctypes.c_int32,
        ctypes.c_char_p,
        ctypes.c_uint8,
    ],
    "standin_notify_twice": [ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_int32, ctypes.c_int32],
}
