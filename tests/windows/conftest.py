"""Fixtures of the tests of Windows.

On Linux the tests of `inside/` are not collected: `test_under_wine.py` runs them in Windows Python.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.windows.wine import Wine, running

collect_ignore = [] if sys.platform == "win32" else ["inside"]


@pytest.fixture(scope="package")
def wine() -> Iterator[Wine]:
    """Yields a Wine in a network namespace of its own, one for all these tests."""
    with running() as started:
        yield started
