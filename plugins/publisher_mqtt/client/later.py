"""Jobs on the sink's thread, and lines that are logged once a state."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from publisher import Log, SinkContext

if TYPE_CHECKING:
    from .connection import Connection

# So many times in each keepalive.
_BEATS, _LONGEST_SECONDS = 5, 60.0


class Later:
    """A job on the sink's thread; it runs once, at the earliest of the moments that were asked for."""

    def __init__(self, context: SinkContext, job: Callable[[], None]) -> None:
        self._context, self._job = context, job
        self._due: float | None = None

    def after(self, seconds: float) -> None:
        """Runs the job after so many seconds, unless it is to run before."""
        due = time.monotonic() + seconds
        if self._due is None or due < self._due:
            self._due = due
            self._context.call(partial(self._run, due), seconds)

    def _run(self, due: float) -> None:
        if due == self._due:
            self._due = None
            self._job()


class Heartbeat:
    """Has a connection looked at now and then: paho sends a PINGREQ, and notices that none is answered, when called.

    A broker ends a connection after one and a half times the keepalive; `present` returns the connection there is.
    """

    def __init__(self, context: SinkContext, present: Callable[[], Connection | None]) -> None:
        self._present = present
        self._job = Later(context, self._beat)

    def begin(self, connection: Connection) -> None:
        """Begins with a new connection."""
        self._job.after(min(connection.keepalive / _BEATS or _LONGEST_SECONDS, _LONGEST_SECONDS))

    def _beat(self) -> None:
        connection = self._present()
        if connection is not None:
            connection.turn()
            self.begin(connection)


class Trouble:
    """The reason why there is no connection: logged as a warning once, and for those who debug at each attempt."""

    def __init__(self, log: Log, told: Callable[[str | None], None] = lambda _: None) -> None:
        """`told` is called with each reason, and with `None` when it is over."""
        self._log = log
        self._tell = told
        self._told = ""

    def tell(self, reason: str, delay: float) -> None:
        """Logs the reason, with the seconds until the next attempt."""
        level = logging.DEBUG if reason == self._told else logging.WARNING
        self._told = reason
        self._tell(reason)
        self._log.log(level, "%s; trying again in %.1f s", reason, delay)

    def over(self) -> None:
        """Forgets it: the next one is logged, also when it is the same."""
        self._told = ""
        self._tell(None)
