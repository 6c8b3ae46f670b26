"""compose/requirements.lock: a wheel of each distribution for every system and Python on which a package is built."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.packages.roots import CACHE, TOP


@pytest.fixture(scope="module")
def uv() -> Path:
    """Returns the resolver of `make lock`."""
    program = CACHE / "uv" / "bin" / "uv"
    if not program.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--target", str(CACHE / "uv"), "uv"], check=True)
    return program


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("libc", ["gnu", "musl"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_each_distribution_has_a_wheel(uv: Path, tmp_path: Path, machine: str, libc: str, python: str) -> None:
    system = ["--python-platform", f"{machine}-unknown-linux-{libc}", "--python-version", python]
    nothing = ["--dry-run", "--target", str(tmp_path), "--python", sys.executable]
    for lock in ("requirements.lock", "build.lock"):
        wanted = ["--only-binary", ":all:", "--require-hashes", "--requirement", str(TOP / "compose" / lock)]
        command = [str(uv), "pip", "install", "--quiet", *nothing, *system, *wanted]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
