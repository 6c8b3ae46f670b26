"""The log of a sink's failures: one warning for each kind of trouble, and one line when it is over."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..errors import described
from ..sink import Log
from .calls import is_expected

# A destination that fails in ever new words does not fill the log: after so many kinds, the rest is debug output.
_MOST_KINDS = 10
_NUMBER = re.compile(r"\d+")


class Troubles:
    """Counts failures in a row, and logs the first of each kind. One thread."""

    def __init__(self, log: Log, mask: Callable[[str], str], monotonic: Callable[[], float]) -> None:
        self._log = log
        self._mask = mask
        self._monotonic = monotonic
        self._kinds: set[str] = set()
        self._since = 0.0
        self.failures = 0
        """The failures since the last success."""

    def add(self, error: BaseException) -> str:
        """Counts a failure; returns its text without secrets."""
        self._since = self._since if self.failures else self._monotonic()
        self.failures += 1
        return self._mask(described(error))

    def report(self, what: str, error: BaseException, text: str, pause: float) -> None:
        """Logs a failure that was added: a warning when this kind is new since the last success, else debug output."""
        kind = _NUMBER.sub("#", f"{what} {text}")
        is_new = kind not in self._kinds and len(self._kinds) < _MOST_KINDS
        self._kinds.add(kind)
        log = self._log.warning if is_new else self._log.debug
        trace = None if is_expected(error) or not is_new else error
        log("%s (attempt %d, next in %.1f s): %s", what, self.failures, pause, text, exc_info=trace)

    def over(self) -> None:
        """Logs that it works again, if it did not."""
        if self.failures:
            seconds = self._monotonic() - self._since
            self._log.info("works again, after %d failed attempts in %.0f s", self.failures, seconds)
        self.failures = 0
        self._kinds.clear()
