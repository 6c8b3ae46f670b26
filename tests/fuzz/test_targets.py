"""Every target takes its seeds, and what was found once, without an error that is not documented."""

from __future__ import annotations

import pytest

from tests.fuzz.targets import FINDINGS, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_and_what_was_found_once_raise_nothing_that_is_not_documented(name: str) -> None:
    target = TARGETS[name]
    seeds = list(target.seeds())
    assert seeds
    for data in seeds:
        target.try_one(data)
        target.try_one(data[: len(data) // 2])
    for path in (FINDINGS / name).glob("*"):
        target.try_one(path.read_bytes())
