"""What the tests under Windows Python share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.windows.inside.standin import StandIn, prepared


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """A clean stand-in, in which a test must leave nothing behind."""
    with prepared() as stand_in:
        yield stand_in
