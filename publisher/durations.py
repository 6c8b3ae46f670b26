"""Durations in a configuration: "30s", "15m", "12h", "7d", "2w". For the options of sinks."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _parse(value: object) -> object:
    """Returns a text like "12h" as a timedelta, and anything else as it is, for pydantic to judge."""
    # At most eight digits: of more, timedelta raises an OverflowError.
    if isinstance(value, str) and (match := re.fullmatch(r"\s*([0-9]{1,8})\s*([smhdw])\s*", value)):
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    return value


Duration: TypeAlias = Annotated[timedelta, BeforeValidator(_parse)]
"""A timedelta, which a configuration writes as a number and one of the units s, m, h, d and w."""
