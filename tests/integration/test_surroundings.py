"""Every command in surroundings that are not as expected: each ends in an answer or in one line, never in a traceback.

Here are those that a change of a command breaks most easily; tests/once has the others.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.fixtures.command import Publisher
from tests.fixtures.surroundings import Answer, answer, folder, judge_each_command

__all__ = ["folder"]

if sys.platform == "win32":
    pytest.skip("users, mounts and descriptors of POSIX", allow_module_level=True)

EASILY_BROKEN = (
    "no variable at all",
    "a read-only root",
    "no standard streams",
    "a closed pipe as standard output",
)


@pytest.mark.parametrize("name", EASILY_BROKEN)
def test_every_command_answers_in_every_surrounding(name: str, publisher: Publisher, folder: Path) -> None:
    judge_each_command(name, publisher, folder)


def test_nothing_is_printed_into_a_file_that_took_the_place_of_a_closed_stream(
    publisher: Publisher, folder: Path
) -> None:
    """The sink writes to standard output, whose number the journal's lock file would have without a null device."""
    lines = (folder / "all.toml").read_text().replace(f"{folder}/out.jsonl", "-")
    (folder / "all.toml").write_text(lines)
    found = answer(folder, publisher.environment, 'exec "$@" <&- >&- 2>&-', "run --config CONFIG")
    assert found == Answer(0, "", "")
    for path in (folder / "state").iterdir():
        assert b"eth0" not in path.read_bytes() or path.name == "journal.sqlite3", path
    assert (folder / "state" / "journal.sqlite3.lock").read_text().strip().isdigit()
