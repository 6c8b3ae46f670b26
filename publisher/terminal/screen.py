"""Writes to the terminal, and finds out whether it shows colours."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import TextIO

from ..printable import printable

_STD_OUTPUT_HANDLE = -11
_ENABLE_VIRTUAL_TERMINAL_PROCESSING = 4


def shows_codes(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Returns whether the stream is a terminal that obeys codes; on Windows it turns that on. TERM=dumb obeys none."""
    if not stream.isatty():
        return False
    if sys.platform == "win32":
        return _turn_on_codes()
    return environment.get("TERM", "") not in ("", "dumb", "unknown")


def shows_colours(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Returns whether the stream is a terminal that shows colours, and the environment has no NO_COLOR."""
    return not environment.get("NO_COLOR") and shows_codes(stream, environment)


def write(stream: TextIO, text: str) -> None:
    """Writes and flushes the text; characters that the stream's encoding lacks become escapes.

    Raises BrokenPipeError, or ConnectionResetError where the stream is a socket, when it has lost its reader.
    """
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except (BrokenPipeError, ConnectionResetError):
        discard(stream)
        raise


def echo(text: str, *, err: bool = False) -> None:
    """Prints text with a line feed, to standard output or standard error: the one way by which commands print.

    Every character that is not printable becomes an escape, but for line feeds: much of what is shown comes from
    outside, and a terminal would obey it. For standard output it raises as `write`; does nothing where there is no
    such stream.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None:
        return
    # A remark that cannot be written is no reason to fail; what was asked for is.
    with suppress(OSError) if err else nullcontext():
        write(stream, printable(text, keep="\n") + "\n")


def echo_json(document: object) -> None:
    """Prints a value as JSON, in which every character that is not printable ASCII is JSON's own escape."""
    echo(json.dumps(document, indent=2).replace("\x7f", "\\u007f"))


def discard(stream: TextIO) -> None:
    """Discards what is still buffered: Python would write it again when it ends, print an error and exit with 120."""
    with suppress(OSError, ValueError):  # no /dev, or no descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


def _turn_on_codes() -> bool:
    """Turns on ENABLE_VIRTUAL_TERMINAL_PROCESSING (SetConsoleMode); returns False before Windows 10."""
    if sys.platform != "win32":
        return True
    import ctypes

    kernel32 = ctypes.WinDLL("kernel32")
    kernel32.GetStdHandle.restype = ctypes.c_void_p
    console = ctypes.c_void_p(kernel32.GetStdHandle(ctypes.c_uint32(_STD_OUTPUT_HANDLE & 0xFFFF_FFFF)))
    mode = ctypes.c_uint32()
    if not kernel32.GetConsoleMode(console, ctypes.byref(mode)):
        return False
    return bool(kernel32.SetConsoleMode(console, mode.value | _ENABLE_VIRTUAL_TERMINAL_PROCESSING))
