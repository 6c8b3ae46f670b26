"""The content of what was read from the kernel: of a dump, of its parts, and of a part of a reconcile. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from .routes import Routes
from .rows import PathMtuTimes
from .rtnetlink import AddressMessage, Link, Listed, NeighbourParameters

_INDEX = 0xFFFF_FFFF


class Dump(NamedTuple):
    """Everything that was read at one moment; `neighbours` is None where the kernel does not list them.

    `routes` has the families of which the default routes could be read.
    """

    links: list[Link]
    addresses: list[AddressMessage]
    neighbours: list[NeighbourParameters] | None
    path_mtu: PathMtuTimes
    routes: Routes = MappingProxyType({})


@dataclass
class ReadPart:
    """The content of one part of a reconcile; `times` and `speeds` are links of which these are to be read.

    `routes` are those of the families that were read.
    """

    links: list[Link] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)
    addresses: dict[int, list[AddressMessage]] = field(default_factory=dict)
    neighbours: list[NeighbourParameters] = field(default_factory=list)
    times: set[int] = field(default_factory=set)
    speeds: set[int] = field(default_factory=set)
    routes: Routes = field(default_factory=dict)

    def indexes(self) -> set[int]:
        """Returns the links that the part is about."""
        shown = {link.ifindex for link in self.links} | {entry.ifindex or 0 for entry in self.neighbours}
        return shown | self.removed | self.addresses.keys() | self.times | self.speeds


class DumpPart(NamedTuple):
    """One datagram of a dump; `interrupted`: something changed since the dump began. `records` where it was decoded."""

    data: bytes
    digest: int
    interrupted: bool
    last: bool
    records: list[Listed] | None = None


class KnownPart(NamedTuple):
    """A part as it was last: the digest of its bytes, and the links that it is about.

    `entries` are these links with the families of their records. `inner`: it was neither the last part nor interrupted.
    """

    digest: int
    indexes: array[int]
    entries: array[int]
    inner: bool

    @classmethod
    def of(cls, part: DumpPart, records: Iterable[Listed]) -> KnownPart:
        """Returns a part with these records, to be known again."""
        entries = dict.fromkeys([record.family << 32 | record.ifindex for record in records if record.ifindex])
        indexes = dict.fromkeys(entry & _INDEX for entry in entries)
        return cls(part.digest, array("I", indexes), array("Q", entries), not (part.last or part.interrupted))


def entry_of(family: int, index: int) -> int:
    """Returns a link in a family as one number: for AF_UNSPEC, which is 0, the index of the link."""
    return family << 32 | index


def links_of(entries: Iterable[int]) -> set[int]:
    """Returns the indexes of the links in entries."""
    return {entry & _INDEX for entry in entries}
