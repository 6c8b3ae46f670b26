"""Fixtures of the tests under Windows Python."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.windows.inside.standin import StandIn, prepared


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """Yields a clean stand-in; a test must leave nothing in it."""
    with prepared() as stand_in:
        yield stand_in
