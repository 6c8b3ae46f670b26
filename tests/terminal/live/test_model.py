"""The answers of the table to keys and events: filter, order, selection, containers, pause, history."""

from __future__ import annotations

import pytest

from publisher.terminal.live.interfaces import InterfaceKey, told_change
from publisher.terminal.live.model import Model, PageRequest
from publisher.testing import BEGINNING, make_event, make_row, make_snapshot
from tests.fixtures.pictures import HOME, UP, lines, link_event, model_of, press

MANY = [make_row(f"eth{number}", index=number + 1, addresses=[f"192.0.2.{number % 250}/24"]) for number in range(1000)]


def names(shown: list[str]) -> list[str]:
    """Returns the first word of each row."""
    return [line.split()[0] for line in shown[2:-1] if line]


def key_of(number: int) -> InterfaceKey:
    return InterfaceKey("nas", HOME[number].luid)


def test_names_are_in_the_order_of_people() -> None:
    assert names(lines(model_of())) == ["eth0", "eth2", "eth10", "lo", "▸"]


@pytest.mark.parametrize(
    ("keys", "order"),
    [
        ("s", ["eth10", "eth0", "eth2", "lo", "▸"]),
        ("ss", ["eth10", "eth0", "eth2", "lo", "▸"]),
        ("sss", ["eth10", "eth0", "lo", "eth2", "▸"]),
        ("ssss", ["eth0", "eth2", "eth10", "lo", "▸"]),
        ("sssss", ["eth0", "eth2", "eth10", "lo", "▸"]),
    ],
    ids=["changed", "flaps", "state", "speed", "name"],
)
def test_s_sorts(keys: str, order: list[str]) -> None:
    model = model_of()
    model.apply([link_event(1, HOME[4], connected=False)])
    assert names(press(model, *keys)) == order


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("eth", ["eth0", "eth2", "eth10", "veth1a", "veth1b"]),
        ("eth*", ["eth0", "eth2", "eth10"]),
        ("ETH1", ["eth10", "veth1a", "veth1b"]),
        ("192.168", ["eth0"]),
        ("eth down", ["eth10", "veth1b"]),
        ("nas lo", ["lo"]),
        ("52:54:00:12:34:04", ["eth2"]),
    ],
)
def test_a_filter_finds_also_what_is_folded(typed: str, found: list[str]) -> None:
    model = model_of()
    shown = press(model, "/", *typed)
    assert shown[-1] == f"/{typed}"
    assert names(shown) == found
    shown = press(model, "enter")
    assert names(shown) == found
    assert f"{len(found)} of 6 interfaces" in shown[0]
    assert names(press(model, "esc")) == ["eth0", "eth2", "eth10", "lo", "▸"]


def test_a_filter_that_is_being_typed_can_be_taken_back() -> None:
    model = model_of()
    assert names(press(model, "/", *"eth1x", "backspace")) == ["eth10", "veth1a", "veth1b"]
    assert names(press(model, "enter", "/", *"0", "esc")) == ["eth10", "veth1a", "veth1b"]
    assert press(model, "/", "ctrl-u")[-1] == "/"
    assert len(names(press(model, "enter"))) == 5
    assert len(press(model, "/", *"q?spc" * 100)[-1]) < 80  # these are letters there
    assert not model.ended


def test_each_of_a_thousand_interfaces_is_reachable() -> None:
    model = model_of(MANY)
    seen = set(names(lines(model)))
    for _ in range(60):
        seen |= set(names(press(model, "pagedown")))
    assert seen == {row.interface.alias for row in MANY}
    assert names(press(model, "end"))[-1] == "eth999"
    assert "980-1000 of 1000" in lines(model)[-1]
    assert names(press(model, "home"))[0] == "eth0"
    for _ in range(30):
        shown = press(model, "down")
    assert names(shown)[-1] == "eth30"
    assert names(press(model, *["up"] * 30))[0] == "eth0"


def test_the_selection_stays_on_its_interface() -> None:
    model = model_of()
    press(model, "down", "down")
    assert model.choices.selected == key_of(4)
    press(model, "s", "s", "s", "s", "s")
    model.apply([make_event(1, "add_instance", make_row("eth1", index=20), node="nas")])
    lines(model)
    assert model.choices.selected == key_of(4)
    model.apply([make_event(2, "delete_instance", HOME[4], node="nas")])
    assert names(lines(model)) == ["eth0", "eth1", "eth2", "lo", "▸"]
    assert model.choices.selected == key_of(0)  # the one in its place


def test_at_the_top_the_selection_stays_at_the_top() -> None:
    model = model_of()
    press(model, "s")
    model.apply([link_event(1, HOME[4], connected=False)])
    assert names(lines(model))[0] == "eth10"
    assert model.choices.position == 0


def test_containers_are_one_line_until_they_are_wanted() -> None:
    model = model_of()
    assert lines(model)[6] == "▸ 2 of containers and virtual machines, 1 down (c shows them)"
    assert names(press(model, "c")) == ["eth0", "eth2", "eth10", "lo", "veth1a", "veth1b"]
    assert names(press(model, "c"))[-1] == "▸"
    assert names(press(model, "end", "enter"))[-1] == "veth1b"


def test_a_bridge_of_containers_only_is_one() -> None:
    def port(alias: str, index: int) -> object:
        return make_row(alias, index=index, interface={"kind": "veth", "link_netnsid": 1, "higher": (bridge.luid,)})

    bridge = make_row("lab", index=9, interface={"kind": "bridge"})
    ports = [port("p1", 10), port("p2", 11)]
    bridge = make_row("lab", index=9, interface={"kind": "bridge", "lower": tuple(row.luid for row in ports)})  # type: ignore[attr-defined]  # rows
    model = model_of([HOME[2], bridge, *ports])  # type: ignore[list-item]  # rows
    assert names(lines(model)) == ["eth0", "▸"]


def test_links_that_are_stacked_in_a_ring_end_no_picture() -> None:
    luids = [make_row(index=number).luid for number in (7, 8)]
    ring = [
        make_row(f"b{number}", index=number, interface={"kind": "bridge", "lower": (luid,), "higher": (luid,)})
        for number, luid in zip((7, 8), reversed(luids), strict=True)
    ]
    assert len(names(lines(model_of(ring)))) in (1, 2)


def test_p_keeps_the_picture_as_it_is() -> None:
    model = model_of()
    before = press(model, "p")
    assert before[0].endswith(" paused")
    model.apply([link_event(1, HOME[4], connected=False)])
    assert lines(model) == before
    assert names(press(model, "s")) == ["eth0", "eth2", "eth10", "lo", "▸"]  # one may go on looking around
    assert names(press(model, "p"))[0] == "eth10"


def test_q_ends_the_table_everywhere_and_esc_goes_back() -> None:
    for keys in (["q"], ["?", "q"], ["enter", "q"], ["enter", "?", "q"]):
        model = model_of()
        press(model, *keys)
        assert model.ended
    model = model_of()
    table = lines(model)
    assert press(model, "enter", "?", "esc")[0] == " eth0"
    assert press(model, "esc") == table
    assert press(model, "esc") == table
    assert not model.ended


def test_help_explains_each_key() -> None:
    shown = "\n".join(press(model_of(), "?", height=60))
    for key in ("Enter", "PageDown", "/", "s ", "c ", "p ", "?", "Esc", "q, Ctrl+C"):
        assert key in shown


def test_a_page_that_does_not_fit_scrolls() -> None:
    model = model_of()
    first = press(model, "?", height=8)
    last = press(model, "end", height=8)
    assert first != last
    assert "quits" not in "\n".join(first)
    assert press(model, "home", height=8) == first


def test_flaps_are_counted_once_for_both_families() -> None:
    model = model_of()
    for number in range(3):
        events = [link_event(4 * number + 1, row, connected=False) for row in HOME[2:4]]
        model.apply([*events, *(link_event(4 * number + 3, row, connected=True) for row in HOME[2:4])])
    assert model.shown.flaps == {key_of(2): 3}


def test_flaps_of_the_journal_count_for_an_hour() -> None:
    now = BEGINNING.timestamp()
    model = Model("nas", clock=lambda: now)
    model.apply(make_snapshot(HOME, node="nas"))
    model.apply([link_event(1, HOME[4], connected=False)])
    model.interfaces.add_flaps("nas", HOME[4].luid, [(now - 3000, 2), (now - 60, 1)])
    assert model.shown.flaps == {key_of(4): 4}
    model.interfaces.add_flaps("nas", HOME[2].luid, [(now - 60, 1)])
    model.apply([link_event(2, HOME[2], connected=False)])
    again = Model("nas", clock=lambda: now)
    again.apply([*make_snapshot(HOME, node="nas"), link_event(1, HOME[4], connected=False)])
    again.interfaces.add_flaps("nas", HOME[4].luid, [(now - 60, 1), (now + 0.5, 1)])  # the second is the one seen
    assert again.shown.flaps == {key_of(4): 2}
    now += 1000
    assert model.shown.flaps == {key_of(2): 2, key_of(4): 2}
    now += 3600
    assert model.shown.flaps == {}


def test_enter_shows_the_history_that_was_seen() -> None:
    model = model_of()
    model.apply([link_event(1, HOME[4], connected=False), link_event(2, HOME[4], connected=True)])
    shown = press(model, "down", "down", "enter")
    assert shown[0] == " eth10"
    assert [line.split()[-3:] for line in shown if "Gbit/s" in line and ":" in line] == [
        ["up,", "1", "Gbit/s"],
        ["was", "1", "Gbit/s"],
    ]
    assert "no changes before since this table was opened" in shown
    model.apply([make_event(3, "delete_instance", HOME[4], node="nas")])
    assert "State         removed" in lines(model)


def test_the_journal_is_read_page_by_page_and_again_when_something_changes() -> None:
    model = model_of(has_past=True)
    press(model, "down", "down", "enter")
    assert model.wanted_history == PageRequest(key_of(4), None)
    past = [told_change([link_event(number, HOME[4], connected=number % 2 == 0)]) for number in range(100, 0, -1)]
    changes = [change for change in past if change]
    model.take_history(PageRequest(key_of(4), None), changes[:40], more=True)
    model.wanted_history = None
    assert "reading the journal" not in "\n".join(lines(model))
    assert "reading the journal ..." in press(model, "end")
    assert model.wanted_history == PageRequest(key_of(4), 61)
    model.take_history(PageRequest(key_of(4), 61), changes[40:], more=False)
    assert press(model, "end")[-2] == "no changes before in the journal"
    model.wanted_history = None
    new = link_event(101, HOME[4], connected=False)
    model.apply([new])
    assert model.wanted_history == PageRequest(key_of(4), None)
    assert [change.seq for change in model.history(key_of(4))] == [*range(101, 0, -1)]
    model.take_history(
        PageRequest(key_of(4), None), [told for told in [told_change([new])] if told] + changes[:39], more=True
    )
    assert [change.seq for change in model.history(key_of(4))] == [*range(101, 0, -1)]
    model.take_history(PageRequest(key_of(2), None), changes, more=False)  # of another interface, by now
    assert len(model.history(key_of(4))) == 101


def test_a_snapshot_again_removes_what_is_no_longer_there_at_its_end() -> None:
    model = model_of()
    again = make_snapshot(HOME[2:4], seq=5, node="nas")
    model.apply(again[:2])
    assert len(model.shown.entries) == 6
    model.apply(again[2:])
    assert names(lines(model)) == ["eth0"]
    model.apply(make_snapshot([], seq=6, node="nas"))
    assert not model.shown.entries


def test_the_two_families_are_one_row_until_both_are_removed() -> None:
    model = model_of(HOME[2:4])
    model.apply([make_event(1, "delete_instance", HOME[3], node="nas")])
    assert "192.168.178.100/24" in lines(model, 120)[2]
    assert " 4  " in lines(model, 120)[2]
    model.apply([make_event(2, "delete_instance", HOME[2], node="nas")])
    assert lines(model)[2] == "  no interfaces"


def test_a_time_that_no_calendar_has_ends_no_picture() -> None:
    model = model_of([make_row(interface=UP)])
    event = make_event(1, node="nas")
    far = event.model_copy(update={"time": event.time.replace(year=9999, month=12, day=31)})
    early = event.model_copy(update={"time": event.time.replace(year=1, day=1, month=1)})
    for moved in (far, early):
        model.apply([moved])
        assert press(model, "enter", "esc")


def test_a_node_whose_changes_are_missing_is_named_until_they_came_again() -> None:
    model = model_of(HOME[:3])
    model.set_node("nas", online=True, in_sync=True)
    for in_sync in (True, False, True):  # of a node without rows
        model.set_node("new", online=True, in_sync=in_sync)
    model.interfaces.nodes.pop("new")
    model.warning = "the connection is lost; trying again in 1.0 s"
    model.set_node("nas", online=True, in_sync=False)
    assert lines(model)[-1] == "the connection is lost; trying again in 1.0 s"
    press(model, "down")
    assert lines(model)[-1].startswith("nas: not in sync, changes may be missing")
    model.set_node("nas", online=True, in_sync=True)
    assert "? help" in lines(model)[-1]
    assert lines(model)[0].startswith(" nas · 2 interfaces · 1 gap ")
