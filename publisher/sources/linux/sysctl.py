"""What rtnetlink is silent about: files under /proc/sys/net, told by inotify where that is cheap, and drivers' ioctls.

/proc/sys/net shows the network namespace of the thread that looks. Everything here is best effort by design: what
cannot be had is `None`, and the reconcile finds what inotify misses (netlink-made changes, writers with a /proc of
their own).
"""

from __future__ import annotations

import array
import ctypes
import os
import socket
import struct
import sys
from contextlib import suppress
from typing import NamedTuple

from ...events import Family
from .rows import PathMtuTimes, Times

if sys.platform == "linux":
    import fcntl

assert sys.platform == "linux"

_PROC = b"/proc/sys/net/"
_PER_INTERFACE = (b"ipv4/conf/", b"ipv6/conf/", b"ipv4/neigh/", b"ipv6/neigh/")
# A write to `default` changes interfaces that were never set; one to `all` may change each (Documentation: ip-sysctl).
_FOR_ALL = (b"ipv4/route", b"ipv6/route", *(d + n for d in _PER_INTERFACE[:2] for n in (b"all", b"default")))
_IN_MODIFY, _IN_Q_OVERFLOW = 0x2, 0x4000
_EVENT = struct.Struct("=iIII")
_IFREQ = struct.Struct("@16sP16x")
_SIOCETHTOOL, _ETHTOOL_GSET, _SIOCGIWNAME = 0x8946, 0x1, 0x8B01
_UNKNOWN_SPEEDS = (0, 0xFFFF, 0xFFFF_FFFF)


class Hardware:
    """What is not in netlink or takes a dump there: read by the interface's name, quick (2 to 15 µs each)."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._command = array.array("I", bytes(44))  # struct ethtool_cmd

    def speed(self, name: bytes) -> int | None:
        """The link's speed in bit/s as its driver says; None when it does not."""
        self._command[0] = _ETHTOOL_GSET
        request = bytearray(_IFREQ.pack(name, self._command.buffer_info()[0]))
        try:
            fcntl.ioctl(self._socket, _SIOCETHTOOL, request)
        except OSError:
            return None
        # Low half at byte 12, high half at byte 28, in Mbit/s.
        low, high = struct.unpack_from("=H", self._command, 12)[0], struct.unpack_from("=H", self._command, 28)[0]
        megabits = low | high << 16
        return None if megabits in _UNKNOWN_SPEEDS else megabits * 1_000_000

    def is_wireless(self, name: bytes, index: int) -> bool:
        """Whether it is Wi-Fi: by the wireless extensions, else by sysfs if that is about this very interface."""
        with suppress(OSError):
            fcntl.ioctl(self._socket, _SIOCGIWNAME, bytearray(struct.pack("@16s24x", name)))
            return True
        directory = b"/sys/class/net/" + name
        # /sys may be that of another network namespace (linux.md, trap 8).
        return _number(directory + b"/ifindex") == index and os.path.exists(directory + b"/phy80211")  # noqa: PTH110 - bytes

    def times(self, family: Family, name: bytes) -> Times:
        """The neighbour parameters of a family; the reachable time of the moment is not among these files."""
        directory = _PROC + (b"ipv4" if family == "inet" else b"ipv6") + b"/neigh/" + name
        return Times(_number(directory + b"/base_reachable_time_ms"), _number(directory + b"/retrans_time_ms"))

    def path_mtu_times(self) -> PathMtuTimes:
        """net.ipv4.route.mtu_expires and net.ipv6.route.mtu_expires, which are in seconds."""
        seconds = (_number(_PROC + family + b"/route/mtu_expires") for family in (b"ipv4", b"ipv6"))
        return PathMtuTimes(*(value if value is None else value * 1000 for value in seconds))

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()


class Modified(NamedTuple):
    """Interfaces of which a setting was written, and whether one was that may concern every interface."""

    indexes: set[int]
    all: bool


class Watches:
    """Writes of silent settings, as they happen, by inotify on at most `most` interfaces (4 watches each, 0.8 KB)."""

    def __init__(self, most: int = 1024) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._most = most
        self._fd = int(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._index: dict[int, int] = {}
        self._of: dict[int, tuple[bytes, list[int]]] = {}
        for directory in _FOR_ALL if self._fd >= 0 else ():
            self._add(_PROC + directory, 0)

    def fileno(self) -> int:
        """Readable when something was written; -1 where there is no inotify."""
        return self._fd

    def keep(self, index: int, name: bytes) -> None:
        """Watch this interface, if it is not watched by this name: a rename ends its watches without a word."""
        known = self._of.get(index)
        if known is not None and known[0] == name:
            return
        self.forget(index)
        if self._fd >= 0 and len(self._of) < self._most:
            added = [self._add(_PROC + directory + name, index) for directory in _PER_INTERFACE]
            self._of[index] = name, [watch for watch in added if watch >= 0]

    def keep_only(self, names: dict[int, bytes]) -> None:
        """Watch these interfaces and no others."""
        for index in self._of.keys() - names.keys():
            self.forget(index)
        for index, name in names.items():
            self.keep(index, name)

    def complete(self, index: int) -> bool:
        """Whether all that there may be of this interface is watched."""
        known = self._of.get(index)
        return known is not None and len(known[1]) == len(_PER_INTERFACE)

    def forget(self, index: int) -> None:
        """Stop watching this interface; harmless when it is not watched."""
        _, watches = self._of.pop(index, (b"", ()))
        for watch in watches:
            self._index.pop(watch, None)
            self._libc.inotify_rm_watch(self._fd, watch)

    def modified(self) -> Modified:
        """What was written since the last call, without blocking."""
        indexes: set[int] = set()
        everything = False
        with suppress(BlockingIOError):
            while True:
                data = os.read(self._fd, 65536)
                start = 0
                while start < len(data):
                    watch, mask, _, length = _EVENT.unpack_from(data, start)
                    start += _EVENT.size + length
                    index = self._index.get(watch, -1)
                    everything = everything or index == 0 or bool(mask & _IN_Q_OVERFLOW)
                    indexes.add(index)
        return Modified({index for index in indexes if index > 0}, everything)

    def close(self) -> None:
        """End all watches."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _add(self, path: bytes, index: int) -> int:
        # Failing is expected: no IPv6, gone meanwhile, or the user's limit of watches: then the reconcile finds it.
        watch = int(self._libc.inotify_add_watch(self._fd, path, _IN_MODIFY))
        if watch >= 0:
            self._index[watch] = index
        return watch


def _number(path: bytes) -> int | None:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a path of any bytes
            return int(file.read())
    except (OSError, ValueError):
        return None
