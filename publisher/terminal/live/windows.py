"""The terminal on Windows: the console's modes, and its keys by msvcrt. The main thread."""

from __future__ import annotations

import ctypes
import os
import sys
from types import TracebackType
from typing import TextIO

from ..screen import write
from .console import ENTER, LEAVE
from .picture import Size

_STD_INPUT_HANDLE = -10
# consoleapi.h. Without the first Ctrl+C is a key, which ends a wait at once; a signal would end it when it is over.
_ENABLE_PROCESSED_INPUT, _ENABLE_LINE_INPUT, _ENABLE_ECHO_INPUT = 1, 2, 4
# Nothing reports a new size of the window, or Ctrl+Break: they are noticed after so long.
_LOOK_SECONDS = 1.0
_SPECIAL = {"H": "up", "P": "down", "I": "pageup", "Q": "pagedown", "G": "home", "O": "end", "K": "left", "M": "right"}
_CONTROLS = {
    "\r": "enter",
    "\n": "enter",
    "\b": "backspace",
    "\x7f": "ctrl-w",
    "\x1b": "esc",
    "\x15": "ctrl-u",
    "\x17": "ctrl-w",
    "\x0c": "ctrl-l",
}

if sys.platform == "win32":
    import msvcrt

    class WindowsConsole:
        """A console that is taken over for a block."""

        def __init__(self, output: TextIO) -> None:
            self.stale = False
            self._output = output
            self._kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
            self._kernel32.GetStdHandle.restype = ctypes.c_void_p
            self._kernel32.CreateEventW.restype = ctypes.c_void_p
            self._shown = Size(0, 0)

        def __enter__(self) -> WindowsConsole:
            self._input = ctypes.c_void_p(self._kernel32.GetStdHandle(ctypes.c_uint32(_STD_INPUT_HANDLE & 0xFFFF_FFFF)))
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
            milliseconds = int(max(0.0, min(seconds, _LOOK_SECONDS)) * 1000)
            if not msvcrt.kbhit():
                self._kernel32.WaitForMultipleObjects(
                    ctypes.c_uint32(2), handles, ctypes.c_int(0), ctypes.c_uint32(milliseconds)
                )
                if not msvcrt.kbhit():
                    # Released keys, the mouse, the focus: as long as they are there, no wait would wait.
                    self._kernel32.FlushConsoleInputBuffer(self._input)
            if self._shown != self.size():
                self.stale = True
            keys: list[str] = []
            while msvcrt.kbhit():
                if key := _key():
                    keys.append(key)
            return keys

        def wake(self) -> None:
            """Makes `wait` return."""
            self._kernel32.SetEvent(self._event)

    def _key() -> str:
        """Returns the next key, or nothing for one that has no name; raises KeyboardInterrupt for Ctrl+C."""
        character = msvcrt.getwch()
        if character == "\x03":
            raise KeyboardInterrupt
        if character in ("\x00", "\xe0") and msvcrt.kbhit():
            return _SPECIAL.get(msvcrt.getwch(), "")
        return _CONTROLS.get(character, character if character.isprintable() else "")
