"""The descriptor of a sink, which its worker watches between two batches."""

from __future__ import annotations

from ..errors import PluginError, described
from ..sink import Log, Sink
from .backoff import SHORTEST_PAUSE
from .calls import descriptor_of, returns_nothing
from .descriptors import Found
from .inbox import Inbox, Job
from .jobs import Jobs


class WatchedDescriptor:
    """Asks a sink for its descriptor, and calls it when that can be read. The sink's thread.

    A sink that raises, or names what is not open, is left alone for a moment: its descriptor may stay readable, which
    would keep a processor busy.
    """

    def __init__(self, inbox: Inbox, jobs: Jobs, log: Log) -> None:
        self._inbox = inbox
        self._jobs = jobs
        self._log = log
        self._rests = False
        self._descriptor: int | None = None
        self._was_closed = self._is_closed = False
        self._is_short = False

    def of(self, sink: Sink) -> int | None:
        """Returns the descriptor; `None` when there is nothing to watch."""
        if self._rests or type(sink).fileno is Sink.fileno:
            return None
        self._was_closed, self._is_closed = self._is_closed, False
        self._descriptor = None
        self._contain("fileno", lambda: self._ask(sink))
        return self._descriptor

    def found(self, sink: Sink, found: Found) -> None:
        """Calls the sink: its descriptor can be read, or is not open, as if it had been closed a moment ago.

        One that is not open at the next wait, too, is an error.
        """
        self._is_closed = found == "closed" and not self._was_closed
        if found == "closed" and self._was_closed:
            self._contain("fileno", self._refuse)
        else:
            self._contain("ready", lambda: returns_nothing(sink.ready))

    def _refuse(self) -> None:
        raise PluginError(f"fileno() returned {self._descriptor}, which is closed: it must return an open one or None")

    def _ask(self, sink: Sink) -> None:
        descriptor = descriptor_of(sink)
        if descriptor is None or self._can_wait():
            self._descriptor = descriptor

    def _can_wait(self) -> bool:
        """Returns whether a wait for a descriptor can be ended: the process needs two for that, and may have none left.

        Asked here, where that costs a pause, not the worker.
        """
        try:
            self._inbox.wake_up()
        except OSError as error:
            if not self._is_short:
                pause = f"trying again every {SHORTEST_PAUSE:.0f} s"
                self._log.warning("cannot wait for its connection: %s; %s", described(error), pause)
            self._is_short = True
            self._rest()
            return False
        if self._is_short:
            self._log.info("can wait for its connection again")
        self._is_short = False
        return True

    def _contain(self, name: str, call: Job) -> None:
        if not self._jobs.contain(name, call):
            self._rest()

    def _rest(self) -> None:
        self._rests = True
        self._inbox.call(self._watch_again, SHORTEST_PAUSE)

    def _watch_again(self) -> None:
        self._rests = False
