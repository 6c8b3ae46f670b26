"""What a test needs of the machine: absent, the test is skipped; in CI that is a failure."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def need(*commands: str, package: str) -> None:
    """Go on only if every command is installed; `package` names what brings them."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        unable(f"{', '.join(missing)} not found: install {package}")


def unable(reason: str) -> NoReturn:
    """Skip this test for this reason; under CI=true it fails, so that nothing goes untested unseen."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"in CI nothing is skipped: {reason}")
    pytest.skip(reason)
