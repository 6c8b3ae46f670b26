"""The examples of docs/python.md, each run as a program of its own against a real broker and a real page."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from publisher.testing import make_row
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.mqtt_host import MqttHost
from tests.fixtures.web_host import WebHost

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/python.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)

if sys.platform == "win32":
    pytest.skip("the brokers exist on Linux only", allow_module_level=True)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Runs what the examples name; returns the real URLs."""
    with (
        Mosquitto(tmp_path_factory.mktemp("broker")) as broker,
        MqttHost(tmp_path_factory.mktemp("mqtt"), broker, node="nas") as host,
        WebHost(tmp_path_factory.mktemp("web"), node="nas") as page,
    ):
        for one in (host, page):
            one.put(make_row("eth0"), make_row("wlan0", index=3))
            one.quiet()
        yield {"mqtt://broker.lan": broker.url, "http://nas.lan:8780/": page.url}


def test_there_are_examples() -> None:
    assert len(BLOCKS) > 5


@pytest.mark.parametrize("code", BLOCKS, ids=[str(number) for number in range(len(BLOCKS))])
def test_an_example_prints_what_it_says(code: str, places: dict[str, str], tmp_path: Path) -> None:
    real = code
    for name, url in places.items():
        real = real.replace(name, url)
    command = [sys.executable, "-W", "error", "-c", real]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (result.stderr, result.returncode) == ("", 0)
    assert result.stdout == "".join(re.findall(r"^\s*# prints: (.*\n)", code, re.MULTILINE))
