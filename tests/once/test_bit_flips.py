"""Single bits of a journal's files, flipped: the publisher starts each time, and what comes out is valid."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from publisher.journal.journal import Journal
from tests.journal.test_damage import FLIPPED, outcomes_of_flips

# A longer campaign: 20,000 flips, say.
FLIPS = int(os.environ.get("PUBLISHER_TEST_FLIPS", "40"))


@pytest.mark.parametrize(("suffix", "end"), FLIPPED)
def test_many_bit_flips(tmp_path: Path, suffix: str, end: Callable[[Journal], None]) -> None:
    outcomes = outcomes_of_flips(tmp_path / "journal.db", suffix, end, FLIPS)
    if suffix or end is Journal.close:
        assert any(outcome.new_epoch for outcome in outcomes)
    if not suffix:
        assert not all(outcome.new_epoch for outcome in outcomes), "most bits matter not"
