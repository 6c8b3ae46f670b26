"""Reads of links, addresses and neighbours by requests to the kernel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

from ...errors import SourceError
from ...sink import Log
from .link import Dump
from .rtnetlink import (
    AddressMessage,
    Decoder,
    Link,
    NeighbourParameters,
    address_dump,
    link_dump,
    neighbours_dump,
    unfiltered_link_dump,
)

if sys.platform == "linux":
    from .netlink import InterruptedDumpError, RefusedError, RequestSocket
    from .sysctl import SystemDetails

assert sys.platform == "linux"

T = TypeVar("T")
_SINGLE, _FILTERED = "single links", "filtered links"


class LinuxReader:
    """Requests to the kernel, in the network namespace of the thread that makes the reader. One thread at a time.

    Links must be listed. Another request that is refused (gVisor has no RTM_GETNEIGHTBL) is logged once and not made
    again: its members are not known then.
    """

    def __init__(self, decoder: Decoder, log: Log) -> None:
        self.details = SystemDetails()
        self._log = log
        self._requests = RequestSocket(decoder)
        self._answered: set[str] = set()
        self._refused: set[str] = set()

    def dump(self) -> Dump:
        """Reads all links, addresses and neighbour parameters; raises InterruptedDumpError, SourceError."""
        links = self._links()
        addresses = self._list("addresses", AddressMessage, address_dump)
        neighbours = self._list("the parameters of neighbours", NeighbourParameters, neighbours_dump)
        return Dump(links, addresses or [], neighbours, self.details.path_mtu_times())

    def link(self, index: int) -> Link | None:
        """Returns this link as it is now, None when it was removed; raises InterruptedDumpError, SourceError."""
        if _SINGLE not in self._refused:
            try:
                return self._requests.link(index)
            except RefusedError as error:
                self._refuse(_SINGLE, error)
        return next((link for link in self._links() if link.ifindex == index), None)

    def _links(self) -> list[Link]:
        """Returns all links, by a request without a filter where the kernel does not know it; raises SourceError."""
        if _FILTERED not in self._refused:
            try:
                return _only(Link, self._requests.dump(link_dump))
            except RefusedError:
                self._refused.add(_FILTERED)
        try:
            return _only(Link, self._requests.dump(unfiltered_link_dump))
        except RefusedError as error:
            raise SourceError(f"the kernel refuses to list the network interfaces: {error}") from error

    def _list(self, what: str, kind: type[T], request: Callable[[int], bytes]) -> list[T] | None:
        """Returns the records of this kind, None when they are refused; what was answered once is tried again."""
        if what in self._refused:
            return None
        try:
            records = _only(kind, self._requests.dump(request))
        except RefusedError as error:
            if what in self._answered:
                raise InterruptedDumpError(str(error)) from error
            self._refuse(what, error)
            return None
        self._answered.add(what)
        return records

    def _refuse(self, what: str, error: RefusedError) -> None:
        self._refused.add(what)
        self._log.warning("%s are not known here: %s", what, error)

    def close(self) -> None:
        """Releases the sockets."""
        self._requests.close()
        self.details.close()


def _only(kind: type[T], records: Iterable[object]) -> list[T]:
    return [record for record in records if isinstance(record, kind)]
