"""The part of the calls that is one for the process: the system behind them, and the cancels that wait."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from ..errors import NotSupportedError
from .registration import CancelWaits
from .system import System, refusal

# Not in the first call: a child that is forked while another thread imports a module could never import it.
if sys.platform == "win32":
    from .windows import WindowsSystem
elif sys.platform == "linux":
    from .linux import LinuxSystem


def own_system() -> System:
    """Returns a new object for this operating system; raises NotSupportedError on one that has no such calls."""
    if sys.platform == "win32":
        return WindowsSystem()
    if sys.platform == "linux":
        return LinuxSystem()
    text = f"publisher.netioapi works on Linux and on Windows, not on {sys.platform!r}"
    raise refusal(NotSupportedError, text)


class Process:
    """One system for the process, since a LUID has to mean the same in each call. Any thread.

    After `os.fork()` the child has none of the parent's threads, and locks that these held stay locked for ever: there
    everything but the known LUIDs is made anew.
    """

    def __init__(self, make: Callable[[], System] = own_system) -> None:
        self._make = make
        self._making = threading.Lock()
        self._system: System | None = None
        self.waits = CancelWaits()
        if sys.platform != "win32":
            # Before the first call: another thread may fork while that holds the lock.
            os.register_at_fork(after_in_child=self._after_fork)

    def system(self) -> System:
        """Returns the system; the first call makes it."""
        with self._making:
            if self._system is None:
                self._system = self._make()
            return self._system

    def _after_fork(self) -> None:
        self._making = threading.Lock()
        self.waits = CancelWaits()
        if self._system is not None:
            self._system.after_fork()
