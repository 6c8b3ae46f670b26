"""Follows the kernel: waits, drains what was told, reads what was touched, and reads everything when it must."""

from __future__ import annotations

import math
import selectors
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from ...events import Cause, IpInterface
from .. import Resync, SourceContext, Update
from ..luids import LuidAssigner
from .cache import LinkCache
from .coalesce import classify, index_of, touched
from .rtnetlink import (
    RTM_DELNETCONF,
    RTM_NEWNETCONF,
    Address,
    Decoder,
    Link,
    Message,
    Neighbours,
    address_dump,
    link_dump,
    neighbours_dump,
)

if sys.platform == "linux":
    from .netlink import InterruptedDumpError, NotificationSocket, RequestSocket
    from .sysctl import Hardware, Modified, Watches
    from .wakeup import Wakeup

assert sys.platform == "linux"

# After a loss: read when the flood is over, that is when nothing came for this long, or at the latest after a while.
_CALM, _PATIENCE = 0.05, 1.0
_RETRY = 1.0
# Seconds by which the clocks may drift apart without a suspend.
_SUSPENDED = 0.5
# Interfaces that vanish while they are read have been told by then; this bounds how often that is looked for.
_ROUNDS = 4

T = TypeVar("T")


_NOTHING = Modified(set(), all=False)


def _elapsed() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clocks(NamedTuple):
    """In seconds: `running` stands still while the system is suspended, `elapsed` does not."""

    running: Callable[[], float] = time.monotonic
    elapsed: Callable[[], float] = _elapsed


@dataclass
class Counts:
    """What went wrong so far: times messages were lost, messages not decoded, things our models could not say."""

    lost: int = 0
    undecodable: int = 0
    invalid: int = 0


class LinuxReader:
    """Reads everything at one moment."""

    def __init__(self, context: SourceContext) -> None:
        self.decoder = Decoder()
        self.requests = RequestSocket(self.decoder)
        self.hardware = Hardware()
        self.state = LinkCache(context.log, LuidAssigner(context.luids), self.hardware, context.families)

    def read_all(self) -> tuple[IpInterface, ...]:
        """All rows; raises InterruptedDumpError, SourceError."""
        links = _only(Link, self.requests.dump(link_dump))
        addresses = _only(Address, self.requests.dump(address_dump))
        neighbours = _only(Neighbours, self.requests.dump(neighbours_dump))
        self.state.path_mtu = self.hardware.path_mtu_times()
        return self.state.resync(links, addresses, neighbours)

    def close(self) -> None:
        """Release the sockets."""
        self.requests.close()
        self.hardware.close()


class LinuxFollower:
    """Follows the network namespace of its thread. `wakeup` wakes it, and holds requests for a resync."""

    def __init__(self, context: SourceContext, wakeup: Wakeup, fd: int, clocks: Clocks, counts: Counts) -> None:
        self._log = context.log
        self._wakeup = wakeup
        self._wakeup_fd = fd
        self._idle = math.inf if context.idle_seconds is None else context.idle_seconds
        self._idle_until = 0.0
        self._clocks = clocks
        self._counts = counts
        self._every = context.reconcile_seconds
        self._reader = LinuxReader(context)
        self._state = self._reader.state
        # Before anything is read: what changes from now on is told.
        self._subscription = NotificationSocket(self._reader.decoder, context.receive_buffer)
        self._watches = Watches()
        self._selector = selectors.DefaultSelector()
        for waited_for in (self._subscription.fileno(), fd, self._watches.fileno()):
            if waited_for >= 0:
                self._selector.register(waited_for, selectors.EVENT_READ)
        self._suspended = clocks.elapsed() - clocks.running()
        self._lost_since: float | None = None
        self._more = False
        self._causes: list[Cause] = []
        self._due = 0.0

    def start(self) -> tuple[IpInterface, ...]:
        """The rows now; raises SourceError."""
        rows = self._read_all()
        self._log.debug("following rtnetlink", receive_buffer=self._subscription.receive_buffer, rows=len(rows))
        return rows

    def next(self) -> list[Update]:
        """Returns the next updates, none when woken or when the idle time is over; raises SourceError."""
        self._idle_until = self._clocks.running() + self._idle
        while True:
            updates, woken = self._step()
            if updates or woken or self._clocks.running() >= self._idle_until:
                return updates

    def _step(self) -> tuple[list[Update], bool]:
        """Waits until something happens; returns the updates that it leads to, and whether it was a request."""
        wait = min(self._due, self._idle_until) - self._clocks.running()
        ready = {key.fd for key, _ in self._selector.select(max(0.0, wait))}
        self._notice_suspend()
        if woken := self._wakeup_fd in ready:
            for cause in self._wakeup.take():
                self._ask(cause)
        modified = self._watches.modified() if self._watches.fileno() in ready else _NOTHING
        if modified.all:
            self._ask("reconcile", _CALM)
        updates = self._follow(modified.indexes)
        # What waits is older than what would be read, and comes first; after a loss there is no such order to keep.
        if self._clocks.running() >= self._due and (self._lost_since is not None or not self._more):
            updates += self._resync()
        self._counts.invalid = self._state.validator.invalid
        return updates, woken

    def close(self) -> None:
        """Release the sockets."""
        self._selector.close()
        self._watches.close()
        self._subscription.close()
        self._reader.close()

    def _follow(self, modified: set[int]) -> list[Update]:
        """What was told, and what was silently written."""
        messages = self._drain()
        for index in modified:
            self._state.read_times(index)
        if self._lost_since is not None:
            # What is told is still true; the settings come with the rows, when the flood is over.
            reads: dict[int, Link | None] = {}
        else:
            reads = self._read(modified, messages)
        updates = self._state.apply(messages, reads) if messages or modified else []
        self._watch(messages, reads)
        return updates

    def _drain(self) -> list[Message]:
        told = self._subscription.drain()
        self._more = told.more
        now = self._clocks.running()
        if told.lost:
            self._counts.lost += 1
            if self._lost_since is None:
                self._log.warning("the kernel dropped messages; all interfaces are read when the flood is over")
                self._lost_since = now
                self._causes.insert(0, "overrun")
        if self._lost_since is not None and (told.lost or told.messages):
            self._due = min(now + _CALM, self._lost_since + _PATIENCE)
        for datagram in told.undecodable:
            self._counts.undecodable += 1
            self._log.error("a message of the kernel cannot be decoded; all interfaces are read", raw=datagram.hex())
            self._ask("reconcile", _RETRY)
        return told.messages

    def _read(self, indexes: set[int], messages: list[Message]) -> dict[int, Link | None]:
        """Each touched interface as it is now. One that is gone has been told: its messages are fetched, too."""
        reads: dict[int, Link | None] = {}
        fresh = messages
        for round_ in range(1, _ROUNDS + 1):
            for index in indexes | touched(fresh, self._state.indexes()):
                reads[index] = self._reader.requests.link(index)
            gone = {index for index, link in reads.items() if link is None}
            if not gone or round_ == _ROUNDS or gone <= classify(messages).removed:
                break
            indexes, fresh = set(), self._drain()
            messages += fresh
        return reads

    def _watch(self, messages: Iterable[Message], reads: Iterable[int]) -> None:
        """Watch what is new; and again what lost its directories by a rename, or got them anew."""
        for kind, _, _, record in messages:
            index = index_of(record)
            if kind == RTM_DELNETCONF or (kind == RTM_NEWNETCONF and not self._watches.complete(index)):
                self._watches.forget(index)
        for index in reads:
            name = self._state.name(index)
            if name is None:
                self._watches.forget(index)
            else:
                self._watches.keep(index, name)

    def _read_all(self) -> tuple[IpInterface, ...]:
        rows = self._reader.read_all()
        self._lost_since = None
        self._due = self._clocks.running() + self._every
        self._watches.keep_only(self._state.names())
        return rows

    def _resync(self) -> list[Update]:
        try:
            rows = self._read_all()
        except InterruptedDumpError as error:
            self._log.warning("the interfaces cannot be read now; trying again", error=str(error))
            self._due = self._clocks.running() + _RETRY
            return []
        # One read answers every request, and each cause is reported.
        causes, self._causes = self._causes or ["reconcile"], []
        return [Resync(rows, cause) for cause in dict.fromkeys(causes)]

    def _ask(self, cause: Cause, delay: float = 0.0) -> None:
        """Requests a read of everything, at the latest after this delay; after a loss, when the flood is over."""
        self._causes.append(cause)
        if self._lost_since is None:
            self._due = min(self._due, self._clocks.running() + delay)

    def _notice_suspend(self) -> None:
        suspended = self._clocks.elapsed() - self._clocks.running()
        if suspended - self._suspended > _SUSPENDED:
            self._log.info("the system was suspended; all interfaces are read again")
            self._ask("reconcile")
        self._suspended = suspended


def _only(kind: type[T], records: Iterable[object]) -> list[T]:
    return [record for record in records if isinstance(record, kind)]
