"""Details of a link that are not in rtnetlink, or cost a dump there: files under /proc/sys/net, and ethtool's ioctl.

/proc/sys/net shows the network namespace of the thread that reads. What cannot be read is None.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import sys
from contextlib import suppress

from ...events import Family
from .rows import PathMtuTimes, Times

if sys.platform == "linux":
    import fcntl

assert sys.platform == "linux"

_PROC = b"/proc/sys/net/"
_IFREQ = struct.Struct("@16sP16x")
_SIOCETHTOOL, _ETHTOOL_GSET, _SIOCGIWNAME = 0x8946, 0x1, 0x8B01
_UNKNOWN_SPEEDS = (0, 0xFFFF, 0xFFFF_FFFF)


class SystemDetails:
    """The LinkDetails of this system, by the name of a link (2 to 15 µs each)."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._command = array.array("I", bytes(44))  # struct ethtool_cmd

    def speed(self, name: bytes) -> int | None:
        """Returns the speed of the link in bit/s; None when its driver does not report it."""
        self._command[0] = _ETHTOOL_GSET
        request = bytearray(_IFREQ.pack(name, self._command.buffer_info()[0]))
        try:
            fcntl.ioctl(self._socket, _SIOCETHTOOL, request)
        except OSError:
            return None
        # Low half at byte 12, high half at byte 28, in Mbit/s.
        low, high = struct.unpack_from("=H", self._command, 12)[0], struct.unpack_from("=H", self._command, 28)[0]
        return known_speed(low | high << 16)

    def is_wireless(self, name: bytes, index: int) -> bool:
        """Returns whether it is Wi-Fi: by the wireless extensions, else by sysfs if it shows this very link."""
        with suppress(OSError):
            fcntl.ioctl(self._socket, _SIOCGIWNAME, bytearray(struct.pack("@16s24x", name)))
            return True
        directory = b"/sys/class/net/" + name
        # /sys may be that of another network namespace (docs/linux.md, trap 8).
        return _number(directory + b"/ifindex") == index and os.path.exists(directory + b"/phy80211")  # noqa: PTH110 - bytes

    def times(self, family: Family, name: bytes) -> Times:
        """Returns the neighbour parameters of a family; the current reachable time is not among these files."""
        directory = _PROC + (b"ipv4" if family == "inet" else b"ipv6") + b"/neigh/" + name
        return Times(_number(directory + b"/base_reachable_time_ms"), _number(directory + b"/retrans_time_ms"))

    def path_mtu_times(self) -> PathMtuTimes:
        """Returns net.ipv4.route.mtu_expires and net.ipv6.route.mtu_expires, which are in seconds, in ms."""
        seconds = (_number(_PROC + family + b"/route/mtu_expires") for family in (b"ipv4", b"ipv6"))
        return PathMtuTimes(*(value if value is None else value * 1000 for value in seconds))

    def close(self) -> None:
        """Releases the socket."""
        self._socket.close()


def known_speed(megabits: int) -> int | None:
    """Returns the speed of struct ethtool_cmd in bit/s; None for SPEED_UNKNOWN, also of 16 bits, and for 0."""
    return None if megabits in _UNKNOWN_SPEEDS else megabits * 1_000_000


def _number(path: bytes) -> int | None:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a path of any bytes
            return int(file.read())
    except (OSError, ValueError):
        return None
