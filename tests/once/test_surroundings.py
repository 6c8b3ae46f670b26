"""Every command in each surrounding that tests/integration/test_surroundings.py leaves out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.fixtures.command import Publisher
from tests.fixtures.surroundings import SURROUNDINGS, folder, judge_each_command
from tests.integration.test_surroundings import EASILY_BROKEN

__all__ = ["folder"]

if sys.platform == "win32":
    pytest.skip("users, mounts and descriptors of POSIX", allow_module_level=True)


@pytest.mark.parametrize("name", [name for name in SURROUNDINGS if name not in EASILY_BROKEN])
def test_every_command_answers_in_every_other_surrounding(name: str, publisher: Publisher, folder: Path) -> None:
    judge_each_command(name, publisher, folder)
