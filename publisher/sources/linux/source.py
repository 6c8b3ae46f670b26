"""Linux: rtnetlink's messages and what is silent there, as updates. `linux.md` holds what was measured."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing

from ...events import Cause, IpInterface
from .. import Resync, SourceContext, Update

if sys.platform == "linux":
    from .follower import Clocks, Counts, LinuxFollower, LinuxReader
    from .wakeup import Wakeup

assert sys.platform == "linux"


def read_rows(context: SourceContext) -> tuple[IpInterface, ...]:
    """The IP interfaces as they are now, without following them; raises SourceError."""
    with closing(LinuxReader(context)) as reader:
        return reader.read_all()


class LinuxSource:
    """The IP interfaces of the network namespace in which the thread that iterates `updates()` is.

    Needs no privilege; with CAP_NET_ADMIN the receive buffer may be larger than net.core.rmem_max.
    """

    def __init__(self, context: SourceContext, clocks: Clocks | None = None) -> None:
        self._context = context
        self._clocks = clocks or Clocks()
        self._wakeup = Wakeup()
        self.counts = Counts()

    def updates(self) -> Iterator[Sequence[Update]]:
        """Yields lists of updates; the first is `[Resync(rows, "startup")]`. Raises SourceError."""
        with self._wakeup.open() as fd:
            if fd is None:
                return
            with closing(LinuxFollower(self._context, self._wakeup, fd, self._clocks, self.counts)) as follower:
                yield [Resync(follower.start(), "startup")]
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
