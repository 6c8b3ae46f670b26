"""Bytes that Windows writes: the structures of iphlpapi, and the rows that are made of them."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import ValidationError

from publisher.sources.windows import rows, structures

_NOW = datetime(2026, 11, 26, tzinfo=UTC)
_LARGEST = 4096
S = TypeVar("S", bound=ctypes.Structure)


def _filled(kind: type[S], data: bytes, offset: int) -> S:
    return kind.from_buffer_copy(data[offset:].ljust(ctypes.sizeof(kind), b"\0"))


def structures_of(data: bytes) -> None:
    """Makes rows of the bytes as each structure; raises pydantic's ValidationError, as for a family of no name."""
    offset, errors = 0, []
    for make in (
        lambda: rows.ip_interface_row(_filled(structures.MibIpInterfaceRow, data, offset)),
        lambda: rows.interface(_filled(structures.MibIfRow2, data, offset)),
        lambda: rows.address(_filled(structures.MibUnicastIpAddressRow, data, offset), _NOW),
        lambda: rows.default_route(_filled(structures.MibIpForwardRow2, data, offset), 25),
    ):
        try:
            make()
        except ValidationError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def seeds() -> Iterator[bytes]:
    chance = random.Random(1)
    yield bytes(2000)
    yield b"\x02\0\0\0" + bytes(2000)
    yield b"\x17\0\0\0" + chance.randbytes(2000)
    row = structures.MibIfRow2()
    row.Alias[:4] = [ord(letter) for letter in "eth0"]
    row.PhysicalAddressLength = 6
    yield bytes(row)


ERRORS = (ValidationError,)
