"""docs/examples/subscribe.mjs in a real browser: from a broker's WebSocket, and from the page's own address."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.fixtures.browser import Browser
from tests.fixtures.netns import NetNs
from tests.fixtures.node import EXAMPLE, node_packages
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.subscribed_host import SubscribedHost, listens

if TYPE_CHECKING:
    from playwright.sync_api import Page

if sys.platform == "win32":
    pytest.skip("Windows has no network namespaces", allow_module_level=True)

_HTML = """<!doctype html><link rel="icon" href="data:,">
<script type="importmap">{"imports": {"mqtt": "/mqtt.js"}}</script>"""
_PROGRAM = """async (url) => {
  const { Rows, subscribe } = await import("/subscribe.mjs");
  globalThis.rows = new Rows();
  globalThis.kinds = [];
  (async () => {
    for await (const event of subscribe(url)) {
      globalThis.rows.apply(event);
      globalThis.kinds.push(...event.kinds);
    }
  })().catch((error) => console.error(String(error)));
}"""


@pytest.fixture(scope="module")
def host(shared_netns: NetNs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SubscribedHost]:
    made = shared_netns.in_thread(SubscribedHost, shared_netns, tmp_path_factory.mktemp("host"))
    with closing(made), made.running():
        yield made


@pytest.fixture(scope="module")
def site(shared_netns: NetNs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page of somebody's own, beside the subscriber and mqtt.js."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text(_HTML)
    shutil.copy(EXAMPLE, folder)
    shutil.copy(node_packages() / "mqtt" / "dist" / "mqtt.esm.js", folder / "mqtt.js")
    port = free_port()
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), str(port)]
    server = shared_netns.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: listens(shared_netns, port), what="the site")
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.kill()
        server.wait()


def test_from_a_broker(browser: Browser, host: SubscribedHost, site: str) -> None:
    with browser.context() as context:
        page = context.new_page()
        page.goto(site)
        assert_follows(page, host, host.websockets)


def test_from_the_page_of_a_publisher(browser: Browser, host: SubscribedHost) -> None:
    with browser.context() as context:
        # What a proxy could add: the page's own address answers to no other site.
        script = EXAMPLE.read_text()
        context.route(
            f"{host.page}subscribe.mjs", lambda route: route.fulfill(body=script, content_type="text/javascript")
        )
        page = context.new_page()
        page.goto(f"{host.page}api/status")
        assert_follows(page, host, host.page)


def assert_follows(page: Page, host: SubscribedHost, url: str) -> None:
    page.evaluate(_PROGRAM, url)
    # Not by `wait_for_function`, which the page's content security policy forbids.
    wait_for(lambda: page.evaluate("globalThis.rows.size > 0"), what="the rows")
    host.changes.make(1)
    wait_for(lambda: page.evaluate("globalThis.kinds.includes('mtu_changed')"), what="the change")
    assert page.evaluate("globalThis.rows.size") == len(host.program.snapshot())
