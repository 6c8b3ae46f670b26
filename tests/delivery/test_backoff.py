"""How long a sink waits before it is tried again."""

from __future__ import annotations

import random

import pytest

from publisher.delivery.backoff import Backoff


def test_the_limit_doubles_from_a_second_to_five_minutes() -> None:
    backoff = Backoff(random=lambda: 1.0)
    assert [backoff.delay(n) for n in range(1, 12)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_the_jitter_is_full() -> None:
    backoff = Backoff(random=random.Random(1).random)
    delays = [backoff.delay(5) for _ in range(2000)]
    assert (min(delays) < 0.1, max(delays) > 15.9, max(delays) <= 16) == (True, True, True)
    assert sum(delays) / len(delays) == pytest.approx(8, rel=0.1)


def test_a_year_of_failures_is_no_error() -> None:
    assert Backoff(random=lambda: 1.0).delay(10_000_000) == 300
