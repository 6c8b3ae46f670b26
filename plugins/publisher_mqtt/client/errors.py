"""Errors of connections, each with one line for people."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from publisher import PublisherError

from . import reason_codes
from .reason_codes import FAILURE, reason_for

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

    from ..messages import MqttMessage
    from ..options import MqttOptions

# OpenSSL's x509_vfy.h
_EXPIRED, _NOT_YET_VALID, _HOSTNAME_MISMATCH, _IP_MISMATCH = 10, 9, 62, 64


class BrokerError(PublisherError):
    """The broker cannot be reached or refuses the client, or the connection is lost."""


class NoAnswerError(BrokerError):
    """The broker was reached, and gave no CONNACK or does not speak this version of MQTT: another one may work.

    `silent` is True when the connection did not end: then each attempt takes the whole time.
    """

    def __init__(self, reason: str, *, silent: bool) -> None:
        super().__init__(reason)
        self.silent = silent


class TakenOverError(BrokerError):
    """Another client connected with our client id (only MQTT 5 reports it)."""


def connect_failure(error: Exception, options: MqttOptions) -> str:
    """Returns the reason why TCP, TLS or the WebSocket handshake failed."""
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
            return f"{server.name} ends the connection: it does not speak TLS; use its TLS port, or mqtt:// (ws://)"
        case ConnectionError() if server.websockets:
            return f"{server.name} does not speak MQTT over WebSockets at {server.path}: wrong port or path"
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
        return "it does not speak TLS: use its TLS port, or mqtt:// (ws://)"
    return f"TLS failed: {error.reason or error}"


def no_answer(detail: str, options: MqttOptions) -> str:
    """Returns the reason why a connection ended, or stayed silent, before the broker accepted it."""
    server = options.server
    if "CERTIFICATE_REQUIRED" in detail.upper().replace(" ", "_"):
        return f"{server.name} wants a client certificate: set cert_file and key_file"
    if "ALERT" in detail.upper():
        return f"{server.name} refuses the client certificate: {detail}"
    if server.tls:
        # With TLS 1.3 the handshake is over before the broker reads the certificate, and it may just disconnect.
        certificate = (
            "refuses the client certificate" if options.cert_file else "wants a client certificate (cert_file)"
        )
        return f"{server.name} ends the connection or is silent: wrong port, or it {certificate}"
    version = "" if options.protocol == "auto" else f", or it does not speak MQTT {options.protocol}"
    return f"{server.name} does not answer as an MQTT broker: wrong port, or it wants TLS (mqtts://){version}"


def lost(code: ReasonCode, options: MqttOptions, *, by_broker: bool) -> str:
    """Returns the reason why a connection ended. Without a word of the broker, the code is what paho made of it."""
    place = f"the connection to {options.server.name} is lost"
    if by_broker:
        # 0x80 is no reason: "Unspecified error".
        word = "without a reason; its log may have one" if code.value == FAILURE else f"({code.getName()})"
        return f"{place}: the broker ended it {word}"
    match code.value:
        case reason_codes.KEEPALIVE_TIMEOUT:
            return f"{place}: the broker does not answer; it hangs, or the network is down"
        case reason_codes.PROTOCOL_ERROR:
            return f"{place}: what came is not MQTT"
        case _:
            return f"{place}: the broker or the network ended it; the broker's log may say why"


def refused(code: int, name: str, options: MqttOptions, will: MqttMessage | None) -> str:
    """Returns the reason why the broker refused the connection (CONNACK)."""
    hint = reason_for(code).hint or f"the broker refuses: {name}"
    shown = {"keepalive": options.keepalive, "will": will.topic if will else "none", "login": _refused_login(options)}
    return f"{options.server.name}: {hint.format(**shown)}"


def _refused_login(options: MqttOptions) -> str:
    user = options.user
    if user is None:
        return "the broker does not accept a connection without a user: set username and password_file"
    return f"the broker does not accept the user {user!r}: wrong user name or password"


def will_refused(options: MqttOptions, will: MqttMessage) -> str:
    """Returns the reason why the broker ends each connection with a will, and accepts one without."""
    return (
        f"{options.server.name} ends each connection whose will has the topic {will.topic}: it does not take this name "
        "(NATS before 2.10 takes no dots and spaces), or its access control refuses it; set another node or base"
    )
