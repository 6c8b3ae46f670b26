"""One connection to a broker, from CONNACK to its end, over paho-mqtt.

paho keeps what was not acknowledged and sends it again by itself after a reconnect, which would mix old messages into
a batch that the worker sends again. So a connection is never re-used: each has a client of its own, a clean start and
no memory.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import traceback
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from .bounded import MOST_BYTES_TAKEN, BoundedClient
from .errors import BrokerError, TakenOverError, connect_failure, no_answer, refused
from .inflight import WINDOW, InFlight, Refusal

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

    from ..messages import MqttMessage
    from ..options import MqttOptions

_NO_LIMIT = 1 << 28  # MQTT's own limit for one packet
_SESSION_TAKEN_OVER = 0x8E
_FAILURE = 0x80


class IncomingMessage(NamedTuple):
    """A received message."""

    topic: str
    payload: bytes
    retain: bool
    response_topic: str | None
    correlation: bytes | None


class Login(NamedTuple):
    """The client id and the login, with the contents of the files that the options name."""

    client_id: str
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None


class Connection:
    """One connection: `open` is called first, `close` or `drop` last, all methods on one thread.

    `on_message` and `on_lost` are called on paho's thread. `on_lost` is called once, and only for a connection that the
    broker accepted and that was not closed here.
    """

    def __init__(
        self,
        options: MqttOptions,
        login: Login,
        *,
        will: MqttMessage | None = None,
        on_message: Callable[[IncomingMessage], None],
        on_lost: Callable[[Connection, BrokerError], None] = lambda _connection, _error: None,
    ) -> None:
        self._options = options
        self._on_message = on_message
        self._on_lost = on_lost
        self._answered = threading.Event()
        self._refusal: str | None = None
        self._accepted = False
        self._closing = False
        self._detail = ""
        self._subscribed: SimpleQueue[tuple[int, list[ReasonCode]] | None] = SimpleQueue()
        self.broken: BrokerError | None = None
        self.most_bytes = _NO_LIMIT
        self._pipeline = InFlight(self._send, WINDOW, options.timeout)
        self._client = self._make_client(login, will)

    def open(self) -> None:
        """Connects, and returns when the broker has accepted; raises BrokerError, and leaves nothing open then."""
        server = self._options.server
        try:
            self._client.connect(server.host, server.port, self._options.keepalive, **self._connect_arguments())
        except (OSError, ValueError) as error:
            # paho does not close the socket of a WebSocket handshake that failed: its frames have the last reference.
            traceback.clear_frames(error.__traceback__)
            raise BrokerError(connect_failure(error, self._options)) from error
        self._client.loop_start()
        self._answered.wait(self._options.connect_timeout)
        if self._accepted and self.broken is None:
            # paho formats each packet for its log when there is one; the log is needed for failures to connect only.
            self._client.on_log = None
            return
        self.drop()
        raise BrokerError(self._refusal or no_answer(self._detail, self._options))

    def put(self, message: MqttMessage, tag: int | None = None) -> None:
        """Sends a message with QoS 1, in order; `flush` waits for it. Raises BrokerError."""
        self._pipeline.put(message, tag)

    def flush(self) -> list[Refusal]:
        """Waits until the broker has everything; returns the refused messages (MQTT 5). Raises BrokerError."""
        return self._pipeline.flush()

    def last_refusal(self) -> Refusal | None:
        """Returns the last refusal: some brokers end the connection over it."""
        self._pipeline.take_refusals()
        return self._pipeline.last_refusal

    def subscribe(self, topic_filter: str, qos: int = 0) -> str | None:
        """Subscribes; returns `None`, or the broker's reason to refuse. Raises BrokerError."""
        result, mid = self._client.subscribe(topic_filter, qos=qos)
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise self.broken or BrokerError("the connection is lost")
        for code in self._codes_for(mid):
            if code.value >= _FAILURE:
                return code.getName()
        return None

    def unsubscribe(self, topic_filter: str) -> None:
        """Ends a subscription; does not wait for the broker."""
        self._client.unsubscribe(topic_filter)

    def close(self) -> None:
        """Disconnects, so that the broker does not send the will; call `flush` before."""
        self._closing = True
        if self.broken is None and self._client.disconnect() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._answered.clear()
            self._answered.wait(min(2.0, self._options.timeout))
        self.drop()

    def drop(self) -> None:
        """Ends the connection at once, with messages on their way; afterwards no thread and no socket is left."""
        self._closing = True
        self._client.drop_out_messages()
        if connected := self._client.socket():
            # paho's thread sees the end of the stream and ends; else it would wait for what it still has to send.
            with contextlib.suppress(OSError):
                _raw(connected).shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()

    def _make_client(self, login: Login, will: MqttMessage | None) -> Client:
        mqtt5 = self._options.protocol == "5"
        server = self._options.server
        client = BoundedClient(
            CallbackAPIVersion.VERSION2,
            client_id=login.client_id,
            clean_session=None if mqtt5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if mqtt5 else MQTTProtocolVersion.MQTTv311,
            transport="websockets" if server.websockets else "tcp",
            reconnect_on_failure=False,
        )
        client.connect_timeout = self._options.connect_timeout
        client.max_inflight_messages_set(0)
        if login.username is not None:
            client.username_pw_set(login.username, login.password)
        if login.tls is not None:
            client.tls_set_context(login.tls)
        if server.websockets:
            client.ws_set_options(path=server.path)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_connect, client.on_disconnect, client.on_message = self._connected, self._disconnected, self._received
        client.on_publish, client.on_subscribe = self._pipeline.acknowledged, self._granted
        client.on_socket_open, client.on_log = _without_delay, self._logged
        return client

    def _connect_arguments(self) -> dict[str, Any]:
        if self._options.protocol != "5":
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
        properties.MaximumPacketSize = MOST_BYTES_TAKEN
        return {"clean_start": True, "properties": properties}

    def _send(self, message: MqttMessage) -> int:
        sent = self._client.publish(message.topic, message.payload, 1, message.retain, message.properties)
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self.broken or BrokerError(f"the connection is lost ({sent.rc.name})")
        return sent.mid

    def _codes_for(self, mid: int) -> list[ReasonCode]:
        while True:
            try:
                answer = self._subscribed.get(timeout=self._options.timeout)
            except Empty:
                raise BrokerError(f"the broker did not answer a subscription for {self._options.timeout:g} s") from None
            if answer is None:
                raise self.broken or BrokerError("the connection is lost")
            if answer[0] == mid:
                return answer[1]

    # What follows runs on paho's thread.

    def _connected(
        self, _client: Client, _userdata: object, _flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._refusal = refused(code.value, code.getName(), self._options)
        else:
            self._refusal = self._take_limits(properties)
            self._accepted = self._refusal is None
        self._answered.set()

    def _take_limits(self, properties: Properties | None) -> str | None:
        """Takes the broker's limits (MQTT 5, 3.2.2.3); returns the reason when they are too narrow."""
        limits = properties.__dict__ if properties is not None else {}
        self._pipeline.limit(limits.get("ReceiveMaximum", WINDOW))
        self.most_bytes = limits.get("MaximumPacketSize", _NO_LIMIT)
        if limits.get("MaximumQoS", 1) < 1:
            return f"{self._options.server.name}: the broker has no QoS 1"
        if not limits.get("RetainAvailable", 1):
            return f"{self._options.server.name}: the broker keeps no retained messages"
        return None

    def _disconnected(
        self, _client: Client, _userdata: object, flags: DisconnectFlags, code: ReasonCode, _properties: object
    ) -> None:
        if flags.is_disconnect_packet_from_server and code.value == _SESSION_TAKEN_OVER:
            error: BrokerError = TakenOverError("another client connected with our client id")
        else:
            error = BrokerError(f"the connection to {self._options.server.name} is lost: {code.getName()}")
        self.broken = self.broken or error
        self._pipeline.broke(self.broken)
        self._subscribed.put(None)
        self._answered.set()
        if self._accepted and not self._closing:
            self._closing = True
            self._on_lost(self, error)

    def _granted(
        self, _client: Client, _userdata: object, mid: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        self._subscribed.put((mid, codes))

    def _received(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        properties = message.properties.__dict__ if message.properties is not None else {}
        try:
            topic = message.topic
        except UnicodeDecodeError:  # not a topic of ours
            return
        self._on_message(
            IncomingMessage(
                topic,
                bytes(message.payload),
                message.retain,
                properties.get("ResponseTopic"),
                properties.get("CorrelationData"),
            )
        )

    def _logged(self, _client: Client, _userdata: object, level: int, text: str) -> None:
        # The first error: later ones only report that there is no connection.
        if level == LogLevel.MQTT_LOG_ERR and not self._detail and self.broken is None:
            self._detail = text


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
