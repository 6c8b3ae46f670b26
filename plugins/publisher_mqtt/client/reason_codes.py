"""Reason codes of MQTT 5, and their meaning for a message or a connection that the broker refuses."""

from __future__ import annotations

from typing import Literal, NamedTuple

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

# Reason codes of MQTT 5 (2.4); paho gives the codes of MQTT 3.1.1 as these too.
# "again": the broker may take the same packet later. "permission": somebody has to change its access control, and
# nothing is lost until then. "never": the same packet would be refused again.
Meaning = Literal["again", "permission", "never"]

FAILURE = 0x80
PROTOCOL_ERROR = 0x82
UNSUPPORTED_VERSION = 0x84
KEEPALIVE_TIMEOUT = 0x8D
SESSION_TAKEN_OVER = 0x8E
TOO_LARGE = 0x95
# Not on the wire: the broker ended connections over the message, which is logged where that was found (suspects.py).
HUNG_UP = 0x100


class Reason(NamedTuple):
    """The meaning of a reason code, and a hint for the person who reads it in a refused connection."""

    meaning: Meaning
    hint: str = ""


_REASONS: dict[int, Reason] = {
    0x80: Reason("again"),
    0x81: Reason("never", "the broker takes the packet for malformed"),
    PROTOCOL_ERROR: Reason("never", "the broker takes the packet for a protocol error"),
    0x83: Reason("again"),
    UNSUPPORTED_VERSION: Reason("never", 'the broker does not speak this version of MQTT: set protocol = "auto"'),
    0x85: Reason("never", "the broker does not accept the client id, or a keepalive of {keepalive} s: set client_id"),
    0x86: Reason("permission", "{login}"),
    0x87: Reason("permission", "{login}, or no permission"),
    0x88: Reason("again", "the broker reports that it is unavailable"),
    0x89: Reason("again", "the broker reports that it is busy"),
    0x8A: Reason("permission", "the broker has banned this client"),
    0x8B: Reason("again", "the broker is shutting down"),
    0x8C: Reason("never", "the broker expects another method of authentication"),
    KEEPALIVE_TIMEOUT: Reason("again"),
    SESSION_TAKEN_OVER: Reason("again"),
    0x8F: Reason("never", "the broker does not accept the topic filter"),
    0x90: Reason("never", "the broker does not accept the topic of the will, {will}: set another node or base"),
    0x91: Reason("again"),
    0x92: Reason("again"),
    0x93: Reason("again"),
    0x94: Reason("never"),
    TOO_LARGE: Reason("never", "the broker does not take a packet of this size"),
    0x96: Reason("again", "the broker reports too many messages"),
    0x97: Reason("again", "the broker reports that a quota is exceeded"),
    0x98: Reason("again", "the broker's administrator ended the connection"),
    0x99: Reason("never", "the broker does not accept the format of the will"),
    0x9A: Reason("never", "the broker keeps no retained messages"),
    0x9B: Reason("never", "the broker has no QoS 1"),
    0x9C: Reason("again", "the broker asks to use another server"),
    0x9D: Reason("never", "the broker has moved to another server"),
    0x9E: Reason("never"),
    0x9F: Reason("again", "the broker reports too many connections"),
    0xA0: Reason("again"),
    0xA1: Reason("never"),
    0xA2: Reason("never", "the broker does not accept wildcards in a subscription"),
    HUNG_UP: Reason("never"),
}


def reason_for(code: int) -> Reason:
    """Returns the meaning of this code; an unknown one may be another later."""
    return _REASONS.get(code, Reason("again"))


def name_of(code: int) -> str:
    """Returns the name of a reason code of a PUBACK."""
    try:
        return ReasonCode(PacketTypes.PUBACK, identifier=code).getName()
    except KeyError:
        return f"reason code {code:#04x}"
