"""Properties of PUBLISH packets of MQTT 5, as bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterable

NO_PROPERTIES = b"\x00"
TWO_BYTES = struct.Struct("!H").pack
# MQTT 5, 2.2.2.2
_MESSAGE_EXPIRY, _CONTENT_TYPE, _CORRELATION_DATA, _USER_PROPERTY = b"\x02", b"\x03", b"\x09", b"\x26"


def packed_properties(
    *,
    content_type: str | None = None,
    user: Iterable[tuple[str, str]] = (),
    expiry: int | None = None,
    correlation: bytes | None = None,
) -> bytes:
    """Returns the properties of a PUBLISH (MQTT 5) with their length; `expiry` in seconds."""
    body = b""
    if expiry is not None:
        body += _MESSAGE_EXPIRY + struct.pack("!I", expiry)
    if content_type is not None:
        body += _CONTENT_TYPE + _text(content_type)
    if correlation is not None:
        body += _CORRELATION_DATA + _binary(correlation)
    body += b"".join(_USER_PROPERTY + _text(name) + _text(value) for name, value in user)
    return variable_byte_integer(len(body)) + body


def _text(value: str) -> bytes:
    return _binary(value.encode())


def _binary(value: bytes) -> bytes:
    return TWO_BYTES(len(value)) + value


def variable_byte_integer(value: int) -> bytes:
    """Encodes an integer as MQTT 5, 1.5.5: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
