"""A steady stream of messages, of which more are let come before they are received."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable

assert sys.platform == "linux"

# So many more turns that found messages waiting than turns that did not: a change that comes alone, or with a few
# others, is not held up.
STEADY_TURNS = 8
MOMENT = 0.003
"""Seconds for which messages are let come: 8 at 5,000 events/s. The receive buffer of an ordinary user holds 92."""


class SteadyStream:
    """Lets the messages of a moment come together while they come faster than they are applied. One thread.

    A change that is applied alone costs twice as much as one of ten, since each list of updates is a transaction and a
    turn of each sink. With a processor that is busy anyway, the moment delays nothing (docs/performance.md).

    Where each change is made when the one before has arrived, one may wait at each turn, and never two: a moment in
    which no second one came is the last one for a while.
    """

    def __init__(self, descriptor: int, sleep: Callable[[float], object] = time.sleep) -> None:
        """`descriptor` can be read while a message waits."""
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._sleep = sleep
        self._turns = 0
        self._slept = False

    def turn(self, applied: int) -> None:
        """Notes a turn, which applied so many messages; sleeps for a moment in a steady stream."""
        waits = applied > 0 and bool(self._poll.poll(0))
        if self._slept and applied < 2:
            self._turns = 0
        self._turns = min(self._turns + 1, 2 * STEADY_TURNS) if waits else max(self._turns - 1, 0)
        self._slept = waits and self._turns > STEADY_TURNS
        if self._slept:
            self._sleep(MOMENT)
