"""The `mqtt` sink: keeps the retained states, publishes the events, answers requests. Section 7 of the design."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import publisher
from publisher import Event, Rejected, Retry, Sink, SinkContext

from .answering import Answering
from .client.backoff import Backoff
from .client.errors import BrokerError, TakenOverError
from .client.inflight import Refusal
from .homeassistant.devices import Devices
from .homeassistant.discovery import Discovery
from .info import info_bytes
from .messages import OFFLINE, ONLINE, Messages
from .options import MqttOptions
from .retained import Planned, RetainedState
from .topics import Topics, client_id

if TYPE_CHECKING:
    from .client.connection import Connection, Credentials, Received
    from .client.readback import ReadBack

# MQTT 5, 3.4.2.1: topic name invalid, packet too large, payload format invalid. Sending it again would not help.
_FOR_GOOD = frozenset({0x90, 0x95, 0x99})
_TOO_LARGE = 0x95
# What a PUBLISH has besides topic and payload: at most this, with the properties that we send.
_HEAD_BYTES = 512
# `info` says after a quiet second what the board holds; when the broker still has that very `info` after a
# reconnect, it has everything that was sent before it.
_SETTLE_SECONDS = 1.0
# The worker usually comes with a snapshot or a tail at once; only when it does not, the sink begins by itself.
_FIRST_CONNECT_SECONDS = 0.2
_REFUSED_SECONDS = 30.0
_MOST_TOLD = 100


class MqttSink(Sink):
    """Publish each interface's state and events to an MQTT broker.

    The connection is made with the first batch, or shortly after `open` when there is none, and whenever it is lost,
    so `open` itself only raises what is wrong with the options' files.
    """

    Options: ClassVar[type[MqttOptions]] = MqttOptions
    # Each batch ends with a wait for the last acknowledgement, and of each row it publishes one state.
    batch_size = 1000
    backoff_seconds: ClassVar[tuple[float, float]] = (1.0, 60.0)
    birth_delay_seconds: ClassVar[float] = 5.0

    options: MqttOptions

    def __init__(self, options: MqttOptions, context: SinkContext) -> None:
        super().__init__(options, context)
        self._topics = Topics(options.base, context.node)
        self._messages = Messages(options, self._topics, context.node)
        self._discovery = Discovery(options.home_assistant, context.node, options.base, publisher.__version__)
        devices = Devices(self._discovery) if options.home_assistant.enabled else None
        self._board = RetainedState(self._messages, devices)
        self._answering = Answering(options, context, self._topics, self._messages, self._send_if_connected)
        self._answering.newest = lambda: self._board.newest
        self._backoff = Backoff(*self.backoff_seconds)
        self._instance = secrets.token_hex(4)
        self._credentials: Credentials | None = None
        self._connection: Connection | None = None
        self._reader: ReadBack | None = None
        self._settled: bytes | None = None
        self._introduced = False
        self._restore_due = False
        self._recovery_due = False
        self._settling_due = False
        self._told: set[str] = set()
        self._closed = False

    def open(self) -> None:
        """Read the files that the options name; raises ConfigurationError."""
        self._credentials = self._read_credentials()
        self._recover_in(_FIRST_CONNECT_SECONDS)

    def _read_credentials(self) -> Credentials:
        from .client.connection import Credentials
        from .client.tls import read_password, tls_context

        options = self.options
        tls = tls_context(options) if options.server.tls else None
        if options.insecure:
            self.context.log.warning(
                "the certificate of the broker %s is not verified: insecure = true", options.server.name
            )
        name = options.client_id or client_id(self.context.node, self.context.name, options.base)
        return Credentials(name, options.user, read_password(options), tls)

    def publish(self, events: Sequence[Event]) -> None:
        """Return when the broker has acknowledged every state and event."""
        if not events:
            return
        connection = self._ready(snapshot_follows=self._board.takes_snapshot(events[0]))
        self._settled, before = None, self._board.resynced
        try:
            self._send(connection, self._board.plan(events))
            if self._board.resynced is not before:
                self._go_online(connection)
        except BrokerError as error:
            raise self._retry(error) from error
        if self._settled is None:
            self._settle_soon()

    def check(self) -> str:
        """Try everything that the sink needs of the broker, without disturbing one that runs."""
        from .check import check_broker

        return check_broker(self.options, self._read_credentials(), self._topics, self._discovery)

    def close(self) -> None:
        """Say that the node is offline, and goodbye."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.put(self._messages.info(info_bytes(self._board, self.context, self._instance)))
            connection.put(self._messages.status(OFFLINE))
            connection.flush()
        except BrokerError:
            connection.drop()
        else:
            connection.close()

    # The connection

    def _ready(self, *, snapshot_follows: bool) -> Connection:
        """A connection to a broker that holds every state, but for what a snapshot that follows will bring.

        Raises Retry with the time until the next attempt.
        """
        if self._connection is not None and self._connection.broken is not None:
            self._drop(self._connection.broken)
        if self._connection is None and (wait := self._backoff.remaining) > 0:
            raise Retry(f"waiting to connect to {self.options.server.name} again", after=wait)
        try:
            connection = self._connection or self._connect()
            if self._restore_due and not snapshot_follows:
                self._restore(connection)
        except BrokerError as error:
            raise self._retry(error) from error
        return connection

    def _retry(self, error: BrokerError) -> Retry:
        """End the connection, and say why and when to try again."""
        reason, connection = str(error), self._connection
        # mosquitto 2.0.11 with `max_queued_messages 0` ends the connection over each message that its ACL refuses.
        if connection is not None and (refusal := connection.last_refusal()) is not None:
            self._heed(refusal)
            reason = f"{refusal.text}; {reason}"
        return Retry(reason, after=self._drop(error))

    def _connect(self) -> Connection:
        from .client.connection import Connection
        from .client.readback import ReadBack

        connection = Connection(
            self.options,
            self._identity(),
            will=self._messages.status(OFFLINE),
            on_message=self._arrived,
            on_lost=lambda lost, error: self.context.call(partial(self._lost, lost, error)),
        )
        connection.open()
        self._backoff.connected()
        self._connection, self._reader = connection, ReadBack(connection, self._topics.fence)
        self.context.log.info("connected to the MQTT broker %s", self.options.server.name)
        self._subscribe(connection)
        if self._is_intact(self._reader):
            connection.put(self._messages.status(ONLINE))
            connection.flush()
        else:
            self._read_back(self._reader)
            self._restore_due = True
        return connection

    def _subscribe(self, connection: Connection) -> None:
        topics = [self._topics.request] if self.options.replay.enabled else []
        if self._board.devices is not None:
            topics.append(self._discovery.birth_topic)
        for topic in topics:
            if refusal := connection.subscribe(topic, qos=1):
                self._tell_once(f"the broker does not let us subscribe to {topic}: {refusal}")

    def _is_intact(self, reader: ReadBack) -> bool:
        """Whether the broker still has what was last published, told by our own `info`, which came after everything."""
        if not self._introduced:
            return False
        reading = reader.read([self._topics.info], lambda topic: topic == self._topics.info)
        info = reading.payloads.get(self._topics.info)
        if info is not None and self._instance.encode() not in info:
            self._backoff.met_rival()
        return info is not None and info == self._settled

    def _read_back(self, reader: ReadBack) -> None:
        """Learn what the broker retains of this node, also from before a crash or from another journal."""
        states = reader.read([self._topics.all_states], lambda topic: topic.endswith("/state"), with_payloads=False)
        keys = (self._topics.key_of(topic) for topic in states.payloads)
        self._board.found((key for key in keys if key is not None), complete=states.complete)
        if not states.complete:
            self._tell_once(f"cannot read back {self._topics.all_states}: states of gone interfaces may stay behind")
        devices = self._board.devices
        if devices is not None:
            configs = reader.read([devices.config_topics], devices.is_config)
            devices.found(configs.payloads)

    def _restore(self, connection: Connection) -> None:
        """Publish everything that is retained again."""
        self._send(connection, self._board.plan(self.context.snapshot()))
        self._go_online(connection)

    def _go_online(self, connection: Connection) -> None:
        """Say that the states are right, and who says so."""
        info = info_bytes(self._board, self.context, self._instance)
        connection.put(self._messages.status(ONLINE))
        connection.put(self._messages.info(info))
        connection.flush()
        self._settled, self._restore_due, self._introduced = info, False, True

    def _lost(self, connection: Connection, error: BrokerError) -> None:
        """The connection ended by itself, perhaps with nothing to publish: make a new one."""
        if connection is self._connection and not self._closed:
            delay = self._drop(error)
            self.context.log.warning("the MQTT connection is lost: %s; trying again in %.1f s", error, delay)
            self._recover_in(delay)

    def _drop(self, error: BrokerError) -> float:
        """End the connection; the seconds until the next attempt."""
        connection, self._connection, self._reader = self._connection, None, None
        if connection is None:
            delay = self._backoff.failed()
        else:
            connection.drop()
            delay = self._backoff.lost(taken_over=isinstance(error, TakenOverError))
        if self._backoff.conflict or self._backoff.suspicious:
            self.context.log.warning(
                "another publisher has this node and the client id %s: give one of them another node or sink name; "
                "trying again in %.1f s"
                if self._backoff.conflict
                else "the broker ends each connection soon: does another client use the client id %s? "
                "trying again in %.1f s",
                self._identity().client_id,
                delay,
            )
        return delay

    def _recover_in(self, delay: float) -> None:
        if not self._recovery_due:
            self._recovery_due = True
            self.context.call(self._recover, delay)

    def _recover(self) -> None:
        self._recovery_due = False
        if self._closed:
            return
        try:
            self._ready(snapshot_follows=False)
        except Retry as trouble:
            delay = trouble.after or _REFUSED_SECONDS
            self.context.log.warning("no MQTT connection: %s; trying again in %.1f s", trouble, delay)
            self._recover_in(delay)

    def _identity(self) -> Credentials:
        if self._credentials is None:
            raise RuntimeError("the sink is not open")
        return self._credentials

    # Sending

    def _send(self, connection: Connection, planned: Iterable[Planned]) -> None:
        """Send all, wait for all; raises Rejected or Retry for what the broker refused, BrokerError when it is gone."""
        refused = []
        for message, index in planned:
            if len(message.payload) + len(message.topic) + _HEAD_BYTES > connection.most_bytes:
                refused.append(Refusal(message.topic, index, _TOO_LARGE, "larger than the broker takes"))
            else:
                connection.put(message, index)
        for refusal in [*refused, *connection.flush()]:
            self._judge(refusal)

    def _send_if_connected(self, planned: Iterable[Planned]) -> None:
        """Send what is not sent again when it gets lost."""
        connection = self._connection
        if connection is None:
            return
        try:
            self._send(connection, planned)
        except BrokerError as error:
            self._recover_in(self._drop(error))

    def _judge(self, refusal: Refusal) -> None:
        if refusal.tag is None or (refusal.code in _FOR_GOOD and not refusal.topic.endswith("/event")):
            self._heed(refusal)
        elif refusal.code in _FOR_GOOD:
            raise Rejected(refusal.text, index=refusal.tag)
        else:
            # Nothing is lost while somebody corrects the permissions; then everything is said anew.
            self._restore_due = True
            raise Retry(refusal.text)

    def _heed(self, refusal: Refusal) -> None:
        """Say what is refused; discovery that is refused is given up until the next start."""
        self._tell_once(refusal.text)
        if self._board.devices is not None and self._board.devices.is_config(refusal.topic):
            self._board.devices = None
            self.context.log.warning("Home Assistant discovery is off: the broker refuses its topics")

    def _settle_soon(self) -> None:
        if not self._settling_due:
            self._settling_due = True
            self.context.call(self._settle, _SETTLE_SECONDS)

    def _settle(self) -> None:
        """Say in `info` how far the board is."""
        self._settling_due = False
        connection = self._connection
        if connection is None or connection.broken is not None or self._restore_due or self._closed:
            return
        info = info_bytes(self._board, self.context, self._instance)
        try:
            connection.put(self._messages.info(info))
            connection.flush()
        except BrokerError as error:
            self._recover_in(self._drop(error))
        else:
            self._settled = info

    def _tell_once(self, line: str) -> None:
        # Not without end: who asks for replays chooses where the answers go, and so what may be refused.
        if line not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(line)
            self.context.log.warning(line)

    # What arrives

    def _arrived(self, message: Received) -> None:
        """Hand a message over to the sink's thread. paho's thread, which an exception would end without a word."""
        try:
            self._sort(message)
        except Exception as error:  # whatever somebody sends, the connection goes on
            self.context.log.error("a message on %s could not be processed", message.topic, exc_info=error)

    def _sort(self, message: Received) -> None:
        reader = self._reader
        if reader is not None and reader.take(message):
            return
        if message.topic == self._topics.request:
            self._answering.arrived(message)
        elif self._discovery.is_birth(message.topic, message.payload) and not message.retain:
            # At random, as Home Assistant asks for: every client of the broker hears it at the same moment.
            self.context.call(self._announce, random.uniform(0, self.birth_delay_seconds))

    def _announce(self) -> None:
        """Home Assistant has started: send the devices again, then the states."""
        if (devices := self._board.devices) is not None:
            self._send_if_connected(Planned(message, None) for message in devices.again())
            self._send_if_connected(self._board.plan(self.context.snapshot()))
