"""Default routes: recorded messages (Linux 6.18), what they list for each link, and what makes a read of them due."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.sources.linux.attributes import RtnetlinkError
from publisher.sources.linux.requests import route_dump
from publisher.sources.linux.routes import (
    Nexthop,
    RouteDecoder,
    unresolved,
)
from publisher.sources.linux.rtnetlink import (
    RTM_DELNEXTHOP,
    RTM_DELROUTE,
    RTM_NEWNEXTHOP,
    RTM_NEWROUTE,
    Decoder,
    RouteChange,
)
from publisher.sources.linux.socket_filter import PROGRAM
from tests.fixtures.netlink_bytes import message

INET, INET6 = 2, 10

# `ip route show table main`, one line each. The links are 2 (v1) and 3 (v0); e is the end of the list.
BODIES = {
    # default tos 0x10 via 10.0.0.1 dev v0
    "tos": "02000010fe0300010000000008000f00fe000000080005000a0000010800040003000000",
    # default dev v1 scope link metric 5
    "link": "02000000fe03fd010000000008000f00fe00000008000600050000000800040002000000",
    # default via 192.0.2.9 dev v0 metric 6 onlink
    "onlink": "02000000fe0300010400000008000f00fe000000080006000600000008000500c00002090800040003000000",
    # default metric 8 nexthop via 10.0.0.1 dev v0 weight 2 nexthop via inet6 fe80::3 dev v1 nexthop dev v1
    "several": (
        "02000000fe0300010000000008000f00fe00000008000600080000003c0009001000000103000000080005000a0000012000"
        "000002000000160012000a00fe80000000000000000000000000000300000800000002000000"
    ),
    # the same, v1 is down: its hops are dead and linkdown
    "dead": (
        "02000000fe0300010000000008000f00fe00000008000600080000003c0009001000100103000000080005000a0000012000"
        "110002000000160012000a00fe80000000000000000000000000000300000800110002000000"
    ),
    # default via inet6 fe80::9 dev v0 metric 401 (nhid 41)
    "via": (
        "02000000fe0300010000000008000f00fe000000080006009101000008001e0029000000160012000a00fe80000000000000"
        "000000000000000900000800040003000000"
    ),
    # blackhole default metric 9
    "blackhole": "02000000fe0300060000000008000f00fe0000000800060009000000",
    # default nhid 1 via 10.0.0.9 dev v0 metric 20
    "object": (
        "02000000fe0300010000000008000f00fe000000080006001400000008001e0001000000080005000a0000090800040003000000"
    ),
    # default via 10.0.0.1 dev v0 proto dhcp metric 100 linkdown
    "linkdown": "02000000fe1000011000000008000f00fe0000000800060064000000080005000a0000010800040003000000",
    # 0.0.0.0/8 via 10.0.0.1 dev v0
    "not quite": "02080000fe0300010000000008000f00fe0000000800010000000000080005000a0000010800040003000000",
    # 10.0.0.0/24 dev v0 proto kernel scope link src 10.0.0.2
    "other": "02180000fe02fd010000000008000f00fe000000080001000a000000080007000a0000020800040003000000",
    # default via 10.0.0.7 table 100
    "table": "02000000640300010000000008000f0064000000080005000a0000070800040003000000",
}
BODIES6 = {
    # default from fd00::/64 via fe80::5 dev v0 metric 1024
    "source": (
        "0a004000fe0300010000000008000f00fe00000014000200fd00000000000000000000000000000008000600000400001400"
        "0500fe8000000000000000000000000000050800040003000000"
    ),
    # default metric 300 nexthop via fe80::1 dev v0 nexthop via fe80::2 dev v1
    "several": (
        "0a000000fe0300010000000008000f00fe000000080006002c0100003c0009001c0000000300000014000500fe8000000000"
        "000000000000000000011c0000000200000014000500fe800000000000000000000000000002"
    ),
    # default via fe80::1 dev v0 proto ra metric 1024
    "ra": (
        "0a000000fe0900010000000008000f00fe000000080006000004000014000500fe8000000000000000000000000000010800"
        "040003000000"
    ),
    # default dev v1 metric 5000
    "link": "0a000000fe0300010000000008000f00fe00000008000600881300000800040002000000",
    # blackhole default dev lo metric 4000
    "blackhole": "0a000000fe0300060000000008000f00fe00000008000600a00f00000800040001000000",
    # default nhid 41, nexthop_compat_mode is 0
    "number": "0a000000fe0300010000000008000f00fe000000080006009101000008001e0029000000",
    # default nhid 43, a group
    "group": "0a000000fe0300010000000008000f00fe000000080006009201000008001e002b000000",
    # 2001:db8::/32 via fd00::1
    "other": "0a200000fe0300010000000008000f00fe0000001400010020010db80000000000000000000000000800040003000000",
}
# RTM_NEWNEXTHOP of `ip nexthop`: id 41 via fe80::9 dev v0, and id 43 group 41/42.
OBJECT = "0afd0000000000000800010029000000080005000300000014000600fe800000000000000000000000000009"
GROUP = "0000000000000000080001002b00000006000300000000001400020029000000000000002a0000000000000008000e0000000080"
DONE = message(3, bytes(4))


def listed(
    family: int, *bodies: str, nexthops: dict[int, Nexthop] | None = None
) -> dict[int, list[tuple[object, ...]]]:
    """Returns next hop, metric and protocol of the routes of each link."""
    decoder = RouteDecoder()
    data = b"".join(message(RTM_NEWROUTE, bytes.fromhex(body)) for body in bodies) + DONE
    part = decoder.part(data, len(data), 7, family)
    found = decoder.listed(part.routes, nexthops or {})
    return {
        index: [(route.next_hop, route.metric, route.protocol) for route in routes]
        for index, routes in found.by_link.items()
    }


def in_message(body: bytes) -> tuple[bytes, int, int]:
    """Returns a message with this body, and its begin and end."""
    data = message(RTM_NEWROUTE, body)
    return data, 16, len(data)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tos", {3: [("10.0.0.1", 0, "boot")]}),
        ("link", {2: [(None, 5, "boot")]}),
        ("onlink", {3: [("192.0.2.9", 6, "boot")]}),
        ("several", {3: [("10.0.0.1", 8, "boot")], 2: [(None, 8, "boot"), ("fe80::3", 8, "boot")]}),
        ("dead", {3: [("10.0.0.1", 8, "boot")], 2: [(None, 8, "boot"), ("fe80::3", 8, "boot")]}),
        ("via", {3: [("fe80::9", 401, "boot")]}),
        ("blackhole", {}),
        ("object", {3: [("10.0.0.9", 20, "boot")]}),
        ("linkdown", {3: [("10.0.0.1", 100, "dhcp")]}),
        ("not quite", {}),
        ("other", {}),
        ("table", {}),
    ],
)
def test_ipv4(name: str, expected: object) -> None:
    assert listed(INET, BODIES[name]) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("source", {3: [("fe80::5", 1024, "boot")]}),
        ("several", {3: [("fe80::1", 300, "boot")], 2: [("fe80::2", 300, "boot")]}),
        ("ra", {3: [("fe80::1", 1024, "ra")]}),
        ("link", {2: [(None, 5000, "boot")]}),
        ("blackhole", {}),
        ("number", {}),
        ("other", {}),
    ],
)
def test_ipv6(name: str, expected: object) -> None:
    assert listed(INET6, BODIES6[name]) == expected


def test_the_best_is_first_and_each_is_there_once() -> None:
    assert listed(INET, *(BODIES[name] for name in ("linkdown", "object", "tos", "onlink", "tos"))) == {
        3: [
            ("10.0.0.1", 0, "boot"),
            ("192.0.2.9", 6, "boot"),
            ("10.0.0.9", 20, "boot"),
            ("10.0.0.1", 100, "dhcp"),
        ]
    }


@pytest.mark.parametrize(("number", "name"), [(0, None), (2, "kernel"), (4, "static"), (9, "ra"), (171, "171")])
def test_the_protocol_is_a_word_or_a_number(number: int, name: str | None) -> None:
    body = bytearray.fromhex(BODIES["link"])
    body[5] = number
    assert listed(INET, body.hex()) == {2: [(None, 5, name)]}


def test_a_number_of_a_nexthop_object_is_looked_up_and_so_are_the_members_of_a_group() -> None:
    decoder = RouteDecoder()
    one, group = (decoder.nexthop(*in_message(bytes.fromhex(body))) for body in (OBJECT, GROUP))
    assert group.members == [41, 42]
    nexthops = {41: one, 43: group, 42: one._replace(ifindex=2, gateway=None)}
    assert listed(INET6, BODIES6["number"], BODIES6["group"], nexthops=nexthops) == {
        3: [("fe80::9", 401, "boot"), ("fe80::9", 402, "boot")],
        2: [(None, 402, "boot")],
    }
    data = message(RTM_NEWROUTE, bytes.fromhex(BODIES6["group"])) + message(RTM_NEWROUTE, bytes.fromhex(BODIES6["ra"]))
    assert unresolved(decoder.part(data, len(data), 7, INET6).routes) == {43}


def test_the_list_of_ipv4_ends_at_the_first_other_route() -> None:
    decoder = RouteDecoder()
    order = (("not quite", False), ("tos", False), ("table", False), ("other", True), ("link", True))
    for count, (_, is_beyond) in enumerate(order, 1):
        data = b"".join(message(RTM_NEWROUTE, bytes.fromhex(BODIES[name])) for name, _ in order[:count])
        part = decoder.part(data, len(data), 7, INET)
        assert (part.is_beyond, part.error) == (is_beyond, None)
    assert [route.tos for route in part.routes] == [0x10]


def test_messages_with_another_number_are_those_of_another_request() -> None:
    data = message(RTM_NEWROUTE, bytes.fromhex(BODIES["tos"]), seq=6) + message(3, bytes(4), seq=6)
    assert RouteDecoder().part(data, len(data), 7, INET) == ([], False, None)


def test_routes_of_an_exception_are_none() -> None:
    body = bytearray.fromhex(BODIES["tos"])
    body[8:12] = struct.pack("=I", 0x200)  # RTM_F_CLONED, as a kernel before 4.20 lists them
    assert listed(INET, body.hex()) == {}


def test_an_error_ends_the_list() -> None:
    data = message(2, struct.pack("=i", -95) + bytes(16))
    assert RouteDecoder().part(data, len(data), 7, INET).error == 95


@given(st.binary(max_size=120), st.sampled_from([INET, INET6]))
def test_hostile_bytes_are_an_error_of_ours(body: bytes, family: int) -> None:
    decoder = RouteDecoder()
    data = message(RTM_NEWROUTE, bytes([family, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]) + body)
    with suppress(RtnetlinkError):
        decoder.listed(decoder.part(data, len(data), 7, family).routes, {1: Nexthop(0, 3, body, body)})
        decoder.nexthop(*in_message(body))


@given(st.binary(max_size=60))
def test_hostile_hops_are_an_error_of_ours(hops: bytes) -> None:
    decoder = RouteDecoder()
    route = decoder.route(*in_message(bytes.fromhex(BODIES["link"])))._replace(hops=hops)
    with suppress(RtnetlinkError):
        decoder.listed([route], {})


def test_the_request_is_for_the_main_table_alone() -> None:
    # struct nlmsghdr, struct rtmsg, and RTA_TABLE: `ip route show table main`.
    expected = "240000001a000103070000000000000002000000fe0000000000000008000f00fe000000"
    assert route_dump(7, INET, 254) == bytes.fromhex(expected)


@pytest.mark.parametrize(
    ("kind", "family", "expected"),
    [(RTM_NEWROUTE, INET, INET), (RTM_DELROUTE, INET6, INET6), (RTM_NEWNEXTHOP, INET, 0), (RTM_DELNEXTHOP, INET6, 0)],
)
def test_a_notification_names_the_family_alone(kind: int, family: int, expected: int) -> None:
    [decoded] = Decoder().decode(message(kind, bytes([family]) + bytes(11)))
    assert decoded.record == RouteChange(expected)


def test_an_empty_notification_is_an_error_of_ours() -> None:
    with pytest.raises(RtnetlinkError, match="empty"):
        Decoder().decode(message(RTM_NEWROUTE, b""))


# The filter in the kernel: its program as the kernel's documentation has such a program run


def filtered(data: bytes) -> bool:
    """Returns whether the program delivers this message."""
    accumulator = at = 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("=HBBI", PROGRAM, 8 * at)
        at += 1
        if code == 0x06:
            return bool(value)
        if code == 0x15:
            at += if_true if accumulator == value else if_false
        else:
            accumulator = int.from_bytes(data[value : value + {0x28: 2, 0x30: 1}[code]], "big")


@pytest.mark.parametrize(
    ("kind", "body", "delivered"),
    [
        (RTM_NEWROUTE, BODIES["tos"], True),
        (RTM_DELROUTE, BODIES6["ra"], True),
        (RTM_NEWROUTE, BODIES["other"], False),
        (RTM_DELROUTE, BODIES6["other"], False),
        (RTM_NEWROUTE, BODIES["table"], False),
        (16, "00" * 16, True),
        (20, "0218" + "00" * 6, True),
    ],
)
def test_the_filter_delivers_default_routes_of_the_main_table_and_all_that_is_no_route(
    kind: int, body: str, delivered: bool
) -> None:
    assert filtered(message(kind, bytes.fromhex(body))) is delivered
