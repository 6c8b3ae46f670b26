"""Linux: rtnetlink's messages and what is silent there, as updates. `linux.md` holds what was measured."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing

from ...events import IpInterface
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
        self._bell = Wakeup()
        self.counts = Counts()

    def updates(self) -> Iterator[Update]:
        """Every update; the first is `Resync(rows, "startup")`. Raises SourceError."""
        with self._bell.waited_for() as bell:
            if bell is None:
                return
            with closing(LinuxFollower(self._context, bell, self._clocks, self.counts)) as follower:
                yield Resync(follower.start(), "startup")
                while not self._bell.closed:
                    yield from follower.next()

    def reconcile(self) -> None:
        """Ask for a `Resync(rows, "reconcile")`; from any thread."""
        self._bell.ring()

    def close(self) -> None:
        """End `updates()`, also from within; from any thread, harmless when repeated."""
        self._bell.end()
