"""Every snippet of docs/subscribers.md, run as it is printed; only the addresses are others."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults import changing
from tests.fixtures.netns import NetNs
from tests.fixtures.node import EXAMPLE, TOP, node_packages
from tests.fixtures.poll import wait_for
from tests.fixtures.requirements import need
from tests.fixtures.subscribed_host import SubscribedHost

if sys.platform == "win32":
    pytest.skip("Windows has neither network namespaces nor these commands", allow_module_level=True)

PAGE = TOP / "docs/subscribers.md"


class Snippet(NamedTuple):
    """A block of the page, and what it has to print while interfaces change."""

    language: str
    code: str

    @property
    def expected(self) -> str:
        for sign, pattern in EXPECTED.items():
            if sign in self.code:
                return pattern
        raise AssertionError(f"nothing is expected of {self.code}")


EXPECTED = {
    "publisher.subscribe": r"^nas f\d mtu ",
    "Rows": r"^nas f\d mtu_changed$",
    '/event"': r'"notification_type":"parameter_notification"',
    '/state"': r'^interfaces/nas/\w+/inet6/state \{"epoch"',
    "replay/get": r'"answer":"events"(.|\n)*"position":20,"count":20,"event"',
    "Last-Event-ID": r'^id: [0-9a-f]{16}-\d{16}\ndata: .*"notification_type":"parameter_notification"',
    "/api/history": r'^\{"events":\[\{.*mtu_changed',
    "/events": r'"position":0(.|\n)*"notification_type":"parameter_notification"',
}


def snippets() -> list[Snippet]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [Snippet(language, code) for language, code in found]


def test_each_snippet_does_what_the_page_says(inside_netns: NetNs, tmp_path: Path) -> None:
    need("curl", package="curl")
    need("mosquitto_sub", "mosquitto_pub", package="mosquitto-clients")
    host = SubscribedHost(inside_netns, tmp_path)
    with closing(host), host.running(), changing(partial(host.changes.make, 1), pause=0.05):
        for number, snippet in enumerate(snippets()):
            (folder := tmp_path / str(number)).mkdir()
            assert_prints(snippet, host, folder)


def assert_prints(snippet: Snippet, host: SubscribedHost, folder: Path) -> None:
    pattern = re.compile(snippet.expected, re.MULTILINE)
    with started(snippet, host, folder) as output:
        wait_for(lambda: pattern.search(output.read_text()), what=f"{pattern.pattern} from {snippet.code}")


def command(snippet: Snippet, host: SubscribedHost, folder: Path) -> Sequence[str]:
    """Returns the command for the snippet, with the addresses of this test."""
    code = snippet.code.replace("mqtt://broker.lan", host.broker.url).replace("http://127.0.0.1:8780/", host.page)
    code = code.replace("-h broker.lan", f"-h 127.0.0.1 -p {host.broker.port}")
    assert code != snippet.code
    match snippet.language:
        case "python":
            return [sys.executable, "-u", "-c", code]
        case "js":
            (folder / "subscribe.mjs").write_bytes(EXAMPLE.read_bytes())
            (folder / "node_modules").symlink_to(node_packages())
            (folder / "program.mjs").write_text(code)
            return ["node", "program.mjs"]
        case _:
            return ["sh", "-c", code]


@contextmanager
def started(snippet: Snippet, host: SubscribedHost, folder: Path) -> Iterator[Path]:
    """Runs the snippet in the block, which is given the file of its output."""
    output = folder / "output"
    with output.open("wb") as file, (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            command(snippet, host, folder),
            cwd=folder,
            env=os.environ | {"HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=errors,
            process_group=0,
        )
    try:
        yield output
    finally:
        os.killpg(process.pid, signal.Signals["SIGKILL"])
        process.wait()
