"""The terminal on POSIX systems: termios, and the signals that stop, continue and resize. The main thread."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
from contextlib import suppress
from types import FrameType, TracebackType
from typing import TextIO

from ..screen import write
from .keys import KeyDecoder
from .picture import ENTER, LEAVE, Size

assert sys.platform != "win32"

# A terminal sends the bytes of a key at once; over a slow line they may come one by one.
_ESCAPE_SECONDS = 0.05
_MOST_BYTES = 4096


class PosixConsole:
    """A terminal that is taken over for a block.

    Ctrl+Z, SIGQUIT and SIGHUP leave it as it was, and SIGCONT takes it over again. Signals that end the program are
    the caller's: what their handlers raise leaves the block. The handlers of Python run between two of its
    instructions in the main thread, so they may write.
    """

    def __init__(self, output: TextIO) -> None:
        self.stale = False
        self._output = output
        self._keys = KeyDecoder()
        self._handlers: dict[signal.Signals, object] = {}
        self._pending = False
        self._taken = False

    def __enter__(self) -> PosixConsole:
        if sys.stdin.isatty():
            self._input = os.dup(sys.stdin.fileno())
        else:
            self._input = os.open(os.ctermid(), os.O_RDWR | os.O_NOCTTY)
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        # A signal may come to another thread: then nothing but this ends the wait of the main thread.
        self._wakeup_before = signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        self._before = termios.tcgetattr(self._input)
        for number, handler in {
            signal.SIGWINCH: self._resized,
            signal.SIGCONT: self._continued,
            signal.SIGTSTP: self._suspended,
            signal.SIGQUIT: self._suspended,
            signal.SIGHUP: self._hung_up,
        }.items():
            if signal.getsignal(number) != signal.SIG_IGN or number in (signal.SIGWINCH, signal.SIGCONT):
                self._handlers[number] = signal.signal(number, handler)
        try:
            self._take()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        # A second Ctrl+C must not leave the terminal as it is.
        impatient = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        self._give_back()
        for number, handler in (self._handlers | impatient).items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as `signal.signal` returned it
        signal.set_wakeup_fd(self._wakeup_before)
        self._pending = True  # a thread that still reads wakes nobody: the descriptor may be another file's by then
        for descriptor in (self._input, self._wake_reader, self._wake_writer):
            os.close(descriptor)

    def size(self) -> Size:
        """Returns the size of now; that of a terminal which has none is the usual one."""
        try:
            width, height = os.get_terminal_size(self._output.fileno())
        except OSError:
            width = height = 0
        return Size(width or 80, height or 24)

    def write(self, text: str) -> None:
        """Writes all of the text; raises OSError."""
        write(self._output, text)

    def wait(self, seconds: float) -> list[str]:
        """Returns the keys that were pressed."""
        if self._keys.is_waiting:
            seconds = min(seconds, _ESCAPE_SECONDS)
        ready, _, _ = select.select([self._input, self._wake_reader], [], [], max(0.0, seconds))
        if self._wake_reader in ready:
            self._pending = False
            with suppress(BlockingIOError):
                os.read(self._wake_reader, _MOST_BYTES)
        if self._input in ready:
            return self._keys.feed(self._read())
        return self._keys.flush() if not ready else []

    def wake(self) -> None:
        """Makes `wait` return."""
        if not self._pending:
            self._pending = True
            with suppress(BlockingIOError):  # it is full: `wait` returns
                os.write(self._wake_writer, b".")

    def _read(self) -> bytes:
        try:
            data = os.read(self._input, _MOST_BYTES)
        except OSError as error:  # EIO: it was hung up, and this process ignores SIGHUP
            raise EOFError from error
        if not data:
            raise EOFError
        return data

    def _take(self) -> None:
        mode = termios.tcgetattr(self._input)
        # Without echo and line editing, and Ctrl+S stops no output; Ctrl+C and Ctrl+Z remain signals.
        mode[0] &= ~termios.IXON
        mode[3] &= ~(termios.ECHO | termios.ICANON)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._input, termios.TCSANOW, mode)
        if not self._taken:  # a second time would remember the cursor of the table as that of the prompt
            self._taken = True
            self.write(ENTER)

    def _give_back(self) -> None:
        # The terminal may be gone: then nothing is there to be given back.
        with suppress(termios.error):
            termios.tcsetattr(self._input, termios.TCSANOW, self._before)
        if self._taken:
            self._taken = False
            with suppress(OSError):
                self.write(LEAVE)

    def _resized(self, _number: int, _frame: FrameType | None) -> None:
        self.stale = True

    def _suspended(self, number: int, _frame: FrameType | None) -> None:
        """Does what the signal does by itself, with the terminal as it was; goes on when that was a stop."""
        self._give_back()
        handler = signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, handler)
        self._take()
        self.stale = True

    def _continued(self, _number: int, _frame: FrameType | None) -> None:
        """Takes the terminal over again: after SIGSTOP, which cannot be handled, a shell has changed its mode."""
        self._take()
        self.stale = True

    def _hung_up(self, _number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt
