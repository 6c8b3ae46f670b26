"""The backoff between attempts, and the bounds of every pause."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

# No destination and no plugin can ask for a busy loop, or to be left alone for ever.
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 3600.0


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with full jitter: a random part of a limit that doubles with each failure in a row.

    Seconds. Many publishers that lost one broker do not come back to it all at once.
    """

    first: float = 1.0
    most: float = 300.0
    random: Callable[[], float] = random.random

    def delay(self, failures: int) -> float:
        """Returns the seconds to wait after so many failures in a row, from 1 up."""
        # Capped before it is raised: 2.0 ** 1024 is an OverflowError, after a week of failures.
        return self.random() * min(self.most, self.first * 2.0 ** min(failures - 1, 64))


def pause(own: float, asked: float | None = None) -> float:
    """Returns the seconds until the next attempt: the greater of the own backoff and what the destination asked for.

    It is one second at least, and an hour at most.
    """
    return min(max(own, asked or 0.0, SHORTEST_PAUSE), LONGEST_PAUSE)


def seconds_asked(value: object) -> float | None:
    """Returns the `after` of a Retry; raises ValueError for what is no length of time."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"its pause `after` is {value!r}: it must be a number of seconds")
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"its pause `after` is {value!r} s: it must be 0 or more, and finite")
    return min(float(value), LONGEST_PAUSE) if value < 1e300 else LONGEST_PAUSE
