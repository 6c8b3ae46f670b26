"""Netlink attributes out of a message at the cost of one unpack. Pure.

Messages of one kind nearly always carry the same attributes in the same order. So the first of a kind is walked
attribute by attribute, and its layout compiled to one `struct` that yields every attribute's header and every wanted
value. The next one costs one unpack and one comparison of its headers with those that were walked: half of a walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter
from struct import Struct
from typing import Any, Generic, NamedTuple, TypeVar

from ...errors import SourceError

Buffer = bytes | bytearray | memoryview

_ATTRIBUTE = Struct("=HH")
_TYPE_MASK = 0x3FFF  # NLA_F_NESTED and NLA_F_NET_BYTEORDER are the two high bits
_MOST_LAYOUTS = 512  # a host has a few dozen; a bound, in case somebody makes them at will


class RtnetlinkError(SourceError):
    """These bytes are no rtnetlink message: cut off, or with a length that leads outside."""


class Wanted(NamedTuple):
    """A value to take out: the attribute's path of types, the format (`s`: all of it, empty: that it is there)."""

    path: tuple[int, ...]
    format: str
    offset: int = 0


R = TypeVar("R")


class _Layout(NamedTuple):
    """A walked message: what unpacks one like it, where its headers and values then are, and its headers."""

    unpack: Callable[[Buffer, int], tuple[Any, ...]]
    headers: Callable[[tuple[Any, ...]], Any]
    values: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    expected: Any


class Shape(Generic[R]):
    """One kind of message: its fixed header and the attributes wanted of it. Remembers the layouts it has met."""

    def __init__(self, make: Callable[[Any], R], header: Struct, wanted: tuple[Wanted, ...]) -> None:
        self._make = make
        self._header = header
        self._wanted = wanted
        self._nests = {path[:depth] for path, _, _ in wanted for depth in range(1, len(path))}
        self._layouts: dict[tuple[int, bytes], _Layout] = {}

    def decode(self, data: Buffer, start: int, end: int) -> R:
        """The record in `data[start:end]`; raises RtnetlinkError."""
        if end - start < self._header.size:
            raise RtnetlinkError(f"a message of {end - start} bytes ends within its header of {self._header.size}")
        first = start + self._header.size
        key = end - start, bytes(data[first : first + 4])
        layout = self._layouts.get(key)
        if layout is not None:
            unpacked = layout.unpack(data, start)
            if layout.headers(unpacked) == layout.expected:
                return self._make(layout.values((*unpacked, None)))
        if len(self._layouts) >= _MOST_LAYOUTS:
            self._layouts.clear()
        layout = self._layouts[key] = self._walk(data, start, end)
        return self._make(layout.values((*layout.unpack(data, start), None)))

    def _walk(self, data: Buffer, start: int, end: int) -> _Layout:
        """The layout of this message."""
        plan = _Plan(self._header)
        found: dict[Wanted, int] = {}
        for path, at, stop in self._attributes(data, start + self._header.size, end, ()):
            place = plan.add(at - 4 - start, "HH")
            for want in self._wanted:
                if want.path != path:
                    continue
                if not want.format:
                    found[want] = place
                elif want.format == "s":
                    found[want] = plan.add(at - start, f"{stop - at}s")
                elif at + want.offset + Struct("=" + want.format).size <= stop:
                    found[want] = plan.add(at - start + want.offset, want.format)
        return plan.layout(data, start, [found.get(want) for want in self._wanted])

    def _attributes(
        self, data: Buffer, start: int, end: int, parent: tuple[int, ...]
    ) -> Iterator[tuple[tuple[int, ...], int, int]]:
        """Path, begin and end of each attribute's value, those of wanted nests after their nest."""
        while end - start >= _ATTRIBUTE.size:
            length, kind = _ATTRIBUTE.unpack_from(data, start)
            if length < _ATTRIBUTE.size or start + length > end:
                raise RtnetlinkError(f"attribute {kind & _TYPE_MASK} of {length} bytes where {end - start} are left")
            path = (*parent, kind & _TYPE_MASK)
            yield path, start + _ATTRIBUTE.size, start + length
            if path in self._nests:
                yield from self._attributes(data, start + _ATTRIBUTE.size, start + length, path)
            start += (length + 3) & ~3


class _Plan:
    """Collects what one unpack shall yield, in order of offset, and compiles it."""

    def __init__(self, header: Struct) -> None:
        self._format = "=" + header.format.lstrip("=")
        self._fixed = len(header.unpack(bytes(header.size)))
        self._end = header.size
        self._count = self._fixed
        self._headers: list[int] = []

    def add(self, offset: int, kind: str) -> int:
        """Yield this at this offset, which is not before the last one; the place of the (first) value."""
        place = self._count
        self._format += f"{offset - self._end}x{kind}"
        self._end = offset + Struct("=" + kind).size
        self._count += 1
        if kind == "HH":
            self._headers += [place, place + 1]
            self._count += 1
        return place

    def layout(self, data: Buffer, start: int, places: list[int | None]) -> _Layout:
        """The layout, whose values are the fixed header's and then those at `places`; `None` is the extra last one."""
        compiled = Struct(self._format)
        headers = itemgetter(*self._headers) if self._headers else _nothing
        values = itemgetter(*range(self._fixed), *(-1 if place is None else place for place in places))
        return _Layout(compiled.unpack_from, headers, values, headers(compiled.unpack_from(data, start)))


def _nothing(_: object) -> tuple[()]:
    return ()
