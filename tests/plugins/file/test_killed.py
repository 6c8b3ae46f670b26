"""A writer may be killed at any moment: every event is in the files exactly once."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults import Forks, kill_at_random
from tests.fixtures.file_sink import seqs
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("Windows has neither os.fork nor SIGKILL", allow_module_level=True)

from tests.fixtures.file_writers import Order, start


@pytest.fixture(scope="module")
def writers() -> Iterator[Forks]:
    with closing(Forks("tests.fixtures.file_writers")) as started:
        yield started


def identity(path: Path) -> tuple[int, int]:
    """Returns what differs once something was written: the file's inode and size."""
    if not path.exists():
        return 0, 0
    status = path.stat()
    return status.st_ino, status.st_size


def has_changed(path: Path, before: tuple[int, int]) -> bool:
    return identity(path) != before


@pytest.mark.parametrize("options", [{}, {"max_size": 8_000, "keep": 1000}], ids=["one file", "rotation"])
def test_killed_at_any_moment(writers: Forks, tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "events.jsonl"
    order = Order({"path": str(path)} | options)
    chance = random.Random()
    for number in range(40):
        before = identity(path)
        writer = start(writers, order)
        if number % 2:
            wait_for(partial(has_changed, path, before), what="a first write")
        kill_at_random(writer, chance, within=0.02)
        assert writer.wait() == -signal.SIGKILL
    # A kill can tear a large write; whoever opens the file next cuts that off.
    assert start(writers, Order(order.options, until=1)).wait() == 0
    last = seqs(path)[-1] + 5
    assert start(writers, Order(order.options, until=last)).wait() == 0
    assert seqs(path) == list(range(1, last + 1))


def test_killed_before_each_file_operation_of_rotation(writers: Forks, tmp_path: Path) -> None:
    for operation in range(1, 200):
        folder = tmp_path / str(operation)
        folder.mkdir()
        path = folder / "events.jsonl"
        options = {"path": str(path), "max_size": 8_000, "keep": 100}
        died = start(writers, Order(options, until=25, die_at=operation)).wait()
        assert start(writers, Order(options, until=35)).wait() == 0
        assert seqs(path) == list(range(1, 36)), f"killed before file operation {operation}"
        assert not list(folder.glob("*.tmp"))
        if died == 0:
            break
    assert operation > 15, "a run without rotation was tested"
