"""The source on Linux: follows rtnetlink, and reads what it does not report."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing

from ...events import Cause
from .. import SourceContext, Update

if sys.platform == "linux":
    from .follower import Counts, Follower
    from .wakeup import Clocks, Wakeup

assert sys.platform == "linux"


class LinuxSource:
    """The IP interfaces of the network namespace in which the thread that iterates `updates()` is.

    Needs no privilege; with CAP_NET_ADMIN the receive buffer may be larger than net.core.rmem_max.
    """

    def __init__(self, context: SourceContext, clocks: Clocks | None = None) -> None:
        self._context = context
        self._clocks = clocks or Clocks()
        self._wakeup = Wakeup()
        self._follower: Follower | None = None
        self.counts = Counts()

    def updates(self) -> Iterator[Sequence[Update]]:
        """Yields lists of updates; the first is `[Resync(rows, "startup")]`. Raises SourceError."""
        with self._wakeup.open() as fd:
            if fd is None:
                return
            with closing(Follower(self._context, self._wakeup, fd, self._clocks, self.counts)) as follower:
                self._follower = follower
                yield follower.start()
                while not self._wakeup.closed:
                    updates = follower.next()
                    if updates or not self._wakeup.closed:
                        yield updates

    def wake(self) -> None:
        """Makes `updates()` yield soon."""
        self._wakeup.wake()

    def resync(self, cause: Cause = "reconcile") -> None:
        """Requests a `Resync(rows, cause)`."""
        self._wakeup.request_resync(cause)

    def close(self) -> None:
        """Ends `updates()`; harmless when repeated."""
        self._wakeup.close()

    def abandon(self) -> None:
        """Releases the descriptors in a child process after a fork, where no thread iterates `updates()`.

        The parent's descriptors are its own, and stay as they are. Until both are closed, the kernel would fill the
        receive buffer of the child, which nobody empties.
        """
        self._wakeup.abandon()
        if self._follower is not None:
            self._follower.close()
