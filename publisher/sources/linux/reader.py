"""Reads of links, addresses and neighbours by requests to the kernel."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from contextlib import closing, suppress
from typing import Literal, TypeVar

from ...errors import SourceError
from ...events import Family
from ...garbage import uncollected
from ...sink import Log
from .attributes import RtnetlinkError
from .parts import Dump, DumpPart, KnownPart
from .requests import address_dump, link_dump, neighbours_dump, unfiltered_link_dump
from .routes import FamilyRoutes, RouteDecoder
from .rtnetlink import AddressMessage, Decoder, Failure, Link, Listed, NeighbourParameters

if sys.platform == "linux":
    from .default_routes import SlicedRead, read_default_routes
    from .dumps import DumpSocket
    from .netlink import InterruptedDumpError, RefusedError, RequestSocket, invalid_answer, opened_later
    from .sysctl import SystemDetails

assert sys.platform == "linux"

T = TypeVar("T")
DumpOf = Literal["links", "addresses", "neighbours"]
_SINGLE, _FILTERED, _ROUTES = "single links", "filtered links", "default routes"
_LOOPBACK = 1  # in each network namespace (LOOPBACK_IFINDEX)
# A table of routes that is not read by then is read in slices, after everything else.
_ROUTES_SECONDS = 2.0
_ROUTES_ATTEMPTS = 3
_NAMES = {"neighbours": "the parameters of neighbours"}


class LinuxReader:
    """Requests to the kernel, in the network namespace of the thread that makes the reader. One thread at a time.

    Links must be listed. Another request that is refused (gVisor has no RTM_GETNEIGHTBL) is logged once and not made
    again: its members are not known then.
    """

    def __init__(self, decoder: Decoder, log: Log, families: Collection[Family] = ("inet", "inet6")) -> None:
        self.families = families
        self._route_decoder = RouteDecoder()
        self.details = SystemDetails()
        self._log = log
        self._decoder = decoder
        # No other request can be sent before a dump that is received in parts ends (EBUSY).
        self._dumps: DumpSocket | None = None
        self._requests = RequestSocket(decoder)
        self._answered: set[str] = set()
        self._refused: set[str] = set()
        self.known: dict[DumpOf, list[KnownPart]] = {}
        """The parts of the last `dump`."""

    @uncollected()
    def dump(self) -> Dump:
        """Reads all links, addresses and neighbour parameters; raises InterruptedDumpError, SourceError."""
        self.known = {}
        try:
            dumps = self._opened()
            links = self._links(dumps)
            self.known["links"] = dumps.known
            addresses = self._list("addresses", AddressMessage)
            neighbours = self._list("neighbours", NeighbourParameters)
        except SourceError:
            self.abandon()
            raise
        return Dump(links, addresses or [], neighbours, self.details.path_mtu_times(), self._all_default_routes())

    def links(self, indexes: Iterable[int]) -> dict[int, Link | None]:
        """Returns these links as they are now, None for a removed one; raises InterruptedDumpError, SourceError."""
        wanted = list(indexes)
        if wanted and _SINGLE not in self._refused:
            try:
                return self._requests.links(wanted)
            except RefusedError as error:
                self._refuse(_SINGLE, error)
        by_index = {link.ifindex: link for link in self._links(self._requests)} if wanted else {}
        return {index: by_index.get(index) for index in wanted}

    def default_routes(self, family: Family) -> SlicedRead:
        """Yields None after each slice of a read, and then the default routes; nothing when the kernel refuses.

        Closing the iterator ends the read. Raises InterruptedDumpError, SourceError.
        """
        if _ROUTES in self._refused:
            return
        # The kernel reports a link, an address or a route before it removes routes. It answers about a link when it has
        # done so: both are under one lock, RTNL, and a list of routes needs none (since 6.9).
        if _SINGLE not in self._refused:
            self.links([_LOOPBACK])
        try:
            yield from read_default_routes(self._route_decoder, family)
        except RefusedError as error:
            if _ROUTES in self._answered:
                raise InterruptedDumpError(str(error)) from error
            self._refuse(_ROUTES, error)
        else:
            self._answered.add(_ROUTES)

    def _all_default_routes(self) -> dict[Family, FamilyRoutes]:
        """Returns the default routes, without a family of which they cannot be read now."""
        found: dict[Family, FamilyRoutes] = {}
        until = time.monotonic() + _ROUTES_SECONDS
        # Routes that are left out at the start would be taken for removed ones.
        for family in (*self.families,) * _ROUTES_ATTEMPTS:
            if family in found:
                continue
            with closing(self.default_routes(family)) as slices, suppress(InterruptedDumpError):
                for listed in slices:
                    if listed is not None:
                        found[family] = listed
                    elif time.monotonic() >= until:
                        break
        return found

    def parts(self, what: DumpOf, known: Container[int]) -> Iterator[DumpPart]:
        """Yields the parts of a dump, none when it is refused; other reads may be made between two parts.

        Each dump is to be received to its end, or abandoned. `known` are digests of parts that are neither the last one
        nor interrupted. Raises InterruptedDumpError, RefusedError, SourceError.
        """
        if what not in self._refused:
            yield from self._opened().parts(self._request_of(what), known)

    def decode(self, part: DumpPart) -> list[Listed]:
        """Returns the records of a part; raises InterruptedDumpError."""
        if part.records is not None:
            return part.records
        try:
            messages = self._decoder.decode(part.data)
        except RtnetlinkError as error:
            raise invalid_answer(error) from error
        return [record for *_, record in messages if record is not None and not isinstance(record, Failure)]

    def abandon(self) -> None:
        """Ends a dump that is read in parts; harmless when there is none."""
        if self._dumps is not None:
            self._dumps.close()
            self._dumps = None

    def _opened(self) -> DumpSocket:
        if self._dumps is None:
            self._dumps = opened_later(lambda: DumpSocket(self._decoder))
        return self._dumps

    def _request_of(self, what: DumpOf) -> Callable[[int], bytes]:
        if what == "links":
            return unfiltered_link_dump if _FILTERED in self._refused else link_dump
        return address_dump if what == "addresses" else neighbours_dump

    def _links(self, requests: RequestSocket) -> list[Link]:
        """Returns all links, by a request without a filter where the kernel does not know it; raises SourceError."""
        if _FILTERED not in self._refused:
            try:
                return _only(Link, requests.dump(link_dump))
            except RefusedError:
                self._refused.add(_FILTERED)
        try:
            return _only(Link, requests.dump(unfiltered_link_dump))
        except RefusedError as error:
            raise SourceError(f"the kernel refuses to list the network interfaces: {error}") from error

    def _list(self, what: DumpOf, kind: type[T]) -> list[T] | None:
        """Returns the records of this kind, None when they are refused; what was answered once is tried again."""
        if what in self._refused:
            return None
        dumps = self._opened()
        try:
            records = _only(kind, dumps.dump(self._request_of(what)))
        except RefusedError as error:
            if what in self._answered:
                raise InterruptedDumpError(str(error)) from error
            self._refuse(what, error)
            return None
        self._answered.add(what)
        self.known[what] = dumps.known
        return records

    def _refuse(self, what: str, error: RefusedError) -> None:
        self._refused.add(what)
        self._log.warning("%s are not known here: %s", _NAMES.get(what, what), error)

    def close(self) -> None:
        """Releases the sockets."""
        self.abandon()
        self._requests.close()
        self.details.close()


def _only(kind: type[T], records: Iterable[object]) -> list[T]:
    return [record for record in records if isinstance(record, kind)]
