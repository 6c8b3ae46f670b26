"""`kill -9` of the publisher under changes: each event's command ran at least once, in order, none skipped."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.fixtures.netns import NetNs
from tests.fixtures.program import Changes, Program, journal_events, kill_under_changes

if sys.platform == "win32":
    pytest.skip("Windows has neither network namespaces nor SIGKILL", allow_module_level=True)

SINK = """
[sinks.run]
type = "command"
command = ["sh", "-c", 'echo "$EVENT_TYPE $EVENT_SEQ" >> ran']
directory = "{folder}"
snapshot = true
"""


@pytest.fixture
def changes(netns: NetNs) -> Iterator[Changes]:
    netns.ip(*(f"link add {name} type ifb" for name in (*Changes.links, "mark")))
    with contextlib.closing(Changes(netns)) as changes:
        yield changes


@pytest.mark.timeout(1800)  # 202 starts with --many
def test_a_kill_skips_no_event(netns: NetNs, changes: Changes, tmp_path: Path, count: Callable[[int], int]) -> None:
    programs = [Program(netns, folder, SINK.format(folder=folder)) for folder in (tmp_path / "0", tmp_path / "1")]
    kill_under_changes(programs, partial(changes.make, 1), 0.01, count(100))
    for program in programs:
        with program.running():
            program.mark(1500)
            program.wait(lambda: ran(program)[-1:] == [max(journal_events(program.journal))], "the last command")  # noqa: B023 - called at once
        assert list(dict.fromkeys(ran(program))) == list(journal_events(program.journal))


def ran(program: Program) -> list[int]:
    """Returns the seq of each event that its command ran for, but for those of snapshots."""
    path = program.folder / "ran"
    told = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [int(seq) for kind, seq in told if kind != "initial_notification"]
