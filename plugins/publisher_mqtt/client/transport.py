"""The paho client of one connection: TCP, TLS and WebSocket handshake have one deadline together."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from .bounded import BoundedClient

if TYPE_CHECKING:
    from paho.mqtt.client import Client

    from ..messages import MqttMessage
    from ..options import MqttOptions
    from .login import Login

# A WebSocket handshake's answer is some hundred bytes; paho 2.2.0 reads header lines without end.
_MOST_HANDSHAKE_BYTES = 16 * 1024


class HandshakeLimit:
    """The limits of a handshake: `recv` keeps them until the socket is set to non-blocking, as paho does after it."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._bytes = 0

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; raises TimeoutError after it."""
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        return seconds

    def count(self, data: bytes) -> bytes:
        """Returns the data that was received; raises ConnectionError when a handshake cannot be so long."""
        self._bytes += len(data)
        if self._bytes > _MOST_HANDSHAKE_BYTES:
            raise ConnectionError(f"more than {_MOST_HANDSHAKE_BYTES} bytes of a WebSocket handshake")
        return data


class LimitedSocket(socket.socket):
    """A socket whose handshake is limited. Only for WebSockets: TLS has a deadline of its own."""

    limit: HandshakeLimit | None = None

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self.limit is None:
            return super().recv(size, flags)
        self.settimeout(self.limit.remaining)
        return self.limit.count(super().recv(size, flags))

    def setblocking(self, flag: bool) -> None:
        self.limit = None
        super().setblocking(flag)


class LimitedClient(BoundedClient):
    """paho's client with one time limit for all of a handshake: paho's own is one for each byte."""

    def _create_socket_connection(self) -> socket.socket:
        limit = HandshakeLimit(self._connect_timeout)
        if self._get_proxy() is None:
            connected = _connect(self._host, self._port, limit)
        else:
            connected = super()._create_socket_connection()
        if self._transport == "websockets" and not self._ssl:
            plain = LimitedSocket(connected.family, connected.type, connected.proto, connected.detach())
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
    client.max_inflight_messages_set(0)
    if login.username is not None:
        client.username_pw_set(login.username, login.password)
    if login.tls is not None:
        client.tls_set_context(login.tls)
    if server.websockets:
        client.ws_set_options(path=server.path)
    if will is not None:
        client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
    client.on_socket_open = _without_delay
    return client


def shut_down(client: Client) -> None:
    """Ends the stream: paho's thread sees it and ends; else it would wait for what it still has to send."""
    if connected := client.socket():
        with contextlib.suppress(OSError):
            _raw(connected).shutdown(socket.SHUT_RDWR)


def _without_delay(_client: Client, _userdata: object, connected: Any) -> None:
    """Sets TCP_NODELAY: without it a message waits up to 40 ms for the acknowledgement of the one before."""
    _raw(connected).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _raw(connected: Any) -> socket.socket:
    """Returns the socket itself, also below paho's WebSocket, which has no such methods."""
    # Not by the file descriptor: paho's thread may close it meanwhile, and another thread may open the same number.
    inner = connected if isinstance(connected, socket.socket) else connected._socket
    if not isinstance(inner, socket.socket):
        raise TypeError(f"expected a socket, not {inner!r}")
    return inner
