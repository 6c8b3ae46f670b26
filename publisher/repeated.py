"""A line of the log that may have cause to come very often."""

from __future__ import annotations

import time
from collections.abc import Callable

from .sink import Log

_AGAIN_SECONDS = 60.0


class RepeatedWarning:
    """A warning that is logged at once, then at most once a minute, with the number of times. One thread."""

    def __init__(self, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._logged_at = float("-inf")
        self._times = 0

    def warn(self, text: str, *arguments: object) -> None:
        """Counts, and logs this text if it is time; what was counted since the last line is added."""
        self._times += 1
        since = self._clock() - self._logged_at
        if since < _AGAIN_SECONDS:
            return
        if self._times > 1:
            text, arguments = f"{text} (%d times in %.0f s)", (*arguments, self._times, since)
        self._log.warning(text, *arguments)
        self._logged_at, self._times = self._clock(), 0
