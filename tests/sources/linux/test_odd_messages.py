"""Messages with well-formed attributes of odd contents: the source goes on, and the other links keep their rows."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.sources import Upsert
from publisher.sources.linux.attributes import RtnetlinkError
from publisher.sources.linux.cache import LinkCache
from publisher.sources.linux.coalesce import touched
from publisher.sources.linux.parts import Dump
from publisher.sources.linux.rows import PathMtuTimes
from publisher.sources.linux.rtnetlink import (
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELNETCONF,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGHTBL,
    RTM_NEWNETCONF,
    AddressMessage,
    Decoder,
    Link,
    Message,
    NeighbourParameters,
)
from publisher.sources.luids import LuidAssigner, MemoryLuids
from tests.fixtures.logs import CapturedLog
from tests.fixtures.netlink_bytes import attribute, message
from tests.fixtures.netlink_records import Details, a_link, an_address, new_address, new_link

# Types of attributes that are read, of all messages.
TYPES = (1, 2, 3, 4, 5, 6, 8, 10, 11, 16, 18, 20, 26, 33, 37, 38, 47, 48, 54, 56, 57)
FAMILIES = st.sampled_from([0, 2, 7, 10, 12, 255])
INDEXES = st.sampled_from([0, 1, 3, 0x7FFF_FFFF])
PAYLOADS = st.one_of(st.binary(max_size=24), st.sampled_from([b"eth9\0", struct.pack("=I", 1500), bytes(64)]))
ATTRIBUTES = st.lists(st.builds(attribute, st.sampled_from(TYPES), PAYLOADS), max_size=8).map(b"".join)
LINKS = st.builds(
    lambda kind, family, hardware, index, flags, body: message(
        kind, struct.pack("=BxHiII", family, hardware, index, flags, 0) + body
    ),
    st.sampled_from([RTM_NEWLINK, RTM_DELLINK]),
    FAMILIES,
    st.sampled_from([1, 32, 768, 772, 803, 0xFFFE, 0xFFFF]),
    INDEXES,
    st.sampled_from([0, 0x11043, 0xFFFF_FFFF]),
    ATTRIBUTES,
)
ADDRESSES = st.builds(
    lambda kind, family, length, index, body: message(
        kind, struct.pack("=BBBBI", family, length, 0x81, 0, index) + body
    ),
    st.sampled_from([RTM_NEWADDR, RTM_DELADDR]),
    FAMILIES,
    st.integers(0, 255),
    INDEXES,
    ATTRIBUTES,
)
OTHERS = st.builds(
    lambda kind, family, body: message(kind, struct.pack("=B3x", family) + body),
    st.sampled_from([RTM_NEWNEIGHTBL, RTM_NEWNETCONF, RTM_DELNETCONF]),
    FAMILIES,
    st.one_of(ATTRIBUTES, ATTRIBUTES.map(lambda inside: attribute(6, inside))),
)


def decoded(datagrams: list[bytes]) -> list[Message]:
    found: list[Message] = []
    for data in datagrams:
        try:
            found += Decoder().decode(data)
        except RtnetlinkError:
            continue  # counted, and everything is read again
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(LINKS, ADDRESSES, OTHERS), max_size=6), st.booleans())
def test_nothing_behind_the_decoder_raises(datagrams: list[bytes], as_dump: bool) -> None:
    cache = LinkCache(CapturedLog(), LuidAssigner(MemoryLuids()), Details(), "unspec")
    messages = decoded(datagrams)
    records = [message.record for message in messages]
    links = [record for record in records if isinstance(record, Link)]
    addresses = [record for record in records if isinstance(record, AddressMessage)]
    neighbours = [record for record in records if isinstance(record, NeighbourParameters)]
    if as_dump:
        cache.resync(Dump([a_link(3), *links], addresses, neighbours, PathMtuTimes()), messages)
    else:
        cache.resync(Dump([a_link(3)], [], [], PathMtuTimes()), [])
        reads = {link.ifindex: link for link in links}
        cache.apply(messages, {index: reads.get(index) for index in touched(messages)})
        cache.complete({index: reads.get(index) for index in cache.incomplete})
        cache.flush()
    quiet = cache.apply([new_link(8, "quiet"), new_address("192.0.2.1", 8)], {8: a_link(8, "quiet")})
    assert {update.row.interface.alias for update in quiet if isinstance(update, Upsert)} >= {"quiet"}


@pytest.mark.parametrize("length", [0, 1, 3, 5, 15, 17])
def test_an_address_of_odd_length_is_left_out_and_counted(length: int) -> None:
    log = CapturedLog()
    cache = LinkCache(log, LuidAssigner(MemoryLuids()), Details(), "unspec")
    odd = an_address("fd00::1", address=bytes(length))
    rows, _ = cache.resync(Dump([a_link()], [odd, an_address("fd00::2")], [], PathMtuTimes()), [])
    assert [entry.address for row in rows for entry in row.addresses] == ["fd00::2"]
    assert cache.validator.invalid == 1
    cache.apply([new_address("192.0.2.1", local=bytes(length))], {})
    assert cache.validator.invalid == (2 if length else 1)


def test_the_table_of_neighbours_of_another_protocol_is_left_out() -> None:
    """DECnet had one of its own until Linux 6.1."""
    cache = LinkCache(CapturedLog(), LuidAssigner(MemoryLuids()), Details(), "unspec")
    decnet = NeighbourParameters(12, 2, 1, 1, 1)
    rows, _ = cache.resync(Dump([a_link()], [], [decnet], PathMtuTimes()), [])
    assert len(rows) == 2
