"""Keys from the events of a Windows console."""

from __future__ import annotations

import pytest

from publisher.terminal.live.windows import ConsoleKeys, KeyEventRecord


def records(text: str = "", key: int = 0, *, down: bool = True, event: int = 1) -> list[KeyEventRecord]:
    """Returns the events of a key: one for each half of a character."""
    data = text.encode("utf-16-le")
    units = [int.from_bytes(data[place : place + 2], "little") for place in range(0, len(data), 2)] or [0]
    return [KeyEventRecord(event, down, 1, key, 0, unit, 0) for unit in units]


@pytest.mark.parametrize(
    ("found", "key"),
    [
        *((records(text), text) for text in "q/?ü数🚀à"),
        *((records(text), name) for text, name in [("\r", "enter"), ("\x1b", "esc"), ("\b", "backspace")]),
        *((records(key=code), name) for code, name in [(0x26, "up"), (0x22, "pagedown"), (0x24, "home"), (0x10, "")]),
        (records("q", down=False), ""),  # released
        (records("q", event=2), ""),  # the mouse
        (records("\x01"), ""),
    ],
)
def test_keys(found: list[KeyEventRecord], key: str) -> None:
    keys = ConsoleKeys()
    assert "".join(map(keys.name, found)) == key


def test_ctrl_c_interrupts() -> None:
    with pytest.raises(KeyboardInterrupt):
        ConsoleKeys().name(records("\x03")[0])
