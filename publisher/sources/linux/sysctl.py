"""Details of a link that are not in rtnetlink, or cost a dump there: from files, and from its driver.

Writes to files under /proc/sys/net are noticed by inotify(7). /proc/sys/net shows the network namespace of the thread
that reads, or that adds a watch. What cannot be read is None.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from contextlib import suppress
from typing import NamedTuple

from ...events import Family
from .rows import PathMtuTimes, Times

if sys.platform == "linux":
    from .ethtool import DriverRequests

assert sys.platform == "linux"

_PROC = b"/proc/sys/net/"
_PER_INTERFACE = (b"ipv4/conf/", b"ipv6/conf/", b"ipv4/neigh/", b"ipv6/neigh/")
# A write to `default` changes interfaces that were never set; one to `all` may change each (Documentation: ip-sysctl).
_FOR_ALL = (b"ipv4/route", b"ipv6/route", *(d + n for d in _PER_INTERFACE[:2] for n in (b"all", b"default")))
_IN_MODIFY, _IN_Q_OVERFLOW = 0x2, 0x4000
_EVENT = struct.Struct("=iIII")
_FUNCTIONS = {
    "inotify_init1": [ctypes.c_int],
    "inotify_add_watch": [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32],
    "inotify_rm_watch": [ctypes.c_int, ctypes.c_int],
}


class SystemDetails:
    """The LinkDetails of this system, by the name of a link (2 to 15 µs each)."""

    def __init__(self) -> None:
        self._driver = DriverRequests()
        self._files = SmallFiles()
        self.speed = self._driver.speed
        self.offloads = self._driver.offloads
        self._number = self._files.number

    def is_wireless(self, name: bytes, index: int) -> bool:
        """Returns whether it is Wi-Fi: by the wireless extensions, else by sysfs if it shows this very link."""
        if self._driver.has_wireless_extensions(name):
            return True
        directory = b"/sys/class/net/" + name
        # /sys may be that of another network namespace (docs/linux.md, trap 8).
        return self._number(directory + b"/ifindex") == index and os.path.exists(directory + b"/phy80211")  # noqa: PTH110 - bytes

    def dev_port(self, name: bytes, index: int) -> int | None:
        """Returns the number of the port on its card, if sysfs shows this very link."""
        directory = b"/sys/class/net/" + name
        return self._number(directory + b"/dev_port") if self._number(directory + b"/ifindex") == index else None

    def times(self, family: Family, name: bytes) -> Times:
        """Returns the neighbour parameters of a family; the current reachable time is not among these files."""
        directory = _PROC + (b"ipv4" if family == "inet" else b"ipv6") + b"/neigh/" + name
        return Times(
            self._number(directory + b"/base_reachable_time_ms"), self._number(directory + b"/retrans_time_ms")
        )

    def path_mtu_times(self) -> PathMtuTimes:
        """Returns net.ipv4.route.mtu_expires and net.ipv6.route.mtu_expires, which are in seconds, in ms."""
        seconds = (self._number(_PROC + family + b"/route/mtu_expires") for family in (b"ipv4", b"ipv6"))
        return PathMtuTimes(*(value if value is None else value * 1000 for value in seconds))

    def can_wake(self, bus: bytes, device: bytes, root: bytes = b"/sys") -> bool | None:
        """Returns whether this device, the parent of a link, can wake the host; None where sysfs does not tell.

        /sys/bus is the same in every network namespace, /sys/class/net is not.
        """
        try:
            text = self._files.read(root + b"/bus/" + bus + b"/devices/" + device + b"/power/wakeup")
        except OSError:
            return None
        return text.strip() in (b"enabled", b"disabled")  # older kernels show an empty line for others

    def close(self) -> None:
        """Releases the socket and the descriptor."""
        self._driver.close()
        self._files.close()


class Inotify:
    """The system calls; each raises OSError."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        for name, arguments in _FUNCTIONS.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = arguments, ctypes.c_int
        self.fd = self._call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)

    def add_watch(self, path: bytes, mask: int) -> int:
        """Returns the number of the watch."""
        return self._call("inotify_add_watch", self.fd, path, mask)

    def remove_watch(self, watch: int) -> None:
        """Ends a watch."""
        self._call("inotify_rm_watch", self.fd, watch)

    def close(self) -> None:
        """Ends all watches."""
        os.close(self.fd)

    def _call(self, name: str, *arguments: object) -> int:
        result = int(getattr(self._library, name)(*arguments))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result


class Modified(NamedTuple):
    """The interfaces of which a setting was written, and whether one was that may concern every interface."""

    indexes: set[int]
    all: bool


class SettingWatches:
    """Watches on the settings of at most `most` interfaces (4 watches each, 0.8 KB).

    Everything is best effort: where inotify is not available or a watch is refused, the reconcile finds the change.
    """

    def __init__(self, most: int = 1024) -> None:
        self._most = most
        self._index: dict[int, int] = {}
        self._watched: dict[int, tuple[bytes, list[int]]] = {}
        self._inotify: Inotify | None = None
        with suppress(OSError):
            self._inotify = Inotify()
        for directory in _FOR_ALL:
            self._add(_PROC + directory, 0)

    def fileno(self) -> int:
        """Returns the descriptor, readable when something was written; -1 where there is no inotify."""
        return self._inotify.fd if self._inotify else -1

    @property
    def has_room(self) -> bool:
        """True while more interfaces may be watched."""
        return self._inotify is not None and len(self._watched) < self._most

    def keep(self, index: int, name: bytes) -> None:
        """Watches this interface, if it is not watched by this name: a rename ends its watches without an event."""
        known = self._watched.get(index)
        if known is not None and known[0] == name:
            return
        self.forget(index)
        if self.has_room:
            added = [self._add(_PROC + directory + name, index) for directory in _PER_INTERFACE]
            self._watched[index] = name, [watch for watch in added if watch is not None]

    def keep_only(self, names: dict[int, bytes]) -> None:
        """Watches these interfaces and no others."""
        for index in self._watched.keys() - names.keys():
            self.forget(index)
        for index, name in names.items():
            self.keep(index, name)

    def complete(self, index: int) -> bool:
        """Returns whether every directory of this interface is watched."""
        known = self._watched.get(index)
        return known is not None and len(known[1]) == len(_PER_INTERFACE)

    def forget(self, index: int) -> None:
        """Stops watching this interface; harmless when it is not watched."""
        _, watches = self._watched.pop(index, (b"", ()))
        for watch in watches:
            self._index.pop(watch, None)
            if self._inotify:
                with suppress(OSError):  # EINVAL: it ended with its directory
                    self._inotify.remove_watch(watch)

    def modified(self) -> Modified:
        """Returns what was written since the last call, without blocking."""
        indexes: set[int] = set()
        everything = False
        with suppress(BlockingIOError):
            while True:
                data = os.read(self.fileno(), 65536)
                start = 0
                while start < len(data):
                    watch, mask, _, length = _EVENT.unpack_from(data, start)
                    start += _EVENT.size + length
                    index = self._index.get(watch, -1)
                    everything = everything or index == 0 or bool(mask & _IN_Q_OVERFLOW)
                    indexes.add(index)
        return Modified({index for index in indexes if index > 0}, everything)

    def close(self) -> None:
        """Ends all watches."""
        # A fork may come between any two steps: the child must not close the descriptor once more.
        inotify, self._inotify = self._inotify, None
        if inotify:
            inotify.close()

    def _add(self, path: bytes, index: int) -> int | None:
        if self._inotify is None:
            return None
        try:
            watch = self._inotify.add_watch(path, _IN_MODIFY)
        except OSError:
            return None  # ENOENT: no IPv6, or removed meanwhile; ENOSPC: fs.inotify.max_user_watches is reached
        self._index[watch] = index
        return watch


class SmallFiles:
    """Reads files, also while the process has no descriptor left: one is kept for that. One thread at a time.

    A setting that cannot be read is not known, and that would be an event; a port that is not known, another LUID.
    """

    def __init__(self) -> None:
        self._spare: int | None = None

    def read(self, path: bytes) -> bytes:
        """Returns the content; raises OSError."""
        if self._spare is None:
            self._keep()
        try:
            return _content(path)
        except OSError as error:
            if error.errno != errno.EMFILE or self._spare is None:
                raise
        self.close()
        try:
            return _content(path)
        finally:
            self._keep()

    def number(self, path: bytes) -> int | None:
        """Returns the number that is the content; `None` when there is none."""
        try:
            return int(self.read(path))
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Gives the descriptor back."""
        spare, self._spare = self._spare, None
        if spare is not None:
            os.close(spare)

    def _keep(self) -> None:
        with suppress(OSError):  # another thread was quicker: the next read tries again
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def _content(path: bytes) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a path of any bytes
        return file.read()
