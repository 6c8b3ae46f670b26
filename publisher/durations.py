"""Durations: in a configuration "500ms", "30s", "15m", "12h", "7d", "2w"; for people "3 min 2 s"."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator

_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _parse(value: object) -> object:
    """Returns a text like "12h" as a timedelta, and anything else as it is, for pydantic to judge."""
    if isinstance(value, bool):
        raise ValueError('should be a length of time, like "5s"')  # pydantic takes true for a second
    # At most eight digits: of more, timedelta raises an OverflowError.
    if isinstance(value, str) and (match := re.fullmatch(r"\s*([0-9]{1,8})\s*(ms|[smhdw])\s*", value)):
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    return value


Duration: TypeAlias = Annotated[timedelta, BeforeValidator(_parse)]
"""A timedelta, which a configuration writes as a number and one of the units ms, s, m, h, d and w."""

_PARTS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def duration_text(duration: timedelta) -> str:
    """Returns a duration in its two largest units: "2 d 4 h", "3 min 2 s"; below a second as "450 ms"."""
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{max(0, int(seconds * 1000))} ms"
    rest = int(seconds)
    counts = []
    for unit, length in _PARTS:
        counts.append((rest // length, unit))
        rest %= length
    first = next(index for index, (count, _) in enumerate(counts) if count)
    return " ".join(f"{count} {unit}" for count, unit in counts[first : first + 2] if count)


def rounded_text(duration: timedelta) -> str:
    """Returns a duration in its one largest unit, of which there are two at least: "90 s", "12 min", "3 d"."""
    seconds = duration.total_seconds()
    unit, length = next((part for part in _PARTS if seconds >= 2 * part[1]), _PARTS[-1])
    return f"{seconds / length:.0f} {unit}"
