"""Durations in a configuration."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from publisher.durations import Duration

ADAPTER = TypeAdapter[timedelta](Duration)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        (" 12 h ", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("99999999w", timedelta(weeks=99999999)),
        (90, timedelta(seconds=90)),
    ],
)
def test_a_number_with_its_unit_is_a_duration(text: object, duration: timedelta) -> None:
    assert ADAPTER.validate_python(text) == duration


@pytest.mark.parametrize(
    "text", ["", "h", "5 apples", "-5m", "1.5h", "\u0663h", "9" * 30 + "w", "9" * 9 + "w", None, True]
)
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(text)
