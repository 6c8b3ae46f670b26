"""Signals, and the end of the reader of our output: both stop the service in order."""

from __future__ import annotations

import logging
import os
import select
import signal
import stat
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Literal

log = logging.getLogger("publisher")


class Signals:
    """Stops the service on SIGTERM, Ctrl+C and Ctrl+Break, and reloads it on SIGHUP.

    The main thread enters and leaves the block. A handler interrupts the main thread anywhere, also while it holds a
    lock, so it only puts a request into a queue; a thread takes it and calls `stop` or `reload`. A second signal to
    stop ends the process at once.
    """

    def __init__(self, stop: Callable[[], None], reload: Callable[[], None]) -> None:
        self._stop = stop
        self._reload = reload
        # SimpleQueue.put is reentrant: a handler may interrupt the same thread in it.
        self._requests: SimpleQueue[Literal["stop", "reload", "end"]] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="signals", daemon=True)
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._on_terminal = sys.stdin is not None and sys.stdin.isatty()

    def stop(self) -> None:
        """Stops the service as a signal does. Any thread."""
        self._requests.put("stop")

    def reload(self) -> None:
        """Reads the configuration again as SIGHUP does. Any thread."""
        self._requests.put("reload")

    def __enter__(self) -> Signals:
        self._take(signal.SIGTERM, self._stopped)
        self._take(signal.SIGINT, self._stopped)
        if sys.platform == "win32":
            self._take(signal.SIGBREAK, self._stopped)
        else:
            self._take(signal.SIGHUP, self._hung_up)
            # A parent that ignores it takes from us, and from what we start, the exit status of every child.
            self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._requests.put("end")
        self._thread.join()

    def _take(self, number: int, handler: Callable[[int, FrameType | None], None]) -> None:
        # A signal that our parent ignores stays ignored: SIGHUP under nohup, SIGINT in a shell's background job.
        if signal.getsignal(number) != signal.SIG_IGN:
            self._before[number] = signal.signal(number, handler)

    def _stopped(self, number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self.stop()

    def _hung_up(self, _: int, __: FrameType | None) -> None:
        # SIGHUP because the terminal was closed is no request to read the configuration again.
        closed = self._on_terminal and not os.isatty(0)
        self._requests.put("stop" if closed else "reload")

    def _next(self) -> Literal["stop", "reload", "end"]:
        """Returns the next request; a reload is left out when another request follows: that reads it anew, or ends."""
        request = self._requests.get()
        while request == "reload" and not self._requests.empty():
            request = self._requests.get()
        return request

    def _serve(self) -> None:
        while (request := self._next()) != "end":
            try:
                self._stop() if request == "stop" else self._reload()
            except Exception:
                log.exception("internal error while handling a signal to %s", request)


def when_output_closes(stop: Callable[[], None]) -> None:
    """Calls `stop` when standard output is a pipe and its reader leaves, as in `publisher run | head`.

    Later output is discarded without an error. On Windows a pipe cannot be polled, and nothing is done.
    """
    if sys.platform == "win32" or sys.stdout is None:
        return
    output = sys.stdout.fileno()
    if not stat.S_ISFIFO(os.fstat(output).st_mode):
        return

    def wait() -> None:
        poll = select.poll()
        poll.register(output, 0)  # POLLERR is always reported (poll(2)), here when the last reader has closed its end
        poll.poll()
        discard = os.open(os.devnull, os.O_WRONLY)
        os.dup2(discard, output)
        os.close(discard)
        stop()

    threading.Thread(target=wait, name="output", daemon=True).start()
