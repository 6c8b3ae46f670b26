"""The page in a real browser, on a real publisher that follows a network namespace."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.fixtures.browser import Browser, wait_live
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.program import Program, journal_events

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

# In a namespace of their own these ports are free.
URL = "http://127.0.0.1:8780/"
PRIVATE = "http://127.0.0.1:8781/"
TOKEN = "a-token-of-this-test-0123456789"
SINKS = (
    *("[sinks.web]", 'type = "web"', 'address = "127.0.0.1:8780"'),
    *("[sinks.private]", 'type = "web"', 'address = "127.0.0.1:8781"', f'token = "{TOKEN}"'),
)
# A row flashes for 1.6 s, which a busy machine may miss.
COUNT_FLASHES = """() => {
    const { animate } = Element.prototype;
    window.flashes = 0;
    Element.prototype.animate = function (...given) { window.flashes += 1; return animate.apply(this, given) };
}"""
SPAN = r"(\d+ s|\d+ min( \d+ s)?)"
SEEN = """(key) => new Promise((resolve) => {
    const row = document.querySelector(`tr[data-key$="${key}"]`);
    const observer = new MutationObserver(() => { observer.disconnect(); resolve(Date.now() / 1000) });
    observer.observe(row, { attributes: true, attributeFilter: ["data-state"] });
})"""


@pytest.fixture(scope="module")
def host(shared_netns: NetNs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A publisher with its page: `lan0` has an address of each family, and `veth0` a container's name."""
    # Chromium gives up what it loads when an address comes into use, which the link-local ones do some time after
    # their link is up: that is waited for, and the link that the tests take down and up has none.
    shared_netns.sysctl("net/ipv6/conf/default/accept_dad", 0)
    for pair in (("lan0", "lan1"), ("mark", "mark1"), ("gone0", "gone1"), ("veth0", "veth1")):
        shared_netns.veth(*pair)
    shared_netns.sysctl("net/ipv6/conf/lan1/addr_gen_mode", 1)
    shared_netns.ip(
        "addr add 192.0.2.10/24 dev lan0",
        "addr add 2001:db8::10/64 dev lan0 nodad",
        "route add default via 192.0.2.1 dev lan0",
    )
    program = Program(shared_netns, tmp_path_factory.mktemp("host"), *SINKS)
    with program.running():
        shared_netns.ip("link set lan1 down")  # before anybody looks
        program.wait(lambda: any("link_down" in event.kinds for event in program.events), "the link that is down")
        shared_netns.ip("link set lan1 up")
        program.mark(1400)
        program.wait(lambda: program.log().count("the page is open") == 2, "both pages")
        program.wait(lambda: shared_netns.run("ip -6 addr show scope link").count("inet6 fe80:") == 7, "all addresses")
        yield program


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    with browser.context() as context:
        yield context.new_page()


@pytest.fixture
def page(browser: Browser, host: Program, tab: Page) -> Iterator[Page]:
    """The page of the host, loaded anew and live."""
    assert host.process
    tab.goto(URL)
    # What happened before is read when the rows are there.
    tab.locator("#stream li").first.wait_for(state="attached")
    yield wait_live(tab)
    browser.check()


def row_of(page: Page, name: str) -> Locator:
    return page.locator("tr[data-key]", has=page.get_by_role("button", name=name, exact=True))


def flap(page: Page, host: Program) -> None:
    """Takes lan0's link down and up; of both in one moment the kernel tells nothing."""
    for state in ("down", "up"):
        host.netns.ip(f"link set lan1 {state}")
        row_of(page, "lan0").locator(".state", has_text=state).wait_for()


def lines(page: Page) -> list[str]:
    """Returns the texts of the event stream, newest first."""
    return page.locator("#stream .what").all_inner_texts()


def seqs(page: Page) -> list[int]:
    """Returns the seqs of the events in the list of events, oldest first."""
    changes = page.locator("#stream li").evaluate_all("(changes) => changes.map(({ dataset }) => dataset.ids)")
    return [int(event.partition("-")[2]) for change in reversed(changes) for event in change.split(" ")]


def test_each_interface_is_one_row_with_both_families(page: Page) -> None:
    row = row_of(page, "lan0")
    assert row.locator(".state").inner_text() == "up"
    assert row.locator(".speed").inner_text() == "10 Gbit/s"
    assert row.locator(".routes").inner_text() == "192.0.2.1"
    addresses = row.locator(".addresses .piece").all_inner_texts()
    assert addresses[:2] == ["192.0.2.10/24", "2001:db8::10/64"]
    assert addresses[2].startswith("fe80::")
    # The history, which has the time, is read after the rows are shown.
    row.locator(".changed", has_text=re.compile(r"^(just now|\d+ \w+ ago)$")).wait_for()
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row.locator(".changed time").get_attribute("title") or "")
    assert page.locator("#rows tr").count() == 7
    assert page.title() == "Interfaces of nas"


def test_containers_are_folded(page: Page) -> None:
    fold = page.get_by_role("button", name="2 interfaces of containers and virtual machines")
    assert row_of(page, "veth0").count() == 0
    fold.click()
    assert row_of(page, "veth0").is_visible()
    page.keyboard.press("c")
    assert row_of(page, "veth0").count() == 0
    page.fill("#search", "veth0")
    assert row_of(page, "veth0").is_visible(), "who searches finds them"


def test_a_change_is_seen_within_a_second(page: Page, host: Program) -> None:
    """The best of five: the machine may be busy."""
    key = str(row_of(page, "lan0").get_attribute("data-key"))
    took = []
    for state in ("down", "up", "down", "up", "down"):
        page.evaluate(f"void (window.seen = ({SEEN})({key!r}))")
        began = time.time()
        host.netns.ip(f"link set lan1 {state}")
        took.append(float(page.evaluate("window.seen")) - began)
    assert min(took) < 1.0
    host.netns.ip("link set lan1 up")
    row_of(page, "lan0").locator(".state", has_text="up").wait_for()


def test_flaps_of_the_last_hour_are_counted_also_those_before_the_page_was_opened(page: Page, host: Program) -> None:
    flaps = row_of(page, "lan0").locator(".flaps")
    before = int(flaps.inner_text() or 0)
    flap(page, host)
    wait_for(lambda: flaps.inner_text() == str(before + 1), what="the flap")
    page.reload()
    wait_live(page)
    assert flaps.inner_text() == str(before + 1)


def test_the_history_begins_before_the_page_was_opened_and_goes_on(page: Page, host: Program) -> None:
    flap(page, host)
    page.reload()
    wait_live(page)
    row_of(page, "lan0").click()
    past = page.locator("#past li")
    past.nth(1).wait_for()
    assert past.nth(0).locator(".what").inner_text() == "up, 10 Gbit/s"
    assert past.nth(1).locator(".what").inner_text() == "down, was 10 Gbit/s"
    assert re.fullmatch(f"up for {SPAN} now", past.nth(0).locator(".held").inner_text())
    assert re.fullmatch(f"down for {SPAN}", past.nth(1).locator(".held").inner_text())
    assert re.match(rf"Up for {SPAN}\. Down (once|\d+ times) since ", page.locator("#held").inner_text())
    facts = page.locator("#facts").inner_text()
    assert "2001:db8::10/64" in facts
    assert "192.0.2.1, metric 0" in facts
    host.netns.ip("link set lan0 mtu 1399")
    page.locator("#past li", has_text="mtu 1399, was 1500").wait_for()
    host.netns.ip("link set lan0 mtu 1500")


def test_more_of_the_history_is_read_on_demand(page: Page, host: Program) -> None:
    for mtu in range(1300, 1330):
        host.mark(mtu)
    row_of(page, "mark").click()
    past = page.locator("#past li")
    past.nth(0).wait_for()
    first = past.count()
    page.get_by_role("button", name="Older").click()
    wait_for(lambda: past.count() > first, what="older events")
    seqs = page.evaluate("[...document.querySelectorAll('#past li')].flatMap((li) => li.dataset.ids.split(' '))")
    assert len(seqs) == len(set(seqs))
    assert "mtu 1301, was 1300" in "\n".join(past.locator(".what").all_inner_texts())


def test_a_removed_interface_goes_and_the_stream_says_so(page: Page, host: Program) -> None:
    row_of(page, "gone0").click()
    page.locator("#history[open]").wait_for()
    host.netns.ip("link del gone0")
    row_of(page, "gone0").wait_for(state="detached")
    page.locator("#stream .what", has_text="gone0 removed").wait_for()
    page.locator("#facts dd:first-of-type", has_text=re.compile("^removed$")).wait_for()


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_over_a_restart_nothing_is_lost_and_nothing_comes_twice(page: Page, host: Program, how: str) -> None:
    host.mark(1410)
    wait_for(lambda: any("mtu 1410" in line for line in lines(page)), what="the mark")
    known = len(seqs(page))
    host.end(signal.Signals[how])
    # On a busy machine it may be offline before anybody looks.
    page.locator("#connection:is([data-state=reconnecting], [data-state=offline])").wait_for()
    assert "what you see is from then" in page.locator("#connection-text").inner_text()
    host.netns.ip("link set lan0 mtu 1411", "addr add 192.0.2.99/24 dev lan0")
    host.start()
    host.mark(1412)
    wait_live(page)
    wait_for(lambda: any("mtu 1412" in line for line in lines(page)), what="the changes since then")
    host.netns.ip("addr del 192.0.2.99/24 dev lan0", "link set lan0 mtu 1500")
    host.mark(1413)
    wait_for(lambda: any("mtu 1413" in line for line in lines(page)), what="the last mark")
    wait_for(lambda: seqs(page)[-1] == max(journal_events(host.journal)), what="the newest event")
    shown = seqs(page)
    assert shown == sorted(journal_events(host.journal))[-len(shown) :]
    assert len(shown) > known
    assert any("while publisher was away" in line for line in lines(page))


def test_offline_is_shown_and_ends_by_itself(page: Page) -> None:
    page.context.set_offline(True)
    try:
        page.locator("#connection[data-state=offline]").wait_for()
        shown = page.locator("#connection-text").inner_text()
        assert re.search(r"^Offline \(.+\) since \d\d:\d\d:\d\d: what you see is from then$", shown)
        assert page.title().startswith("(offline) ")
        assert page.get_by_role("button", name="Try now").is_visible()
    finally:  # the other tests have the same tab
        page.context.set_offline(False)
    wait_live(page)


def test_offline_is_shown_though_an_answer_came_at_its_beginning(page: Page) -> None:
    answered: list[Route] = []

    def answer(route: Route) -> None:
        answered.append(route)
        route.fulfill(body="{}") if len(answered) < 3 else route.continue_()

    page.route("**/api/status", answer)
    try:
        page.context.set_offline(True)
        page.locator("#connection[data-state=offline]").wait_for()
        assert len(answered) >= 3
    finally:
        page.context.set_offline(False)
        page.unroute("**/api/status")
    wait_live(page)


def hang_once(page: Page, path: str) -> None:
    """Opens the page with a clock of its own, and has the first request for this path never answered."""
    page.clock.install()
    hanging: list[Route] = []

    def answer(route: Route) -> None:
        if hanging:
            route.continue_()
        else:
            hanging.append(route)

    page.route(path, answer)
    page.goto(URL)
    wait_for(lambda: page.evaluate("true") and hanging, what="the request")
    page.clock.run_for(15_000)
    page.locator("#connection[data-state=offline]").wait_for()


@pytest.mark.parametrize("path", ["**/api/rows", "**/events?*"])
def test_a_request_that_is_never_answered_is_made_again(browser: Browser, host: Program, path: str) -> None:
    assert host.process
    with browser.context() as context:
        page = context.new_page()
        hang_once(page, path)
        page.clock.run_for(45_000)
        wait_live(page)


def test_whoever_tries_now_waits_for_no_earlier_attempt(browser: Browser, host: Program) -> None:
    assert host.process
    with browser.context() as context:
        page = context.new_page()
        hang_once(page, "**/events?*")
        page.get_by_role("button", name="Try now").click()
        page.clock.run_for(1000)
        wait_live(page)


def test_changes_are_announced_and_flash_unless_motion_is_reduced(page: Page, host: Program) -> None:
    page.evaluate(COUNT_FLASHES)
    host.netns.ip("link set lan1 down")
    wait_for(lambda: page.evaluate("window.flashes > 0"), what="the flash")
    page.locator("#said", has_text="lan0 down, was 10 Gbit/s").wait_for(state="attached")
    wait_for(lambda: page.evaluate("document.getAnimations().length === 0"), what="the end of the flash")
    page.emulate_media(reduced_motion="reduce")
    flashes = page.evaluate("window.flashes")
    host.netns.ip("link set lan1 up")
    row_of(page, "lan0").locator(".state", has_text="up").wait_for()
    assert page.evaluate("window.flashes") == flashes
    page.emulate_media(reduced_motion="null")


def test_a_paused_stream_waits(page: Page, host: Program) -> None:
    page.keyboard.press("p")
    before = lines(page)
    host.mark(1420)
    button = page.locator("#pause", has_text=re.compile(r"Go on: [1-9]"))
    button.wait_for()
    assert lines(page) == before
    button.click()
    assert "mtu 1420" in lines(page)[0]


def test_the_stream_is_filtered_by_kind(page: Page, host: Program) -> None:
    flap(page, host)
    host.mark(1421)
    page.select_option("#kind", "link_down")
    shown = lines(page)
    assert shown
    assert all(" down" in line or "flapped" in line for line in shown)


def test_the_token_is_given_once_and_asked_for_when_it_is_lost(browser: Browser, host: Program) -> None:
    assert host.process
    with browser.context(allowed=["status of 401"]) as context:
        page = context.new_page()
        refused: list[str] = []
        page.on("console", lambda message: refused.append(message.text))
        answer = page.goto(PRIVATE)
        assert answer
        assert answer.status == 401
        page.get_by_text("needs its token").wait_for()
        page.wait_for_load_state("networkidle")
        assert len(refused) == 1, "the browser asks for no icon"
        page.goto(f"{PRIVATE}?token={TOKEN}")
        wait_live(page)
        assert page.url == PRIVATE, "the token is not left in the address"
        context.clear_cookies()
        context.set_offline(True)
        page.locator("#connection[data-state=offline]").wait_for()
        context.set_offline(False)
        page.locator("#connection[data-state=refused]").wait_for()
        assert "?token=" in page.locator("#connection-text").inner_text()


def test_without_scripts_the_page_says_that_it_shows_nothing(browser: Browser, host: Program) -> None:
    assert host.process
    with browser.context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(URL)
        assert "needs JavaScript" in page.locator("noscript").inner_text()
        assert page.locator("#connection-text").inner_text() == "Not connected: nothing is loaded yet"


def test_the_page_says_so_when_its_scripts_do_not_come(browser: Browser, host: Program) -> None:
    assert host.process
    with browser.context() as context:
        page = context.new_page()
        page.route("**/*.js", lambda route: route.abort())
        page.goto(URL)
        page.get_by_text("scripts do not answer").wait_for()
