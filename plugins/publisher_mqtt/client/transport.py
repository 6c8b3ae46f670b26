"""The paho client of one connection: TCP, TLS and WebSocket handshake have one deadline together."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from .bounded import BoundedClient
from .sockets import BufferedSocket, HandshakeLimit, raw

if TYPE_CHECKING:
    from paho.mqtt.client import Client

    from ..messages import MqttMessage
    from ..options import MqttOptions
    from .login import Login


class LimitedClient(BoundedClient):
    """paho's client with one time limit for all of a handshake: paho's own is one for each byte."""

    def _create_socket_connection(self) -> socket.socket:
        limit = HandshakeLimit(self._connect_timeout)
        if self._get_proxy() is None:
            connected = _connect(self._host, self._port, limit)
        else:
            connected = super()._create_socket_connection()
        if not self._ssl:
            plain = BufferedSocket(connected.family, connected.type, connected.proto, connected.detach())
            # A WebSocket handshake follows; else paho sets the socket to non-blocking at once.
            plain.limit, connected = limit, plain
        # What is left is for the TLS handshake, whose timeout is one for all of it (CPython, Modules/_ssl.c), and for
        # the WebSocket handshake after it, whose `recv` keeps to what that socket had at the beginning.
        self._connect_timeout = limit.remaining
        return connected


def _connect(host: str, port: int, limit: HandshakeLimit) -> socket.socket:
    """Returns a connection to the first address of the host that accepts one."""
    failure: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connected = socket.socket(family, kind, protocol)
        try:
            connected.settimeout(limit.remaining)
            connected.connect(address)
        except OSError as error:
            connected.close()
            failure = error
        else:
            return connected
    raise failure or OSError(f"{host} has no address")


def make_client(options: MqttOptions, login: Login, protocol: str, will: MqttMessage | None) -> LimitedClient:
    """Returns a client that is not connected yet, and that never connects again by itself."""
    server, mqtt5 = options.server, protocol == "5"
    client = LimitedClient(
        CallbackAPIVersion.VERSION2,
        client_id=login.client_id,
        clean_session=None if mqtt5 else True,
        protocol=MQTTProtocolVersion.MQTTv5 if mqtt5 else MQTTProtocolVersion.MQTTv311,
        transport="websockets" if server.websockets else "tcp",
        reconnect_on_failure=False,
    )
    client.connect_timeout = options.connect_timeout
    if login.username is not None:
        client.username_pw_set(login.username, login.password)
    if login.tls is not None:
        client.tls_set_context(login.tls)
    if server.websockets:
        client.ws_set_options(path=server.path)
    if will is not None:
        client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
    return client


def shut_down(client: Client) -> None:
    """Ends the stream, and closes its socket."""
    if connected := client.socket():
        with contextlib.suppress(OSError):
            raw(connected).shutdown(socket.SHUT_RDWR)
        connected.close()


def set_without_delay(connected: Any) -> None:
    """Sets TCP_NODELAY: without it a message waits up to 40 ms for the acknowledgement of the one before."""
    raw(connected).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
