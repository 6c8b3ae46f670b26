"""Moments as people give them on the command line: "1h", "today", "2026-11-20 14:00"."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

from ..errors import ConfigurationError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"([0-9]+)\s*([smhdw]|min)(?:\s+ago)?")
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?")
_DAYS = {"today": 0, "yesterday": 1}
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def moment(text: str, now: datetime) -> datetime:
    """Returns the moment that a text names, given this one, which has the local time zone.

    Raises ConfigurationError for a text that names none, and for a moment to come.
    """
    found = _moment(text.strip(), now)
    if found is None:
        raise ConfigurationError(
            f"--since {text!r} names no moment: give 30m, 12h, 7d, today, yesterday, 14:00, 2026-11-20, "
            '"2026-11-20 14:00", or 2026-11-20T14:00:00Z'
        )
    if found > now:
        raise ConfigurationError(f"--since {text!r} is in the future: {found.isoformat(sep=' ', timespec='seconds')}")
    return found


def _moment(text: str, now: datetime) -> datetime | None:
    if match := _AGO.fullmatch(text.lower()):
        return _ago(int(match[1]), match[2][0], now)
    if text.lower() in _DAYS:
        return _local(datetime.combine(now.date() - timedelta(days=_DAYS[text.lower()]), time()))
    try:
        if _CLOCK.fullmatch(text):
            return _local(
                datetime.combine(now.date(), time.fromisoformat(text.rjust(5, "0") if len(text) < 6 else text))
            )
        return _local(datetime.fromisoformat(text))
    except (OSError, OverflowError, ValueError):  # OSError: Windows, before 1970
        return None


def _ago(count: int, unit: str, now: datetime) -> datetime:
    """Returns the moment so long ago; what is longer ago than any journal is 1970."""
    try:
        return max(_FIRST, now - timedelta(**{_UNITS[unit]: count}))
    except OverflowError:
        return _FIRST


def _local(moment: datetime) -> datetime:
    """Returns the moment in the local time zone, unless it has another one."""
    return max(_FIRST, moment.astimezone() if moment.tzinfo is None else moment)
