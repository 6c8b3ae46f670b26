"""docs/troubleshooting.md: its commands are run as they are printed."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from pathlib import Path

import pytest

from publisher.sources import Resync
from publisher.testing import make_row
from tests.fixtures.command import Publisher
from tests.fixtures.poll import wait_for

PAGE = (Path(__file__).parents[2] / "docs/troubleshooting.md").read_text(encoding="utf-8")
LOOKING, RECORDING = (
    [shlex.split(line, comments=True)[1:] for line in block.splitlines()]
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
)


@pytest.fixture
def configured(publisher: Publisher) -> Publisher:
    publisher.configure('[sinks.log]\ntype = "file"\npath = "out.jsonl"')
    publisher.updates(Resync((make_row("eth0"),), "startup"), pace=0.01)
    return publisher


def test_the_commands_that_look_change_nothing(configured: Publisher) -> None:
    before = sorted(configured.folder.iterdir())
    for words in LOOKING:
        done = configured.run(tuple(words), configured.environment)
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr
    assert sorted(configured.folder.iterdir()) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_a_recording_is_made_until_it_is_interrupted(configured: Publisher) -> None:
    [words] = RECORDING
    name = configured.folder / words[-1]
    (configured.folder / "told.jsonl").write_bytes(name.read_bytes())
    name.unlink()
    recorder = configured.start(*words, PUBLISHER_SOURCE="recording:told.jsonl")
    wait_for(lambda: name.exists() and name.stat().st_size > 500, what="the recording of a row")
    recorder.send_signal(signal.SIGINT)
    recorder.wait(60)
    assert b"eth0" in name.read_bytes()
