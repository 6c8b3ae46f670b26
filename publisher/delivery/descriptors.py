"""Waiting for a sink's descriptor and for the worker's wake-up together."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import sys

# poll(2) and select(2) take no more than some weeks; the worker waits again.
_LONGEST_SECONDS = 86400.0

if sys.platform == "win32":

    def _readable(descriptors: list[int], seconds: float | None) -> list[int]:
        try:
            return select.select(descriptors, [], [], seconds)[0]
        except OSError:  # one of them was closed, and ours is not: poll(2) reports that as readable
            return descriptors

else:

    def _readable(descriptors: list[int], seconds: float | None) -> list[int]:
        # Not select(2), which takes no descriptor from 1024 on.
        poller = select.poll()
        for descriptor in descriptors:
            poller.register(descriptor, select.POLLIN)
        return [found for found, _ in poller.poll(None if seconds is None else math.ceil(seconds * 1000))]


class WakeUp:
    """A pair of sockets, since Windows waits for nothing else: one is readable after `wake`, until `clear`."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def wake(self) -> None:
        """Ends a `wait`. Any thread."""
        with contextlib.suppress(BlockingIOError):  # full: then it is readable anyway
            self._writer.send(b"\0")

    def clear(self) -> None:
        """Forgets the calls of `wake`."""
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)

    def wait(self, descriptor: int, seconds: float | None) -> bool:
        """Waits for `wake`, or until the descriptor can be read, a day at most; returns whether it can."""
        bounded = None if seconds is None else min(seconds, _LONGEST_SECONDS)
        return descriptor in _readable([self._reader.fileno(), descriptor], bounded)

    def close(self) -> None:
        """Closes both sockets."""
        self._reader.close()
        self._writer.close()
