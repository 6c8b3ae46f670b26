"""When to try the broker again, and when somebody else has our client id."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

# A connection that lasted this long was a good one, so the next loss is a first one.
_GOOD_SECONDS = 30.0
# Shorter ones in a row, with the broker there each time, may be two clients with one id that put each other out: in
# MQTT 3.1.1 the broker gives no reason, and mosquitto 2.0.11 gives none in MQTT 5 either.
_SHORT_ONES_THAT_TELL = 5
_CONFLICT_FORGOTTEN_SECONDS = 900.0
_CONFLICT_FIRST_SECONDS, _CONFLICT_LIMIT_SECONDS = 5.0, 300.0


class Backoff:
    """Exponential with full jitter, from `first` to `limit` seconds. Used by one thread."""

    def __init__(self, first: float = 1.0, limit: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._first, self._limit, self._clock = first, limit, clock
        self._failures = 0
        self._short_ones = 0
        self._conflicts = 0
        self._has_rival = False
        self._connected_at: float | None = None
        self._not_before = clock()

    @property
    def remaining(self) -> float:
        """Seconds until the next attempt."""
        return max(0.0, self._not_before - self._clock())

    @property
    def conflict(self) -> bool:
        """Whether another client uses our id."""
        return self._conflicts > 0

    @property
    def suspicious(self) -> bool:
        """Whether that might be, since the broker takes us again and again and does not keep us."""
        return self._short_ones >= _SHORT_ONES_THAT_TELL

    def connected(self) -> None:
        """The broker accepted us."""
        self._connected_at = self._clock()
        self._has_rival = False

    def met_rival(self) -> None:
        """Another publisher was there in our place: when this connection is lost too, it will have been its doing."""
        self._has_rival = True

    def failed(self) -> float:
        """An attempt failed; the seconds until the next."""
        # The broker is away: short connections before are no sign of a second client.
        self._short_ones = 0
        return self._wait_more()

    def lost(self, *, taken_over: bool) -> float:
        """The connection ended; the seconds until the next attempt."""
        lasted = 0.0 if self._connected_at is None else self._clock() - self._connected_at
        self._connected_at = None
        if lasted > _CONFLICT_FORGOTTEN_SECONDS:
            self._conflicts = 0
        if lasted > _GOOD_SECONDS:
            self._failures = self._short_ones = 0
        self._short_ones += 1
        if not (taken_over or self._has_rival):
            return self._wait_more()
        self._conflicts += 1
        step = min(_CONFLICT_LIMIT_SECONDS, _CONFLICT_FIRST_SECONDS * 2 ** min(self._conflicts - 1, 16))
        return self._wait(random.uniform(step / 2, step))

    def _wait_more(self) -> float:
        self._failures += 1
        return self._wait(random.uniform(0, min(self._limit, self._first * 2 ** min(self._failures - 1, 16))))

    def _wait(self, seconds: float) -> float:
        self._not_before = self._clock() + seconds
        return seconds
