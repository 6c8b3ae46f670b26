"""Lifetimes as moments: one table, and a snapshot that does not go stale."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from publisher.events import UNKNOWN, Unknown
from publisher.sources.lifetimes import ends_at

NOW = datetime(2026, 11, 22, 20, 4, 12, 600_000, UTC)


@pytest.mark.parametrize(
    ("seconds", "moment"),
    [
        (900, datetime(2026, 11, 22, 20, 19, 12, tzinfo=UTC)),
        (0, datetime(2026, 11, 22, 20, 4, 12, tzinfo=UTC)),
        (0xFFFF_FFFE, datetime(2162, 12, 30, 2, 32, 26, tzinfo=UTC)),
        (0xFFFF_FFFF, None),
        (None, UNKNOWN),
    ],
)
def test_a_lifetime_ends_at_a_moment_or_never(seconds: int | None, moment: datetime | Unknown | None) -> None:
    assert ends_at(seconds, NOW) == moment


def test_a_lifetime_that_only_counts_down_ends_at_the_same_moment() -> None:
    first = ends_at(900, NOW)
    for passed in (1.4, 15.0, 899.9):
        assert ends_at(900 - int(passed), NOW + timedelta(seconds=passed), first) == first


def test_a_lifetime_that_was_refreshed_ends_later() -> None:
    first = ends_at(900, NOW)
    later = ends_at(900, NOW + timedelta(seconds=15), first)
    assert isinstance(first, datetime)
    assert later == first + timedelta(seconds=15)


def test_a_lifetime_that_is_over_stays_at_its_end() -> None:
    first = ends_at(0, NOW)
    assert ends_at(0, NOW + timedelta(hours=1), first) == first
