"""Waking a thread that waits for descriptors, from any other thread."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

assert sys.platform == "linux"


class Wakeup:
    """Rings, any number of times, until it is ended. An eventfd (eventfd(2)), so that nobody polls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._waited_for = False
        self.closed = False

    @contextmanager
    def waited_for(self) -> Iterator[int | None]:
        """The descriptor, readable when it rang, while somebody waits for it; None when it was ended before."""
        with self._lock:
            self._waited_for = not self.closed
            fd = self._fd if self._waited_for else None
        try:
            yield fd
        finally:
            self._release()

    def ring(self) -> None:
        """Wake who waits; from any thread."""
        with self._lock:
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def end(self) -> None:
        """Ring for the last time; from any thread, harmless when repeated."""
        with self._lock:
            self.closed = True
            waited_for = self._waited_for
        if waited_for:
            self.ring()
        else:
            self._release()

    def _release(self) -> None:
        with self._lock:
            self.closed = True
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


def rang(fd: int) -> bool:
    """Whether it rang since the last call."""
    try:
        os.eventfd_read(fd)
    except BlockingIOError:
        return False
    return True
