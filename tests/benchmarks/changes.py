"""Changes of MTUs by SIOCSIFMTU, netdevice(7).

The program `python -m tests.benchmarks.changes COUNT RATE FIRST NAME...` makes COUNT changes, one link after the other,
at RATE in a second (0: as quickly as it can), and prints the moments, by time.perf_counter, of the first and the last.
Each link's MTU is FIRST at its first change, and rises by one with each.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Self

from tests.fixtures.netns import NetNs

_SIOCSIFMTU = 0x8922  # linux/sockios.h


class Mtu:
    """Sets the MTU of links, in the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._control = socket.socket()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()

    def set(self, name: str, mtu: int) -> float:
        """Changes it; returns the moment just before the call."""
        if sys.platform == "win32":
            raise OSError("fcntl is POSIX's")
        import fcntl

        request = struct.pack("16si12x", name.encode(), mtu)
        begun = time.perf_counter()
        fcntl.ioctl(self._control, _SIOCSIFMTU, request)
        return begun


def make(count: int, rate: float, first: int, names: Sequence[str]) -> tuple[float, float]:
    """Makes the changes; returns the moments before the first and after the last."""
    begun = time.perf_counter()
    with Mtu() as mtu:
        for number in range(count):
            if rate and (early := begun + number / rate - time.perf_counter()) > 0:
                time.sleep(early)
            mtu.set(names[number % len(names)], first + number // len(names))
    return begun, time.perf_counter()


def making(netns: NetNs, count: int, rate: float, first: int, names: Sequence[str]) -> subprocess.Popen[bytes]:
    """Starts the program in the namespace."""
    command = [sys.executable, "-m", __name__, str(count), str(rate), str(first), *names]
    return netns.popen(command, stdout=subprocess.PIPE)


def moments(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Waits for the end of the program; returns the moments of its first and its last change."""
    output, _ = process.communicate()
    begun, ended = map(float, output.split())
    return begun, ended


if __name__ == "__main__":
    print(*make(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
