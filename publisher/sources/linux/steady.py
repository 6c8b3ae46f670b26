"""A steady stream of messages, of which more are let come before they are received."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable

assert sys.platform == "linux"

# Turns in a row that found messages waiting already: a change that comes alone, or with a few others, is not held up.
STEADY_TURNS = 8
MOMENT = 0.003
"""Seconds for which messages are let come: 8 at 5,000 events/s. The receive buffer of an ordinary user holds 92."""


class SteadyStream:
    """Lets the messages of a moment come together while they come faster than they are applied. One thread.

    A change that is applied alone costs twice as much as one of ten, since each list of updates is a transaction and a
    turn of each sink. With a processor that is busy anyway, the moment delays nothing (docs/performance.md).
    """

    def __init__(self, descriptor: int, sleep: Callable[[float], object] = time.sleep) -> None:
        """`descriptor` can be read while a message waits."""
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._sleep = sleep
        self._turns = 0

    def turn(self, *, had_updates: bool) -> None:
        """Notes a turn, which had updates or none; sleeps for a moment in a steady stream."""
        self._turns = self._turns + 1 if had_updates and self._poll.poll(0) else 0
        if self._turns > STEADY_TURNS:
            self._sleep(MOMENT)
