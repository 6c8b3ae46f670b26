"""The reconcile: a read of everything, part by part, that shows what may differ from the cache.

Silent settings (docs/linux.md, "Changes that are not reported") are found by reading everything again. A part is one
datagram of a dump, about 30 links or 400 addresses, and messages are received and applied between two parts. A part
with the bytes of the last time is not decoded: at 4,000 links that spares four fifths of the cost.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence, Set
from itertools import islice
from typing import Protocol, TypeVar

from .parts import DumpPart, KnownPart, ReadPart, links_of
from .rtnetlink import AddressMessage, Link, Listed, NeighbourParameters

if sys.platform == "linux":
    from .reader import DumpOf, LinuxReader

assert sys.platform == "linux"

T = TypeVar("T")
# Links whose addresses, times or speeds are compared together: about 1 ms.
_TOGETHER = 50
# Links that are only looked for in what is known: 1 ms.
_LOOKED_AT = 500
# Parts that show nothing new cost 0.15 ms each, and one with 400 addresses that are new 1.5.
_AT_ONCE = 4
# An address that an interrupted dump left out would be taken for a removed one.
_ATTEMPTS = 3
NOTHING = ReadPart()
"""The content of a part that shows nothing new."""


class Known(Protocol):
    """The links that are known, by index; `neighbours` returns one number for each link and family (`entry_of`)."""

    def indexes(self) -> Set[int]: ...
    def neighbours(self, indexes: Iterable[int]) -> Set[int]: ...
    def may_have_speed(self, indexes: Iterable[int]) -> Set[int]: ...


class Reconcile:
    """Reads everything part by part, again and again. One thread at a time.

    `cache` knows the links, the families in which each has neighbours, and those of which the speed may differ.
    """

    def __init__(self, reader: LinuxReader, cache: Known) -> None:
        self._reader = reader
        self._cache = cache
        self._parts: dict[DumpOf, list[KnownPart]] = {}
        self._rest: Iterator[ReadPart] | None = None
        self.reported: set[int] = set()
        """The links of which anything came since the begin; what a part shows of them may be older or newer than it."""

    @property
    def goes_on(self) -> bool:
        """True from `begin` on until `next` has returned the last part."""
        return self._rest is not None

    def dumped(self) -> None:
        """Has the parts of the reader's last dump known: the cache was made of them."""
        self._parts = self._reader.known

    def begin(self) -> None:
        """Begins to read everything. The links that were reported since the last time are compared in any case."""
        self._rest = self._all(self.reported)
        self.reported = set()

    def next(self) -> ReadPart:
        """Returns the next part that shows something new, or NOTHING after a few that do not, and at the end.

        Its bytes are as old as the part before it: the kernel fills one ahead (netlink_recvmsg). Raises
        InterruptedDumpError, RefusedError, SourceError; `forget` is to be called then.
        """
        for _ in range(_AT_ONCE):
            shown = next(self._rest or iter(()), None)
            if shown is None:
                self._rest = None
                break
            if shown is not NOTHING:
                return shown
        return NOTHING

    def forget(self) -> None:
        """Ends the reading, and forgets the bytes of the last time: everything is compared anew."""
        self._rest = None
        self._parts.clear()
        self._reader.abandon()

    def _all(self, changed: Set[int]) -> Iterator[ReadPart]:
        yield from self._links(changed)
        for _ in range(_ATTEMPTS):
            if (yield from self._addresses(changed)):
                break
        else:
            # The links in `changed` were not compared, and the next time these are others: all are compared then.
            self._parts.pop("addresses", None)
        yield from self._neighbours(changed)
        for indexes in _together(self._cache.indexes(), _LOOKED_AT):
            yield NOTHING
            for together in _together(self._cache.may_have_speed(indexes)):
                yield ReadPart(speeds=together)

    def _links(self, changed: Set[int]) -> Iterator[ReadPart]:
        seen = yield from self._dumped("links", changed, lambda records: ReadPart(links=_only(Link, records)))
        # A dump that is interrupted leaves out links; those that are really gone have no answer either.
        for indexes in _together(self._cache.indexes() - seen):
            reads = self._reader.links(indexes)
            links = [link for link in reads.values() if link is not None]
            yield ReadPart(links=links, removed={index for index, link in reads.items() if link is None})

    def _neighbours(self, changed: Set[int]) -> Iterator[ReadPart]:
        """Yields the parameters of neighbours; those that a dump leaves out are in files.

        The kernel counts through the list while links come and go, and does not mark what it leaves out.
        """
        seen = yield from self._dumped(
            "neighbours", changed, lambda records: ReadPart(neighbours=_only(NeighbourParameters, records))
        )
        for indexes in _together(self._cache.indexes(), _LOOKED_AT):
            yield NOTHING
            for together in _together(links_of(self._cache.neighbours(indexes) - seen)):
                yield ReadPart(times=together)

    def _dumped(
        self, what: DumpOf, changed: Set[int], shown: Callable[[list[Listed]], ReadPart]
    ) -> Generator[ReadPart, None, Set[int]]:
        """Yields a dump part by part; returns the entries that it showed."""
        seen: set[int] = set()
        for part, records in self._read(what, changed):
            seen.update(part.entries)
            yield shown(records) if records else NOTHING
        return seen

    def _addresses(self, changed: Set[int]) -> Generator[ReadPart, None, bool]:
        """Yields all addresses of each link of which some part is new; returns whether the dump was of one moment."""
        before, after, parts = self._parts.get("addresses", []), list[KnownPart](), list[DumpPart]()
        differ = set(changed)
        for part in self._reader.parts("addresses", _digests(before)):
            old, new = _same(before, len(parts), part)
            parts.append(part)
            after.append(new or KnownPart.of(part, self._reader.decode(part)))
            if new is None:
                differ.update(after[-1].indexes, old.indexes if old else ())
            yield NOTHING
        if any(part.interrupted for part in parts):
            return False
        if not parts:
            return True  # the kernel refuses to list them
        differ.update(index for old in before[len(parts) :] for index in old.indexes)
        by_index: dict[int, list[AddressMessage]] = {index: [] for index in differ}
        for part, entry in zip(parts, after, strict=True):
            # The addresses of a link are in several parts: one of each family at least.
            if not differ.isdisjoint(entry.indexes):
                for record in _only(AddressMessage, self._reader.decode(part)):
                    if record.ifindex in differ:
                        by_index[record.ifindex].append(record)
                yield NOTHING
        self._parts["addresses"] = after
        for indexes in _together(differ):
            yield ReadPart(addresses={index: by_index[index] for index in indexes})
        return True

    def _read(self, what: DumpOf, changed: Set[int]) -> Iterator[tuple[KnownPart, list[Listed]]]:
        """Yields each part with its records, without them where it is the same as the last time."""
        before, after = self._parts.get(what, []), list[KnownPart]()
        for part in self._reader.parts(what, _digests(before)):
            _, new = _same(before, len(after), part)
            records: list[Listed] = []
            if new is None or not changed.isdisjoint(new.indexes):
                records = self._reader.decode(part)
                new = KnownPart.of(part, records)
            after.append(new)
            yield new, records
        self._parts[what] = after


def _digests(parts: Iterable[KnownPart]) -> set[int]:
    return {part.digest for part in parts if part.inner}


def _same(before: Sequence[KnownPart], number: int, part: DumpPart) -> tuple[KnownPart | None, KnownPart | None]:
    """Returns the part with this number of the last time, and it once more if it has the same bytes."""
    old = before[number] if number < len(before) else None
    return old, old if old is not None and old.digest == part.digest and not part.interrupted else None


def _only(kind: type[T], records: Iterable[object]) -> list[T]:
    return [record for record in records if isinstance(record, kind)]


def _together(indexes: Collection[int], most: int = _TOGETHER) -> Iterator[set[int]]:
    rest = iter(sorted(indexes))
    while together := set(islice(rest, most)):
        yield together
