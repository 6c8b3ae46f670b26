"""Every member of the rows at once: each has a value of its own at the compiler's offset, and is published by its name.

The offsets are those of `abi_x64.json`, so neither our declarations nor the names in them take part. Booleans and
enumerations have few values: over several rounds each has a sequence of values that no other member has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from publisher.events import Address, DefaultRoute, Interface, IpInterfaceRow
from publisher.netioapi import IfRow, IpForwardRow, UnicastIpAddressRow
from publisher.netioapi.windows_rows import address_row, if_row, route_row
from publisher.sources.lifetimes import ends_at
from publisher.sources.windows.iphlpapi import AF_INET6
from publisher.sources.windows.rows import address, default_route, interface, ip_interface_row
from publisher.sources.windows.structures import MibIfRow2, MibIpForwardRow2, MibIpInterfaceRow, MibUnicastIpAddressRow
from tests.sources.windows.test_rows import name_in_snake_case

STRUCTURES: dict[str, Any] = json.loads(Path(__file__).with_name("abi_x64.json").read_text())["structs"]
ROUNDS = range(5)
NOW = datetime(2026, 11, 22, 20, 4, 12, tzinfo=UTC)

Published = dict[str, Any]


class Filled:
    """The bytes of a structure whose members all have their own values; `numbers` has them by name."""

    def __init__(self, structure: str, attempt: int) -> None:
        self.layout = STRUCTURES[structure]
        self.bytes = bytearray(self.layout["size"])
        self.numbers: dict[str, int] = {}
        for position, (name, place) in enumerate(self.layout["fields"].items()):
            # A prime number of positions apart in each round: two members never agree in all rounds.
            number = (position + 1) * 1_000_003 + attempt * 7919
            self.put(name, number % (1 << 8 * min(place["size"], 4)))

    def put(self, name: str, number: int) -> None:
        place = self.layout["fields"][name]
        self.numbers[name] = number
        self.put_bytes(name, number.to_bytes(place["size"], "little"))

    def put_bytes(self, name: str, octets: bytes) -> None:
        offset = self.layout["fields"][name]["offset"]
        self.bytes[offset : offset + len(octets)] = octets

    def flags(self, names: list[str], attempt: int) -> Published:
        """Gives each a 0 or 1 that is one binary digit of its position, and so its own sequence over the rounds."""
        for position, name in enumerate(names, 1):
            self.put(name, position >> attempt & 1)
        return {name_in_snake_case(name): bool(self.numbers[name]) for name in names}


def plain(filled: Filled, names: Iterator[str] | list[str]) -> Published:
    return {name_in_snake_case(name): filled.numbers[name] for name in names}


IP_FLAGS = [name for name, place in STRUCTURES["MIB_IPINTERFACE_ROW"]["fields"].items() if place["size"] == 1]
IP_FLAGS = [name for name in IP_FLAGS if name not in {"AdvertisingEnabled", "TransmitOffload", "ReceiveOffload"}]
RESERVED = {"MaxReassemblySize", "InterfaceIdentifier"}
OFFLOADS = (
    "nl_checksum_supported",
    "nl_options_supported",
    "tl_datagram_checksum_supported",
    "tl_stream_checksum_supported",
    "tl_stream_options_supported",
    "fast_path_compatible",
    "tl_large_send_offload_supported",
    "tl_giant_send_offload_supported",
)


def offloads(number: int) -> Published:
    return {name: bool(number >> bit & 1) for bit, name in enumerate(OFFLOADS)}


def an_ip_interface(attempt: int) -> tuple[Published, Published]:
    filled = Filled("MIB_IPINTERFACE_ROW", attempt)
    expected = filled.flags(IP_FLAGS, attempt)
    discovery, behavior = attempt % 3, (attempt + 1) % 3
    for name, number in {
        "Family": AF_INET6,
        "AdvertisingEnabled": 1,
        "RouterDiscoveryBehavior": discovery,
        "LinkLocalAddressBehavior": behavior,
        "SitePrefixLength": 48 + attempt,
    }.items():
        filled.put(name, number)
    zones = [attempt * 100 + zone for zone in range(16)]
    filled.put_bytes("ZoneIndices", b"".join(zone.to_bytes(4, "little") for zone in zones))
    named = {
        "family": "inet6",
        "interface_luid": f"{filled.numbers['InterfaceLuid']:016x}",
        "advertising_enabled": True,
        "router_discovery_behavior": ["disabled", "enabled", "dhcp"][discovery],
        "link_local_address_behavior": ["always_off", "delayed", "always_on"][behavior],
        "zone_indices": tuple(zones),
        "transmit_offload": offloads(filled.numbers["TransmitOffload"]),
        "receive_offload": offloads(filled.numbers["ReceiveOffload"]),
    }
    expected |= named
    others = [name for name in filled.numbers if name_in_snake_case(name) not in expected and name not in RESERVED]
    published = ip_interface_row(MibIpInterfaceRow.from_buffer_copy(filled.bytes)).model_dump()
    return published, expected | plain(filled, others)


def an_interface(attempt: int) -> tuple[Published, Published]:
    filled = Filled("MIB_IF_ROW2", attempt)
    texts = {"Alias": f"alias {attempt}", "Description": f"description {attempt}"}
    for name, text in texts.items():
        filled.put_bytes(name, text.encode("utf-16-le") + b"\0\0")
    filled.put("PhysicalAddressLength", 6)
    addresses = {"PhysicalAddress": bytes(range(1, 7)), "PermanentPhysicalAddress": bytes(range(11, 17))}
    for name, octets in addresses.items():
        filled.put_bytes(name, octets)
    states = {"OperStatus": 1 + attempt, "AdminStatus": 1 + attempt % 3, "MediaConnectState": attempt % 3}
    for name, number in states.items():
        filled.put(name, number)
    expected = {
        "alias": texts["Alias"],
        "description": texts["Description"],
        "physical_address": "01:02:03:04:05:06",
        "permanent_physical_address": "0b:0c:0d:0e:0f:10",
        "oper_status": ["up", "down", "testing", "unknown", "dormant"][attempt],
        "admin_status": ["up", "down", "testing"][attempt % 3],
        "media_connect_state": ["unknown", "connected", "disconnected"][attempt % 3],
    }
    numbers = ["Type", "Mtu", "TransmitLinkSpeed", "ReceiveLinkSpeed"]
    published = interface(MibIfRow2.from_buffer_copy(filled.bytes)).model_dump()
    return published, expected | plain(filled, numbers)


def an_address(attempt: int) -> tuple[Published, Published]:
    filled = Filled("MIB_UNICASTIPADDRESS_ROW", attempt)
    ip = IPv6Address(0x20010DB8 << 96 | attempt + 1)
    filled.put_bytes("Address", AF_INET6.to_bytes(2, "little") + bytes(6) + ip.packed)
    origins = ["other", "manual", "well_known", "dhcp", "link_layer_address", "random"]
    for name, number in {
        "PrefixOrigin": (attempt + 1) % 4,
        "SuffixOrigin": 5 - attempt,
        "DadState": attempt,
        "OnLinkPrefixLength": 60 + attempt,
        "SkipAsSource": attempt % 2,
        "ScopeId": 7 + attempt,
    }.items():
        filled.put(name, number)
    expected = {
        "address": str(ip),
        "prefix_length": 60 + attempt,
        "scope_id": 7 + attempt,
        "prefix_origin": origins[(attempt + 1) % 4],
        "suffix_origin": origins[5 - attempt],
        "dad_state": ["invalid", "tentative", "duplicate", "deprecated", "preferred"][attempt],
        "skip_as_source": bool(attempt % 2),
        "valid_until": ends_at(filled.numbers["ValidLifetime"], NOW),
        "preferred_until": ends_at(filled.numbers["PreferredLifetime"], NOW),
    }
    return address(MibUnicastIpAddressRow.from_buffer_copy(filled.bytes), NOW).model_dump(), expected


COUNTERS = [
    name
    for name, place in STRUCTURES["MIB_IF_ROW2"]["fields"].items()
    if place["size"] == 8 and name.startswith(("In", "Out")) and name != "InterfaceLuid"
]
TWO_CAPITALS = {"InNUcastPkts": "in_n_ucast_pkts", "OutNUcastPkts": "out_n_ucast_pkts", "OutQLen": "out_q_len"}
# NDIS_MEDIUM, NDIS_PHYSICAL_MEDIUM and the others, as five numbers and their names each.
KINDS: dict[str, list[tuple[int, str | None]]] = {
    "TunnelType": [(0, "none"), (11, "6to4"), (13, "isatap"), (15, "iphttps"), (3, None)],
    "MediaType": [(0, "802_3"), (3, "wan"), (16, "native_802_11"), (19, "ip"), (20, None)],
    "PhysicalMediumType": [
        (0, "unspecified"),
        (9, "native_802_11"),
        (14, "802_3"),
        (20, "native_802_15_4"),
        (21, None),
    ],
    "AccessType": [(1, "loopback"), (2, "broadcast"), (3, "point_to_point"), (4, "point_to_multi_point"), (0, None)],
    "DirectionType": [(0, "send_receive"), (1, "send_only"), (2, "receive_only"), (3, None), (-1, None)],
    "ConnectionType": [(1, "dedicated"), (2, "passive"), (3, "demand"), (4, None), (0, None)],
}
FLAGS = (
    "hardware_interface",
    "filter_interface",
    "connector_present",
    "not_authenticated",
    "not_media_connected",
    "paused",
    "low_power",
    "end_point_interface",
)


def a_called_interface(attempt: int) -> tuple[Published, Published]:
    filled = Filled("MIB_IF_ROW2", attempt)
    expected: Published = {"interface_luid": f"{filled.numbers['InterfaceLuid']:016x}"}
    for position, (name, choices) in enumerate(KINDS.items()):
        number, known_as = choices[(attempt + position) % 5]
        filled.put(name, number % (1 << 32))
        expected |= {name_in_snake_case(name): known_as} if known_as else {}
    guids = {"InterfaceGuid": UUID(int=attempt + 1), "NetworkGuid": UUID(int=attempt + 1000)}
    for name, guid in guids.items():
        filled.put_bytes(name, guid.bytes_le)
    flags = filled.numbers["InterfaceAndOperStatusFlags"]
    expected |= {name: bool(flags >> bit & 1) for bit, name in enumerate(FLAGS)}
    expected |= {name_in_snake_case(name): str(guid) for name, guid in guids.items()}
    ucast, others = ("InUcastPkts", "OutUcastPkts"), ("InNUcastPkts", "OutNUcastPkts")
    for name, *parts in zip(("in_packets", "out_packets"), ucast, others, strict=True):
        expected[name] = sum(filled.numbers[part] for part in parts)
    counters = {TWO_CAPITALS.get(name, name_in_snake_case(name)): filled.numbers[name] for name in COUNTERS}
    raw = MibIfRow2.from_buffer_copy(filled.bytes)
    published = if_row(raw, interface(raw), counters=True).model_dump(exclude=Interface.names)
    return published, expected | counters | plain(filled, ["InterfaceIndex"])


def a_called_address(attempt: int) -> tuple[Published, Published]:
    filled = Filled("MIB_UNICASTIPADDRESS_ROW", attempt)
    filled.put("DadState", attempt)
    filled.put_bytes("Address", AF_INET6.to_bytes(2, "little"))
    filled.put("CreationTimeStamp", 10_000_000 * (attempt + 1))
    raw = MibUnicastIpAddressRow.from_buffer_copy(filled.bytes)
    expected: Published = {
        "family": "inet6",
        "interface_luid": f"{filled.numbers['InterfaceLuid']:016x}",
        "creation_time": datetime(1601, 1, 1, 0, 0, attempt + 1, tzinfo=UTC),
    } | address(raw, NOW).model_dump()
    return address_row(raw, NOW).model_dump(), expected | plain(filled, ["InterfaceIndex"])


ROUTE_FLAGS = ["Loopback", "AutoconfigureAddress", "Publish", "Immortal"]
WORDS = [(13, 0, "ospf"), (3, 2, "dhcp"), (10006, 1, "static"), (4, 3, "ra"), (2, 4, "6to4")]
ORIGINS = {0: "manual", 1: "well_known", 2: "dhcp", 3: "router_advertisement", 4: "6to4"}


def a_route(attempt: int) -> tuple[Filled, Published]:
    filled = Filled("MIB_IPFORWARD_ROW2", attempt)
    ip = IPv6Address(0x20010DB8 << 96 | attempt + 1)
    # Its prefix and all that follows the family are not read.
    filled.put_bytes("DestinationPrefix", AF_INET6.to_bytes(2, "little"))
    filled.put_bytes("NextHop", AF_INET6.to_bytes(2, "little") + bytes(6) + ip.packed)
    protocol, origin, word = WORDS[attempt]
    filled.put("Protocol", protocol)
    filled.put("Origin", origin)
    return filled, {"next_hop": str(ip), "metric": filled.numbers["Metric"] + 25, "protocol": word}


def a_published_route(attempt: int) -> tuple[Published, Published]:
    filled, expected = a_route(attempt)
    return default_route(MibIpForwardRow2.from_buffer_copy(filled.bytes), 25).model_dump(), expected


def a_called_route(attempt: int) -> tuple[Published, Published]:
    filled, expected = a_route(attempt)
    filled.put("SitePrefixLength", 60 + attempt)
    expected |= filled.flags(ROUTE_FLAGS, attempt) | plain(filled, ["InterfaceIndex", "SitePrefixLength", "Age"])
    expected |= {
        "family": "inet6",
        "destination_prefix": "::/0",
        "interface_luid": f"{filled.numbers['InterfaceLuid']:016x}",
        "origin": ORIGINS[filled.numbers["Origin"]],
        "valid_until": ends_at(filled.numbers["ValidLifetime"], NOW),
        "preferred_until": ends_at(filled.numbers["PreferredLifetime"], NOW),
    }
    return route_row(MibIpForwardRow2.from_buffer_copy(filled.bytes), 25, NOW).model_dump(), expected


# What these structures do not have: made of other calls, of the address itself, or known on Linux only.
OF_OTHERS = {
    IpInterfaceRow: set[str](),
    Interface: {"higher", "lower"},
    Address: {"scope"},
    IfRow: set(),
    UnicastIpAddressRow: set(),
    DefaultRoute: set(),
    IpForwardRow: set(),
}


@pytest.mark.parametrize("attempt", ROUNDS)
@pytest.mark.parametrize(
    ("model", "made"),
    [
        (IpInterfaceRow, an_ip_interface),
        (Interface, an_interface),
        (Address, an_address),
        (IfRow, a_called_interface),
        (UnicastIpAddressRow, a_called_address),
        (DefaultRoute, a_published_route),
        (IpForwardRow, a_called_route),
    ],
)
def test_each_member_is_published_by_its_name_whatever_the_others_are(
    model: Any, made: Callable[[int], tuple[Published, Published]], attempt: int
) -> None:
    published, expected = made(attempt)
    known = {name: value for name, value in published.items() if name not in OF_OTHERS[model]}
    assert {name: value for name, value in known.items() if value != expected.get(name)} == {}
    assert expected.keys() <= known.keys()
