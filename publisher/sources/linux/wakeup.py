"""Wakes a thread that waits for file descriptors, on a request of any thread or signal handler; detects a suspend."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ...events import Cause

assert sys.platform == "linux"

# Seconds by which the clocks may drift apart without a suspend.
_DRIFT = 0.5


class Wakeup:
    """An eventfd (eventfd(2)) that becomes readable with each request, until it is closed.

    The lock is reentrant, since a signal handler runs between any two steps of the thread that it interrupts.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._opened = False
        self._causes: list[Cause] = []
        self.closed = False

    @contextmanager
    def open(self) -> Iterator[int | None]:
        """Yields the descriptor, readable after each request; None when it was closed before."""
        with self._lock:
            self._opened = not self.closed
            fd = self._fd if self._opened else None
        try:
            yield fd
        finally:
            self._release()

    def wake(self) -> None:
        """Makes the descriptor readable."""
        with self._lock:
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def request_resync(self, cause: Cause) -> None:
        """Adds a cause for which everything is to be read, and wakes."""
        with self._lock:
            if cause not in self._causes:
                self._causes.append(cause)
            self.wake()

    def take(self) -> list[Cause]:
        """Returns the requested causes and makes the descriptor unreadable, until the next request."""
        with self._lock:
            try:
                os.eventfd_read(self._fd)
            except BlockingIOError:
                return []
            causes, self._causes = self._causes, []
            return causes

    def close(self) -> None:
        """Wakes for the last time; harmless when repeated."""
        with self._lock:
            self.closed = True
            if self._opened:
                self.wake()
            else:
                self._release()

    def abandon(self) -> None:
        """Releases the descriptor in a child process after a fork, without a wake: the parent has the same one.

        The lock is a new one: a thread that the child does not have may hold the old one.
        """
        self._lock = threading.RLock()
        self._release()

    def _release(self) -> None:
        with self._lock:
            self.closed = True
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)


def _elapsed() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clocks(NamedTuple):
    """Two clocks, in seconds: `running` stands still while the system is suspended, `elapsed` does not."""

    running: Callable[[], float] = time.monotonic
    elapsed: Callable[[], float] = _elapsed


class SuspendDetector:
    """Detects that the system was suspended."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._suspended = clocks.elapsed() - clocks.running()

    def was_suspended(self) -> bool:
        """Returns whether the system was suspended since the last call."""
        before, self._suspended = self._suspended, self._clocks.elapsed() - self._clocks.running()
        return self._suspended - before > _DRIFT
