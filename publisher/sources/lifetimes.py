"""Lifetimes of addresses, as the moments at which they end."""

from __future__ import annotations

from datetime import datetime, timedelta

from ..events import UNKNOWN, Unknown

_FOR_EVER = 0xFFFF_FFFF
# Systems report whole seconds: read twice, a lifetime ends at moments that differ by so much at most.
_ROUNDING = timedelta(seconds=2)


def ends_at(seconds: int | None, now: datetime, before: datetime | Unknown | None = None) -> datetime | Unknown | None:
    """Returns the moment, in whole seconds, at which a lifetime ends; `None` for ever, `UNKNOWN` for `None` seconds.

    `before` is the moment of the last read, which is kept as long as it can be the same one.
    """
    if seconds is None:
        return UNKNOWN
    if seconds == _FOR_EVER:
        return None
    moment = now.replace(microsecond=0) + timedelta(seconds=seconds)
    if isinstance(before, datetime) and (abs(before - moment) <= _ROUNDING or (seconds == 0 and before <= now)):
        return before
    return moment
