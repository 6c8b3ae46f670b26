"""Reads everything at one moment, or one link."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from .details import Dump
from .rtnetlink import AddressMessage, Decoder, Link, NeighbourParameters, address_dump, link_dump, neighbours_dump

if sys.platform == "linux":
    from .netlink import RequestSocket
    from .sysctl import SystemDetails

assert sys.platform == "linux"

T = TypeVar("T")


class LinuxReader:
    """Requests to the kernel, in the network namespace of the thread that makes the reader. One thread at a time."""

    def __init__(self, decoder: Decoder) -> None:
        self.details = SystemDetails()
        self._requests = RequestSocket(decoder)

    def dump(self) -> Dump:
        """Reads all links, addresses and neighbour parameters; raises InterruptedDumpError, SourceError."""
        links = _only(Link, self._requests.dump(link_dump))
        addresses = _only(AddressMessage, self._requests.dump(address_dump))
        neighbours = _only(NeighbourParameters, self._requests.dump(neighbours_dump))
        return Dump(links, addresses, neighbours, self.details.path_mtu_times())

    def link(self, index: int) -> Link | None:
        """Returns this link as it is now, None when it was removed; raises SourceError."""
        return self._requests.link(index)

    def close(self) -> None:
        """Releases the sockets."""
        self._requests.close()
        self.details.close()


def _only(kind: type[T], records: Iterable[object]) -> list[T]:
    return [record for record in records if isinstance(record, kind)]
