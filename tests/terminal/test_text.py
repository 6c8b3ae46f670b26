"""Texts for people: harmless for terminals, and the same words for an IP interface everywhere."""

from __future__ import annotations

import json

import pytest

from publisher.events import Event
from publisher.terminal import columns_of, echo, echo_json, printable
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


# C0, DEL, C1, the marks, embeddings, overrides and isolates of direction, both separators, surrogates, a joiner, a tag.
RAW = "".join(
    map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200B, 0x200D, 0x200E, 0x200F, *range(0x2028, 0x202F)])
) + "".join(map(chr, [*range(0x2066, 0x206A), 0xFEFF, 0xDFFF, 0xD800, 0xFFF9, 0xE0001]))


def test_nothing_raw_is_left() -> None:
    shown = printable(f"a{RAW}b")
    assert (shown[0], shown[-1]) == ("a", "b")
    assert all(" " <= character <= "~" for character in shown)


@pytest.mark.parametrize("to_error", [False, True])
def test_what_is_echoed_has_no_control_character_but_line_feeds(
    to_error: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    echo(f"one\ntwo{RAW}", err=to_error)
    echo_json({"alias": RAW})
    out, err = capsys.readouterr()
    [text, document] = (err, out) if to_error else out.split("\n{", 1)
    for shown in (text, document):
        assert all(" " <= character <= "~" or character == "\n" for character in shown)
    assert text.startswith("one\ntwo")
    assert json.loads(document if to_error else "{" + document) == {"alias": RAW}


def test_an_event_has_only_escapes_in_its_json() -> None:
    alias = RAW.replace("\ud800", "").replace("\udfff", "").replace("\U000e0001", "") + "Ж 🖧é"
    event = make_event(row=make_row(alias))
    text = event.json_bytes.decode()
    assert not [
        character for character in text if not character.isprintable() and character not in "\u200b\u200d\ufeff\ufff9"
    ]
    assert "Ж 🖧é" in text
    again = Event.from_json(event.json_bytes)
    assert (again, again.json_bytes) == (event, event.json_bytes)
    assert again.interface is not None
    assert again.interface.alias == alias


def test_the_columns_of_a_row() -> None:
    addresses = [make_address("192.0.2.10/24"), make_address("fe80::1/64", dad_state="tentative")]
    row = make_row(metric=100, addresses=addresses)
    assert columns_of(row.row, row.interface, row.addresses) == (
        "eth0", "up", "yes", "1500", "100", ("192.0.2.10/24", "fe80::1/64 (tentative)"),
    )  # fmt: skip


def test_what_is_not_known_is_empty() -> None:
    row = make_row(connected=None, nl_mtu=None, metric=None)
    assert columns_of(row.row, row.interface, row.addresses) == ("eth0", "up", "", "", "", ())


def test_nothing_of_a_row_is_raw() -> None:
    row = make_row(HOSTILE_ALIAS)
    assert columns_of(row.row, row.interface, row.addresses).name == printable(HOSTILE_ALIAS)
