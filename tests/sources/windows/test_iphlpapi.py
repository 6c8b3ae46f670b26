"""The declarations compared with the layouts of mingw-w64's headers as compiled (`abi_x64.json`), on every system."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from publisher import events
from publisher.sources.windows import iphlpapi, structures

ABI: dict[str, Any] = json.loads(Path(__file__).with_name("abi_x64.json").read_text())

STRUCTURES: dict[str, type[ctypes.Structure] | type[ctypes.Union]] = {
    "MIB_IPINTERFACE_ROW": structures.MibIpInterfaceRow,
    "MIB_IPINTERFACE_TABLE": structures.MibIpInterfaceTable,
    "NET_LUID": structures.NetLuid,
    "MIB_IF_ROW2": structures.MibIfRow2,
    "MIB_IF_TABLE2": structures.MibIfTable2,
    "MIB_IFSTACK_ROW": structures.MibIfStackRow,
    "MIB_IFSTACK_TABLE": structures.MibIfStackTable,
    "MIB_INVERTEDIFSTACK_ROW": structures.MibInvertedIfStackRow,
    "MIB_INVERTEDIFSTACK_TABLE": structures.MibInvertedIfStackTable,
    "MIB_UNICASTIPADDRESS_ROW": structures.MibUnicastIpAddressRow,
    "MIB_UNICASTIPADDRESS_TABLE": structures.MibUnicastIpAddressTable,
    "IP_ADDRESS_PREFIX": structures.IpAddressPrefix,
    "MIB_IPFORWARD_ROW2": structures.MibIpForwardRow2,
    "MIB_IPFORWARD_TABLE2": structures.MibIpForwardTable2,
    "SOCKADDR_INET": structures.SockaddrInet,
    "SCOPE_ID": structures.ScopeId,
    "GUID": structures.Guid,
    "NL_INTERFACE_OFFLOAD_ROD": structures.OffloadRod,
}
# NET_LUID's second view of the same 64 bits: `luid_parts` returns it.
LEFT_OUT = {"NET_LUID": {"Info"}}

# The names that are published, and the names of their numbers in the headers.
NAMES: dict[str, tuple[dict[int, Any], str, Any]] = {
    "MIB_NOTIFICATION_TYPE": (iphlpapi.NOTIFICATION_TYPES, "Mib", events.NotificationType),
    "NL_ROUTER_DISCOVERY_BEHAVIOR": (
        iphlpapi.ROUTER_DISCOVERY_BEHAVIORS,
        "RouterDiscovery",
        events.RouterDiscoveryBehavior,
    ),
    "NL_LINK_LOCAL_ADDRESS_BEHAVIOR": (
        iphlpapi.LINK_LOCAL_ADDRESS_BEHAVIORS,
        "LinkLocal",
        events.LinkLocalAddressBehavior,
    ),
    "NET_IF_OPER_STATUS": (iphlpapi.OPER_STATUSES, "NET_IF_OPER_STATUS_", events.OperStatus),
    "NET_IF_ADMIN_STATUS": (iphlpapi.ADMIN_STATUSES, "NET_IF_ADMIN_STATUS_", events.AdminStatus),
    "NET_IF_MEDIA_CONNECT_STATE": (iphlpapi.MEDIA_CONNECT_STATES, "MediaConnectState", events.MediaConnectState),
    "NL_DAD_STATE": (iphlpapi.DAD_STATES, "IpDadState", events.DadState),
    "NL_PREFIX_ORIGIN": (iphlpapi.PREFIX_ORIGINS, "IpPrefixOrigin", events.PrefixOrigin),
    "NL_SUFFIX_ORIGIN": (iphlpapi.SUFFIX_ORIGINS, "IpSuffixOrigin", events.SuffixOrigin),
}


def test_every_structure_of_the_abi_is_declared() -> None:
    assert set(STRUCTURES) == set(ABI["structs"])


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure_has_the_compilers_layout(name: str) -> None:
    declared, expected = STRUCTURES[name], ABI["structs"][name]
    assert (ctypes.sizeof(declared), ctypes.alignment(declared)) == (expected["size"], expected["align"])
    for member, place in expected["fields"].items():
        if member not in LEFT_OUT.get(name, ()):
            field = getattr(declared, member)
            assert (field.offset, field.size) == (place["offset"], place["size"]), member


def test_no_member_is_declared_that_the_abi_lacks() -> None:
    for name, declared in STRUCTURES.items():
        members = {field[0] for field in declared._fields_}
        known = set(ABI["structs"][name]["fields"]) or set(ABI["bits"][name])
        assert members <= known, name


def test_the_offload_bits_are_where_the_compiler_puts_them() -> None:
    for member, place in ABI["bits"]["NL_INTERFACE_OFFLOAD_ROD"].items():
        raw = structures.OffloadRod()
        setattr(raw, member, 1)
        assert bytes(raw) == bytes([1 << place["bit"]]), member


def test_the_parts_of_a_luid_are_where_the_compiler_puts_them() -> None:
    bits = ABI["bits"]["NET_LUID.Info"]
    luid = events.make_luid(6, 0x8001)
    assert int(luid, 16) == 6 << bits["IfType"]["bit"] | 0x8001 << bits["NetLuidIndex"]["bit"]
    assert events.luid_parts(luid) == (6, 0x8001)


@pytest.mark.parametrize("enumeration", NAMES)
def test_a_number_has_the_name_of_the_headers(enumeration: str) -> None:
    names, prefix, published = NAMES[enumeration]
    expected = {
        number: _flat(name.removeprefix(prefix))
        for name, number in ABI["enums"][enumeration]["values"].items()
        if not name.endswith("Unchanged")
    }
    assert {number: _flat(name) for number, name in names.items()} == expected
    assert set(names.values()) == set(get_args(published))


# The words of ip-route(8) that differ from the names of Windows.
WORDS = {
    "LOCAL": "kernel",
    "ICMP": "redirect",
    "IS_IS": "isis",
    "ES_IS": "esis",
    "NT_AUTOSTATIC": "static",
    "NT_STATIC": "static",
    "NT_STATIC_NON_DOD": "static",
}


def test_a_routes_protocol_has_a_word_unless_it_is_not_specified() -> None:
    numbers = {
        name.removeprefix("MIB_IPPROTO_"): number
        for name, number in ABI["enums"]["NL_ROUTE_PROTOCOL"]["values"].items()
    }
    assert iphlpapi.ROUTE_PROTOCOLS.items() >= {
        (number, WORDS.get(name, name.lower())) for name, number in numbers.items() if name != "OTHER"
    }
    assert numbers["OTHER"] not in iphlpapi.ROUTE_PROTOCOLS


def test_three_origins_of_a_route_name_what_made_it() -> None:
    numbers = ABI["enums"]["NL_ROUTE_ORIGIN"]["values"]
    words = {"NlroDHCP": "dhcp", "NlroRouterAdvertisement": "ra", "Nlro6to4": "6to4"}
    assert {numbers[name]: word for name, word in words.items()} == iphlpapi.PROTOCOLS_OF_ORIGINS


@pytest.mark.parametrize("member", ["RouterDiscoveryBehavior", "LinkLocalAddressBehavior"])
def test_an_enumeration_is_signed(member: str) -> None:
    """-1 is "unchanged" in them; unsigned, it would be a huge number."""
    row = structures.MibIpInterfaceRow()
    setattr(row, member, 0xFFFF_FFFF)
    assert getattr(row, member) == -1


def _flat(name: str) -> str:
    return name.replace("_", "").lower()


@pytest.mark.parametrize(
    "name",
    [
        "AF_UNSPEC",
        "AF_INET",
        "AF_INET6",
        "ERROR_FILE_NOT_FOUND",
        "ERROR_INVALID_HANDLE",
        "ERROR_NOT_SUPPORTED",
        "ERROR_INVALID_PARAMETER",
        "ERROR_NOT_FOUND",
    ],
)
def test_a_constant_has_the_value_of_the_headers(name: str) -> None:
    assert getattr(iphlpapi, name) == ABI["consts"][name]


# SIZE_T has the width of a pointer; on Linux c_size_t is c_ulong.
SIZES = {("ConvertInterfaceLuidToAlias", 2), ("ConvertInterfaceLuidToNameW", 2)}


def test_every_function_has_fixed_width_arguments() -> None:
    """`c_ulong` has 4 bytes on Windows and 8 on Linux: with one of them, the sizes in this file would prove nothing."""
    for name, signature in iphlpapi.SIGNATURES.items():
        for place, argument in enumerate(signature.arguments):
            assert ctypes.sizeof(argument) in {1, 2, 4, 8}, name
            assert argument is not ctypes.c_ulong or (name, place) in SIZES, name


def test_each_error_class_has_the_code_it_is_raised_for() -> None:
    assert {code: kind.winerror_code for code, kind in iphlpapi.ERRORS.items()} == {
        code: code for code in iphlpapi.ERRORS
    }
