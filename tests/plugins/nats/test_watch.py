"""`publisher watch nats://...` in a terminal, and `publisher web nats://...` in a browser: rows, a lost node."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from publisher.testing import make_event, make_row, make_snapshot
from tests.fixtures.browser import COMMAND, Browser, wait_live
from tests.fixtures.bucket_writer import BucketWriter
from tests.fixtures.command_server import start_command
from tests.fixtures.nats import NatsServer
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.requirements import need
from tests.fixtures.tmux import Terminal

if sys.platform == "win32":
    pytest.skip("neither tmux nor this browser is on Windows", allow_module_level=True)

PUBLISHER = (sys.executable, "-m", "publisher")
DOWN = make_row("eth0", connected=False, interface={"oper_status": "down", "media_connect_state": "disconnected"})


@pytest.fixture
def writer(nats_server: NatsServer) -> Iterator[BucketWriter]:
    """The buckets, with two nodes and a row of each."""
    with BucketWriter(nats_server.url, "fleet") as made:
        made.make()
        for node in ("nas", "office"):
            made.status(node, lease=300)
            made.put(*make_snapshot([make_row("eth0")], 5, node=node))
        yield made
        made.delete()


def change(writer: BucketWriter) -> None:
    """Takes a link down, and lets the lease of the other node run out."""
    writer.put(make_event(6, row=DOWN, changed={}, node="nas"))
    writer.status("office", lease=1)


def test_watch_shows_rows_a_change_and_a_lost_node(
    nats_server: NatsServer, writer: BucketWriter, tmp_path: Path
) -> None:
    with closing(Terminal(tmp_path, os.environ)) as terminal:
        terminal.run(*PUBLISHER, "watch", nats_server.url, "--base fleet")
        terminal.wait(lambda screen: re.search(r"^nas +eth0 +up", screen, re.MULTILINE))
        change(writer)
        terminal.wait(lambda screen: re.search(r"^nas +eth0 +down", screen, re.MULTILINE))
        terminal.wait(lambda screen: "1 offline" in screen and re.search("office +eth0 +offline", screen))
        terminal.press("q")


def test_the_page_shows_rows_a_change_and_a_lost_node(
    nats_server: NatsServer, writer: BucketWriter, tmp_path: Path
) -> None:
    need(COMMAND, package="chromium-headless-shell")
    port, log = free_port(), tmp_path / "log"
    words = ["web", nats_server.url, "--base", "fleet", "--address", f"127.0.0.1:{port}"]
    with log.open("wb") as output:
        process = start_command(None, words, tmp_path, {**os.environ, "HOME": str(tmp_path)}, output)
    try:
        wait_for(lambda: "Open the page:" in log.read_text() or process.poll() is not None, what="the page")
        assert process.poll() is None, log.read_text()
        with Browser(None) as browser, browser.context() as context:
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{port}/")
            wait_live(page)
            rows = page.locator("tr[data-key]")
            wait_for(lambda: rows.count() == 2, what="the rows of both nodes")
            # Playwright runs an event loop in this thread.
            with ThreadPoolExecutor(1) as other:
                other.submit(change, writer).result()
            rows.filter(has_text="nas").filter(has_text=re.compile("down", re.IGNORECASE)).wait_for()
            rows.filter(has_text="office").locator("[title='its publisher is offline']").wait_for()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
