"""The models made of Windows' structures: a member that is reserved, unset or no value is not published."""

from __future__ import annotations

import ctypes
import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest

from publisher.events import Offload, make_luid
from publisher.sources.windows.iphlpapi import AF_INET, AF_INET6
from publisher.sources.windows.rows import address, default_route, interface, ip_interface_row
from publisher.sources.windows.structures import (
    MibIfRow2,
    MibIpForwardRow2,
    MibIpInterfaceRow,
    MibUnicastIpAddressRow,
    NetLuid,
    OffloadRod,
)

NOW = datetime(2026, 11, 22, 20, 4, 12, tzinfo=UTC)

LUID = make_luid(6, 0x8001)


OFFLOAD = dict.fromkeys(Offload.model_fields, False)


def name_in_snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def ip_row(family: int = AF_INET, **members: Any) -> MibIpInterfaceRow:
    row = MibIpInterfaceRow(Family=family, InterfaceLuid=NetLuid(int(LUID, 16)), InterfaceIndex=7)
    for name, value in members.items():
        setattr(row, name, value)
    return row


def if_row(alias: str = "Ethernet", **members: Any) -> MibIfRow2:
    row = MibIfRow2(InterfaceLuid=NetLuid(int(LUID, 16)), InterfaceIndex=7, Type=6, AdminStatus=1, OperStatus=1)
    encoded = alias.encode("utf-16-le", errors="surrogatepass")
    ctypes.memmove(row.Alias, encoded, len(encoded))
    for name, value in members.items():
        setattr(row, name, value)
    return row


def unicast(text: str, **members: Any) -> MibUnicastIpAddressRow:
    ip = ip_address(text)
    row = MibUnicastIpAddressRow(InterfaceLuid=NetLuid(int(LUID, 16)), OnLinkPrefixLength=24, DadState=4)
    row.Address.si_family = AF_INET if ip.version == 4 else AF_INET6
    part = row.Address.Ipv4.sin_addr if ip.version == 4 else row.Address.Ipv6.sin6_addr
    ctypes.memmove(part, ip.packed, len(ip.packed))
    for name, value in members.items():
        setattr(row, name, value)
    return row


# Each member under its own name


def changed(before: Any, after: Any) -> dict[str, Any]:
    old = before.model_dump()
    return {name: value for name, value in after.model_dump().items() if value != old.get(name)}


def filled(raw: Any, member: str, value: Any) -> Any:
    """Returns a copy of a structure with this member set; bytes are copied into an array or a structure."""
    copy = type(raw).from_buffer_copy(raw)
    if isinstance(value, bytes):
        ctypes.memmove(ctypes.byref(copy, getattr(type(raw), member).offset), value, len(value))
    else:
        setattr(copy, member, value)
    return copy


# Reserved members, and the one on which the meaning of others depends, have tests of their own.
IP_INTERFACE_MEMBERS = {
    name: name_in_snake_case(name)
    for name, *_ in MibIpInterfaceRow._fields_
    if name not in {"Family", "InterfaceLuid", "AdvertisingEnabled", "MaxReassemblySize", "InterfaceIdentifier"}
}
VALUES: dict[str, tuple[Any, Any]] = {
    "RouterDiscoveryBehavior": (2, "dhcp"),
    "LinkLocalAddressBehavior": (2, "always_on"),
    "ZoneIndices": (b"\7", (7, *[0] * 15)),
    "TransmitOffload": (b"\1", OFFLOAD | {"nl_checksum_supported": True}),
    "ReceiveOffload": (b"\1", OFFLOAD | {"nl_checksum_supported": True}),
}


@pytest.mark.parametrize("member", IP_INTERFACE_MEMBERS)
def test_a_member_of_the_row_is_published_under_its_own_name_alone(member: str) -> None:
    before = ip_row(AF_INET6, AdvertisingEnabled=1)
    is_flag = isinstance(getattr(ip_interface_row(before), IP_INTERFACE_MEMBERS[member]), bool)
    value, published = VALUES.get(member, (1, True) if is_flag else (77, 77))
    after = ip_interface_row(filled(before, member, value))
    assert changed(ip_interface_row(before), after) == {IP_INTERFACE_MEMBERS[member]: published}


@pytest.mark.parametrize("bit", [name for name, *_ in OffloadRod._fields_])
def test_an_offload_is_published_under_its_own_name_alone(bit: str) -> None:
    raw = ip_row()
    setattr(raw.TransmitOffload, bit, 1)
    offload = ip_interface_row(raw).transmit_offload
    assert offload is not None
    assert offload.model_dump() == OFFLOAD | {name_in_snake_case(bit): True}


INTERFACE_MEMBERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "Alias": ("Wi-Fi".encode("utf-16-le"), {"alias": "Wi-Fi"}),
    "Description": ("Intel".encode("utf-16-le"), {"description": "Intel"}),
    "Type": (71, {"type": 71}),
    "PhysicalAddress": (b"\1\2\3\4\5\6", {"physical_address": "01:02:03:04:05:06"}),
    "PermanentPhysicalAddress": (b"\1\2\3\4\5\6", {"permanent_physical_address": "01:02:03:04:05:06"}),
    "Mtu": (1400, {"mtu": 1400}),
    "OperStatus": (5, {"oper_status": "dormant"}),
    "AdminStatus": (3, {"admin_status": "testing"}),
    "MediaConnectState": (1, {"media_connect_state": "connected"}),
    "TransmitLinkSpeed": (10**9, {"transmit_link_speed": 10**9}),
    "ReceiveLinkSpeed": (10**8, {"receive_link_speed": 10**8}),
}


@pytest.mark.parametrize("member", [name for name, *_ in MibIfRow2._fields_ if name != "PhysicalAddressLength"])
def test_a_member_of_the_interface_is_published_under_its_own_name_or_not_at_all(member: str) -> None:
    before = if_row("", PhysicalAddressLength=6)
    value, published = INTERFACE_MEMBERS.get(member, (b"\x4d", {}))
    assert changed(interface(before), interface(filled(before, member, value))) == published


ADDRESS_MEMBERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "Address": (bytes([AF_INET, 0, 0, 0, 192, 0, 2, 99]), {"address": "192.0.2.99"}),
    "PrefixOrigin": (3, {"prefix_origin": "dhcp"}),
    "SuffixOrigin": (5, {"suffix_origin": "random"}),
    "ValidLifetime": (600, {"valid_until": NOW + timedelta(seconds=600)}),
    "PreferredLifetime": (300, {"preferred_until": NOW + timedelta(seconds=300)}),
    "OnLinkPrefixLength": (25, {"prefix_length": 25}),
    "SkipAsSource": (1, {"skip_as_source": True}),
    "DadState": (1, {"dad_state": "tentative"}),
    "ScopeId": (b"\7", {"scope_id": 7}),
}


@pytest.mark.parametrize("member", [name for name, *_ in MibUnicastIpAddressRow._fields_])
def test_a_member_of_an_address_is_published_under_its_own_name_or_not_at_all(member: str) -> None:
    before = unicast("192.0.2.1")
    value, published = ADDRESS_MEMBERS.get(member, (b"\x4d", {}))
    assert changed(address(before, NOW), address(filled(before, member, value), NOW)) == published


def test_a_number_without_a_name_is_never_published_as_something_good() -> None:
    unnamed = address(unicast("192.0.2.1", DadState=9, PrefixOrigin=9, SuffixOrigin=9), NOW)
    assert (unnamed.dad_state, unnamed.prefix_origin, unnamed.suffix_origin) == ("invalid", "other", "other")
    state = interface(if_row(OperStatus=9, AdminStatus=9, MediaConnectState=9))
    assert (state.oper_status, state.admin_status, state.media_connect_state) == ("unknown", "down", "unknown")


def a_route(next_hop: str = "192.0.2.1", **members: Any) -> MibIpForwardRow2:
    ip = ip_address(next_hop)
    row = MibIpForwardRow2(InterfaceLuid=NetLuid(int(LUID, 16)), InterfaceIndex=7, Metric=256)
    row.DestinationPrefix.Prefix.si_family = row.NextHop.si_family = AF_INET if ip.version == 4 else AF_INET6
    part = row.NextHop.Ipv4.sin_addr if ip.version == 4 else row.NextHop.Ipv6.sin6_addr
    ctypes.memmove(part, ip.packed, len(ip.packed))
    for name, value in members.items():
        setattr(row, name, value)
    return row


ROUTE_MEMBERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "NextHop": (bytes([AF_INET, 0, 0, 0, 192, 0, 2, 99]), {"next_hop": "192.0.2.99"}),
    "Metric": (5, {"metric": 30}),
    "Protocol": (13, {"protocol": "ospf"}),
    "Origin": (3, {"protocol": "ra"}),
}
# One octet further: the family is in the first one.
OTHER_DESTINATION = bytes([AF_INET, 0, 0, 0x4D])


@pytest.mark.parametrize("member", [name for name, *_ in MibIpForwardRow2._fields_])
def test_a_member_of_a_route_is_published_under_its_own_name_or_not_at_all(member: str) -> None:
    before = a_route(Protocol=1)
    no_value = OTHER_DESTINATION if member == "DestinationPrefix" else b"\x4d"
    value, published = ROUTE_MEMBERS.get(member, (no_value, {}))
    assert changed(default_route(before, 25), default_route(filled(before, member, value), 25)) == published


# Members with a rule of their own


@pytest.mark.parametrize("next_hop", ["192.0.2.1", "2001:db8::1", "fe80::1"])
def test_a_next_hop_is_an_address_of_its_family(next_hop: str) -> None:
    assert default_route(a_route(next_hop), 25).next_hop == next_hop


@pytest.mark.parametrize("unspecified", ["0.0.0.0", "::"])
def test_an_unspecified_next_hop_is_on_link(unspecified: str) -> None:
    assert default_route(a_route(unspecified), 25).next_hop is None


@pytest.mark.parametrize(
    ("offset", "interface_metric", "metric"),
    [
        (0, 25, 25),
        (256, 25, 281),
        (256, 0, 256),
        (0xFFFF_FFFF, 25, 25),
        (0xFFFF_FFFE, 25, 0xFFFF_FFFF),
    ],
)
def test_the_metric_is_that_of_the_interface_and_the_routes_offset(
    offset: int, interface_metric: int, metric: int
) -> None:
    """An offset of -1 is not used; the sum never overflows, which would make the worst route the best."""
    assert default_route(a_route(Metric=offset), interface_metric).metric == metric


@pytest.mark.parametrize(
    ("protocol", "origin", "word"),
    [
        (3, 0, "netmgmt"),
        (3, 1, "netmgmt"),
        (3, 2, "dhcp"),
        (3, 3, "ra"),
        (4, 3, "ra"),
        (1, 4, "6to4"),
        (10006, 0, "static"),
        (2, 1, "kernel"),
        (14, 0, "bgp"),
        (1, 0, None),
        (99, 0, None),
        (-1, -1, None),
        (0, 99, None),
    ],
)
def test_what_made_a_route_is_its_origin_or_else_its_protocol(protocol: int, origin: int, word: str | None) -> None:
    assert default_route(a_route(Protocol=protocol, Origin=origin), 25).protocol == word


def test_the_key_is_family_luid_and_index() -> None:
    row = ip_interface_row(ip_row(AF_INET6))
    assert (row.family, row.interface_luid, row.interface_index) == ("inet6", "0006008001000000", 7)


def test_plain_members_are_published_as_they_are() -> None:
    row = ip_interface_row(
        ip_row(NlMtu=1400, Metric=25, Connected=1, WeakHostSend=1, DadTransmits=3, ReachableTime=30_000)
    )
    assert (row.nl_mtu, row.metric, row.connected, row.weak_host_send) == (1400, 25, True, True)
    assert (row.dad_transmits, row.reachable_time, row.weak_host_receive) == (3, 30_000, False)


@pytest.mark.parametrize(
    ("family", "length", "published"),
    [(AF_INET, 0, 0), (AF_INET, 32, 32), (AF_INET, 33, None), (AF_INET, 64, None), (AF_INET, 255, None),
     (AF_INET6, 64, 64), (AF_INET6, 128, 128), (AF_INET6, 129, None), (AF_INET6, 255, None)],
)  # fmt: skip
def test_a_site_prefix_length_above_the_familys_is_no_value(family: int, length: int, published: int | None) -> None:
    assert ip_interface_row(ip_row(family, SitePrefixLength=length)).site_prefix_length == published


def test_reserved_members_are_never_published() -> None:
    row = ip_interface_row(ip_row(MaxReassemblySize=0xCCCCCCCC, InterfaceIdentifier=0xCCCC_CCCC_CCCC_CCCC))
    assert (row.max_reassembly_size, row.interface_identifier) == (None, None)


def test_what_a_router_advertises_counts_only_when_it_advertises() -> None:
    members = {"MinRouterAdvertisementInterval": 200, "MaxRouterAdvertisementInterval": 600, "AdvertiseDefaultRoute": 1}
    silent = ip_interface_row(ip_row(AF_INET6, **members))
    loud = ip_interface_row(ip_row(AF_INET6, AdvertisingEnabled=1, **members))
    assert (silent.min_router_advertisement_interval, silent.max_router_advertisement_interval) == (None, None)
    assert (silent.advertise_default_route, silent.advertising_enabled) == (None, False)
    assert (loud.min_router_advertisement_interval, loud.max_router_advertisement_interval) == (200, 600)
    assert (loud.advertise_default_route, loud.advertising_enabled) == (True, True)


@pytest.mark.parametrize(("number", "name"), [(0, "disabled"), (1, "enabled"), (2, "dhcp"), (-1, None), (9, None)])
def test_router_discovery_is_a_signed_number(number: int, name: str | None) -> None:
    assert ip_interface_row(ip_row(RouterDiscoveryBehavior=number)).router_discovery_behavior == name


@pytest.mark.parametrize(("number", "name"), [(0, "always_off"), (1, "delayed"), (2, "always_on"), (-1, None)])
def test_the_link_local_behaviour_is_a_signed_number(number: int, name: str | None) -> None:
    assert ip_interface_row(ip_row(LinkLocalAddressBehavior=number)).link_local_address_behavior == name


def test_any_boolean_that_is_not_zero_is_true() -> None:
    assert ip_interface_row(ip_row(ForwardingEnabled=0xFF)).forwarding_enabled is True


def test_zones_and_offloads() -> None:
    raw = ip_row(AF_INET6)
    raw.ZoneIndices[2] = 7
    raw.TransmitOffload.NlChecksumSupported = 1
    raw.ReceiveOffload.TlGiantSendOffloadSupported = 1
    row = ip_interface_row(raw)
    assert row.zone_indices == (0, 0, 7, *[0] * 13)
    assert row.transmit_offload is not None
    assert row.receive_offload is not None
    assert (row.transmit_offload.nl_checksum_supported, row.transmit_offload.nl_options_supported) == (True, False)
    assert row.receive_offload.tl_giant_send_offload_supported is True


@pytest.mark.parametrize("alias", ["Ethernet", "Wi-Fi 2", "Подключение", "a/+#b", "🖧", "x" * 256])
def test_a_name_may_be_anything(alias: str) -> None:
    assert interface(if_row(alias)).alias == alias


def test_half_a_surrogate_pair_in_a_name_is_replaced() -> None:
    """Windows accepts such names; JSON cannot contain them."""
    named = interface(if_row("Net\ud83d"))
    assert named.alias == "Net\N{REPLACEMENT CHARACTER}"
    assert named.model_dump_json()


@pytest.mark.parametrize(
    ("length", "octets", "published"),
    [(6, bytes.fromhex("525400123456"), "52:54:00:12:34:56"), (0, b"\xcc" * 8, None), (6, bytes(6), None),
     (8, bytes.fromhex("0102030405060708"), "01:02:03:04:05:06:07:08"), (99, b"\x01" * 32, ":".join(["01"] * 32))],
)  # fmt: skip
def test_a_physical_address_has_the_length_that_is_given(length: int, octets: bytes, published: str | None) -> None:
    row = if_row(PhysicalAddressLength=length)
    ctypes.memmove(row.PhysicalAddress, octets, len(octets))
    assert interface(row).physical_address == published


def test_states_and_speeds() -> None:
    row = if_row(OperStatus=7, AdminStatus=2, MediaConnectState=2, TransmitLinkSpeed=2**64 - 1, ReceiveLinkSpeed=10**9)
    seen = interface(row)
    assert (seen.oper_status, seen.admin_status, seen.media_connect_state) == (
        "lower_layer_down",
        "down",
        "disconnected",
    )
    assert (seen.transmit_link_speed, seen.receive_link_speed) == (None, 10**9)


@pytest.mark.parametrize(
    ("text", "scope"),
    [("192.0.2.10", "global"), ("127.0.0.1", "interface"), ("169.254.1.1", "link"), ("10.0.0.1", "global"),
     ("2001:db8::1", "global"), ("::1", "interface"), ("fe80::1", "link"), ("fec0::1", "site")],
)  # fmt: skip
def test_an_address_and_its_scope(text: str, scope: str) -> None:
    seen = address(unicast(text), NOW)
    assert (seen.address, seen.scope, seen.dad_state) == (text, scope, "preferred")


def test_a_lifetime_for_ever_is_none() -> None:
    seen = address(unicast("192.0.2.10", ValidLifetime=0xFFFF_FFFF, PreferredLifetime=300), NOW)
    assert (seen.valid_until, seen.preferred_until) == (None, NOW + timedelta(seconds=300))


@pytest.mark.parametrize(
    ("text", "given", "published"), [("192.0.2.1", 24, 24), ("192.0.2.1", 255, 32), ("fe80::1", 255, 128)]
)
def test_a_prefix_length_that_is_no_value_is_the_whole_address(text: str, given: int, published: int) -> None:
    assert address(unicast(text, OnLinkPrefixLength=given), NOW).prefix_length == published


def test_a_zone_is_published_without_its_level() -> None:
    seen = unicast("fe80::1")
    seen.ScopeId.Value = 0x2000_0007
    assert address(seen, NOW).scope_id == 7
