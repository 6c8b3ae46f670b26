"""The terminal of a live table: keys, size and output; one file for each system, chosen here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol, TextIO

from ..screen import shows_codes
from .picture import Size


class Console(Protocol):
    """A terminal that is taken over for a block, and given back as it was, whatever ends the block.

    The main thread uses it, but for `wake`. Ctrl+C raises KeyboardInterrupt.
    """

    stale: bool
    """Set when the terminal may show something else than what was written last: after a resize, after a stop."""

    def size(self) -> Size:
        """Returns the size of now."""
        ...

    def write(self, text: str) -> None:
        """Writes all of the text; raises OSError when the terminal is gone."""
        ...

    def wait(self, seconds: float) -> list[str]:
        """Returns the keys that were pressed; none after so many seconds, after `wake`, and when `stale` was set.

        Raises EOFError when there can be no more keys.
        """
        ...

    def wake(self) -> None:
        """Makes `wait` return. Any thread."""
        ...


def can_be_live(output: TextIO, environment: Mapping[str, str]) -> bool:
    """Returns whether a table can be drawn and steered there: on a terminal that moves its cursor and sends keys."""
    if not shows_codes(output, environment):
        return False
    return sys.stdin is not None and (sys.stdin.isatty() or _has_terminal())


def _has_terminal() -> bool:
    """Returns whether this process has a terminal of its own to read keys from: its input is a file or a pipe."""
    if sys.platform == "win32":
        return False
    try:
        os.close(os.open(os.ctermid(), os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def opened_console(output: TextIO) -> AbstractContextManager[Console]:
    """Returns the terminal of this system, for a block."""
    if sys.platform == "win32":
        from .windows import WindowsConsole

        return WindowsConsole(output)
    else:  # noqa: RET505 - mypy reads the branch of its platform only
        from .posix import PosixConsole

        return PosixConsole(output)
