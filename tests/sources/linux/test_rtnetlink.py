"""Decoding: recorded messages, messages built by hand, and hostile bytes."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.sources.linux.attributes import RtnetlinkError
from publisher.sources.linux.requests import link_read
from publisher.sources.linux.rtnetlink import (
    AF_BRIDGE,
    NLM_F_DUMP_INTR,
    NLMSG_ERROR,
    RTM_DELLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGHTBL,
    RTM_NEWNETCONF,
    AddressMessage,
    Decoder,
    Failure,
    Link,
    NeighbourParameters,
    Netconf,
)
from tests.fixtures.netlink_bytes import attribute, message

TYPES = (NLMSG_ERROR, 3, RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, 21, RTM_NEWNEIGHTBL, RTM_NEWNETCONF, 81, 99)


def link(name: bytes = b"v0\0", mtu: int = 1500, index: int = 3, conf6: tuple[int, ...] = tuple(range(60))) -> bytes:
    inet6 = attribute(1, struct.pack("=I", 0x40)) + attribute(2, struct.pack(f"={len(conf6)}i", *conf6))
    inet = attribute(1, struct.pack("=33i", 1, *[0] * 32))
    body = struct.pack("=BxHiII", 0, 1, index, 0x1043, 0)
    body += attribute(3, name) + attribute(4, struct.pack("=I", mtu)) + attribute(16, b"\6")
    body += attribute(18 | 0x8000, attribute(1, b"veth\0")) + attribute(23, bytes(200))
    return message(RTM_NEWLINK, body + attribute(26 | 0x8000, attribute(2, inet) + attribute(10, inet6)))


def one(data: bytes, decoder: Decoder | None = None) -> Any:
    [decoded] = (decoder or Decoder()).decode(data)
    return decoded.record


def test_a_link() -> None:
    record = one(link())
    assert isinstance(record, Link)
    assert (record.ifindex, record.name, record.mtu, record.operstate, record.kind) == (3, b"v0\0", 1500, 6, b"veth\0")
    assert record.has_inet
    assert (record.forwarding, record.forwarding6, record.mtu6, record.accept_ra) == (1, 0, 2, 3)
    assert (record.dad_transmits, record.accept_ra_defrtr, record.disable_ipv6, record.addr_gen_mode) == (6, 17, 26, 47)
    assert record.flags6 == 0x40
    assert (record.master, record.carrier_ups) == (None, None)


# RTM_NEWLINK and RTM_DELLINK of the port veth8 that leaves a bridge (Linux 6.1), without IFLA_PROTINFO. IFLA_AF_SPEC
# is `0c001a00 08000200 06000100`: the VLAN 1 of the port, whose type is that of AF_INET in other families.
PORT = bytes.fromhex(
    "64000000100000000000000000000000070001000c00000002100000000000000a000300766574683800000008000a000b000000"
    "08000400dc05000005001000020000000a000100c686203e56d20000080005000d0000000c001a000800020006000100"
)


def test_vlans_of_a_port_are_no_settings_of_a_family() -> None:
    decoder = Decoder()
    [(_, _, _, port)] = decoder.decode(PORT)
    assert isinstance(port, Link)
    assert (port.family, port.ifindex, port.name, port.master) == (7, 12, b"veth8\0", 11)
    assert (port.has_inet, port.has_inet6) == (None, None)
    # A message about a link itself is read as before.
    assert one(link(), decoder) == one(link())


def test_an_older_kernel_knows_fewer_settings() -> None:
    record = one(link(conf6=(1, 64, 1400)))
    assert (record.mtu6, record.accept_ra, record.addr_gen_mode) == (1400, None, None)


def test_the_same_layout_again_is_read_by_its_own_values() -> None:
    decoder = Decoder()
    mtus = [one(link(mtu=mtu, index=index), decoder).mtu for index, mtu in enumerate((1500, 1400, 9000), 1)]
    assert mtus == [1500, 1400, 9000]


def test_another_layout_of_the_same_length_is_not_mistaken() -> None:
    decoder = Decoder()
    header = struct.pack("=BxHiII", 0, 1, 3, 0, 0)
    name = attribute(3, b"v0\0")
    with_mtu = message(RTM_NEWLINK, header + name + attribute(4, struct.pack("=I", 1500)))
    with_master = message(RTM_NEWLINK, header + name + attribute(10, struct.pack("=I", 5)))
    for data, expected in [(with_mtu, (1500, None)), (with_master, (None, 5)), (with_mtu, (1500, None))]:
        record = one(data, decoder)
        assert (record.mtu, record.master) == expected


def test_addresses_neighbours_netconf_and_failures() -> None:
    packed = bytes((192, 0, 2, 1))
    cache = attribute(6, struct.pack("=IIII", 50, 100, 0, 0))
    address = one(message(RTM_NEWADDR, struct.pack("=BBBBI", 2, 24, 128, 0, 3) + attribute(2, packed) + cache))
    assert isinstance(address, AddressMessage)
    assert (address.local, address.prefix_length, address.preferred, address.valid) == (packed, 24, 50, 100)
    parameters = attribute(1, struct.pack("=I", 3)) + attribute(4, struct.pack("=Q", 30000))
    neighbours = one(message(RTM_NEWNEIGHTBL, b"\x0a\0\0\0" + attribute(6, parameters)))
    assert neighbours == NeighbourParameters(10, 3, None, 30000, None)
    assert one(message(RTM_NEWNETCONF, b"\x02\0\0\0" + attribute(1, struct.pack("=i", -1)))) == Netconf(2, -1)
    assert one(message(NLMSG_ERROR, struct.pack("=i", -19) + bytes(16))) == Failure(19)


def test_several_messages_in_one_datagram_and_unknown_types() -> None:
    found = Decoder().decode(link() + message(999, b"what?..."))
    types = [(kind, record is None) for kind, _, _, record in found]
    assert types == [(RTM_NEWLINK, False), (999, True)]


HEADER = struct.pack("=BxHiII", 0, 1, 3, 0, 0)
ADDRESS = struct.pack("=BBBBI", 2, 24, 128, 0, 3) + attribute(2, bytes((192, 0, 2, 1)))
MIXED = (
    *(link(name, mtu, index) for index, name in enumerate((b"a\0", b"b\0", b"longer\0"), 1) for mtu in (1400, 1500)),
    link()[:4] + struct.pack("=H", RTM_DELLINK) + link()[6:],
    link()[:6] + struct.pack("=H", NLM_F_DUMP_INTR) + link()[8:],
    link()[:16] + bytes([AF_BRIDGE]) + link()[17:],
    *(message(kind, ADDRESS) for kind in (RTM_NEWADDR, 21, RTM_NEWLINK)),
    message(RTM_NEWNEIGHTBL, b"\x0a\0\0\0" + attribute(6, attribute(1, struct.pack("=I", 3)))),
    *(message(RTM_NEWLINK, HEADER + attribute(kind, struct.pack("=I", 5))) for kind in (4, 10)),
    message(RTM_NEWLINK, HEADER),
    message(99, b"what"),
    message(3, bytes(4)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(MIXED), max_size=12))
def test_messages_in_one_datagram_are_decoded_as_each_alone(datagrams: list[bytes]) -> None:
    alone = [message for data in datagrams for message in Decoder().decode(data)]
    assert Decoder().decode(b"".join(datagrams)) == alone


@pytest.mark.parametrize("cut", [1, 10, 17, 30, 40, 60])
def test_a_truncated_message_is_refused(cut: int) -> None:
    with pytest.raises(RtnetlinkError):
        Decoder().decode(link()[:-cut])
    whole = bytearray(link()[:-cut])
    struct.pack_into("=I", whole, 0, len(whole))
    with pytest.raises(RtnetlinkError):
        Decoder().decode(whole)


@pytest.mark.parametrize("length", [0, 3, 0xFFFF])
def test_an_attribute_that_leads_nowhere_or_outside_is_refused(length: int) -> None:
    body = struct.pack("=BxHiII", 0, 1, 3, 0, 0) + struct.pack("=HH", length, 3) + b"v0\0\0"
    with pytest.raises(RtnetlinkError, match="attribute 3"):
        Decoder().decode(message(RTM_NEWLINK, body))


DECODER = Decoder()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(TYPES), st.binary(max_size=200)), max_size=5), st.binary(max_size=20))
def test_hostile_messages_raise_nothing_else(parts: list[tuple[int, bytes]], rest: bytes) -> None:
    data = b"".join(message(kind, body + bytes(-len(body) % 4)) for kind, body in parts) + rest
    refused(data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_link_is_refused_or_read(data: st.DataObject) -> None:
    damaged = bytearray(link() + link(b"another\0"))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    refused(bytes(damaged))


def refused(data: bytes) -> None:
    """Decodes alike with remembered layouts and without; raises nothing but its own error."""
    outcomes: list[object] = []
    for decoder in (DECODER, Decoder()):
        try:
            outcomes.append(decoder.decode(data))
        except RtnetlinkError:
            outcomes.append("refused")
    assert outcomes[0] == outcomes[1]


def test_a_request_has_the_length_in_its_header() -> None:
    request = link_read(9, 3)
    assert struct.unpack_from("=IHHII", request) == (len(request), 18, 1, 9, 0)
