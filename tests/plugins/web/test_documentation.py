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
            environment = {"TOKEN": "correct-horse-battery"}
            if "/events" in command:
                # It goes on until it is ended.
                with subprocess.Popen(
                    ["bash", "-c", f"exec {command}"], stdout=subprocess.PIPE, env=environment
                ) as curl:
                    assert curl.stdout
                    row = next((line for line in curl.stdout if b'"initial_notification"' in line), b"")
                    curl.kill()
                assert row, command
                assert (b'"text":' in row) is ("text=1" in command)
            else:
                done = subprocess.run(
                    ["bash", "-c", command], capture_output=True, env=environment, timeout=60, check=True
                )
                assert "error" not in json.loads(done.stdout), command
