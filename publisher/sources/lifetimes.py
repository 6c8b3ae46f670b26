"""Lifetimes of addresses, as the moments at which they end."""

from __future__ import annotations

from datetime import datetime, timedelta

_FOR_EVER = 0xFFFF_FFFF
# Systems report whole seconds: read twice, a lifetime ends at moments that differ by so much at most.
_ROUNDING = timedelta(seconds=2)


def ends_at(seconds: int | None, now: datetime, before: datetime | None = None) -> datetime | None:
    """Returns the moment, in whole seconds, at which a lifetime ends; `None` for ever, or when it is not known.

    `before` is the moment of the last read, which is kept as long as it can be the same one.
    """
    if seconds is None or seconds == _FOR_EVER:
        return None
    moment = now.replace(microsecond=0) + timedelta(seconds=seconds)
    if before is not None and (abs(before - moment) <= _ROUNDING or (seconds == 0 and before <= now)):
        return before
    return moment
