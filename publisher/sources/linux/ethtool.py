"""Requests to the drivers of links: ethtool's ioctl, and that of the wireless extensions. None needs a privilege."""

from __future__ import annotations

import array
import socket
import struct
import sys
from contextlib import suppress

from .rows import OFFLOAD_FEATURES, Offloads, offloads_of

if sys.platform == "linux":
    import fcntl

assert sys.platform == "linux"

_IFREQ = struct.Struct("@16sP16x")
_SIOCETHTOOL, _SIOCGIWNAME = 0x8946, 0x8B01
# include/uapi/linux/ethtool.h
_GET_SETTINGS, _GET_STRINGS, _GET_SET_SIZES, _GET_FEATURES = 0x1, 0x1B, 0x37, 0x3A
_SET_OF_FEATURES, _STRING_SIZE = 4, 32
_UNKNOWN_SPEEDS = (0, 0xFFFF, 0xFFFF_FFFF)


class DriverRequests:
    """The answers of drivers, by the name of a link in this network namespace; None is what one does not tell."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        with suppress(OSError):  # a sandbox forbids it: nothing is known then
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._settings = array.array("I", bytes(44))  # struct ethtool_cmd
        # The bits of OFFLOAD_FEATURES: the same for all links of a kernel, and read with the first one.
        self._bits: dict[str, int] = {}
        self._mask = 0
        self._features = array.array("I")  # struct ethtool_gfeatures
        # One object for all links with the same ones: most of a host's.
        self._offloads: dict[int, Offloads] = {}

    def speed(self, name: bytes) -> int | None:
        """Returns the speed of the link in bit/s."""
        self._settings[0] = _GET_SETTINGS
        if not self._request(name, self._settings):
            return None
        # Low half at byte 12, high half at byte 28, in Mbit/s.
        low, high = struct.unpack_from("=H", self._settings, 12)[0], struct.unpack_from("=H", self._settings, 28)[0]
        return known_speed(low | high << 16)

    def offloads(self, name: bytes) -> Offloads | None:
        """Returns what the link does for the protocols at present; `ethtool -K` changes it."""
        if not self._bits and not self._read_bits(name):
            return None
        request = self._features
        request[0], request[1] = _GET_FEATURES, (len(request) - 2) // 4
        if not self._request(name, request):
            return None
        active = 0
        for block, word in enumerate(request[4::4]):  # of each block: available, requested, active, never changed
            active |= word << 32 * block
        active &= self._mask
        if active not in self._offloads:
            self._offloads[active] = offloads_of({feature for feature, bit in self._bits.items() if active & bit})
        return self._offloads[active]

    def has_wireless_extensions(self, name: bytes) -> bool:
        """Returns whether the driver answers to the wireless extensions, as those of Wi-Fi do."""
        if self._socket is None:
            return False
        try:
            fcntl.ioctl(self._socket, _SIOCGIWNAME, bytearray(struct.pack("@16s24x", name)))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Releases the socket."""
        if self._socket is not None:
            self._socket.close()

    def _read_bits(self, name: bytes) -> bool:
        """Reads the names of all features; returns whether those of OFFLOAD_FEATURES are among them."""
        sizes = array.array("I", [_GET_SET_SIZES, 0, 1 << _SET_OF_FEATURES, 0, 0])
        if not self._request(name, sizes) or not (count := sizes[4]):
            return False
        strings = array.array("I", [_GET_STRINGS, _SET_OF_FEATURES, count, *[0] * (count * _STRING_SIZE // 4)])
        if not self._request(name, strings):
            return False
        text = strings[3:].tobytes()
        names = [text[at : at + _STRING_SIZE].split(b"\0")[0].decode() for at in range(0, len(text), _STRING_SIZE)]
        if not OFFLOAD_FEATURES.issubset(names):
            return False
        self._bits = {feature: 1 << names.index(feature) for feature in OFFLOAD_FEATURES}
        self._mask = sum(self._bits.values())
        self._features = array.array("I", bytes(4 * (2 + 4 * ((count + 31) // 32))))
        return True

    def _request(self, name: bytes, data: array.array[int]) -> bool:
        """Fills the data with the answer; returns False when there is none."""
        if self._socket is None:
            return False
        try:
            fcntl.ioctl(self._socket, _SIOCETHTOOL, bytearray(_IFREQ.pack(name, data.buffer_info()[0])))
        except OSError:
            return False
        return True


def known_speed(megabits: int) -> int | None:
    """Returns the speed of struct ethtool_cmd in bit/s; None for SPEED_UNKNOWN, also of 16 bits, and for 0."""
    return None if megabits in _UNKNOWN_SPEEDS else megabits * 1_000_000
