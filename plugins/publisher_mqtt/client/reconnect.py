"""The time of the next attempt to connect, and the detection of a second client with our client id."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from publisher import Backoff

# A connection that lasted this long was a good one, so the next loss is a first one.
_GOOD_SECONDS = 30.0
# Shorter ones in a row, with the broker there each time, may be two clients with one id that disconnect each other: in
# MQTT 3.1.1 the broker gives no reason, and mosquitto 2.0.11 gives none in MQTT 5 either (docs/mqtt.md).
_SUSPICIOUS_COUNT = 5
# The search for the message that ends connections: two for each, and not without end.
_HURRY_SECONDS, _MOST_HURRIED = 60.0, 12
# Two clients of one id that both come back at once end each other's connection before either sees its rival, and take
# the messages on their way for the reason: on a busy host they gave up all subscriptions. So they come back apart.
HURRY_SECONDS_APART = 0.3
_CONFLICT_FORGOTTEN_SECONDS = 900.0
_CONFLICT = Backoff(5.0, 300.0, lambda: random.uniform(0.5, 1.0))


class Reconnect:
    """Counts connections that failed or were lost; used by one thread."""

    def __init__(self, backoff: Backoff, clock: Callable[[], float] = time.monotonic) -> None:
        self._backoff, self._clock = backoff, clock
        self._failures = 0
        self._short_ones = 0
        self._conflicts = 0
        self._has_rival = False
        self._connected_at: float | None = None
        self._not_before = clock()
        self._hurried: list[float] = []

    @property
    def remaining(self) -> float:
        """Seconds until the next attempt."""
        return max(0.0, self._not_before - self._clock())

    @property
    def conflict(self) -> bool:
        """True when another client uses our client id."""
        return self._conflicts > 0

    @property
    def suspicious(self) -> bool:
        """True when that is likely: the broker accepts each connection and ends it soon."""
        return self._short_ones >= _SUSPICIOUS_COUNT

    def connected(self) -> None:
        """Notes that the broker accepted the connection."""
        self._connected_at = self._clock()
        self._has_rival = False

    def met_rival(self) -> None:
        """Notes that another publisher was connected meanwhile: it is to blame when this connection is lost too."""
        self._has_rival = True

    def failed(self) -> float:
        """Notes that an attempt failed; returns the seconds until the next."""
        # The broker is away: short connections before are no sign of a second client.
        self._short_ones = 0
        return self._wait_more()

    def lost(self, *, taken_over: bool, explained: bool = False, hurry: float | None = None) -> float:
        """Notes that the connection ended; returns the seconds until the next attempt.

        `explained`: a message of ours is the reason, or may be; `hurry`: the next attempt shows more about it, and is
        made within so many seconds.
        """
        lasted = 0.0 if self._connected_at is None else self._clock() - self._connected_at
        self._connected_at = None
        if lasted > _CONFLICT_FORGOTTEN_SECONDS:
            self._conflicts = 0
        if lasted > _GOOD_SECONDS:
            self._failures = self._short_ones = 0
        if not explained:
            self._short_ones += 1
        if not (taken_over or self._has_rival):
            hurries = hurry is not None and self._hurries()
            return self._wait(random.uniform(0.0, hurry or 0.0)) if hurries else self._wait_more()
        self._conflicts += 1
        return self._wait(_CONFLICT.delay(self._conflicts))

    def found(self) -> None:
        """Notes that the search found a message and gave it up: the pauses begin anew."""
        self._failures = 0
        self._hurried.clear()

    def wait(self, seconds: float) -> None:
        """Sets the time of the next attempt."""
        self._wait(seconds)

    def _hurries(self) -> bool:
        """Returns whether one more attempt may be made at once; each of them costs the broker a connection."""
        now = self._clock()
        self._hurried = [moment for moment in self._hurried if now - moment < _HURRY_SECONDS]
        if len(self._hurried) >= _MOST_HURRIED:
            return False
        self._hurried.append(now)
        return True

    def _wait_more(self) -> float:
        self._failures += 1
        return self._wait(self._backoff.delay(self._failures))

    def _wait(self, seconds: float) -> float:
        self._not_before = self._clock() + seconds
        return seconds
