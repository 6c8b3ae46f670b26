"""Promises about docs/proof.md: each test that it names exists, and each promise and each fault has its row.

Each mistake of `make mutants` can be made: that takes minutes, and this nothing.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS
from tests.mutants.mutant import Mutant, read_mutants
from tests.soak.plan import FAULTS

ROOT = Path(__file__).parents[1]
PROOF = (ROOT / "docs/proof.md").read_text(encoding="utf-8")
PROMISES = (ROOT / "docs/promises.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PROOF)))


@cache
def names_in(path: str) -> frozenset[str]:
    """Returns the names of the tests in a file."""
    return frozenset(re.findall(r"^ *def (test_\w+)\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE))


def test_each_test_that_the_proof_names_exists() -> None:
    assert len(NAMED) > 40
    assert not [f"{path}::{name}" for path, name in NAMED if name not in names_in(path)]


@pytest.mark.parametrize("mutant", read_mutants(ROOT / "tests/mutants"), ids=lambda mutant: mutant.id)
def test_each_mistake_has_its_place_and_its_tests(mutant: Mutant) -> None:
    assert mutant.gone or mutant.applied(ROOT) is not None
    for test in mutant.tests:
        path, *names = re.split("::|\\[", test)
        assert names_in(path).issuperset(names[:1]), test


def test_each_promise_has_its_row() -> None:
    promised = [" ".join(text.split()) for text in re.findall(r"^- \*\*(.+?)\*\*", PROMISES, re.MULTILINE | re.DOTALL)]
    assert len(promised) >= 8
    rows = [" ".join(row.split()) for row in PROOF.splitlines() if row.startswith("| ")]
    assert not [text for text in promised if not any(text.rstrip(".") in row and "::test_" in row for row in rows)]


@pytest.mark.parametrize(("names", "title"), [(FAULTS, "Faults"), (TARGETS, "Made-up bytes")], ids=["soak", "fuzz"])
def test_each_fault_and_each_target_has_its_row(names: dict[str, object], title: str) -> None:
    part = PROOF.partition(f"## {title}")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) == set(names)
