"""The picture of the table: columns that give way, words in place of numbers, and nothing raw."""

from __future__ import annotations

from itertools import product

import pytest
from rich.cells import cell_len

from publisher.terminal.live.layout import picture_of
from publisher.terminal.live.model import Model
from publisher.terminal.live.picture import Glyphs, Size, drawn
from publisher.terminal.text import moment_text
from publisher.testing import BEGINNING, HOSTILE_ALIAS, make_row, make_snapshot
from tests.fixtures.pictures import DOWN, HOME, UP, lines, link_event, model_of, press

DOWN_AT = moment_text(BEGINNING.timestamp() + 1, BEGINNING.timestamp())
PICTURES = {
    (40, 8): """
 nas · 6 interfaces, 2 down     by name
Interface▾ State Addresses
eth0       up    192.168.178.100/24 +2
eth2       off
eth10      down
lo         up    127.0.0.1/8 ::1/128
▸ 2 of containers and virtual machines,…
20:04:13  eth10 down, was 1 Gbi…  ? help
""",
    (60, 8): """
 nas · 6 interfaces, 2 down                         by name
Interface▾ State Changed     Flaps  Addresses
eth0       up                       192.168.178.100/24 +2
eth2       off
eth10      down  89 s ago    1
lo         up                       127.0.0.1/8 ::1/128
▸ 2 of containers and virtual machines, 1 down (c shows the…
20:04:13  eth10 down, was 1 Gbit/s           ? help · q quit
""",
    (80, 8): """
 nas · 6 interfaces, 2 down                                             by name
Interface▾ State Speed        Changed     Flaps  IP  Addresses
eth0       up    1 Gbit/s                        4 6 192.168.178.100/24 +2
eth2       off                                   4
eth10      down  was 1 Gbit/s 89 s ago    1      4
lo         up                                    4 6 127.0.0.1/8 ::1/128
▸ 2 of containers and virtual machines, 1 down (c shows them)
20:04:13  eth10 down, was 1 Gbit/s                               ? help · q quit
""",
    (120, 8): """
 nas · 6 interfaces, 2 down                                                                                     by name
Interface▾ State Speed        Changed     Flaps  Default route IP  MTU   Addresses
eth0       up    1 Gbit/s                        192.168.178.1 4 6 1500  192.168.178.100/24 2001:db8::100/64 fe80::1/64
eth2       off                                                 4   1500
eth10      down  was 1 Gbit/s 89 s ago    1                    4   1500
lo         up                                                  4 6 65536 127.0.0.1/8 ::1/128
▸ 2 of containers and virtual machines, 1 down (c shows them)
20:04:13  eth10 down, was 1 Gbit/s                                                                       ? help · q quit
""",
}


@pytest.mark.parametrize("size", PICTURES, ids=str)
def test_columns_give_way_and_addresses_are_the_last(size: tuple[int, int]) -> None:
    model = model_of()
    model.apply([link_event(1, HOME[4], connected=False)])
    expected = PICTURES[size].replace("20:04:13", DOWN_AT).strip("\n").split("\n")
    assert lines(model, *size) == expected


@pytest.mark.parametrize("keys", [(), ("?",), ("enter",), ("/", "e"), ("c", "p", "s")])
def test_a_picture_fits_into_any_size(keys: tuple[str, ...]) -> None:
    model = model_of([*HOME, make_row("数据网卡🚀", index=9), make_row("a" * 200, index=10)])
    model.apply([link_event(1, HOME[4], connected=False)])
    press(model, *keys)
    for width, height in product([*range(1, 12), *range(12, 140, 9)], [1, 2, 3, 5, 24]):
        picture, _ = picture_of(model, Size(width, height), Glyphs())
        assert len(picture) <= height
        assert all(span.column + cell_len(span.text) <= width for line in picture for span in line), (width, height)


def test_wide_characters_keep_the_columns_straight() -> None:
    rows = [
        make_row(name, index=number, interface=UP) for number, name in enumerate(["eth0", "数据网卡", "🚀wan🚀"], 1)
    ]
    model = model_of(rows)
    columns = {
        tuple(span.column for span in line)
        for line in picture_of(model, Size(80, 24), Glyphs())[0][3:5]  # the first row is the selected one
    }
    assert len(columns) == 1
    assert [line for line in lines(model) if "数据网卡" in line] == ["数据网卡   up    1 Gbit/s                    4"]


def test_a_name_that_is_too_long_is_cut_and_says_so() -> None:
    model = model_of([make_row("Local Area Connection* 10", addresses=["192.0.2.1/24"], interface=UP)])
    assert lines(model, 40)[2] == "Local Are… up    192.0.2.1/24"
    assert lines(model, 120)[2].startswith("Local Area Connection* 10 up ")


def test_nothing_of_others_is_raw_or_more_than_the_encoding_has() -> None:
    model = model_of([make_row(HOSTILE_ALIAS, interface={"description": HOSTILE_ALIAS})], node="\x1b[2J")
    for keys in ((), ("enter",), ("esc", "/", "x")):
        shown = press(model, *keys)
        assert all(line.isprintable() for line in shown), shown
    model = Model("büro", clock=lambda: 0.0)
    model.apply(make_snapshot([make_row("Ж")]))
    for line in lines(model, glyphs=Glyphs.of("ascii")):
        line.encode("ascii")
    assert lines(model, glyphs=Glyphs.of("ascii"))[2].startswith(r"\u0416 ")


def test_a_node_is_a_column_or_before_the_name() -> None:
    model = model_of(HOME[:3])
    model.apply(make_snapshot(HOME[2:3], node="office"))
    model.set_node("office", online=False, in_sync=True)
    assert lines(model, 80, 10)[:6] == [
        " nas · 2 nodes, 1 offline · 3 interfaces                                by name",
        "Node   Interface▾ State   Speed    Changed     Flaps  Addresses",
        "nas    eth0       up      1 Gbit/s                    192.168.178.100/24",
        "nas    lo         up                                  127.0.0.1/8 ::1/128",
        "office eth0       offline 1 Gbit/s                    192.168.178.100/24",
        "",
    ]
    assert [line.split()[:2] for line in lines(model, 40, 10)[2:5]] == [
        ["nas/eth0", "up"],
        ["nas/lo", "up"],
        ["offi…/eth0", "offline"],
    ]


def test_a_list_without_lines_says_why() -> None:
    assert lines(model_of([]), 80, 10)[2] == "  no interfaces"
    assert press(model_of(), "/", "z", "z")[2] == "  nothing matches zz: Esc shows all again"


def test_relative_times_tell_when_they_change() -> None:
    def seconds(after: float) -> float:
        model = model_of(after=after)
        model.apply([link_event(1, HOME[4], connected=False)])
        return picture_of(model, Size(80, 24), Glyphs())[1]

    assert seconds(10.25) == pytest.approx(1.0)  # never more often than once a second
    assert seconds(130.25) == pytest.approx(50.75)
    assert picture_of(model_of(), Size(80, 24), Glyphs())[1] >= 3600


def test_only_what_is_new_is_drawn() -> None:
    model = model_of()
    size, glyphs = Size(80, 24), Glyphs()
    first = picture_of(model, size, glyphs)[0]
    assert drawn(first, first, colour=True, whole=False) == ""
    model.apply([link_event(1, HOME[4], connected=False)])
    second = picture_of(model, size, glyphs)[0]
    codes = drawn(first, second, colour=True, whole=False)
    assert "eth10" in codes
    assert "eth2" not in codes
    assert "eth2" in drawn(first, second, colour=True, whole=True)


def test_without_colour_nothing_but_colour_is_missing() -> None:
    picture = picture_of(
        model_of([make_row("eth1", index=3, interface=DOWN, connected=False), *HOME[2:4]]), Size(80, 24), Glyphs()
    )
    coloured = drawn((), picture[0], colour=True, whole=True)
    plain = drawn((), picture[0], colour=False, whole=True)
    assert "\x1b[31m" in coloured
    assert not any(f"{number}m" in plain for number in range(31, 37))
    assert "\x1b[1m" in plain
    assert "\x1b[7m" in plain
