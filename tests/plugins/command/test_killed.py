"""`kill -9` of the publisher under changes: each event's command ran at least once, in order, none skipped."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.faults import changing
from tests.fixtures.netns import NetNs
from tests.fixtures.program import Changes, Program, journal_events

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
    # Two publishers at once, since most of the time goes into their starts.
    programs = [Program(netns, folder, SINK.format(folder=folder)) for folder in (tmp_path / "0", tmp_path / "1")]
    for program in programs:
        with program.running():
            program.mark(1400)
    with changing(partial(changes.make, 1), pause=0.01), ThreadPoolExecutor() as both:
        killed = [
            both.submit(program.kill_again_and_again, random.Random(number), count(100))
            for number, program in enumerate(programs)
        ]
        for kills in killed:
            kills.result()
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
