"""The clocks of a source, and the detection of a suspend by their difference."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import NamedTuple

assert sys.platform == "linux"

# Seconds by which the clocks may drift apart without a suspend.
_DRIFT = 0.5


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
