"""`make run` on a machine that lacks something: a line that says what, and a .venv that is whole or not there."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.poll import wait_for
from tests.fixtures.requirements import need

TOP = Path(__file__).parents[2]

if sys.platform == "win32":
    pytest.skip("the stand-ins for Python are shell scripts", allow_module_level=True)


class Made:
    """A copy of the Makefile and of what it reads, with stand-ins for Python, whose .venv has no pip to save time.

    Nothing is installed: PIP is a stand-in, too, which notes its arguments.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "commands"
        self.bin.mkdir(parents=True)
        (folder / ".ci").mkdir()
        for name in ("Makefile", "pyproject.toml", "requirements.lock", ".ci/make_venv.sh"):
            shutil.copy(TOP / name, folder / name)
        self.pip()

    def python(self, *lines: str, name: str = "python3") -> None:
        """Writes a stand-in: these lines, then the real one."""
        real = shlex.quote(sys.executable)
        venv = f'[ "$1 $2" = "-m venv" ] && exec {real} "$@" --without-pip'
        self._write(name, *lines, venv, f'exec {real} "$@"')

    def old_python(self, name: str = "python3") -> None:
        """Writes a stand-in for Python 3.10."""
        self.python('[ "$1" = --version ] && echo Python 3.10.4 && exit 0', "exit 1", name=name)

    def pip(self, *lines: str) -> None:
        """Writes the stand-in for pip: these lines, after a note of its arguments."""
        self._write("pip", 'echo "$@" >>pip.log', *lines)

    def installed(self) -> str:
        """Returns the arguments of pip, a line for each call, and forgets them."""
        log = self.folder / "pip.log"
        text = log.read_text() if log.exists() else ""
        log.unlink(missing_ok=True)
        return text

    def make(self, *arguments: str, status: int = 0) -> str:
        """Makes .venv, and returns what was printed."""
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environment(), capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def command(self, *arguments: str) -> list[str]:
        return ["make", ".venv/run.stamp", "PIP=pip", *arguments]

    def environment(self) -> dict[str, str]:
        """Returns one in which the stand-ins are the only Pythons."""
        for name in ("make", "sh", "cat", "rm", "mv", "sed", "touch", "awk", "sleep"):
            if not (self.bin / name).exists():
                (self.bin / name).symlink_to(shutil.which(name) or name)
        return {**os.environ, "PATH": str(self.bin)}

    def change_lock(self) -> None:
        """Makes the lock file a second newer than what was made of it: times of files are no finer than a tick."""
        newer = (self.venv / "run.stamp").stat().st_mtime + 1
        os.utime(self.folder / "requirements.lock", (newer, newer))

    @property
    def venv(self) -> Path:
        return self.folder / ".venv"

    def _write(self, name: str, *lines: str) -> None:
        script = self.bin / name
        script.write_text("\n".join(("#!/bin/sh", *lines, "")))
        script.chmod(0o755)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    need("make", package="make")
    return Made(tmp_path / "a folder")


def test_an_old_python_is_named_before_anything_is_made(made: Made) -> None:
    made.old_python()
    printed = made.make(status=2)
    assert "Python 3.11 or newer is needed, and 'python3' is: Python 3.10.4; name another: make run PYTHON=" in printed
    assert not made.venv.exists()


def test_no_python_at_all_is_a_line_that_says_what_to_install(made: Made) -> None:
    assert "there is no python3: install Python 3.11 or newer" in made.make(status=2)
    assert "there is no 'python3.99'" in made.make("PYTHON=python3.99", status=2)


def test_a_newer_python_beside_an_old_one_is_found(made: Made) -> None:
    made.old_python()
    made.python("exit 127", name="python3.13")  # as pyenv has it for a version that is not chosen
    made.python(name="python3.12")
    made.make()
    assert (made.venv / "whole").exists()


def test_the_python_that_is_named_is_the_one_that_is_used(made: Made) -> None:
    made.python()
    made.old_python("python3.10")
    assert "'python3.10' is: Python 3.10.4" in made.make("PYTHON=python3.10", status=2)
    other = made.folder / "another folder"
    other.mkdir()
    made.python(name="good")
    shutil.move(made.bin / "good", other / "python")
    made.make(f"PYTHON={other}/python")


def test_a_missing_venv_module_is_named_and_the_next_try_works(made: Made) -> None:
    made.python('case "$2" in *ensurepip*) exit 1;; esac')
    made.old_python("python3.11")
    assert "'python3' has no module venv: install it (Debian and Ubuntu: apt install python3-venv)" in made.make(
        status=2
    )
    assert not made.venv.exists()
    made.python()
    made.make()
    assert (made.venv / "pyvenv.cfg").exists()


def test_a_first_installation_that_fails_leaves_nothing(made: Made) -> None:
    made.python()
    made.pip("echo no connection >&2", "exit 1")
    printed = made.make(status=2)
    assert "no connection" in printed
    assert "the dependencies were not installed: pip gives the reason above" in printed
    assert not made.venv.exists()
    made.pip()
    made.make()
    assert (made.venv / "whole").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_installation_that_was_interrupted_begins_anew(made: Made, how: signal.Signals) -> None:
    made.python()
    made.pip("touch .venv/half", "exec sleep 600")
    process = subprocess.Popen(
        made.command(), cwd=made.folder, env=made.environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for((made.venv / "half").exists, what="the installation")
    os.killpg(process.pid, how)
    process.wait(60)
    if how is signal.SIGINT:
        wait_for(lambda: not made.venv.exists(), what="the removal")
    made.pip()
    made.make()
    assert (made.venv / "whole").exists()
    assert not (made.venv / "half").exists()


def test_without_a_home_pip_has_no_cache(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be in a folder of this one that is named ~."""
    monkeypatch.delenv("PIP_NO_CACHE_DIR", raising=False)
    made.python()
    made.pip('echo "${PIP_NO_CACHE_DIR:-a cache}" >cache')
    monkeypatch.setenv("HOME", str(made.folder))
    made.make()
    assert (made.folder / "cache").read_text() == "a cache\n"
    made.change_lock()
    monkeypatch.delenv("HOME")
    made.make()
    assert (made.folder / "cache").read_text() == "1\n"


def test_one_that_is_whole_is_kept_when_the_lock_changes_also_when_pip_fails(made: Made) -> None:
    made.python()
    made.make()
    (made.venv / "kept").touch()
    made.installed()
    made.make()
    assert made.installed() == "", "nothing changed"
    made.change_lock()
    made.pip("exit 1")
    made.make(status=2)
    made.pip()
    made.make()
    assert made.installed().startswith("install --require-hashes --requirement requirements.lock\n")
    assert (made.venv / "kept").exists()


def test_one_that_was_stopped_while_it_changed_is_made_anew(made: Made) -> None:
    made.python()
    made.make()
    (made.venv / "kept").touch()
    made.change_lock()
    made.pip("kill -9 $PPID")
    made.make(status=2)
    made.pip()
    made.make()
    assert not (made.venv / "kept").exists()


def test_one_that_was_copied_from_another_folder_is_made_anew(made: Made, tmp_path: Path) -> None:
    """Its commands would run the other checkout."""
    made.python()
    made.make()
    (made.venv / "kept").touch()
    shutil.copytree(made.folder, tmp_path / "copy", symlinks=True)
    copy = Made.__new__(Made)
    copy.folder, copy.bin = tmp_path / "copy", tmp_path / "copy" / "commands"
    copy.make()
    assert not (copy.venv / "kept").exists()
    assert (made.venv / "kept").exists()


@pytest.mark.parametrize("change", ["removed", "another version"])
def test_one_whose_python_is_another_by_now_is_made_anew(made: Made, change: str) -> None:
    """As after an upgrade of the system."""
    made.python()
    made.make()
    (made.venv / "kept").touch()
    python = made.venv / "bin" / "python"
    python.unlink()
    if change == "removed":
        python.symlink_to(made.folder / "none")
    else:
        python.write_text("#!/bin/sh\necho elsewhere 3 99\n")
        python.chmod(0o755)
    made.make()
    assert not (made.venv / "kept").exists()


def test_on_musl_the_rest_is_installed_without_the_embedded_broker(made: Made) -> None:
    made.python()
    made.make()
    assert "iotcore" in (made.folder / "requirements.lock").read_text()
    # libc_ver() looks at the executable: one that is no binary has no glibc.
    python = made.venv / "bin" / "python"
    real = shlex.quote(str(python.resolve()))
    python.unlink()
    python.write_text(f'#!/bin/sh\ncase "$2" in *libc_ver*) exit 0;; esac\nexec {real} "$@"\n')
    python.chmod(0o755)
    made.change_lock()
    made.installed()
    assert "without the embedded broker: iotcore has no wheel for a system with musl" in made.make()
    assert made.installed().startswith("install --require-hashes --requirement .venv/requirements.lock\n")
    without = (made.venv / "requirements.lock").read_text()
    whole = (made.folder / "requirements.lock").read_text()
    assert "iotcore" not in without
    names = [line.split("==")[0] for line in whole.splitlines() if line[:1].isalnum()]
    assert [name for name in names if f"\n{name}==" not in f"\n{without}"] == ["iotcore"]
