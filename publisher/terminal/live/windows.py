"""The terminal on Windows: the console's modes and its events. The main thread.

Its events are read as they are: msvcrt begins an arrow key as the letter à, and under Wine it knows no arrow keys.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from ctypes import wintypes
from types import TracebackType
from typing import TextIO

from ..screen import write
from .picture import ENTER, LEAVE, Size

# consoleapi.h. Without the first Ctrl+C is a key, which ends a wait at once; a signal would end it when it is over.
_ENABLE_PROCESSED_INPUT, _ENABLE_LINE_INPUT, _ENABLE_ECHO_INPUT = 1, 2, 4
_READ_AND_WRITE, _SHARED, _EXISTING = 0xC000_0000, 3, 3  # winnt.h, fileapi.h
_KEY_EVENT = 1  # wincontypes.h
# Nothing wakes for Ctrl+Break: it is noticed after so long, and so is a window of another size.
_LOOK_SECONDS = 1.0
# winuser.h: VK_PRIOR to VK_DOWN.
_KEYS = {
    0x21: "pageup",
    0x22: "pagedown",
    0x23: "end",
    0x24: "home",
    0x25: "left",
    0x26: "up",
    0x27: "right",
    0x28: "down",
}
_CHARACTERS = {
    "\r": "enter",
    "\n": "enter",
    "\b": "backspace",
    "\x1b": "esc",
    "\x7f": "ctrl-w",
    "\x15": "ctrl-u",
    "\x17": "ctrl-w",
    "\x0c": "ctrl-l",
}


class KeyEventRecord(ctypes.Structure):
    """INPUT_RECORD with a KEY_EVENT_RECORD (wincontypes.h); other events have other members in the same place."""

    _fields_ = (
        ("event_type", wintypes.WORD),
        ("key_down", wintypes.BOOL),
        ("repeat_count", wintypes.WORD),
        ("virtual_key_code", wintypes.WORD),
        ("virtual_scan_code", wintypes.WORD),
        ("character", wintypes.WORD),
        ("control_key_state", wintypes.DWORD),
    )


class ConsoleKeys:
    """Names keys by the console's events."""

    def __init__(self) -> None:
        self._high = 0

    def name(self, record: KeyEventRecord) -> str:
        """Returns the key, or nothing for what is none; raises KeyboardInterrupt for Ctrl+C."""
        if record.event_type != _KEY_EVENT or not record.key_down:
            return ""
        unit: int = record.character
        if not unit:
            return _KEYS.get(record.virtual_key_code, "")
        if 0xD800 <= unit < 0xDC00:  # the first half of a character in UTF-16: the next event has the second
            self._high = unit
            return ""
        high, self._high = self._high, 0
        character = chr(0x10000 + (high - 0xD800 << 10) + (unit - 0xDC00)) if 0xDC00 <= unit < 0xE000 else chr(unit)
        if character == "\x03":
            raise KeyboardInterrupt
        return _CHARACTERS.get(character, character if character.isprintable() else "")


if sys.platform == "win32":

    class WindowsConsole:
        """A console that is taken over for a block."""

        def __init__(self, output: TextIO) -> None:
            self.stale = False
            self._output = output
            self._keys = ConsoleKeys()
            self._kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
            self._kernel32.CreateFileW.restype = ctypes.c_void_p
            self._kernel32.CreateEventW.restype = ctypes.c_void_p
            self._shown = Size(0, 0)

        def __enter__(self) -> WindowsConsole:
            access = ctypes.c_uint32(_READ_AND_WRITE)
            # The console's own input, also where standard input is something else.
            opened = self._kernel32.CreateFileW("CONIN$", access, _SHARED, None, _EXISTING, 0, None)
            self._input = ctypes.c_void_p(opened)
            self._event = ctypes.c_void_p(self._kernel32.CreateEventW(None, False, False, None))
            mode = ctypes.c_uint32()
            if not self._kernel32.GetConsoleMode(self._input, ctypes.byref(mode)):
                raise ctypes.WinError(ctypes.get_last_error())
            self._before = mode.value
            taken = self._before & ~(_ENABLE_PROCESSED_INPUT | _ENABLE_LINE_INPUT | _ENABLE_ECHO_INPUT)
            self._kernel32.SetConsoleMode(self._input, ctypes.c_uint32(taken))
            self.write(ENTER)
            return self

        def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
            try:
                self.write(LEAVE)
            finally:
                self._kernel32.SetConsoleMode(self._input, ctypes.c_uint32(self._before))
                self._kernel32.CloseHandle(self._event)
                self._kernel32.CloseHandle(self._input)

        def size(self) -> Size:
            """Returns the size of now."""
            try:
                width, height = os.get_terminal_size(self._output.fileno())
            except OSError:
                width = height = 0
            self._shown = Size(width or 80, height or 24)
            return self._shown

        def write(self, text: str) -> None:
            """Writes all of the text; raises OSError."""
            write(self._output, text)

        def wait(self, seconds: float) -> list[str]:
            """Returns the keys that were pressed."""
            handles = (ctypes.c_void_p * 2)(self._event, self._input)
            milliseconds = ctypes.c_uint32(int(max(0.0, min(seconds, _LOOK_SECONDS)) * 1000))
            self._kernel32.WaitForMultipleObjects(ctypes.c_uint32(2), handles, ctypes.c_int(0), milliseconds)
            if self._shown != self.size():
                self.stale = True
            return [
                key
                for record in self._records()
                if (key := self._keys.name(record))
                for _ in range(record.repeat_count)
            ]

        def wake(self) -> None:
            """Makes `wait` return."""
            self._kernel32.SetEvent(self._event)

        def _records(self) -> Iterator[KeyEventRecord]:
            """Yields the events that wait, also those that are no keys: while one is there, no wait would wait."""
            waiting, read = ctypes.c_uint32(), ctypes.c_uint32()
            self._kernel32.GetNumberOfConsoleInputEvents(self._input, ctypes.byref(waiting))
            for _ in range(waiting.value):
                record = KeyEventRecord()
                self._kernel32.ReadConsoleInputW(self._input, ctypes.byref(record), 1, ctypes.byref(read))
                if read.value:
                    yield record
