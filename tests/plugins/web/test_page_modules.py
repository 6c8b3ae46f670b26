"""The page's modules that touch no page: words, containers, and the rows by snapshots and events. In a real browser."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import publisher_web
from publisher.containers import CONTAINER_INTERFACES
from publisher.events import AnyEvent, Family, IpInterface
from publisher.printable import printable
from publisher.sources import Remove, Resync, Update, Upsert
from publisher.table import Stamp, Table
from publisher.text import speed_text, text_of
from tests.fixtures.browser import Browser
from tests.fixtures.rows import ETH0, ETH1, MOMENT, address, row

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

PAGE = Path(publisher_web.__file__).parent / "page"
KINDS = {"js": "text/javascript", "html": "text/html"}


@pytest.fixture(scope="module")
def modules(browser: Browser) -> Iterator[Page]:
    """An empty page that can import the modules."""

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        body = (PAGE / name).read_text(encoding="utf-8") if name else "<!doctype html><title>modules</title>"
        route.fulfill(body=body, content_type=KINDS.get(name.rpartition(".")[2], "text/html"))

    with browser.context() as context:
        context.route("http://page.test/**", answer)
        page = context.new_page()
        page.goto("http://page.test/")
        yield page


def call(page: Page, module: str, expression: str, argument: object = None) -> Any:
    """Returns the value of an expression that may use `m`, the module, and `given`."""
    return page.evaluate(
        f"async (given) => {{ const m = await import('/{module}.js'); return {expression} }}", argument
    )


def test_every_module_is_loaded_with_the_page() -> None:
    """Else the page would find them one after the other."""
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    assert [path.name for path in PAGE.glob("*.js") if f"page/{path.name}" not in page] == []


def test_what_is_not_printable_is_shown_as_elsewhere(modules: Page) -> None:
    """Controls, marks of direction, joiners, separators, private use, surrogates: as `printable` shows them."""
    chosen = [chr(code) for code in (*range(0x180), *range(0x2000, 0x2070), 0x61C, 0xFEFF, 0xE000, 0xFFFF, 0xE0001)]
    texts = [f"a{char}b" for char in chosen] + ["eth0", "Ünïcode 網路 شبكة 🖧", "a\u202etxt.exe", "\x1b[31mred\x07"]
    assert any(unicodedata.category(char) == "Cf" for char in chosen)
    assert call(modules, "text", "given.map((text) => m.printable(text))", texts) == [printable(text) for text in texts]


def test_a_lone_surrogate_is_an_escape_and_a_long_text_is_cut(modules: Page) -> None:
    assert call(modules, "text", "m.printable('a\\ud800b')") == "a\\ud800b"
    assert call(modules, "text", "m.printable('x'.repeat(1e6), 10)") == "x" * 9 + "…"
    assert call(modules, "text", "m.printable('🖧'.repeat(10), 10)") == "🖧" * 10


def test_speeds_are_in_the_same_words(modules: Page) -> None:
    speeds = [0, 999, 9600, 54_000_000, 866_700_000, 1_000_000_000, 2_500_000_000, 100_000_000_000, 4 * 10**12]
    assert call(modules, "text", "given.map(m.speedText)", speeds) == [speed_text(speed) for speed in speeds]


def test_times_are_relative_and_spans_have_two_units(modules: Page) -> None:
    ago = call(
        modules, "text", "given.map((seconds) => m.agoText(1e12 - 1000 * seconds, 1e12))", [-5, 2, 59, 60, 7300, 2e5]
    )
    assert ago == ["just now", "just now", "55 s ago", "1 min ago", "2 h ago", "2 d ago"]
    spans = call(modules, "text", "given.map(m.spanText)", [0.4, 7, 59.7, 200, 3600, 7500, 273_600])
    assert spans == ["0 s", "7 s", "1 min", "3 min 20 s", "1 h", "2 h 5 min", "3 d 4 h"]


def test_the_containers_are_those_of_the_list_for_home_assistant(modules: Page) -> None:
    assert call(modules, "containers", "m.PATTERNS") == list(CONTAINER_INTERFACES)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"alias": "veth12ab"}, True),
        ({"alias": "br-1a2b3c"}, True),
        ({"alias": "tap100i0"}, True),
        ({"alias": "vxlan.calico"}, True),
        ({"alias": "vxlanXcalico"}, False),
        ({"alias": "eth0"}, False),
        ({"alias": "my-veth0"}, False),
        ({"alias": "c0", "kind": "veth", "link_netnsid": 3}, True),
        ({"alias": "eth5", "kind": "veth", "link_netnsid": 3}, False),
        ({"alias": "vm0", "kind": "tun", "higher": (ETH1,)}, True),
        ({"alias": "vpn0", "kind": "tun"}, False),
        ({"alias": "br0", "kind": "bridge"}, False),
    ],
)
def test_a_containers_interface_is_known_by_name_kind_and_stack(
    modules: Page, members: dict[str, Any], expected: bool
) -> None:
    [entry] = Model(modules, Followed(row(**members))).entries
    assert entry["isOfContainers"] is expected


def test_a_bridge_is_a_containers_as_long_as_all_its_ports_are(modules: Page) -> None:
    bridge = row(ETH0, alias="mine", kind="bridge", lower=(ETH1,))
    port = row(ETH1, alias="veth0", kind="veth", higher=(ETH0,))
    host = Followed(bridge, port)
    model = Model(modules, host)
    assert [entry["isOfContainers"] for entry in model.entries] == [True, True]
    model.apply(host.change(row(ETH1, alias="eth7", kind="veth", higher=(ETH0,))))
    assert [entry["isOfContainers"] for entry in model.entries] == [False, False]


def test_both_families_are_one_entry_that_stays_until_the_last_is_removed(modules: Page) -> None:
    host = Followed(row(addresses=(address(),)), row(family="inet6", addresses=(address("fe80::1", scope="link"),)))
    model = Model(modules, host)
    [entry] = model.entries
    assert [each["address"] for each in entry["addresses"]] == ["192.0.2.1", "fe80::1"]
    model.apply(host.remove(ETH0, "inet"))
    assert [list(entry["families"]) for entry in model.entries] == [["inet6"]]
    model.apply(host.remove(ETH0, "inet6"))
    assert model.entries == []


def test_an_event_is_news_once_and_no_row_steps_back(modules: Page) -> None:
    host = Followed(row(mtu=1500))
    model = Model(modules, host)
    first, second = host.change(row(mtu=1400)), host.change(row(mtu=1300))
    assert [model.apply(event)["news"] for event in (first, second, second, first)] == [True, True, False, False]
    assert [entry["face"]["mtu"] for entry in model.entries] == [1300]


def test_a_node_that_says_how_far_it_is_makes_no_event_old(modules: Page) -> None:
    host = Followed(row())
    model = Model(modules, host)
    missed = host.change(row(mtu=1400))
    model.put_node(host.answer()["nodes"][0])
    assert model.apply(missed)["news"] is True


def test_a_snapshot_replaces_the_rows_of_its_node_and_of_no_other(modules: Page) -> None:
    host, other = Followed(row(), row(ETH1, alias="eth1")), Followed(row(), node="pi")
    model = Model(modules, host, other)
    host.remove(ETH1, "inet")
    host.change(row(mtu=1280))
    *begun, last = host.snapshot()
    assert [model.apply(event)["missed"] for event in begun] == [True], "something was not received"
    assert model.apply(last) == {"news": False, "missed": False, "removed": ["eth1"]}
    assert sorted((entry["node"], entry["face"].get("mtu")) for entry in model.entries) == [
        ("node", 1280),
        ("pi", None),
    ]
    assert model.apply(host.events[-1])["news"] is False, "the snapshot contains it"


def test_a_snapshot_that_has_nothing_new_makes_up_for_nothing(modules: Page) -> None:
    host = Followed(row())
    model = Model(modules, host)
    assert [model.apply(event)["missed"] for event in host.snapshot()] == [False, False]


def test_a_new_epoch_begins_with_its_snapshot_though_its_numbers_are_small(modules: Page) -> None:
    host = Followed(row(), row(ETH1, alias="eth1"))
    model = Model(modules, host)
    renewed = Followed(row(mtu=9000), epoch="0123456789abcdf0")
    for event in renewed.snapshot():
        model.apply(event)
    assert [entry["face"]["mtu"] for entry in model.entries] == [9000]
    assert model.apply(renewed.change(row(mtu=1500)))["news"] is True


def test_the_end_of_a_snapshot_whose_beginning_was_missed_removes_nothing(modules: Page) -> None:
    host = Followed(row(), row(ETH1, alias="eth1"))
    model = Model(modules, host)
    host.remove(ETH1, "inet")
    assert model.apply(host.snapshot()[-1])["removed"] == []
    assert len(model.entries) == 2


def test_a_flap_counts_once_for_both_families_and_for_an_hour(modules: Page) -> None:
    families: tuple[Family, ...] = ("inet", "inet6")
    host = Followed(*(row(family=family, connected=True) for family in families))
    model = Model(modules, host)
    for connected in (False, True, False):
        for family in families:
            model.apply(host.change(row(family=family, connected=connected)))
    at = MOMENT.timestamp() * 1000
    assert (model.flaps(at + 1000), model.flaps(at + 3_599_000), model.flaps(at + 3_601_000)) == (2, 2, 0)


def test_a_flap_that_the_rows_tell_of_already_is_not_counted_again(modules: Page) -> None:
    host = Followed(row(connected=True))
    model = Model(modules, host)
    down = host.change(row(connected=False))
    model.set_flaps({"node": {ETH0: [[down.time.isoformat(), 1]]}})
    model.apply(down)
    assert model.flaps(MOMENT.timestamp() * 1000 + 1) == 1


@pytest.mark.parametrize(
    ("before", "after", "transitions", "expected"),
    [(True, True, 4, 2), (True, False, 5, 3), (False, True, 1, 0), (True, False, 1, 1)],
)
def test_flaps_while_nobody_listened_are_counted_by_the_carrier(
    modules: Page, before: bool, after: bool, transitions: int, expected: int
) -> None:
    host = Followed(row(connected=before, carrier_transitions=10))
    model = Model(modules, host)
    model.apply(host.apply(Resync((row(connected=after, carrier_transitions=10 + transitions),), "overrun")))
    assert model.flaps(MOMENT.timestamp() * 1000 + 1) == expected


def test_both_events_of_a_change_are_one_line_in_the_words_of_the_terminal(modules: Page) -> None:
    families: tuple[Family, ...] = ("inet", "inet6")
    host = Followed(*(row(family=family, connected=True, nl_mtu=1500, mtu=1500) for family in families))
    taken = host.apply(Upsert(row(connected=True, nl_mtu=1400, mtu=1400, addresses=(address(),))))
    other = host.apply(Upsert(row(family="inet6", connected=True, nl_mtu=1400, mtu=1400)))
    host.apply(Resync(tuple(row(family=family, connected=False) for family in families), "startup"))
    away = host.events[-2:]
    gone = [host.remove(ETH0, family) for family in families]
    for change in ([taken], [taken, other], away, gone):
        lines = [json.loads(event.json_bytes) | {"text": event.text()} for event in change]
        assert call(modules, "changes", "m.textOf(given.map(m.lineOf))", lines) == text_of(change)
    pairs = [[json.loads(event.json_bytes) for event in pair] for pair in ([taken, other], gone, [other, gone[0]])]
    assert call(modules, "changes", "given.map(([a, b]) => m.isSameChange(a, b))", pairs) == [True, True, False]


def test_a_fleet_has_a_column_of_nodes_and_their_states(browser: Browser) -> None:
    """The answers are made here: no server of a fleet has nodes that are offline at will."""
    hosts = [Followed(row(), row(ETH1, alias=alias), node=node) for node, alias in (("pi", "eth1"), ("nas", "wlan0"))]
    answer = answer_of(*hosts) | {"fleet": True}
    answer["nodes"][0]["online"] = False
    messages = [host.change(row(mtu=1400)) for host in hosts]
    stream = "".join(f"data: {json.dumps(json.loads(m.json_bytes) | {'text': m.text()})}\n\n" for m in messages)
    answers = {"rows": json.dumps(answer), "status": "{}", "history": '{"events": [], "more": false}'}

    def serve(route: Route) -> None:
        name = route.request.url.rpartition("/")[2].partition("?")[0] or "index.html"
        if name == "events":
            route.fulfill(body=stream, content_type="text/event-stream")
        elif name in answers:
            route.fulfill(body=answers[name], content_type="application/json")
        else:
            kind = KINDS.get(name.rpartition(".")[2], "text/css")
            route.fulfill(body=(PAGE / name).read_text(encoding="utf-8"), content_type=kind)

    with browser.context() as context:
        context.route("http://page.test/**", serve)
        page = context.new_page()
        page.goto("http://page.test/")
        page.locator("#stream li").nth(1).wait_for()
        nodes, names = (page.locator(f"#rows {column}").all_inner_texts() for column in (".node", ".name bdi"))
        assert list(zip(nodes, names, strict=True)) == [
            *(("nas", "eth0"), ("nas", "wlan0")),
            *(("pi", "eth0"), ("pi", "eth1")),
        ]
        assert page.locator("#rows tr[data-stale] .state").all_inner_texts() == ["up?", "up?"]
        assert page.locator("#title").inner_text() == "Interfaces of 2 nodes"
        assert page.locator("#sink-list .word").all_inner_texts() == ["offline", "online"]
        assert sorted(page.locator("#stream .of").all_inner_texts()) == ["nas", "pi"]


class Followed:
    """A host of which the table makes events, as the page gets them."""

    def __init__(self, *rows: IpInterface, node: str = "node", epoch: str = "0123456789abcdef") -> None:
        self._stamp = Stamp(node, epoch, clock=lambda: MOMENT)
        self._table = Table(rows, self._stamp)
        self.events: list[AnyEvent] = []

    def apply(self, update: Update) -> AnyEvent:
        self.events += self._table.apply(update)
        return self.events[-1]

    def change(self, changed: IpInterface) -> AnyEvent:
        return self.apply(Upsert(changed))

    def remove(self, luid: str, family: Family) -> AnyEvent:
        return self.apply(Remove(luid, family))

    def snapshot(self) -> list[AnyEvent]:
        return list(self._table.snapshot())

    def answer(self) -> dict[str, Any]:
        """Returns what /api/rows says of it."""
        begin, *rows = self.snapshot()
        node = {"node": begin.node, "online": True, "in_sync": True, "epoch": begin.epoch, "seq": begin.seq}
        return {"nodes": [node], "rows": [json.loads(event.json_bytes) for event in rows], "flaps": {}, "fleet": False}


def answer_of(*hosts: Followed) -> dict[str, Any]:
    """Returns the answer of /api/rows about some hosts."""
    answers = [host.answer() for host in hosts]
    return answers[0] | {name: [each for one in answers for each in one[name]] for name in ("nodes", "rows")}


class Model:
    """The page's model, with the rows of these hosts."""

    def __init__(self, page: Page, *hosts: Followed) -> None:
        self._handle = page.evaluate_handle(
            """async (answer) => {
                const { Model } = await import("/model.js");
                const model = new Model();
                model.load(answer);
                return model;
            }""",
            answer_of(*hosts),
        )

    def apply(self, event: AnyEvent) -> Any:
        apply = """(model, event) => {
            const { news, missed, removed } = model.apply(event);
            return { news, missed, removed: removed.map(({ name }) => name) };
        }"""
        return self._handle.evaluate(apply, json.loads(event.json_bytes))

    def set_flaps(self, flaps: object) -> None:
        self._handle.evaluate("(model, flaps) => model.setFlaps(flaps)", flaps)

    def put_node(self, node: dict[str, Any]) -> None:
        self._handle.evaluate("(model, node) => model.putNode(node)", node)

    def flaps(self, moment: float) -> int:
        count: int = self._handle.evaluate("(model, now) => model.flapsOf([...model.entries.values()][0], now)", moment)
        return count

    @property
    def entries(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._handle.evaluate("(model) => [...model.entries.values()]")
        return entries
