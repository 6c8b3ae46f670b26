"""Lock files: one holder, which is named, and none after its process ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from publisher.lock import FileLock, InUseError, holder

HOLD = """
import sys
from pathlib import Path
from publisher.lock import FileLock
FileLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_is_named_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        assert holder(path) == str(process.pid)
        with pytest.raises(InUseError) as error:
            FileLock(path).acquire()
        assert error.value.process == str(process.pid)
        assert str(path) in str(error.value)
        process.kill()
        process.wait()
        assert holder(path) is None
        later = FileLock(path)
        later.acquire()
        later.release()


def test_two_locks_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    first.acquire()
    with pytest.raises(InUseError, match=f"process {os.getpid()}"):
        second.acquire()
    second.release()  # it never had it
    assert holder(tmp_path / "lock") == str(os.getpid())
    first.release()
    first.release()
    second.acquire()
    second.release()
    assert holder(tmp_path / "lock") is None


def test_who_holds_a_lock_that_was_never_made(tmp_path: Path) -> None:
    assert holder(tmp_path / "lock") is None
    assert not list(tmp_path.iterdir())


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "absent" / "lock").acquire()
