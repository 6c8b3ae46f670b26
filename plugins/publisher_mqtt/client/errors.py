"""What stands in the way of a connection, in one line for people."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from publisher import PublisherError

if TYPE_CHECKING:
    from ..options import MqttOptions

# OpenSSL's x509_vfy.h
_EXPIRED, _NOT_YET_VALID, _HOSTNAME_MISMATCH, _IP_MISMATCH = 10, 9, 62, 64
# MQTT 5, 3.2.2.2; paho gives the codes of 3.1.1 as these too.
_CONNACK_HINTS = {
    0x84: 'the broker does not speak this version of MQTT: try protocol = "3.1.1"',
    0x85: "the broker does not accept the client id: set client_id",
    0x86: "wrong user name or password",
    0x87: "the broker does not let this user in: wrong user name or password, or no permission",
    0x88: "the broker says that it is unavailable",
    0x89: "the broker says that it is busy",
    0x8A: "this client is banned by the broker",
    0x8C: "the broker wants another way of authentication",
    0x9C: "the broker says to use another server",
    0x9D: "the broker says that it has moved",
}


class BrokerError(PublisherError):
    """The broker cannot be reached or refuses us, or the connection is lost."""


class TakenOverError(BrokerError):
    """Another client came with our client id (MQTT 5 tells it)."""


def connect_failure(error: Exception, options: MqttOptions) -> str:
    """Why TCP, TLS or the WebSocket handshake failed."""
    server = options.server
    match error:
        case ssl.SSLCertVerificationError():
            return f"{server.name}: {_certificate(error, server.host)}"
        case ssl.SSLError():
            return f"{server.name}: {_tls(error)}"
        case socket.gaierror():
            return f"wrong host: {server.host} cannot be resolved ({error.strerror})"
        case ConnectionRefusedError():
            return f"wrong port or no broker: nothing listens on {server.name}"
        case TimeoutError():
            return (
                f"{server.name} did not answer within {options.connect_timeout:g} s: wrong host or port, or a firewall"
            )
        case ConnectionError() if server.tls:
            return f"{server.name} hangs up: no TLS is spoken there, so wrong port, or mqtt:// (ws://) is meant"
        case ConnectionError() if server.websockets:
            return f"{server.name} speaks no MQTT over WebSockets at {server.path}: wrong port or path"
        case _:
            return f"{server.name}: {error}"


def _certificate(error: ssl.SSLCertVerificationError, host: str) -> str:
    match error.verify_code:
        case code if code == _EXPIRED:
            return "the broker's certificate has expired"
        case code if code == _NOT_YET_VALID:
            return "the broker's certificate is not valid yet: compare the clocks"
        case code if code in (_HOSTNAME_MISMATCH, _IP_MISMATCH):
            return f"the broker's certificate has the wrong host name: it is not for {host}"
        case _:
            return f"the broker's certificate is untrusted ({error.verify_message}): set ca_file to its authority"


def _tls(error: ssl.SSLError) -> str:
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return "no TLS is spoken there: wrong port, or mqtt:// (ws://) is meant"
    return f"TLS failed: {error.reason or error}"


def no_answer(detail: str, options: MqttOptions) -> str:
    """Why a connection ended, or stayed silent, before the broker accepted it."""
    server = options.server
    if "CERTIFICATE_REQUIRED" in detail.upper().replace(" ", "_"):
        return f"{server.name} wants a client certificate: set cert_file and key_file"
    if "ALERT" in detail.upper():
        return f"{server.name} refuses the client certificate: {detail}"
    if server.tls:
        # With TLS 1.3 the handshake is over before the broker looks at the certificate, and it may just hang up.
        certificate = (
            "refuses the client certificate" if options.cert_file else "wants a client certificate (cert_file)"
        )
        return f"{server.name} hangs up or is silent: wrong port, or it {certificate}"
    return f"{server.name} does not answer as an MQTT broker: wrong port, or it wants TLS (mqtts://)"


def refused(code: int, name: str, options: MqttOptions) -> str:
    """Why the broker refused the connection (CONNACK)."""
    return f"{options.server.name}: {_CONNACK_HINTS.get(code, 'the broker refuses: ' + name)}"
