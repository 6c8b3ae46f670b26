"""Reads of default routes: a bounded number of routes at a time, however many there are.

docs/linux.md, "Default routes", has the order in which the kernel lists routes, and the figures.
"""

from __future__ import annotations

import errno
import math
import sys
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import NamedTuple, TypeVar

from ...events import Cause, Family
from ...sink import Log
from .attributes import RtnetlinkError
from .requests import nexthop_read, route_dump, route_lookup6
from .routes import (
    RT_TABLE_MAIN,
    FamilyRoutes,
    Nexthop,
    Route,
    RouteDecoder,
    RoutePart,
    Routes,
    unresolved,
)
from .rtnetlink import FAMILIES, NLMSG_ERROR, RTM_NEWNEXTHOP, RTM_NEWROUTE, Failure, headers

if sys.platform == "linux":
    from .netlink import InterruptedDumpError, RequestSocket, invalid_answer, opened_later, raise_unless

assert sys.platform == "linux"

T = TypeVar("T")
_NUMBERS = {family: number for number, family in FAMILIES.items()}
# The kernel fills one datagram ahead, as large as this: of IPv4 routes the first one shows the default routes.
_BUFFER = 8192
# The CPU time for which routes are received before messages are again: that for 4,000 routes of IPv6. No list is long
# because the kernel's lock or a processor was waited for.
_SLICE = 0.004
# IPv6 routes in so many datagrams are listed at one moment: the second one ends the list.
_AT_ONCE = 2
# An address of 4000::/3, which belongs to nobody: a packet to it takes a default route.
_ELSEWHERE = b"\x40" + bytes(15)
# A read of more than a slice takes at most a tenth of the time, and in reconciles a thousandth.
_PAUSE, _LONG_PAUSE = 10, 1000
_RETRY = 1.0

SlicedRead = Generator[FamilyRoutes | None, None, None]
"""The read of one family: None after each slice, and then the default routes; nothing at all when it is refused."""


class RouteSocket(RequestSocket):
    """Sends requests for routes. One thread at a time. To be closed after a dump, which may be received in part."""

    def __init__(self, routes: RouteDecoder) -> None:
        super().__init__(routes)  # one of its own for each read would be a third of the cost
        self._routes = routes
        self._buffer = bytearray(_BUFFER)

    def parts(self, family: int) -> Iterator[RoutePart]:
        """Yields the default routes of a family as they come, the last part with the first other route of IPv4.

        Raises InterruptedDumpError, RefusedError, SourceError.
        """
        self._send(partial(route_dump, family=family, table=RT_TABLE_MAIN))
        while True:
            length = self._receive_whole()
            try:
                part = self._routes.part(self._buffer, length, self._seq, family)
            except RtnetlinkError as error:
                raise invalid_answer(error) from error
            if part.error is not None:
                raise_unless(Failure(part.error), 0, errno.ENOENT)  # there is no such table before its first route
            yield part
            if part.error is not None or part.is_beyond:
                return

    def has_default_route6(self) -> bool:
        """Returns whether the main table has a default route of IPv6, as far as one lookup shows."""
        route = self._answer(lambda seq: route_lookup6(seq, _ELSEWHERE), RTM_NEWROUTE, self._routes.route)
        return route is not None and not route.prefix_length and route.table == RT_TABLE_MAIN

    def nexthops(self, numbers: Iterable[int]) -> dict[int, Nexthop]:
        """Returns nexthop objects by number, and the members of groups; without those that are removed."""
        found: dict[int, Nexthop] = {}
        for number in numbers:
            nexthop = self._answer(partial(nexthop_read, number=number), RTM_NEWNEXTHOP, self._routes.nexthop)
            if nexthop is not None:
                found[number] = nexthop
                found |= self.nexthops(member for member in nexthop.members if member not in found)
        return found

    def _answer(
        self, request: Callable[[int], bytes], kind: int, decode: Callable[[bytearray, int, int], T]
    ) -> T | None:
        """Returns the answer to a request, None for an error."""
        self._send(request)
        while True:
            length = self._receive_whole()
            try:
                for answer, _, seq, start, end in headers(self._buffer, length):
                    if seq == self._seq and answer in (kind, NLMSG_ERROR):
                        return decode(self._buffer, start, end) if answer == kind else None
            except RtnetlinkError as error:
                raise invalid_answer(error) from error

    def _receive_whole(self) -> int:
        length = self._receive_datagram()
        if length > len(self._buffer):
            raise InterruptedDumpError(f"the kernel sent {length} bytes of routes at once")
        return length


def read_default_routes(
    decoder: RouteDecoder, family: Family, cpu: Callable[[], float] = time.thread_time
) -> SlicedRead:
    """Yields None after each slice of a read, and then the default routes.

    Raises InterruptedDumpError, RefusedError, SourceError. Closing the iterator ends the read.
    """
    with closing(opened_later(lambda: RouteSocket(decoder))) as requests:
        routes: list[Route] = []
        until = cpu() + _SLICE
        count = 0
        for part in requests.parts(_NUMBERS[family]):
            count += 1
            routes += part.routes
            if count > _AT_ONCE and cpu() >= until:
                yield None
                until = cpu() + _SLICE
        if family == "inet6" and count > _AT_ONCE and not any(not route.source_length for route in routes):
            _raise_if_left_out(requests)
        yield decoder.listed(routes, requests.nexthops(unresolved(routes)))


def _raise_if_left_out(requests: RouteSocket) -> None:
    """Raises InterruptedDumpError when the kernel has a default route of IPv6 that it did not list.

    Between two datagrams it counts its way through the routes again: as many as were removed meanwhile are left out at
    the end, where the default routes are (fib6_dump_table, net/ipv6/ip6_fib.c).
    """
    if requests.has_default_route6():
        raise InterruptedDumpError("routes were removed while they were listed")


class ReadRoutes(NamedTuple):
    """The default routes of families that messages made due, and of those that a reconcile had read."""

    reported: Routes
    found: Routes


class _Going:
    """A read that goes on."""

    def __init__(self, slices: SlicedRead, cause: Cause) -> None:
        self.cause = cause
        self.took = 0.0
        self.is_long = False
        self._slices = slices

    def next(self, cpu: Callable[[], float]) -> FamilyRoutes | None:
        """Reads a slice; raises StopIteration when the kernel refuses, InterruptedDumpError, SourceError."""
        begun = cpu()
        try:
            listed = next(self._slices)
        finally:
            self.took += cpu() - begun
        self.is_long = self.is_long or listed is None
        return listed

    def close(self) -> None:
        """Ends the read."""
        self._slices.close()


class DueReads:
    """The reads of default routes that are due. One thread at a time."""

    def __init__(
        self,
        read: Callable[[Family], SlicedRead],
        families: Collection[Family],
        log: Log,
        clock: Callable[[], float],
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._read = read
        self._families = families
        self._log = log
        self._clock = clock
        self._cpu = cpu
        self._marked: dict[Family, Cause] = {}
        self._going: dict[Family, _Going] = {}
        # The families of which the last read failed, which is logged once.
        self._failing: set[Family] = set()
        # When the next read may begin, and when the next one for a reconcile.
        self._not_before = dict.fromkeys(families, -math.inf)
        self._rested_at = dict.fromkeys(families, -math.inf)

    def mark(self, families: Collection[Family], cause: Cause) -> None:
        """Has these families read; for a reconcile only one of which a read is short, or the last one long ago."""
        for family in self._families:
            if family not in families:
                continue
            if cause != "reconcile":
                self._marked[family] = cause
                if family in self._going:  # it may show what is reported
                    self._going[family].cause = cause
            elif self._clock() >= self._rested_at[family]:
                self._marked.setdefault(family, cause)

    @property
    def due_at(self) -> float:
        """The moment at which `next` has something to do."""
        if self._going:
            return -math.inf
        return min((self._not_before[family] for family in self._marked), default=math.inf)

    def next(self) -> ReadRoutes:
        """Reads what is due, at most a slice of each family; returns the families that were read to their end."""
        reported: dict[Family, FamilyRoutes] = {}
        found: dict[Family, FamilyRoutes] = {}
        for family in self._families:
            if going := self._begun(family):
                listed = self._go_on(family, going)
                if listed is not None:
                    (found if going.cause == "reconcile" else reported)[family] = listed
        return ReadRoutes(reported, found)

    def _begun(self, family: Family) -> _Going | None:
        if family not in self._going and family in self._marked and self._clock() >= self._not_before[family]:
            self._going[family] = _Going(self._read(family), self._marked.pop(family))
        return self._going.get(family)

    def _go_on(self, family: Family, going: _Going) -> FamilyRoutes | None:
        try:
            listed = going.next(self._cpu)
        except StopIteration:
            del self._going[family]
            return None
        except InterruptedDumpError as error:
            log = self._log.debug if family in self._failing else self._log.warning
            log("cannot read the default routes now: %s; trying again every %.0f s", error, _RETRY)
            self._failing.add(family)
            del self._going[family]
            self._marked.setdefault(family, going.cause)
            self._not_before[family] = self._clock() + max(_RETRY, going.took * _PAUSE)
            return None
        if listed is not None:
            del self._going[family]
            self._failing.discard(family)
            if going.is_long:
                self._not_before[family] = self._clock() + going.took * _PAUSE
                self._rested_at[family] = self._clock() + going.took * _LONG_PAUSE
        return listed

    def forget(self) -> None:
        """Ends all reads: everything was read."""
        for going in self._going.values():
            going.close()
        self._going.clear()
        self._marked.clear()
