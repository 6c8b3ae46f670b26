"""The page with 2,000 interfaces, and with names that would harm a page that is less careful."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import chain, count
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from publisher.events import IpInterface, make_luid
from publisher.printable import printable
from publisher.sources import Resync, Update, Upsert
from publisher.sources.recording import Header, write_recording
from publisher.testing import make_row
from tests.fixtures.browser import Browser, wait_live
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.program import Program

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession, Page

URL = "http://127.0.0.1:8780/"
MANY = 2000
PAUSE = 0.1  # seconds between two changes
HOSTILE = (
    '<img src=x onerror="window.harmed = 1">',
    "\"'><script>window.harmed = 1</script>",
    "<!--<template><style>*{display:none}</style>",
    "javascript:window.harmed=1",
    "&lt;b&gt; ${window.harmed = 1} {{window.harmed = 1}}",
    "\u202egnp.exe\u2066",
    "\x1b]0;title\x07\x9b31m\x00",
    "e\u0301" * 40 + "Z" + "\u0300" * 3000,
    "w" * 5000,
    "שלום-مرحبا",
    "__proto__",
)
# Of Chromium's trace: how much of the page a layout had to look at.
CATEGORIES = ["devtools.timeline"]


def both_rows(alias: str, number: int) -> Iterator[IpInterface]:
    about = {"description": alias, "transmit_link_speed": 10**9}
    members: dict[str, Any] = {"index": number + 1, "luid": make_luid(6, 0x8000 + number), "interface": about}
    yield make_row(alias, "inet", addresses=[f"10.{number >> 8}.{number & 255}.1/24"], **members)
    yield make_row(alias, "inet6", addresses=[f"2001:db8::{number:x}/64"], **members)


@pytest.fixture(scope="module")
def crowd(shared_netns: NetNs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A publisher of 2,000 interfaces of which one changes ten times a second, and of hostile ones."""
    folder = tmp_path_factory.mktemp("crowd")
    names = [*HOSTILE, *(f"port{number}" for number in range(len(HOSTILE), MANY))]
    rows = [row for number, name in enumerate(names) for row in both_rows(name, number)]
    changes = (
        make_row("busy", index=9000, luid=make_luid(6, 0x8000 + MANY), nl_mtu=1300 + n % 200) for n in range(3000)
    )
    updates: Iterator[Update] = chain([Resync(tuple(rows), "startup")], map(Upsert, changes))
    times = (max(0, number - 2) * PAUSE for number in count())
    with (folder / "rows.jsonl").open("wb") as file:
        for _ in write_recording(
            file, Header(platform=sys.platform, recorder="0"), ([update] for update in updates), lambda: next(times)
        ):
            pass
    program = Program(shared_netns, folder, 'source = "recording:rows.jsonl"', "[sinks.web]", 'type = "web"')
    with program.running():
        program.wait(lambda: "the page is open" in program.log(), "the page")
        yield program


@pytest.fixture(scope="module")
def page(browser: Browser, crowd: Program) -> Iterator[Page]:
    """The page of the crowd, live: the tests look at it one after the other."""
    assert crowd.process
    with browser.context() as context:
        page = context.new_page()
        metrics = page.context.new_cdp_session(page)
        metrics.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(URL)
        yield wait_live(page)


def metrics_of(session: CDPSession) -> dict[str, float]:
    """Returns Chromium's metrics of a page."""
    return {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}


def test_2000_interfaces_take_little_time_and_memory(page: Page) -> None:
    wait_for(lambda: page.locator("tr[data-key]").count() >= MANY, what="all rows")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    metrics = metrics_of(session)  # times are of the main thread's CPU, in seconds
    assert metrics["TaskDuration"] < 2.0, "seconds of CPU for all of the page so far; docs/page.md has 0.5"
    assert metrics["JSHeapUsedSize"] < 50e6


def test_a_change_lays_out_a_few_rows_and_not_all(page: Page, browser: Browser) -> None:
    """A busy browser lays several changes out at once, and a part of the whole page late: so the median counts."""
    lines = page.locator("#stream li")
    lines.nth(3).wait_for()
    session = page.context.new_cdp_session(page)
    browser.chromium.start_tracing(page=page, categories=CATEGORIES)
    session.send("Performance.enable")  # it counts from here on
    wait_for(lambda: metrics_of(session)["LayoutCount"] >= 12, what="layouts")
    events = json.loads(browser.chromium.stop_tracing())["traceEvents"]
    layouts: list[dict[str, Any]] = [
        event["args"]["beginData"]
        for event in events
        if event["name"] == "Layout" and event.get("args", {}).get("beginData")
    ]
    assert len(layouts) >= 5
    assert max(layout["totalObjects"] for layout in layouts) > MANY
    dirty = median(layout["dirtyObjects"] for layout in layouts)
    assert dirty < 400, "the changed rows and the list of events"


def test_many_are_searched_and_sorted_and_the_last_one_is_reached(page: Page) -> None:
    page.fill("#search", "port1999")
    assert page.locator("tr[data-key]").count() == 1
    page.fill("#search", "")
    page.locator("th[data-column=name] button").click()
    assert page.locator("#rows tr").count() >= MANY
    page.locator("#rows .name button").first.focus()
    page.keyboard.press("End")
    last = page.locator("#rows tr").last
    assert last.locator("button").evaluate("(button) => button === document.activeElement")
    assert last.evaluate("(tr) => tr.getBoundingClientRect().bottom <= innerHeight + 1")


def test_hostile_names_are_text(page: Page) -> None:
    """No script runs, nothing violates the page's policy (the fixture looks), and no row is higher than others."""
    # As the tree has them: a text that is not in sight is not laid out.
    shown = page.locator("tr[data-key] .name bdi").all_text_contents()
    for name in HOSTILE:
        text = printable(name)
        assert text in shown or any(each.endswith("…") and text.startswith(each[:-1]) for each in shown), text
    assert "w" * 63 + "…" in shown, "the longest are cut"
    assert page.evaluate("window.harmed") is None
    assert page.evaluate("Object.prototype.alias") is None
    for name in HOSTILE:
        part = printable(name)[:12]
        page.locator("tr[data-key] .name button", has_text=part).first.click()
        page.locator("#history[open]").wait_for()
        assert page.locator("#history-title").inner_text().startswith(part)
        assert page.locator("#history").evaluate("(dialog) => dialog.scrollWidth <= dialog.clientWidth")
    assert page.evaluate("window.harmed") is None
    assert page.title().endswith("Interfaces of nas")
    heights = page.locator("tr[data-key]").evaluate_all(
        "(rows) => rows.map((row) => row.getBoundingClientRect().height)"
    )
    assert max(heights) < 80
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
