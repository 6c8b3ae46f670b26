"""The declarations compared with Microsoft's own metadata (`win32metadata.json`), on every system.

`abi_x64.json` is what a compiler made of mingw-w64's headers; this is what Microsoft says of its own. The offsets are
computed here, by the rules of C for 64 bits.
"""

from __future__ import annotations

import ctypes
import json
import re
from pathlib import Path
from typing import Any

import pytest

from publisher.sources.windows import iphlpapi
from tests.sources.windows.test_iphlpapi import NAMES, STRUCTURES

METADATA: dict[str, Any] = json.loads(Path(__file__).with_name("win32metadata.json").read_text())["types"]
SIZES = {
    "Byte": 1, "CHAR": 1, "BOOLEAN": 1, "Char": 2, "UInt16": 2, "Int32": 4, "UInt32": 4, "Int64": 8, "UInt64": 8,
    "UIntPtr": 8, "VoidPtr": 8, "HANDLE": 8, "PWSTR": 8,
}  # fmt: skip
NOT_IN_THE_METADATA = {
    # It declares the name SCOPE_ID for a structure around the union, and GUID as a type of its own.
    "GUID",
}
RENAMED = {"NET_LUID": "NET_LUID_LH", "NET_IF_OPER_STATUS": "IF_OPER_STATUS"}


def layout(kind: str) -> tuple[int, int]:
    """Returns the size and the alignment of a type."""
    element, _, count = kind.partition("*")
    if count:
        size, alignment = layout(element)
        return size * int(count), alignment
    if kind == "Guid":
        return 16, 4
    if element.startswith("POINTER(") or element.endswith("_CALLBACK"):
        return 8, 8
    if element.partition(":")[0] in SIZES:
        size = SIZES[element.partition(":")[0]]
        return size, size
    declared = METADATA[element]
    if declared["kind"] == "enum":
        return layout(declared["base"])
    places = members(element)
    alignment = max(layout(kind)[1] for _, kind in declared["members"])
    end = max(offset + size for offset, size in places.values())
    return -(-end // alignment) * alignment, alignment


def members(name: str) -> dict[str, tuple[int, int]]:
    """Returns the offset and size of each member; bit fields of one byte or word share its place."""
    places: dict[str, tuple[int, int]] = {}
    end = bits = 0
    for member, kind in METADATA[name]["members"]:
        size, alignment = layout(kind)
        start = -(-end // alignment) * alignment
        if ":" in kind and bits:
            start, bits = end - size, bits - int(kind.partition(":")[2])
        elif ":" in kind:
            bits = size * 8 - int(kind.partition(":")[2])
        if METADATA[name]["kind"] == "union":
            start = 0
        places[member] = (start, size)
        end = start + size
    return places


def flattened(name: str) -> dict[str, tuple[int, int]]:
    """Returns the members, those of an anonymous one as its own."""
    places = members(name)
    for member, kind in METADATA[name]["members"]:
        if member == "Anonymous":
            start, _ = places.pop(member)
            places |= {inner: (start + offset, size) for inner, (offset, size) in flattened(kind).items()}
    return places


@pytest.mark.parametrize("name", [name for name in STRUCTURES if name not in NOT_IN_THE_METADATA])
def test_a_structure_is_declared_as_microsoft_declares_it(name: str) -> None:
    declared, known_as = STRUCTURES[name], RENAMED.get(name, name)
    assert (ctypes.sizeof(declared), ctypes.alignment(declared)) == layout(known_as)
    expected = flattened(known_as)
    bit_fields = [member for member, kind in METADATA[known_as]["members"] if ":" in kind]
    for member, *_ in declared._fields_:
        if member not in bit_fields:
            field = getattr(declared, member)
            assert (field.offset, field.size) == expected[member], member
    assert [member for member, *_ in declared._fields_ if member in bit_fields] == bit_fields


@pytest.mark.parametrize(
    "name", ["MIB_IPINTERFACE_ROW", "MIB_IF_ROW2", "MIB_UNICASTIPADDRESS_ROW", "MIB_IPFORWARD_ROW2"]
)
def test_a_row_has_each_member_in_the_order_of_the_metadata(name: str) -> None:
    assert [member for member, *_ in STRUCTURES[name]._fields_] == [member for member, _ in METADATA[name]["members"]]


@pytest.mark.parametrize("enumeration", NAMES)
def test_a_number_has_microsofts_name(enumeration: str) -> None:
    names, prefix, _ = NAMES[enumeration]
    values = METADATA[RENAMED.get(enumeration, enumeration)]["values"]
    prefix = {"NET_IF_OPER_STATUS_": "IfOperStatus"}.get(prefix, prefix)
    expected = {
        number: _flat(name.removeprefix(prefix))
        for name, number in values.items()
        if not name.endswith("Unchanged") and name.startswith(prefix)
    }
    assert {number: _flat(name) for number, name in names.items()} == expected


@pytest.mark.parametrize("name", iphlpapi.SIGNATURES)
def test_a_function_has_microsofts_arguments(name: str) -> None:
    signature, declared = iphlpapi.SIGNATURES[name], METADATA[name]
    assert [ctypes.sizeof(argument) for argument in signature.arguments] == [
        layout(kind)[0] for kind in declared["arguments"]
    ]
    assert signature.fails == (declared["returns"] == "WIN32_ERROR")


def test_each_protocol_of_a_route_that_microsoft_names_has_a_word() -> None:
    numbers = {
        number for name, number in METADATA["NL_ROUTE_PROTOCOL"]["values"].items() if name != "MIB_IPPROTO_OTHER"
    }
    not_specified = METADATA["NL_ROUTE_PROTOCOL"]["values"]["MIB_IPPROTO_OTHER"]
    assert set(iphlpapi.ROUTE_PROTOCOLS) == numbers - {not_specified}


def test_the_flags_of_an_interface_are_the_bits_in_this_order() -> None:
    flags = [name for name, _ in METADATA["MIB_IF_ROW2._InterfaceAndOperStatusFlags_e__Struct"]["members"]]
    assert 1 << flags.index("FilterInterface") == iphlpapi.FILTER_INTERFACE


@pytest.mark.parametrize("family", ["AF_UNSPEC", "AF_INET", "AF_INET6"])
def test_a_family_has_microsofts_number(family: str) -> None:
    assert METADATA["ADDRESS_FAMILY"]["values"][family] == getattr(iphlpapi, family)


def test_a_level_without_statistics_is_microsofts() -> None:
    levels = METADATA["MIB_IF_ENTRY_LEVEL"]["values"]
    assert levels["MibIfEntryNormalWithoutStatistics"] == iphlpapi.MIB_IF_ENTRY_NORMAL_WITHOUT_STATISTICS


def _flat(name: str) -> str:
    return re.sub("_", "", name).lower()
