"""A disk that is full or read-only: reported, survived, and no reason to take a journal for damaged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import small_disk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has mount namespaces")


@pytest.mark.parametrize(
    ("fault", "size"), [("full", "600k"), ("full_from_the_start", "600k"), ("read_only", "600k"), ("too_small", "6m")]
)
def test_a_disk_that_takes_nothing(tmp_path: Path, fault: str, size: str) -> None:
    script = [sys.executable, "-m", "tests.fixtures.disk_faults", fault, str(tmp_path)]
    done = subprocess.run(
        [*small_disk(tmp_path, size), *script], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
