"""Home Assistant's birth messages: after one, everything is announced again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from publisher import SinkContext

# 500 messages of 6 bytes caused 667 MB of answers (docs/mqtt.md).
_PAUSE_SECONDS = 30.0


class Births:
    """Has one announcement wait at a time, and leaves a pause between two.

    The first comes at random within `delay_seconds`, as Home Assistant asks for: every client of the broker receives a
    birth at the same moment.
    """

    def __init__(
        self,
        context: SinkContext,
        announce: Callable[[], None],
        delay_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context, self._announce, self._delay_seconds, self._clock = context, announce, delay_seconds, clock
        self._waits = False
        self._not_before = float("-inf")

    def take(self) -> None:
        """Takes a birth."""
        if not self._waits:
            self._waits = True
            pause = max(0.0, self._not_before - self._clock())
            self._context.call(self._run, pause + random.uniform(0, self._delay_seconds))

    def _run(self) -> None:
        # First, so that a birth during the announcement, which takes messages too, is followed by another one.
        self._waits = False
        self._not_before = self._clock() + _PAUSE_SECONDS
        self._announce()
