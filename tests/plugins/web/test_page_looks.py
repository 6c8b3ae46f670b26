"""The page's looks, its keys and its words for people who listen, with a home's server that has a past."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import pytest

from tests.fixtures.browser import Browser, wait_live
from tests.fixtures.home import home, program_with_past
from tests.fixtures.netns import NetNs
from tests.fixtures.program import Program

if TYPE_CHECKING:
    from playwright.sync_api import Page

URL = "http://127.0.0.1:8780/"
IMAGES = Path(__file__).parents[3] / "docs" / "images"
# Nobody listens there: a sink in trouble.
PHONE = ("[sinks.phone]", 'type = "webhook"', 'url = "http://127.0.0.1:9/"')
SIZES = ((1280, 720), (800, 800), (360, 720))
VIEWS = ("interfaces", "events", "sinks")

OVERFLOWING = """() => [document.documentElement, ...document.querySelectorAll("body *")].filter((element) => {
    const { overflowX } = getComputedStyle(element);
    const clips = overflowX === "hidden" || overflowX === "clip";
    return element.checkVisibility() && !clips && element.clientWidth && element.scrollWidth > element.clientWidth + 1;
}).map((element) => `${element.tagName}.${element.className} ${element.scrollWidth} > ${element.clientWidth}`)"""

# Each element with text of its own, and the contrast of its colour to what is behind it (WCAG 2, relative luminance).
CONTRASTS = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (colour) => rgba(colour).slice(0, 3).map((part) => part / 255)
        .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
    const behind = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const { backgroundColor } = getComputedStyle(each);
            if (rgba(backgroundColor)[3] === 255) return backgroundColor;
        }
        return "white";
    };
    return [...document.querySelectorAll("body *")].filter((element) => element.checkVisibility()
        && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())).map((element) => {
        const [one, other] = [getComputedStyle(element).color, behind(element)].map(luminance);
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        return [ratio, `${element.tagName}.${element.className}: ${element.textContent.slice(0, 30)}`];
    });
}"""


@pytest.fixture(scope="module")
def server(shared_netns: NetNs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The page of the home's server."""
    program = program_with_past(
        shared_netns, tmp_path_factory.mktemp("home"), *home(), "[sinks.web]", 'type = "web"', *PHONE
    )
    with program.running():
        program.wait(lambda: "the page is open" in program.log(), "the page")
        yield program


class Look(NamedTuple):
    """The size of the window, and the colours and the motion that the user wants."""

    width: int = 1280
    height: int = 760
    scheme: Literal["light", "dark"] = "light"
    motion: Literal["reduce", "no-preference"] = "no-preference"
    colours: Literal["active", "none"] = "none"

    def put_on(self, page: Page) -> None:
        page.set_viewport_size({"width": self.width, "height": self.height})
        page.emulate_media(color_scheme=self.scheme, reduced_motion=self.motion, forced_colors=self.colours)


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    with browser.context() as context:
        yield context.new_page()


@pytest.fixture
def page(browser: Browser, server: Program, tab: Page, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, loaded anew; parametrized, with this look."""
    assert server.process
    getattr(request, "param", Look()).put_on(tab)
    tab.goto(URL)
    tab.locator("#stream li").first.wait_for(state="attached")
    tab.locator("#sink-list li[data-mood=bad]").wait_for(state="attached")
    yield wait_live(tab)
    browser.check()


def opened(page: Page, name: str) -> Page:
    """Returns the page with the history of an interface."""
    page.get_by_role("button", name=name, exact=True).click()
    page.locator("#past li").first.wait_for()
    return page


def seen(page: Page) -> Iterator[Page]:
    """Yields the page in each of its views, and with a history."""
    if page.locator("nav").is_visible():
        for view in VIEWS[1:]:
            page.locator(f"nav button[data-view={view}]").click()
            yield page
        page.locator("nav button[data-view=interfaces]").click()
    yield page
    page.get_by_role("button", name="interfaces of containers").click()
    yield page
    yield opened(page, "enp4s0")


@pytest.mark.parametrize("page", [Look(*size) for size in SIZES], ids=map(str, SIZES), indirect=True)
def test_nothing_is_too_wide_and_all_text_has_contrast(page: Page) -> None:
    schemes: tuple[Literal["dark", "light"], ...] = ("dark", "light")
    for shown in seen(page):
        assert shown.evaluate(OVERFLOWING) == []
        for scheme in schemes:
            shown.emulate_media(color_scheme=scheme)
            contrasts = shown.evaluate(CONTRASTS)
            assert len(contrasts) > 10
            assert [(scheme, text) for ratio, text in contrasts if ratio < 4.5] == []


def test_the_keys_lead_everywhere(page: Page) -> None:
    focused = page.locator(":focus")
    page.keyboard.press("/")
    assert focused.get_attribute("id") == "search"
    page.keyboard.type("e")
    page.keyboard.press("ArrowDown")
    assert focused.inner_text() == "br0"
    page.keyboard.press("ArrowDown")
    assert focused.inner_text() == "enp3s0"
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("#history").is_visible()
    assert focused.inner_text() == "enp3s0"
    assert focused.get_attribute("id") == "history-title"
    page.keyboard.press("Escape")
    assert not page.locator("#history").is_visible()
    assert focused.inner_text() == "enp3s0"
    assert page.locator("tr[data-key] button[tabindex='0']").count() == 1, "Tab leaves the table"
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    assert page.locator("#search").input_value() == ""


def test_columns_sort_and_say_so(page: Page) -> None:
    names = page.locator("#rows .name bdi")
    assert names.all_text_contents() == ["br0", "enp3s0", "enp3s0.20", "enp4s0", "enp5s0", "lo", "wg0", "wlp2s0"]
    heading = page.locator("th[data-column=changed]")
    heading.get_by_role("button").click()
    assert names.all_text_contents()[:3] == ["wg0", "enp4s0", "wlp2s0"]
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.get_by_role("button").click()
    assert names.all_text_contents()[-3:] == ["wlp2s0", "enp4s0", "wg0"]
    assert heading.get_attribute("aria-sort") == "descending"


def test_states_types_and_words_filter(page: Page) -> None:
    # As the tree has them: what comes into sight is laid out with the next picture.
    names = page.locator("tr[data-key] .name bdi")
    page.get_by_role("radio", name="Down 1").check(force=True)
    assert names.all_text_contents() == ["enp4s0"]
    page.get_by_role("radio", name="Flapping 1").check(force=True)
    assert names.all_text_contents() == ["enp4s0"]
    page.get_by_role("radio", name="All 14").check(force=True)
    page.select_option("#type", "Wi-Fi")
    assert names.all_text_contents() == ["wlp2s0"]
    page.select_option("#type", "")
    page.fill("#search", "192.0.2.1 up")
    assert names.all_text_contents() == ["enp3s0"]
    page.fill("#search", "nothing like that")
    assert page.locator("#empty").inner_text() == "No interface is like that."


def test_who_listens_gets_names_rows_and_headings(page: Page) -> None:
    opened(page, "enp4s0")
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    nodes = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
    controls = {"button", "searchbox", "combobox", "radio", "link", "dialog", "table", "image"}
    assert [role for role, name in nodes if role in controls and not name] == []
    assert {name for role, name in nodes if role == "columnheader"} == {
        *("Interface", "State", "Speed", "Addresses", "Default route", "Changed"),
        "Flaps",
    }
    assert {"br0 bridge", "enp4s0 Ethernet"} <= {name for role, name in nodes if role == "rowheader"}
    assert ("searchbox", "Search interfaces") in nodes
    assert ("dialog", "enp4s0") in nodes
    assert next(name for role, name in nodes if role == "heading") == "Interfaces of nas"


def test_the_health_of_the_sinks_is_shown(page: Page) -> None:
    phone = page.locator("#sink-list li", has_text="phone")
    # While it tries again, it does not wait.
    phone.filter(has_text="waits").filter(has_text="Connection refused").filter(has_text="events behind").wait_for()
    page.locator("#sink-list li", has_text="web").filter(has_text="delivers").wait_for()


@pytest.mark.parametrize("page", [Look(motion="reduce", colours="active")], indirect=True)
def test_states_are_words_where_there_are_no_colours(page: Page) -> None:
    states = page.locator("#rows tr:visible .state").all_inner_texts()
    assert set(states) == {"up", "down", "off"}
    assert page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize(
    ("page", "name"),
    [
        (Look(1200, 560), "page.png"),
        (Look(1200, 640, "dark"), "history.png"),
        (Look(360, 640, "dark"), "phone.png"),
    ],
    indirect=["page"],
    ids=["page", "history", "phone"],
)
def test_a_screenshot_of_it_is_small(page: Page, name: str, pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """With --screenshots it is the one in docs/images."""
    if name == "history.png":
        opened(page, "enp4s0")
    picture = page.screenshot(animations="disabled")
    folder = IMAGES if pytestconfig.getoption("--screenshots") else tmp_path
    (folder / name).write_bytes(picture)
    size = page.viewport_size
    assert size
    assert struct.unpack(">II", picture[16:24]) == (size["width"], size["height"])
    assert len(picture) < 150_000
