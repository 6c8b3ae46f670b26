"""Bytes that a kernel sends: netlink messages, from the decoder to the rows, and the answers with routes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from publisher.sources.linux.attributes import RtnetlinkError
from publisher.sources.linux.cache import LinkCache
from publisher.sources.linux.coalesce import touched
from publisher.sources.linux.parts import Dump
from publisher.sources.linux.routes import RouteDecoder
from publisher.sources.linux.rows import PathMtuTimes
from publisher.sources.linux.rtnetlink import AddressMessage, Decoder, Link, NeighbourParameters
from publisher.sources.luids import LuidAssigner, MemoryLuids
from tests.fixtures.logs import CapturedLog
from tests.fixtures.netlink_bytes import attribute, message
from tests.fixtures.netlink_records import Details, a_link

# What a kernel answered in a namespace with a bridge, a veth, addresses of both families and default routes.
_RECORDED = Path(__file__).with_name("seeds") / "netlink"


def seeds() -> Iterator[bytes]:
    yield from (path.read_bytes() for path in sorted(_RECORDED.iterdir()))
    link = struct.pack("=BxHiII", 0, 1, 3, 0x11043, 0) + attribute(3, b"eth9\0") + attribute(4, struct.pack("=I", 1500))
    yield message(16, link)
    yield message(20, struct.pack("=BBBBI", 2, 24, 0x80, 0, 3) + attribute(2, bytes([192, 0, 2, 1])))
    yield message(2, struct.pack("=i", -19) + bytes(16))


def messages(data: bytes) -> None:
    """Decodes notifications and applies them to the links; raises RtnetlinkError."""
    received = Decoder().decode(data)
    cache = LinkCache(CapturedLog(), LuidAssigner(MemoryLuids()), Details(), "unspec")
    cache.resync(Dump([a_link(3)], [], [], PathMtuTimes()), [])
    links = {one.record.ifindex: one.record for one in received if isinstance(one.record, Link)}
    cache.apply(received, {index: links.get(index) for index in touched(received)})
    cache.complete({index: links.get(index) for index in cache.incomplete})
    cache.flush()


def dump(data: bytes) -> None:
    """Decodes the answers to a dump and makes rows of them; raises RtnetlinkError."""
    records = [one.record for one in Decoder().decode(data)]
    cache = LinkCache(CapturedLog(), LuidAssigner(MemoryLuids()), Details(), "unspec")
    links = [record for record in records if isinstance(record, Link)]
    addresses = [record for record in records if isinstance(record, AddressMessage)]
    neighbours = [record for record in records if isinstance(record, NeighbourParameters)]
    cache.resync(Dump(links, addresses, neighbours, PathMtuTimes()), [])


def routes(data: bytes) -> None:
    """Decodes the answer to a dump of routes; raises RtnetlinkError."""
    decoder = RouteDecoder()
    for family in (2, 10):
        part = decoder.part(data, len(data), 7, family)
        decoder.listed(part.routes, {})


ERRORS = (RtnetlinkError,)
