"""Keys from bytes: every terminal's sequences, in parts, and an Esc alone."""

from __future__ import annotations

import pytest

from publisher.terminal.live.keys import KeyDecoder


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1b[B\x1bOA\x1bOB", ["up", "down", "up", "down"]),
        (b"\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[7~\x1b[8~\x1bOH\x1bOF", ["home", "end"] * 4),
        (b"\x1b[5~\x1b[6~", ["pageup", "pagedown"]),
        (b"\x1b[1;5A\x1b[6;2~", ["up", "pagedown"]),
        (b"\r\n\x7f\x08\x15\x17\x0c", ["enter", "enter", "backspace", "backspace", "ctrl-u", "ctrl-w", "ctrl-l"]),
        ("ü数🚀".encode(), ["ü", "数", "🚀"]),
        (b"\x1b[200~a\x1b[201~", ["a"]),
        (b"\x1b[<0;10;10M\x1b[?1;2c", []),
        (b"\x01\x02\x00", []),
        (b"\xff\xfeq", ["q"]),
        (b"\x1bq\x1b\x1b[A", ["esc", "q", "esc", "up"]),
        (b"\x1b[" + b"1;" * 40, ["esc", "[", *"1;" * 40]),
    ],
)
def test_keys(data: bytes, keys: list[str]) -> None:
    whole, parts = KeyDecoder(), KeyDecoder()
    found = whole.feed(data)
    assert found == keys
    assert not whole.is_waiting
    if len(data) < 60:
        assert [key for number in range(len(data)) for key in parts.feed(data[number : number + 1])] == keys


def test_an_esc_alone_is_a_key_when_nothing_follows() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b") == []
    assert decoder.is_waiting
    assert decoder.flush() == ["esc"]
    assert not decoder.is_waiting
    assert decoder.flush() == []
    assert decoder.feed(b"\x1b[") == []
    assert decoder.flush() == ["esc", "["]
