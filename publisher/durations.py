"""Durations in a configuration: "500ms", "30s", "15m", "12h", "7d", "2w". For the options of sinks."""

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
