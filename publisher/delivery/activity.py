"""The call of a plugin that a thread is in, and since when, so that one that does not return is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ..sink import Log

# A call that has not returned is named after so many seconds, then rarely.
PATIENCE_SECONDS = 10.0
_AGAIN_SECONDS = 600.0
# Named in the status, which health checks read, only after a while: a slow link is no trouble.
TROUBLE_SECONDS = 60.0


class _Call(NamedTuple):
    name: str
    since: float


class Activity:
    """The sink's thread enters and leaves calls; the core's thread looks. Each attribute has one writer."""

    def __init__(self, log: Log, monotonic: Callable[[], float]) -> None:
        self._log = log
        self._monotonic = monotonic
        self._call: _Call | None = None
        # The core's thread: the call that was named, and when it is named again.
        self._named: _Call | None = None
        self._again_at = 0.0

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Notes that a call goes on for the length of a block. The sink's thread."""
        self._call = _Call(name, self._monotonic())
        try:
            yield
        finally:
            self._call = None

    def look(self) -> None:
        """Logs a call that does not return, and that it returned. The core's thread."""
        call, now = self._call, self._monotonic()
        if call is not None and now - call.since >= PATIENCE_SECONDS:
            if call != self._named or now >= self._again_at:
                self._log.warning("%s() has not returned for %.0f s", call.name, now - call.since)
                self._named, self._again_at = call, now + _AGAIN_SECONDS
        elif self._named is not None and call != self._named:
            self._log.info("%s() has returned, after more than %.0f s", self._named.name, PATIENCE_SECONDS)
            self._named = None

    @property
    def trouble(self) -> str | None:
        """The call that has not returned for a minute, in words. Any thread."""
        call = self._call
        seconds = 0.0 if call is None else self._monotonic() - call.since
        return f"{call.name}() has not returned for {seconds:.0f} s" if call and seconds >= TROUBLE_SECONDS else None
