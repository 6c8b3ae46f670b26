"""Moments as people give them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from publisher.cli.periods import moment
from publisher.errors import ConfigurationError

NOW = datetime(2026, 11, 26, 6, 30).astimezone()


def day(number: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, number, hour, minute, second).astimezone()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h", NOW - timedelta(hours=1)),
        (" 90 m ", NOW - timedelta(minutes=90)),
        ("5min", NOW - timedelta(minutes=5)),
        ("30 s ago", NOW - timedelta(seconds=30)),
        ("7D", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(weeks=2)),
        ("0s", NOW),
        ("today", day(26)),
        ("Yesterday", day(25)),
        ("6:15", day(26, 6, 15)),
        ("06:15:30", day(26, 6, 15, 30)),
        ("2026-11-20", day(20)),
        ("2026-11-20 14:00", day(20, 14)),
        ("2026-11-20T14:00:07.5", datetime(2026, 11, 20, 14, 0, 7, 500_000).astimezone()),
        ("2026-11-20T14:00:00Z", datetime.fromisoformat("2026-11-20T14:00:00+00:00")),
        ("2026-11-20T14:00:00+02:00", datetime.fromisoformat("2026-11-20T12:00:00+00:00")),
        ("99999999999w", datetime.fromisoformat("1970-01-01T00:00:00+00:00")),
        ("1901-01-01", datetime.fromisoformat("1970-01-01T00:00:00+00:00")),
    ],
)
def test_a_moment_is_given_as_people_write_it(text: str, expected: datetime) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no moment"),
        ("h", "names no moment"),
        ("1", "names no moment"),
        ("1 year", "names no moment"),
        ("-1h", "names no moment"),
        ("tomorrow", "names no moment"),
        ("25:00", "names no moment"),
        ("2026-13-01", "names no moment"),
        ("20.11.2026", "names no moment"),
        ("2026-11-27", "is in the future: 2026-11-27"),
        ("06:31", "is in the future"),
        ("9999-12-31T23:59:59-23:00", "is in the future"),
    ],
)
def test_a_text_that_names_no_moment_is_an_error_that_says_how(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"--since '.*' {reason}"):
        moment(text, NOW)
