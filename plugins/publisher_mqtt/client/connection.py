"""One connection to a broker, from CONNACK to its end, over paho-mqtt.

paho keeps what was not acknowledged and sends it again by itself after a reconnect, which would mix old messages into
a batch that the worker sends again. So a connection is never re-used: each has a client of its own, a clean start and
no memory.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from paho.mqtt.enums import LogLevel, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from .acknowledgements import Acknowledgements, nothing
from .bounded import MOST_BYTES_TAKEN
from .errors import BrokerError, NoAnswerError, TakenOverError, connect_failure, lost, no_answer, refused
from .inflight import FIRST_IDENTIFIER, WINDOW, InFlight
from .loop import NetworkLoop
from .packets import packet_bytes, publish_packet
from .reason_codes import FAILURE, HUNG_UP, SESSION_TAKEN_OVER, TOO_LARGE, UNSUPPORTED_VERSION, Meaning, reason_for
from .refusals import Refusal
from .suspects import Outstanding, Suspects
from .transport import make_client, set_without_delay, shut_down

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

    from ..messages import MqttMessage
    from ..options import MqttOptions
    from .login import Login

_MOMENT_SECONDS = 5.0
# Those of paho stay below ours, also with what it unsubscribes from before it subscribes again.
_MOST_IDENTIFIERS = FIRST_IDENTIFIER - 1000
_QUIET_SHARE = 0.2
_NO_LIMIT = 1 << 28  # MQTT's own limit for one packet


class IncomingMessage(NamedTuple):
    """A received message."""

    topic: str
    payload: bytes
    retain: bool
    response_topic: str | None
    correlation: bytes | None


class SubscriptionRefusal(NamedTuple):
    """The broker's reason to refuse a subscription."""

    reason: str
    meaning: Meaning

    def __str__(self) -> str:
        return self.reason


class Connection:
    """One connection: `open` is called first, `close` or `drop` last, all methods on one thread.

    It has no thread of its own: while nothing else is called, whoever owns it calls `turn` when `descriptor` can be
    read, and some times in each `keepalive`. Every method that waits takes what the broker sends, so it may call
    `on_message` and `on_lost`. `on_lost` is called once, and only for a connection that the broker accepted and that
    was not closed here. `suspects` has the messages that are sent alone, or not at all. Live messages of QoS 0 on
    topics for which `drops` returns True are not received.
    """

    def __init__(
        self,
        options: MqttOptions,
        login: Login,
        *,
        protocol: Literal["5", "3.1.1"],
        will: MqttMessage | None = None,
        on_message: Callable[[IncomingMessage], None],
        on_lost: Callable[[Connection, BrokerError], None] = lambda _connection, _error: None,
        suspects: Suspects | None = None,
        drops: Callable[[bytes], bool] = nothing,
    ) -> None:
        self._options = options
        self.protocol = protocol
        self.server = options.server
        self.client_id = login.client_id
        self._will = will
        self._on_message = on_message
        self._on_lost = on_lost
        self._drops = drops
        self._suspects = Suspects(logging.getLogger("publisher")) if suspects is None else suspects
        self._refusal: BrokerError | None = None
        self._accepted = False
        self._closing = False
        self._detail = ""
        self._subscribing: str | None = None
        self._granted: dict[int, list[ReasonCode]] = {}
        self.broken: BrokerError | None = None
        self.most_bytes = _NO_LIMIT
        self._client = self._make_client(login, will)
        self._loop = NetworkLoop(self._client, self._cannot_read, self._is_alive)
        self._pipeline = InFlight(self._send, self._loop.turn, WINDOW, options.timeout)

    def open(self) -> None:
        """Connects, and returns when the broker has accepted; raises BrokerError, and leaves nothing open then.

        All of it takes at most `connect_timeout`. The error is a NoAnswerError when the broker was reached and the
        connection ended, or nothing came, before its CONNACK.
        """
        server, deadline = self._options.server, time.monotonic() + self._options.connect_timeout
        try:
            self._client.connect(server.host, server.port, self._options.keepalive, **self._connect_arguments())
        except (OSError, ValueError) as error:
            # paho does not close the socket of a WebSocket handshake that failed: its frames have the last reference.
            traceback.clear_frames(error.__traceback__)
            raise BrokerError(connect_failure(error, self._options)) from error
        answered = self._loop.run(self._is_answered, deadline - time.monotonic())
        if self._accepted and self.broken is None:
            # paho formats each packet for its log when there is one; the log is needed for failures to connect only.
            self._client.on_log = None
            return
        self.drop()
        raise self._refusal or NoAnswerError(no_answer(self._detail, self._options), silent=not answered)

    def put(self, message: MqttMessage, tag: Any = None) -> Refusal | None:
        """Sends a message with QoS 1, in order; `flush` waits for it. Raises BrokerError.

        Returns the refusal of a message that is not sent, since the broker would refuse it or end the connection.
        """
        if self.most_bytes < _NO_LIMIT and (size := self.size(message)) > self.most_bytes:
            reason = f"{size} bytes are more than the {self.most_bytes} that the broker takes"
            return Refusal(message, tag, TOO_LARGE, reason)
        if (given_up := self._suspects.refusal(message)) is not None:
            return Refusal(message, tag, HUNG_UP, given_up)
        if not self._suspects.suspects(message):
            self._pipeline.put(message, tag)
            return None
        # Alone, so that it is known which message ended the connection.
        self._pipeline.wait()
        if self._suspects.control is not None:
            self._pipeline.put(self._suspects.control)
            self._pipeline.wait()
        self._pipeline.put(message, tag)
        self._pipeline.wait()
        self._suspects.acknowledged(message)
        self._suspects.took(self._pipeline.largest)
        return None

    def size(self, message: MqttMessage) -> int:
        """Returns the bytes of the packet that sends this message."""
        return packet_bytes(message, has_properties=self.protocol == "5")

    def flush(self) -> list[Refusal]:
        """Waits until the broker has everything; returns the refused messages (MQTT 5). Raises BrokerError."""
        self._pipeline.wait()
        self._suspects.took(self._pipeline.largest)
        return self._pipeline.take_refusals()

    def take_refusals(self) -> list[Refusal]:
        """Returns the messages that were refused since the last call: some brokers end the connection over one."""
        return self._pipeline.take_refusals()

    def unacknowledged(self) -> list[tuple[MqttMessage, Any]]:
        """Returns the messages that the broker has not acknowledged, with their tags."""
        return self._pipeline.unacknowledged()

    def outstanding(self) -> Outstanding:
        """Returns what the broker has not answered; for a connection that ended."""
        messages = tuple(message for message, _ in self._pipeline.unacknowledged())
        self._suspects.took(self._pipeline.largest)
        return Outstanding(messages, self._subscribing, self._pipeline.acknowledged_any)

    @property
    def last_refusal(self) -> Refusal | None:
        """The message that the broker refused just now: some end the connection over it."""
        is_new = time.monotonic() - self._pipeline.refused_at < _MOMENT_SECONDS
        return self._pipeline.last_refusal if is_new else None

    def subscribe(self, topic_filter: str, qos: int = 0) -> SubscriptionRefusal | None:
        """Subscribes; returns `None`, or the broker's reason to refuse. Raises BrokerError."""
        if reason := self._suspects.filter_refusal(topic_filter):
            return SubscriptionRefusal(reason, "never")
        self._subscribing = topic_filter
        result, mid = self._client.subscribe(topic_filter, qos=qos)
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise self.broken or BrokerError("the connection is lost")
        if mid >= _MOST_IDENTIFIERS:
            raise BrokerError("the connection has no more packet identifiers for subscriptions")
        if not self._loop.run(lambda: mid in self._granted, self._options.timeout):
            timeout = f"the broker did not answer a subscription for {self._options.timeout:g} s"
            raise self.broken or BrokerError(timeout)
        codes = self._granted.pop(mid)
        self._subscribing = None
        self._suspects.granted(topic_filter)
        failures = [code for code in codes if code.value >= FAILURE]
        return SubscriptionRefusal(failures[0].getName(), reason_for(failures[0].value).meaning) if failures else None

    def unsubscribe(self, topic_filter: str) -> None:
        """Ends a subscription; does not wait for the broker."""
        self._client.unsubscribe(topic_filter)

    @property
    def descriptor(self) -> int | None:
        """The descriptor of the socket; `None` when the connection has ended."""
        return None if self.broken is not None else self._loop.descriptor

    @property
    def keepalive(self) -> int:
        """Seconds of the keepalive, which an MQTT 5 broker may have set; 0 for none."""
        return self._client.keepalive

    @property
    def has_more(self) -> bool:
        """True when a `turn` would take something that `descriptor` does not show: it was read ahead."""
        return self.broken is None and self._loop.has_more

    def turn(self, seconds: float = 0.0) -> None:
        """Waits at most so long and a second for the broker, and takes what it sent, up to a limit."""
        self._loop.turn(seconds)

    def wait_for(self, is_over: Callable[[], bool], seconds: float) -> bool:
        """Takes what the broker sends until it is over, at most so long, or until the end; returns `is_over()`."""
        return self._loop.run(is_over, seconds)

    def close(self) -> None:
        """Disconnects, so that the broker does not send the will; call `flush` before."""
        self._closing = True
        self._loop.run(lambda: not self._loop.is_holding, min(2.0, self._options.timeout))
        if self.broken is None and self._client.disconnect() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._loop.run(lambda: self.broken is not None, min(2.0, self._options.timeout))
        self.drop()

    def drop(self) -> None:
        """Ends the connection at once, with messages on their way; afterwards no socket is left."""
        self._closing = True
        self.broken = self.broken or BrokerError("the connection is closed")
        self._pipeline.broke(self.broken)
        shut_down(self._client)
        # Its callbacks refer to this object, which refers to the client.
        client = self._client
        client.on_connect = client.on_disconnect = client.on_message = None
        client.on_subscribe = client.on_log = client.on_socket_open = None

    def _is_alive(self) -> bool:
        """Returns whether the broker acknowledged something within the keepalive.

        With nothing on its way, within a part of it: the broker may have received the last message long before, and
        wants to hear from us within one and a half times the keepalive after that.
        """
        share = 1.0 if self._pipeline.count else _QUIET_SHARE
        return time.monotonic() - self._pipeline.acknowledged_at < share * self._client.keepalive

    def _is_dropped(self, topic: bytes) -> bool:
        """Returns whether a live message of QoS 0 is not received; it shows that the link works all the same."""
        self._pipeline.received()
        return self._drops(topic)

    def _is_answered(self) -> bool:
        return self._accepted or self._refusal is not None or self.broken is not None

    def _make_client(self, login: Login, will: MqttMessage | None) -> Client:
        client = make_client(self._options, login, self.protocol, will)
        client.on_connect, client.on_disconnect, client.on_message = self._connected, self._disconnected, self._received
        client.on_subscribe = self._subscribed
        client.on_socket_open = self._opened
        client.on_log = self._logged
        return client

    def _connect_arguments(self) -> dict[str, Any]:
        if self.protocol != "5":
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
        properties.MaximumPacketSize = MOST_BYTES_TAKEN
        return {"clean_start": True, "properties": properties}

    def _send(self, message: MqttMessage, identifier: int) -> None:
        self._loop.send(publish_packet(message, identifier, has_properties=self.protocol == "5"))

    # What follows is called by paho.

    def _opened(self, _client: Client, _userdata: object, connected: Any) -> None:
        set_without_delay(connected)
        self._loop.opened(connected, Acknowledgements(self._pipeline.acknowledged, self._is_dropped))

    def _connected(
        self, _client: Client, _userdata: object, _flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.value == UNSUPPORTED_VERSION:
            self._refusal = NoAnswerError(refused(code.value, code.getName(), self._options, self._will), silent=False)
        elif code.is_failure:
            self._refusal = BrokerError(refused(code.value, code.getName(), self._options, self._will))
        else:
            reason = self._take_limits(properties)
            self._refusal = BrokerError(reason) if reason else None
            self._accepted = reason is None

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
        if flags.is_disconnect_packet_from_server and code.value == SESSION_TAKEN_OVER:
            error: BrokerError = TakenOverError("another client connected with our client id")
        else:
            error = BrokerError(lost(code, self._options, by_broker=flags.is_disconnect_packet_from_server))
        self._is_lost(error)

    def _cannot_read(self, error: Exception) -> None:
        self._is_lost(BrokerError(f"{self._options.server.name} sent what is not MQTT: {error!r}"))
        shut_down(self._client)

    def _is_lost(self, error: BrokerError) -> None:
        self.broken = self.broken or error
        self._pipeline.broke(self.broken)
        if self._accepted and not self._closing:
            self._closing = True
            self._on_lost(self, error)

    def _subscribed(
        self, _client: Client, _userdata: object, mid: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        self._granted[mid] = codes

    def _received(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self._pipeline.received()
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
