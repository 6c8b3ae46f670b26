"""Texts for people: harmless for terminals, and the same words for an IP interface everywhere."""

from __future__ import annotations

import pytest

from publisher.terminal import ShownState, columns_of, printable
from publisher.testing import HOSTILE_ALIAS, make_address, make_event, make_row


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("eth0", "eth0"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2028", r"\u2028"),
        ("\udcff", r"\udcff"),
        ("Ж 🖧", "Ж 🖧"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_some_characters_may_be_kept() -> None:
    assert printable("a\tb\nc\x1b", keep="\n") == "a\\tb\nc\\x1b"


def test_the_columns_of_a_row() -> None:
    addresses = [make_address("192.0.2.10/24"), make_address("fe80::1/64", dad_state="tentative")]
    row = make_row(metric=100, addresses=addresses)
    assert columns_of(row.row, row.interface, row.addresses) == (
        "eth0", "up", "yes", "1500", "100", ("192.0.2.10/24", "fe80::1/64 (tentative)"),
    )  # fmt: skip


def test_what_is_not_known_is_empty() -> None:
    row = make_row(connected=None, nl_mtu=None, metric=None)
    assert columns_of(row.row, row.interface, row.addresses) == ("eth0", "up", "", "", "", ())


def test_a_state_of_the_live_table_has_the_same_columns() -> None:
    row = make_row(connected=False, addresses=["192.0.2.10/24"])
    state = ShownState.model_validate(make_event(row=row))
    assert columns_of(state.row, state.interface, state.addresses) == columns_of(row.row, row.interface, row.addresses)


def test_nothing_of_a_row_is_raw() -> None:
    row = make_row(HOSTILE_ALIAS)
    assert columns_of(row.row, row.interface, row.addresses).name == printable(HOSTILE_ALIAS)
