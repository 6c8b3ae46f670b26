"""PUBLISH packets of MQTT 3.1.1 and 5, as bytes.

paho's `publish` makes a message with its locks, an entry of a queue and a table of properties for each message: twice
as much work as the rest of ours (docs/mqtt.md). A packet is four fields behind one another.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..messages import MqttMessage

# MQTT 5, 3.3.1, with QoS 1.
_PUBLISH, _PUBLISH_RETAINED = b"\x32", b"\x33"
# MQTT 5, 2.2.2.2
_MESSAGE_EXPIRY, _CONTENT_TYPE, _CORRELATION_DATA, _USER_PROPERTY = b"\x02", b"\x03", b"\x09", b"\x26"
_NO_PROPERTIES = b"\x00"
_NUMBER = struct.Struct("!H").pack


def publish_packet(message: MqttMessage, identifier: int, *, has_properties: bool) -> bytes:
    """Returns the packet that publishes a message with QoS 1; MQTT 5 has properties, MQTT 3.1.1 has none."""
    topic, payload = message.topic.encode(), message.payload
    properties = (message.properties or _NO_PROPERTIES) if has_properties else b""
    return b"".join(
        (
            _PUBLISH_RETAINED if message.retain else _PUBLISH,
            _variable_byte_integer(4 + len(topic) + len(properties) + len(payload)),
            _NUMBER(len(topic)),
            topic,
            _NUMBER(identifier),
            properties,
            payload,
        )
    )


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
    return _variable_byte_integer(len(body)) + body


def packet_bytes(message: MqttMessage, *, has_properties: bool) -> int:
    """Returns the size of the packet that publishes a message."""
    return len(publish_packet(message, 1, has_properties=has_properties))


def _text(value: str) -> bytes:
    return _binary(value.encode())


def _binary(value: bytes) -> bytes:
    return _NUMBER(len(value)) + value


def _variable_byte_integer(value: int) -> bytes:
    """Encodes an integer as MQTT 5, 1.5.5: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
