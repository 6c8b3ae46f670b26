"""Netlink attributes out of a message at the cost of one unpack. Pure.

Messages of one kind nearly always carry the same attributes in the same order. So the first of a kind is walked
attribute by attribute, and its layout is compiled to one `struct` that unpacks the header of every attribute and every
wanted value. The next message costs one unpack and one comparison of its headers with those of the first: half of a
walk (docs/linux.md). In a dump, messages of one layout follow one another: such a run is unpacked in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter
from struct import Struct
from typing import Any, Generic, NamedTuple, TypeVar

from ...errors import SourceError

Buffer = bytes | bytearray | memoryview

ATTRIBUTE = Struct("=HH")
_NETLINK_HEADER = Struct("=IHHI4x")  # struct nlmsghdr: length, type, flags and sequence number
_FIELDS, _COMMON = 4, 5  # the fields of that header, and those up to the family
_TYPE_MASK = 0x3FFF  # NLA_F_NESTED and NLA_F_NET_BYTEORDER are the two high bits
# The places of two values that are added after those of the message.
_ABSENT, _PRESENT = -2, -1
_MOST_LAYOUTS = 512  # a host has a few dozen; without a bound, unusual messages could fill the memory


class RtnetlinkError(SourceError):
    """The bytes are not a valid rtnetlink message: cut off, or with a length that leads outside."""


class Wanted(NamedTuple):
    """A value to unpack: the attribute's path of types, its format (`s`: all bytes, empty: only its presence)."""

    path: tuple[int, ...]
    format: str
    offset: int = 0


R = TypeVar("R")


class _Layout(NamedTuple):
    """A compiled layout: the unpack, the places of headers and values in its result, and the expected headers.

    `run` unpacks the messages of a buffer one after the other.
    """

    unpack: Callable[[Buffer, int], tuple[Any, ...]]
    run: Struct
    headers: Callable[[tuple[Any, ...]], Any]
    values: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    expected: Any


class MessageLayout(Generic[R]):
    """One kind of message: its fixed header, which begins with the family, and the wanted attributes.

    Keeps the layouts that it has compiled. Bodies are those of messages with their netlink headers in the same buffer.
    """

    def __init__(self, make: Callable[[Any], R], header: Struct, wanted: tuple[Wanted, ...]) -> None:
        self._make = make
        self._header, self._size = header, header.size
        self._wanted = wanted
        self._by_path: dict[tuple[int, ...], list[Wanted]] = {}
        for want in sorted(wanted, key=lambda want: want.offset):
            self._by_path.setdefault(want.path, []).append(want)
        self._nests = {path[:depth] for path, _, _ in wanted for depth in range(1, len(path))}
        self._layouts: dict[tuple[int, bytes], _Layout] = {}
        self._last: _Layout | None = None

    def decode(self, data: Buffer, start: int, end: int) -> R:
        """Returns the record of the message with the body `data[start:end]`; raises RtnetlinkError."""
        first = start + self._size
        if end < first:
            raise RtnetlinkError(f"a message of {end - start} bytes ends within its header of {self._size}")
        key = end - start, bytes(data[first : first + 4])
        layout = self._layouts.get(key)
        start -= _NETLINK_HEADER.size
        if layout is not None:
            unpack, _, headers, values, expected = layout
            unpacked = unpack(data, start)
            if headers(unpacked) == expected:
                self._last = layout
                return self._make(values((*unpacked, None, True)))
        if len(self._layouts) >= _MOST_LAYOUTS:
            self._layouts.clear()
        layout = self._last = self._layouts[key] = self._walk(data, start, end)
        return self._make(layout.values((*layout.unpack(data, start), None, True)))

    def decode_run(self, data: Buffer, start: int, end: int, limit: int) -> list[R]:
        """Returns the record of the message with this body and those of the messages after it that are as it.

        These have the same netlink header, family and layout, and end before `limit`. Raises RtnetlinkError.
        """
        records = [self.decode(data, start, end)]
        size = aligned(_NETLINK_HEADER.size + end - start)
        following = start - _NETLINK_HEADER.size + size
        if self._last is None or limit - following < size:
            return records
        _, run, headers, values, expected = self._last
        common = run.unpack_from(data, following - size)[:_COMMON]
        for unpacked in run.iter_unpack(memoryview(data)[following : limit - (limit - following) % size]):
            if unpacked[:_COMMON] != common or headers(unpacked) != expected:
                break
            records.append(self._make(values((*unpacked, None, True))))
        return records

    def _walk(self, data: Buffer, start: int, end: int) -> _Layout:
        """Returns the layout of this message."""
        builder = _LayoutBuilder(self._header)
        found: dict[Wanted, int] = {}
        for path, at, stop in self._attributes(data, start + _NETLINK_HEADER.size + self._size, end, ()):
            builder.add_header(at - ATTRIBUTE.size - start)
            for want in self._by_path.get(path, ()):
                if not want.format:
                    found[want] = _PRESENT
                elif want.format == "s":
                    found[want] = builder.add(at - start, f"{stop - at}s")
                elif at + want.offset + Struct("=" + want.format).size <= stop:
                    found[want] = builder.add(at - start + want.offset, want.format)
        return builder.layout(data, start, end, [found.get(want, _ABSENT) for want in self._wanted])

    def _attributes(
        self, data: Buffer, start: int, end: int, parent: tuple[int, ...]
    ) -> Iterator[tuple[tuple[int, ...], int, int]]:
        """Yields path, begin and end of the value of each attribute, those inside of a wanted nest after the nest."""
        while end - start >= ATTRIBUTE.size:
            length, kind = ATTRIBUTE.unpack_from(data, start)
            if length < ATTRIBUTE.size or start + length > end:
                raise RtnetlinkError(f"attribute {kind & _TYPE_MASK} of {length} bytes where {end - start} are left")
            path = (*parent, kind & _TYPE_MASK)
            yield path, start + ATTRIBUTE.size, start + length
            if path in self._nests:
                yield from self._attributes(data, start + ATTRIBUTE.size, start + length, path)
            start += aligned(length)


class _LayoutBuilder:
    """Collects the fields of one unpack in order of their offsets, and compiles them."""

    def __init__(self, header: Struct) -> None:
        self._format = _NETLINK_HEADER.format + header.format.lstrip("=")
        self._end = _NETLINK_HEADER.size + header.size
        self._fixed = self._count = _FIELDS + len(header.unpack(bytes(header.size)))
        self._headers: list[int] = []

    def add(self, offset: int, kind: str) -> int:
        """Adds a field at this offset, which is not before the last one; returns the place of its value."""
        place = self._count
        self._format += f"{offset - self._end}x{kind}"
        self._end = offset + Struct("=" + kind).size
        self._count += 1
        return place

    def add_header(self, offset: int) -> None:
        """Adds the header of an attribute, as one number."""
        self._headers.append(self.add(offset, "I"))

    def layout(self, data: Buffer, start: int, end: int, places: list[int]) -> _Layout:
        """Returns the layout; its values are those of the fixed header and then those at `places`."""
        compiled = Struct(self._format)
        run = Struct(f"{self._format}{aligned(end - start) - self._end}x")
        headers = itemgetter(*self._headers) if self._headers else _nothing
        values = itemgetter(*range(_FIELDS, self._fixed), *places)
        return _Layout(compiled.unpack_from, run, headers, values, headers(compiled.unpack_from(data, start)))


def attributes(data: Buffer, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yields type and value of each attribute in `data[start:end]`; raises RtnetlinkError."""
    while end - start >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data, start)
        if length < ATTRIBUTE.size or start + length > end:
            raise RtnetlinkError(f"attribute {kind & _TYPE_MASK} of {length} bytes where {end - start} are left")
        yield kind & _TYPE_MASK, bytes(data[start + ATTRIBUTE.size : start + length])
        start += aligned(length)


def aligned(size: int) -> int:
    """Returns the size of a message or an attribute with what fills it up to the next one (NLMSG_ALIGN)."""
    return (size + 3) & ~3


def _nothing(_: object) -> tuple[()]:
    return ()
