"""The backoff between attempts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


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
