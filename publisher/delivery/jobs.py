"""What a sink asked to be done on its thread, now or later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from .backoff import Clock


class Jobs:
    """Jobs by the moment they are due; those of one moment in the order they came. Any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = count()
        self._waiting: list[tuple[float, int, Callable[[], object]]] = []

    def add(self, job: Callable[[], object], delay: float) -> None:
        """Have a job run after so many seconds."""
        with self._lock:
            heappush(self._waiting, (self._clock.monotonic() + delay, next(self._numbers), job))

    @property
    def next_due(self) -> float | None:
        """The clock's moment when the next is due; `None` when there is none."""
        with self._lock:
            return self._waiting[0][0] if self._waiting else None

    def take_due(self) -> list[Callable[[], object]]:
        """Those that are due now. One that adds itself again comes with the next call."""
        due = []
        with self._lock:
            now = self._clock.monotonic()
            while self._waiting and self._waiting[0][0] <= now:
                due.append(heappop(self._waiting)[2])
        return due
