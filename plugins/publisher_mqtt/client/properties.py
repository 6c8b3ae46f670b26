"""MQTT 5 properties of a message, as bytes.

paho's `Properties` builds a table of all property types for each object: 30 µs a message, as much as sending it.
paho calls only `pack()` of them, so that bytes which were made once for each kind of message are enough.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

if TYPE_CHECKING:
    from ..messages import MqttMessage

# MQTT 5, 2.2.2.2
_MESSAGE_EXPIRY, _CONTENT_TYPE, _CORRELATION_DATA, _USER_PROPERTY = b"\x02", b"\x03", b"\x09", b"\x26"


class Packed(Properties):
    """The properties of a PUBLISH, as bytes."""

    packed: bytes

    def __init__(self, packed: bytes) -> None:
        # Not the base class's __init__ and __setattr__: they take most of the time.
        object.__setattr__(self, "packed", packed)

    def pack(self) -> bytes:
        return self.packed

    def __str__(self) -> str:
        unpacked = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
        unpacked.unpack(self.packed)  # type: ignore[no-untyped-call]  # paho's
        return str(unpacked)


def pack(
    *,
    content_type: str | None = None,
    user: Iterable[tuple[str, str]] = (),
    expiry: int | None = None,
    correlation: bytes | None = None,
) -> Packed:
    """Returns the properties of one message; `expiry` in seconds."""
    body = b"".join(_USER_PROPERTY + _text(name) + _text(value) for name, value in user)
    if content_type is not None:
        body += _CONTENT_TYPE + _text(content_type)
    if expiry is not None:
        body += _MESSAGE_EXPIRY + struct.pack("!I", expiry)
    if correlation is not None:
        body += _CORRELATION_DATA + _binary(correlation)
    return Packed(_variable_byte_integer(len(body)) + body)


def packet_bytes(message: MqttMessage, *, with_properties: bool) -> int:
    """Returns the bytes of the PUBLISH packet (QoS 1) of a message; MQTT 5 has properties, MQTT 3.1.1 none."""
    properties = 0
    if with_properties:
        properties = 1 if message.properties is None else len(message.properties.packed)
    # MQTT 5, 3.3: the topic with its length, the packet identifier, properties, payload.
    length = 2 + len(message.topic.encode()) + 2 + properties + len(message.payload)
    return 1 + len(_variable_byte_integer(length)) + length


def _text(value: str) -> bytes:
    return _binary(value.encode())


def _binary(value: bytes) -> bytes:
    return struct.pack("!H", len(value)) + value


def _variable_byte_integer(value: int) -> bytes:
    """Encodes an integer as MQTT 5, 1.5.5: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        encoded.append(low | 0x80 if value else low)
        if not value:
            return bytes(encoded)
