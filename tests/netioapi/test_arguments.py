"""The arguments of the calls: each accepted form, and for any other one an error with a word on what goes where."""

from __future__ import annotations

import functools
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_address
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID

import pytest

from publisher.errors import InvalidHandleError, InvalidParameterError, NetioError
from publisher.netioapi import (
    cancel_mib_change_notify2,
    convert_interface_alias_to_luid,
    convert_interface_guid_to_luid,
    convert_interface_index_to_luid,
    convert_interface_luid_to_alias,
    convert_interface_luid_to_guid,
    convert_interface_luid_to_index,
    convert_interface_luid_to_name,
    convert_interface_name_to_luid,
    get_if_entry2,
    get_ip_interface_entry,
    get_ip_interface_table,
    get_unicast_ip_address_entry,
    get_unicast_ip_address_table,
    notify_ip_interface_change,
    notify_unicast_ip_address_change,
)
from publisher.netioapi.arguments import any_family, checked_address, checked_guid, known_by, one_family

LUID = "0006008001000000"


def refused(call: Callable[..., object], *arguments: Any, **named: Any) -> str:
    """Returns the text of the error."""
    with pytest.raises(InvalidParameterError) as error:
        call(*arguments, **named)
    assert isinstance(error.value, NetioError)
    assert (error.value.winerror_code, error.value.winerror) == (87, 87)
    return str(error.value)


# Families


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("unspec", "unspec"),
        ("inet", "inet"),
        ("inet6", "inet6"),
        (socket.AF_UNSPEC, "unspec"),
        (socket.AF_INET, "inet"),
        (socket.AF_INET6, "inet6"),
        (int(socket.AF_INET6), "inet6"),
        (0, "unspec"),
        (2, "inet"),
        (23, "inet6"),
    ],
)
def test_a_family_is_a_name_or_a_number_of_this_system_or_of_windows(family: Any, name: str) -> None:
    assert any_family(family) == name
    if name == "unspec":
        refused(one_family, family)
    else:
        assert one_family(family) == name


@pytest.mark.parametrize(
    "family",
    ["", "INET", "inet ", "ipv4", b"inet", 1, 3, -2, 24, 2.0, True, False, None, [], {}],
)
def test_any_other_family_is_refused_by_each_call(family: Any) -> None:
    for call in (
        lambda: get_ip_interface_table(family),
        lambda: get_unicast_ip_address_table(family),
        lambda: get_ip_interface_entry(family, LUID),
        lambda: notify_ip_interface_change(family, print),
        lambda: notify_unicast_ip_address_change(family, print),
    ):
        assert "socket.AF_UNSPEC, AF_INET and AF_INET6 (or 0, 2, 23)" in refused(call)


def test_the_number_that_linux_has_for_inet6_is_another_family_on_windows() -> None:
    if sys.platform == "linux":
        assert any_family(10) == "inet6"
    else:
        refused(any_family, 10)


@pytest.mark.skipif(sys.platform == "win32", reason="there the numbers of this system are Windows'")
def test_the_rows_have_the_strings_whatever_the_family_is_given_as() -> None:
    for family in ("inet6", socket.AF_INET6, 23):
        assert {row.family for row in get_ip_interface_table(family)} <= {"inet6"}
    assert [type(row.family) for row in get_ip_interface_table(socket.AF_INET)][:1] in ([], [str])


# What an interface is known by


@pytest.mark.parametrize(
    ("luid", "word"),
    [
        (2, "an index goes by name: index=2"),
        (0x0006008001000000, 'luid="0006008001000000"'),
        (True, "bool"),
        (1.5, "float"),
        (b"0006008001000000", "bytes"),
        ([], "list"),
        ("eth0", "16 lower-case hexadecimal digits"),
        ("000600800100000A", "lower-case"),
        (" 006008001000000", "hexadecimal"),
        ("0006008001000000\n", "hexadecimal"),
    ],
)
def test_a_luid_of_the_wrong_type_is_refused_with_a_word_on_what_goes_where(luid: Any, word: str) -> None:
    for call in (
        lambda: get_if_entry2(luid),
        lambda: get_ip_interface_entry("inet", luid),
        lambda: get_ip_interface_entry("inet", luid, 1),
        lambda: get_unicast_ip_address_entry("192.0.2.1", luid),
        lambda: convert_interface_luid_to_index(luid),
        lambda: convert_interface_luid_to_alias(luid),
        lambda: convert_interface_luid_to_name(luid),
        lambda: convert_interface_luid_to_guid(luid),
    ):
        assert word in refused(call)


@pytest.mark.parametrize(
    ("index", "word"),
    [
        (True, "bool"),
        (False, "bool"),
        (1.5, "float"),
        (1.0, "float"),
        ("1", "a name to convert_interface_alias_to_luid"),
        ("eth0", "a name to convert_interface_alias_to_luid"),
        (b"1", "bytes"),
        (-1, "the first one is 1"),
        (1 << 32, "the last one 4294967295"),
        (10**30, "the last one 4294967295"),
    ],
)
def test_an_index_of_the_wrong_type_is_refused_with_a_word_on_what_goes_where(index: Any, word: str) -> None:
    for call in (
        lambda: get_if_entry2(index=index),
        lambda: get_ip_interface_entry("inet", None, index),
        lambda: get_unicast_ip_address_entry("192.0.2.1", index=index),
        lambda: convert_interface_index_to_luid(index),
    ):
        assert word in refused(call)


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("this one cannot be shown")


@pytest.mark.parametrize("value", [10**5000, -(10**5000), Unprintable()], ids=["large", "small", "unprintable"])
def test_what_python_cannot_write_is_refused_by_its_type(value: Any) -> None:
    for call in (
        lambda: get_if_entry2(value),
        lambda: get_if_entry2(index=value),
        lambda: get_ip_interface_table(value),
        lambda: get_unicast_ip_address_entry(value, LUID),
        lambda: convert_interface_alias_to_luid(value),
        lambda: convert_interface_guid_to_luid(value),
        lambda: notify_ip_interface_change("unspec", value),
    ):
        assert f"<{type(value).__name__}>" in refused(call)
    with pytest.raises(InvalidHandleError, match=f"<{type(value).__name__}>"):
        cancel_mib_change_notify2(value)


def test_an_index_of_the_wrong_type_is_refused_also_where_the_luid_counts() -> None:
    assert "float" in refused(get_if_entry2, LUID, 1.5)
    assert known_by(LUID, -1) == (LUID, None)


@pytest.mark.parametrize(("luid", "index"), [(None, None), (None, 0), ("0" * 16, None), ("0" * 16, 0)])
def test_nothing_names_no_interface(luid: Any, index: Any) -> None:
    assert "neither a LUID nor an index" in refused(get_if_entry2, luid, index)


def test_the_luid_zero_converts_to_nothing() -> None:
    assert "zero" in refused(convert_interface_luid_to_index, "0" * 16)


# Names, GUIDs and addresses


@pytest.mark.parametrize("name", [None, 1, b"eth0", "", "a\0b"])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    assert "alias" in refused(convert_interface_alias_to_luid, name)
    assert "name" in refused(convert_interface_name_to_luid, name)


GUID = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize("guid", [GUID, GUID.upper(), f"{{{GUID}}}", UUID(GUID)])
def test_a_guid_has_any_form_that_python_reads(guid: Any) -> None:
    assert checked_guid(guid) == GUID


@pytest.mark.parametrize("guid", [None, 7, "", "eth0", GUID[:-1], b"0123"])
def test_a_guid_that_is_none_is_refused(guid: Any) -> None:
    assert "GUID" in refused(convert_interface_guid_to_luid, guid)


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("192.0.2.1", ("inet", "192.0.2.1")),
        ("FE80::0:1", ("inet6", "fe80::1")),
        (ip_address("2001:db8::1"), ("inet6", "2001:db8::1")),
    ],
)
def test_an_address_is_known_in_each_of_its_forms(address: Any, known: tuple[str, str]) -> None:
    assert checked_address(address) == known


@pytest.mark.parametrize("address", [None, 1, b"\x7f\0\0\1", "", "192.0.2.1/24", "fe80::1%eth0", "eth0", "192.0.2.256"])
def test_an_address_that_is_none_is_refused(address: Any) -> None:
    assert "address" in refused(get_unicast_ip_address_entry, address, LUID)


# Callbacks


async def coroutine(*_: object) -> None: ...


async def async_generator(*_: object) -> AsyncIterator[None]:
    yield


def generator(*_: object) -> Iterator[None]:
    yield


class AsyncCall:
    async def __call__(self, *_: object) -> None: ...

    async def method(self, *_: object) -> None: ...

    @staticmethod
    async def static(*_: object) -> None: ...

    @classmethod
    async def of_class(cls, *_: object) -> None: ...


class GeneratorCall:
    def __call__(self, *_: object) -> Iterator[None]:
        yield


RUN_LATER = {
    "coroutine": coroutine,
    "async generator": async_generator,
    "generator": generator,
    "partial": functools.partial(coroutine, 1),
    "partial of a partial": functools.partial(functools.partial(coroutine, 1), 2),
    "partial of an async generator": functools.partial(async_generator),
    "async call": AsyncCall(),
    "partial of an async call": functools.partial(AsyncCall()),
    "method": AsyncCall().method,
    "static method": AsyncCall.static,
    "class method": AsyncCall.of_class,
    "generator call": GeneratorCall(),
}


@pytest.mark.parametrize("callback", RUN_LATER.values(), ids=RUN_LATER)
@pytest.mark.parametrize("register", [notify_ip_interface_change, notify_unicast_ip_address_change])
def test_a_callback_whose_call_runs_nothing_is_refused(register: Any, callback: Any) -> None:
    assert "nothing would run it" in refused(register, "unspec", callback)


@pytest.mark.parametrize("callback", [None, 3, "print", object()], ids=["None", "int", "str", "object"])
def test_a_callback_that_cannot_be_called_is_refused(callback: Any) -> None:
    assert "not callable" in refused(notify_ip_interface_change, "unspec", callback)


def test_a_coroutine_that_only_the_call_shows_is_not_refused() -> None:
    """Its first call reports it: see `test_a_coroutine_that_a_callback_returns_is_reported`."""
    from publisher.netioapi.arguments import check_callback

    check_callback(lambda *_: coroutine())
    check_callback(AsyncMock())
