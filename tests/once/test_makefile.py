"""The Makefile on a machine that lacks something: a line that says what, and no .venv that is half made."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.requirements import need

TOP = Path(__file__).parents[2]

if sys.platform == "win32":
    pytest.skip("the stand-ins for Python are shell scripts", allow_module_level=True)


class Made:
    """A copy of the Makefile and of what it reads, with a stand-in for Python, whose .venv has no pip to save time.

    Nothing is installed: PIP is `true`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "pyproject.toml", "requirements.lock"):
            shutil.copy(TOP / name, folder)

    def python(self, *lines: str) -> None:
        """Writes the stand-in: these lines, then the real one."""
        script = self.folder / "python"
        real = shlex.quote(sys.executable)
        venv = f'[ "$1 $2" = "-m venv" ] && exec {real} "$@" --without-pip'
        script.write_text("\n".join(("#!/bin/sh", *lines, venv, f'exec {real} "$@"\n')))
        script.chmod(0o755)

    def make(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", ".venv/run.stamp", "PYTHON=./python", "PIP=true"], cwd=self.folder, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip


@pytest.fixture
def made(tmp_path: Path) -> Made:
    need("make", package="make")
    return Made(tmp_path)


def test_an_old_python_is_named_before_anything_is_made(made: Made) -> None:
    made.python('[ "$1" = --version ] && echo Python 3.10.4 && exit 0', "exit 1")
    done = made.make()
    assert done.returncode == 2
    assert "Python 3.11 or newer is needed, and './python' is: Python 3.10.4" in done.stdout
    assert not (made.folder / ".venv").exists()


def test_a_missing_venv_module_is_named_and_the_next_try_works(made: Made) -> None:
    made.python('case "$2" in *ensurepip*) exit 1;; esac')
    done = made.make()
    assert done.returncode == 2
    assert "has no module venv: install it" in done.stdout
    assert not (made.folder / ".venv").exists()
    made.python()
    assert made.make().returncode == 0
    assert (made.folder / ".venv" / "pyvenv.cfg").exists()


def test_a_venv_that_was_not_finished_is_made_anew(made: Made) -> None:
    (made.folder / ".venv" / "bin").mkdir(parents=True)
    (made.folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    made.python()
    assert made.make().returncode == 0
    assert (made.folder / ".venv" / "pyvenv.cfg").exists()
    (made.folder / ".venv" / "kept").touch()
    (made.folder / "requirements.lock").touch()
    assert made.make().returncode == 0
    assert (made.folder / ".venv" / "kept").exists()
