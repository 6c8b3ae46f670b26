"""Signals, and a reader of our output who leaves: both end the service in order."""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class Signals:
    """SIGTERM, Ctrl+C (and Ctrl+Break) stop; SIGHUP reloads. Entered and left by the main thread.

    A handler interrupts the main thread wherever it is, locks held, so it only rings: `stop` and `reload` are called by
    a thread that waits for that. A second signal to stop ends the process at once.
    """

    def __init__(self, stop: Callable[[], None], reload: Callable[[], None], log: FilteringBoundLogger) -> None:
        self._stop = stop
        self._reload = reload
        self._log = log
        # Of all queues this one may be rung from a handler that interrupted the same thread in it.
        self._bell: SimpleQueue[Literal["stop", "reload", "end"]] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="signals", daemon=True)
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._on_terminal = sys.stdin is not None and sys.stdin.isatty()

    def stop(self) -> None:
        """Stop as a signal would. Any thread."""
        self._bell.put("stop")

    def __enter__(self) -> Signals:
        self._take(signal.SIGTERM, self._stopped)
        self._take(signal.SIGINT, self._stopped)
        if sys.platform == "win32":
            self._take(signal.SIGBREAK, self._stopped)
        else:
            self._take(signal.SIGHUP, self._hung_up)
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._bell.put("end")
        self._thread.join()

    def _take(self, number: int, handler: Callable[[int, FrameType | None], None]) -> None:
        # Ignored by whoever started us: nohup for SIGHUP, a shell's background job for SIGINT. So it stays.
        if signal.getsignal(number) != signal.SIG_IGN:
            self._before[number] = signal.signal(number, handler)

    def _stopped(self, number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self.stop()

    def _hung_up(self, _: int, __: FrameType | None) -> None:
        # The terminal that we were started on is gone: nobody means the configuration then.
        gone = self._on_terminal and not os.isatty(0)
        self._bell.put("stop" if gone else "reload")

    def _serve(self) -> None:
        while (what := self._bell.get()) != "end":
            try:
                self._stop() if what == "stop" else self._reload()
            except Exception:  # noqa: BLE001  # told; the next signal must find somebody here
                self._log.exception("a signal was not obeyed; this is a mistake in publisher", meaning=what)


def when_output_closes(stop: Callable[[], None]) -> None:
    """Call `stop` when standard output is a pipe and its reader leaves, as in `publisher run | head`.

    What is still written goes nowhere then, without an error. On Windows a pipe cannot be asked: nothing is done.
    """
    if sys.platform == "win32" or sys.stdout is None:
        return
    output = sys.stdout.fileno()
    if not stat.S_ISFIFO(os.fstat(output).st_mode):
        return

    def wait() -> None:
        poll = select.poll()
        poll.register(output, 0)  # no event asked for: POLLERR comes anyway (poll(2)), when the last reader is gone
        poll.poll()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output)
        os.close(nowhere)
        stop()

    threading.Thread(target=wait, name="output", daemon=True).start()
