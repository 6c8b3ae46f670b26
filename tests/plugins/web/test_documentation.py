"""docs/web.md: its `curl` lines are run."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.requirements import need
from tests.plugins.web.conftest import PageHouse
from tests.plugins.web.test_events import published

TEXT = (Path(__file__).parents[3] / "docs/web.md").read_text()
LINES = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
CURLS = [line for line in LINES if line.startswith("curl ")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> PageHouse:
    need("curl", package="curl")
    return PageHouse(tmp_path_factory.mktemp("page"))


def test_every_curl_line_answers(page: PageHouse) -> None:
    assert len(CURLS) == 6
    with page.page(token="correct-horse-battery") as service:
        published(page, service, 3)
        for line in CURLS:
            command = line.replace(":8780", f":{page.port}")
            if "$TOKEN" not in command:
                command = command.replace("curl ", "curl -H 'Authorization: Bearer correct-horse-battery' ")
            if "/events" in command:
                command += " --max-time 2"
            done = subprocess.run(
                ["bash", "-c", command], capture_output=True, env={"TOKEN": "correct-horse-battery"}, timeout=30
            )
            if "/events" in command:
                assert (done.returncode, b"initial_notification" in done.stdout) == (28, True), command
                assert (b'"text":' in done.stdout) is ("text=1" in command)
            else:
                assert done.returncode == 0
                assert "error" not in json.loads(done.stdout), command
