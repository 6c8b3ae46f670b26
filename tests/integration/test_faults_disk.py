"""A disk that is full or read-only: said, survived, and no reason to think a journal damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.requirements import need, unable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a disk of one's own takes Linux's mount namespaces")


@pytest.mark.parametrize("fault", ["full", "full_from_the_start", "read_only"])
def test_a_disk_that_takes_nothing(tmp_path: Path, fault: str) -> None:
    if sys.platform == "win32":
        raise OSError("mount namespaces are Linux's")
    need("unshare", package="util-linux")
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        unable("no mount namespace can be made: run as root, or allow user namespaces")
    script = [sys.executable, "-m", "tests.fixtures.disk_faults", fault, str(tmp_path)]
    done = subprocess.run([*unshare, *script], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
