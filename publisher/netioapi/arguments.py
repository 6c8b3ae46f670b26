"""The arguments of the calls: what is accepted, and the error for what is not. Pure."""

from __future__ import annotations

import functools
import inspect
import re
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, TypeGuard, cast, get_args
from uuid import UUID

from ..errors import InvalidParameterError
from ..events import Family
from ..sources import Families
from .system import refusal

FamilyNumber = int
"""`socket.AF_UNSPEC`, `AF_INET` or `AF_INET6` of this system, or Windows' number of it: 0, 2 or 23."""

# AF_UNSPEC and AF_INET are 0 and 2 on both systems. AF_INET6 is 23 on Windows and 10 on Linux: the number of this
# system is one, and so is Windows', which its documentation gives. Linux' 10 is another family on Windows.
_FAMILIES: dict[int, Families] = {0: "unspec", 2: "inet", 23: "inet6", int(socket.AF_INET6): "inet6"}
_LUID = re.compile("[0-9a-f]{16}")
_LARGEST_INDEX = 0xFFFF_FFFF


def shown(value: object) -> str:
    """Returns the argument for a message; its type where Python cannot write it, as an int of 5,000 digits."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a `__repr__` may be the caller's own
        return f"<{type(value).__name__}>"


def invalid(what: str) -> InvalidParameterError:
    """Returns the error for an argument."""
    return refusal(InvalidParameterError, what)


def any_family(family: object) -> Families:
    """Returns the name of a family; raises InvalidParameterError for any but the three."""
    if isinstance(family, str) and family in get_args(Families):
        return cast("Families", str(family))
    if is_integer(family) and family in _FAMILIES:
        return _FAMILIES[family]
    names = ", ".join(repr(name) for name in get_args(Families))
    numbers = "socket.AF_UNSPEC, AF_INET and AF_INET6 (or 0, 2, 23)"
    raise invalid(f"the family {shown(family)} is none of {names}; their numbers are {numbers}")


def one_family(family: object) -> Family:
    """Returns the name of one family; raises InvalidParameterError for any but "inet" and "inet6"."""
    name = any_family(family)
    if name == "unspec":
        raise invalid(f"a row is of one family, and {shown(family)} is all: give 'inet' or 'inet6'")
    return name


def is_integer(value: object) -> TypeGuard[int]:
    """Returns whether the value is a whole number; True, which is 1 for Python, is none here."""
    return isinstance(value, int) and not isinstance(value, bool)


def checked_luid(luid: object) -> str:
    """Returns a LUID that is not zero."""
    _check_luid(luid)
    assert isinstance(luid, str)
    if not int(luid, 16):
        raise invalid("the LUID is zero, and no interface has that")
    return str(luid)


def checked_index(index: object) -> int:
    """Returns the index of an interface."""
    _check_index(index)
    assert isinstance(index, int)
    if not 0 < index <= _LARGEST_INDEX:
        raise invalid(f"the index {shown(index)} is none: the first one is 1, the last one {_LARGEST_INDEX}")
    return int(index)


def known_by(luid: object, index: object) -> tuple[str | None, int | None]:
    """Returns the LUID, or the index if the LUID is missing or zero, as nf-netioapi-getipinterfaceentry documents."""
    if luid is not None:
        _check_luid(luid)
    if index is not None:
        _check_index(index)
    if isinstance(luid, str) and int(luid, 16):
        return str(luid), None
    if not index:
        raise invalid(f"neither a LUID nor an index names an interface: {shown(luid)}, {shown(index)}")
    return None, checked_index(index)


def _check_luid(luid: object) -> None:
    if is_integer(luid):
        is_luid = _LARGEST_INDEX < luid < 1 << 64
        help_ = f'luid="{luid:016x}", if it is one as a number' if is_luid else f"index={shown(luid)}"
        raise invalid(f"the LUID {shown(luid)} is a number; an index goes by name: {help_}")
    if not isinstance(luid, str):
        raise invalid(f"the LUID {shown(luid)} is of type {type(luid).__name__}: give 16 hexadecimal digits as a str")
    if not _LUID.fullmatch(luid):
        raise invalid(f"the LUID {shown(luid)} is not 16 lower-case hexadecimal digits")


def _check_index(index: object) -> None:
    if isinstance(index, str):
        raise invalid(f"the index {shown(index)} is a str: give an int, or a name to convert_interface_alias_to_luid")
    if not is_integer(index):
        raise invalid(f"the index {shown(index)} is of type {type(index).__name__}: give an int")


def checked_name(what: str, name: object) -> str:
    """Returns a name that an interface may have; `what` is the kind of name."""
    if not isinstance(name, str):
        raise invalid(f"the {what} {shown(name)} is of type {type(name).__name__}: give a str")
    if not name or "\0" in name:
        raise invalid(f"the {what} {shown(name)} is none that an interface can have")
    return str(name)


def checked_guid(guid: object) -> str:
    """Returns a GUID as `uuid.UUID` writes it; with or without braces, or a `uuid.UUID`."""
    if isinstance(guid, UUID):
        return str(guid)
    try:
        return str(UUID(checked_name("GUID", guid)))
    except ValueError as error:
        raise invalid(f"the GUID {shown(guid)} has not the form 01234567-89ab-cdef-0123-456789abcdef") from error


def checked_address(address: object) -> tuple[Family, str]:
    """Returns an IP address as the rows have it, after its family."""
    try:
        parsed = ip_address(str(checked_name("address", address) if not hasattr(address, "packed") else address))
    except ValueError as error:
        raise invalid(
            f"the address {shown(address)} is no IP address; it has no prefix length and no zone here"
        ) from error
    if getattr(parsed, "scope_id", None):
        raise invalid(f"the address {shown(address)} has a zone: name the interface by its LUID or index instead")
    return ("inet6" if parsed.version == 6 else "inet"), str(parsed)


def check_callback(callback: Callable[..., Any]) -> None:
    """Raises InvalidParameterError for what cannot be called, or whose call alone runs none of its code."""
    if not callable(callback):
        raise invalid(f"the callback {shown(callback)} is not callable")
    if _runs_later(callback):
        raise invalid(
            f"the callback {shown(callback)} is a coroutine or a generator function, and nothing would run it: give "
            "a plain function, for example one that calls loop.call_soon_threadsafe"
        )


def _runs_later(callback: Callable[..., Any]) -> bool:
    while isinstance(callback, functools.partial):
        callback = callback.func
    # A class is called for its instances; anything else that is no function, for its class' __call__.
    called = callback if inspect.isroutine(callback) or inspect.isclass(callback) else type(callback).__call__
    return any(
        of_kind(called)
        for of_kind in (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    )
