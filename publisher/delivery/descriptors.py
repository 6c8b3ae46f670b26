"""Waiting for a sink's descriptor and for the worker's wake-up together."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import sys
from typing import Literal

Found = Literal["readable", "closed"]

# poll(2) and select(2) take no more than some weeks; the worker waits again.
_LONGEST_SECONDS = 86400.0

if sys.platform == "win32":

    class _Poller:
        """Waits for one of two sockets."""

        def __init__(self, own: int) -> None:
            self._own = own

        def wait(self, descriptor: int, seconds: float | None) -> Found | None:
            try:
                return "readable" if descriptor in select.select([self._own, descriptor], [], [], seconds)[0] else None
            except OSError:  # one of them was closed, and ours is not
                return "closed"

else:

    class _Poller:
        """Waits for one of two descriptors. Not with select(2), which takes none from 1024 on."""

        def __init__(self, own: int) -> None:
            self._poll = select.poll()
            self._poll.register(own, select.POLLIN)
            self._descriptor: int | None = None

        def wait(self, descriptor: int, seconds: float | None) -> Found | None:
            if descriptor != self._descriptor:
                if self._descriptor is not None:
                    self._poll.unregister(self._descriptor)
                self._poll.register(descriptor, select.POLLIN)
                self._descriptor = descriptor
            for found, events in self._poll.poll(None if seconds is None else math.ceil(seconds * 1000)):
                if found == descriptor:
                    return "closed" if events & select.POLLNVAL else "readable"
            return None


class WakeUp:
    """A pair of sockets, since Windows waits for nothing else: one is readable after `wake`, until `clear`."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._poller = _Poller(self._reader.fileno())

    def wake(self) -> None:
        """Ends a `wait`. Any thread."""
        with contextlib.suppress(BlockingIOError):  # full: then it is readable anyway
            self._writer.send(b"\0")

    def clear(self) -> None:
        """Forgets the calls of `wake`."""
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)

    def wait(self, descriptor: int, seconds: float | None) -> Found | None:
        """Waits for `wake`, or until the descriptor can be read, a day at most; returns what is found of that.

        It is "closed" when it names nothing that is open: a connection that the other end closed can be read.
        """
        return self._poller.wait(descriptor, None if seconds is None else min(seconds, _LONGEST_SECONDS))

    def close(self) -> None:
        """Closes both sockets."""
        self._reader.close()
        self._writer.close()
