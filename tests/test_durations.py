"""Durations in a configuration."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from publisher.durations import Duration, duration_text, rounded_text

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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"), (-5, "0 ms"), (0.45, "450 ms"), (0.9999, "999 ms"), (1, "1 s"), (59.9, "59 s"), (60, "1 min"),
        (62, "1 min 2 s"), (3600, "1 h"), (3605, "1 h"), (3660, "1 h 1 min"), (86_400, "1 d"), (90_061, "1 d 1 h"),
        (400 * 86_400, "400 d"),
    ],
)  # fmt: skip
def test_a_duration_for_people_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration_text(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (90, "90 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_a_rounded_duration_has_at_least_two_of_its_unit(seconds: float, text: str) -> None:
    assert rounded_text(timedelta(seconds=seconds)) == text
