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
SHORTEST, LONGEST = 0.003, 0.02
"""Seconds for which messages are let come: 8 at 5,000 events/s, or 50."""
EACH = 30e-6
"""Seconds for each message that the receive buffer can hold: 2.8 ms for the 92 of an ordinary user."""


class SteadyStream:
    """Lets the messages of a moment come together while they come faster than they are applied. One thread.

    A change that is applied alone costs twice as much as one of ten, and three times as much as one of a hundred, since
    each list of updates is a transaction and a turn of each sink. The moment is as long as the thread has worked since
    the last turn, within its bounds: with a processor that is busy anyway, it delays nothing (docs/performance.md).

    Where each change is made when the one before has arrived, one may wait at each turn, and never two: a moment in
    which no second one came is the last one for a while.
    """

    def __init__(
        self,
        descriptor: int,
        capacity: int,
        sleep: Callable[[float], object] = time.sleep,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        """`descriptor` can be read while a message waits, of which so many can; `cpu` is the time of this thread."""
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._longest = min(LONGEST, EACH * capacity)
        self._sleep = sleep
        self._cpu = cpu
        self._cpu_before = 0.0
        self._turns = 0
        self._slept = False

    def turn(self, applied: int) -> None:
        """Notes a turn, which applied so many messages; sleeps for a moment in a steady stream."""
        waits = applied > 0 and bool(self._poll.poll(0))
        if self._slept and applied < 2:
            self._turns = 0
        self._turns = min(self._turns + 1, 2 * STEADY_TURNS) if waits else max(self._turns - 1, 0)
        self._slept = waits and self._turns > STEADY_TURNS
        before, self._cpu_before = self._cpu_before, self._cpu()
        if self._slept:
            self._sleep(min(max(SHORTEST, self._cpu_before - before), self._longest))
