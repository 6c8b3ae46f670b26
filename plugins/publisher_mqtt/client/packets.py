"""PUBLISH packets of MQTT 3.1.1 and 5, as bytes.

paho's `publish` makes a message with its locks, an entry of a queue and a table of properties for each message: twice
as much work as the rest of ours (docs/mqtt.md). A packet is four fields behind one another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .properties import NO_PROPERTIES, TWO_BYTES, variable_byte_integer

if TYPE_CHECKING:
    from ..messages import MqttMessage

# MQTT 5, 3.3.1, with QoS 1.
_PUBLISH, _PUBLISH_RETAINED = b"\x32", b"\x33"


def publish_packet(message: MqttMessage, identifier: int, *, has_properties: bool) -> bytes:
    """Returns the packet that publishes a message with QoS 1; MQTT 5 has properties, MQTT 3.1.1 has none."""
    topic, payload = message.topic.encode(), message.payload
    properties = (message.properties or NO_PROPERTIES) if has_properties else b""
    return b"".join(
        (
            _PUBLISH_RETAINED if message.retain else _PUBLISH,
            variable_byte_integer(4 + len(topic) + len(properties) + len(payload)),
            TWO_BYTES(len(topic)),
            topic,
            TWO_BYTES(identifier),
            properties,
            payload,
        )
    )


def packet_bytes(message: MqttMessage, *, has_properties: bool) -> int:
    """Returns the size of the packet that publishes a message."""
    return len(publish_packet(message, 1, has_properties=has_properties))
