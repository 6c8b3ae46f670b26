"""The session with the broker: it connects again after each loss, and knows when the broker has every state.

All methods are called on the sink's thread; messages are received on paho's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from publisher import Retry, SinkContext

from ..found import contents_of
from ..messages import OFFLINE, ONLINE, Messages, MqttMessage
from ..ownership import OtherPublisher, Ownership
from ..retained import Planned, RetainedState
from .connection import Connection, IncomingMessage, Login
from .errors import BrokerError, TakenOverError
from .inflight import Refusal
from .readback import ReadBack
from .refusals import TOO_LARGE, Refusals
from .states import Claiming, Closed, Disconnected, Mark, Ready, Restoring, SessionState

if TYPE_CHECKING:
    from ..options import MqttOptions
    from .reconnect import Reconnect

# The most that a PUBLISH has besides topic and payload, with the properties that we send.
_HEAD_BYTES = 512
# `info` is published again after a quiet second. When the broker still has that very `info` after a reconnect, it has
# everything that was sent before it.
_SETTLE_SECONDS = 1.0
# The worker usually comes with a snapshot or a tail at once; only when it does not, the session begins by itself.
_FIRST_CONNECT_SECONDS = 0.2
_REFUSED_SECONDS = 30.0
# So often, and so many times in a row without a message, retained messages that come late are taken.
_LATE_SECONDS, _LATE_ROUNDS = 1.0, 5


class Session:
    """Connects, restores and sends; `subscriptions` are read at each connection."""

    def __init__(
        self,
        options: MqttOptions,
        context: SinkContext,
        messages: Messages,
        retained: RetainedState,
        reconnect: Reconnect,
        subscriptions: Callable[[], Sequence[str]],
        on_message: Callable[[IncomingMessage], None],
    ) -> None:
        self._options = options
        self._context = context
        self._messages = messages
        self._retained = retained
        self._reconnect = reconnect
        self._subscriptions = subscriptions
        self._on_message = on_message
        self._login = Login("", None, None, None)
        self._ownership = Ownership(
            messages.topics,
            context,
            retained.instance,
            epoch=context.epoch,
            home_assistant=retained.devices.discovery.place if retained.devices is not None else None,
            publishing=self,
        )
        self._state: SessionState = Disconnected()
        self._readback: ReadBack | None = None
        self._late_rounds = 0
        self._mark: Mark | None = None
        self._recovery = _Later(context, self._recover)
        self._settling = _Later(context, self._settle)
        self._late = _Later(context, self._take_late)
        self._refusals = Refusals(context.log, retained.give_up_discovery)

    @property
    def connection(self) -> Connection | None:
        """The connection, while there is one."""
        return self._state.connection if isinstance(self._state, Claiming | Restoring | Ready) else None

    @property
    def is_settled(self) -> bool:
        """True while the `info` on the broker is newer than everything else that was published."""
        return self._mark is not None and self._mark.newest

    def open(self, login: Login) -> None:
        """Connects with the first batch, or shortly after when there is none."""
        self._login = login
        self._recovery.after(_FIRST_CONNECT_SECONDS)

    def make_ready(self, *, snapshot_follows: bool) -> None:
        """Connects and has the broker hold every state, but for those that a snapshot brings next.

        Raises Retry with the time until the next attempt.
        """
        connection = self.connection
        if connection is not None and connection.broken is not None:
            self._disconnect(connection.broken)
        try:
            if isinstance(self._state, Disconnected):
                self._connect()
            if isinstance(self._state, Restoring) and not snapshot_follows:
                self._send(self._state.connection, self._retained.everything())
                self._go_online(self._state)
        except BrokerError as error:
            raise self._retry(error) from error

    def publish(self, planned: Iterable[Planned]) -> None:
        """Returns when the broker has acknowledged every message; raises Rejected or Retry. The session is ready."""
        state, before = self._state, self._retained.resynced
        if not isinstance(state, Restoring | Ready):
            raise Retry("not connected")
        self._mark = self._mark and replace(self._mark, newest=False)
        try:
            self._send(state.connection, planned)
            if self._retained.resynced is not before:
                self._go_online(state)
        except BrokerError as error:
            raise self._retry(error) from error
        if not self.is_settled:
            self._settling.after(_SETTLE_SECONDS)

    def send_if_connected(self, planned: Iterable[Planned]) -> None:
        """Sends messages that are not sent again when they get lost."""
        connection = self.connection
        if connection is not None:
            try:
                self._send(connection, planned)
            except BrokerError as error:
                self._recovery.after(self._disconnect(error))

    def close(self) -> None:
        """Publishes that the node is offline, and disconnects."""
        connection, self._state = self.connection, Closed()
        if connection is None:
            return
        try:
            connection.put(self._messages.info(self._retained.info()))
            connection.put(self._messages.status(OFFLINE))
            connection.flush()
        except BrokerError:
            connection.drop()
        else:
            connection.close()

    def _connect(self) -> None:
        """Leaves the session ready when the broker lost nothing, else restoring; raises BrokerError or Retry."""
        name = self._options.server.name
        if (wait := self._reconnect.remaining) > 0:
            raise Retry(f"waiting to connect to {name} again", after=wait)
        connection = Connection(
            self._options,
            self._login,
            will=self._messages.status(OFFLINE),
            on_message=self._received,
            on_lost=lambda lost, error: self._context.call(partial(self._lost, lost, error)),
        )
        self._ownership.begin()
        connection.open()
        self._reconnect.connected()
        self._readback = readback = ReadBack(connection, self._messages.topics.fence)
        self._state = Claiming(connection, readback)
        self._context.log.info("connected to the MQTT broker %s", name)
        for topic in [*self._subscriptions(), *self._ownership.subscriptions]:
            if refusal := connection.subscribe(topic, qos=1):
                self._refusals.warn_once(f"the broker refuses the subscription to {topic}: {refusal}")
        info = self._claim(connection, readback)
        self._state = Restoring(connection, readback)
        if self._is_intact(info):
            connection.put(self._messages.status(ONLINE))
            connection.flush()
            self._state = Ready(connection, readback)
        else:
            self._read_back(readback, info)

    def _claim(self, connection: Connection, readback: ReadBack) -> bytes | None:
        """Returns the retained `info`; raises OtherPublisher when somebody else publishes as this node."""
        try:
            return self._ownership.claim(connection, readback)
        except OtherPublisher as other:
            # In order, without the will: the status is the other one's.
            self._state = Disconnected()
            connection.close()
            self._reconnect.wait(other.after or _REFUSED_SECONDS)
            raise

    def _read_back(self, readback: ReadBack, info: bytes | None) -> None:
        contents = self._retained.read_back(readback, info)
        root = self._messages.topics.root
        if not contents.has_wildcards:
            self._refusals.warn_once(
                f"the broker sends no retained messages to subscriptions with wildcards: a subscriber to {root}/# first"
                " receives changes only, and states of interfaces that were removed while publisher was away may stay;"
                " use another broker, or subscribe to each topic"
            )
        elif not contents.complete:
            self._refusals.warn_once(
                f"cannot read back everything under {root}: states of removed interfaces may stay there"
            )
        self._late_rounds = _LATE_ROUNDS
        self._late.after(_LATE_SECONDS)

    def _take_late(self) -> None:
        """Takes what brokers send late (aedes does), until nothing more came for a while."""
        state = self._state
        if not isinstance(state, Restoring | Ready) or state.connection.broken is not None:
            return
        found = state.readback.late()
        self._late_rounds = _LATE_ROUNDS if found else self._late_rounds - 1
        if found:
            contents = contents_of(self._messages.topics, found)
            self.send_if_connected(self._retained.late(contents, ready=isinstance(state, Ready)))
        if self._late_rounds > 0:
            self._late.after(_LATE_SECONDS)
        else:
            state.readback.end()

    # For `Ownership`.

    @property
    def has_topics(self) -> bool:
        """True while this sink publishes under its root."""
        return isinstance(self._state, Restoring | Ready) and self._state.connection.broken is None

    def send(self, message: MqttMessage) -> None:
        """Sends a message, if there is a connection."""
        self.send_if_connected([Planned(message, None)])

    def renew(self) -> None:
        """Reads back what is retained, and publishes everything again: somebody else has changed it."""
        state = self._state
        if isinstance(state, Restoring | Ready):
            self._state = Restoring(state.connection, state.readback)
            try:
                self._read_back(state.readback, None)
            except BrokerError as error:
                self._recovery.after(self._disconnect(error))
                return
            self._recovery.after(0.0)

    def leave(self, reason: str) -> None:
        """Ends the connection in favour of another publisher, and tries again after a while."""
        connection, self._state = self.connection, Disconnected()
        if connection is not None:
            self._context.log.warning("leaving %s to another publisher: %s", self._messages.topics.root, reason)
            connection.close()
            self._reconnect.wait(_REFUSED_SECONDS)
            self._recovery.after(_REFUSED_SECONDS)

    def _is_intact(self, info: bytes | None) -> bool:
        """Returns whether the broker lost nothing: it has our own `info`, which came after everything else."""
        if self._mark is None:
            return False
        if info is not None and self._retained.instance.encode() not in info:
            self._reconnect.met_rival()
        return self._mark.newest and info == self._mark.info

    def _go_online(self, state: Restoring | Ready) -> None:
        """Publishes that the states are right, and who publishes them."""
        info = self._retained.info()
        state.connection.put(self._messages.status(ONLINE))
        state.connection.put(self._messages.info(info))
        state.connection.flush()
        self._mark, self._state = Mark(info, newest=True), Ready(state.connection, state.readback)

    def _settle(self) -> None:
        """Publishes `info` again, with how far the states are."""
        state = self._state
        if not isinstance(state, Ready) or state.connection.broken is not None:
            return
        info = self._retained.info()
        try:
            state.connection.put(self._messages.info(info))
            state.connection.flush()
        except BrokerError as error:
            self._recovery.after(self._disconnect(error))
        else:
            self._mark = Mark(info, newest=True)

    def _lost(self, connection: Connection, error: BrokerError) -> None:
        """Makes a new connection in place of one that ended by itself, perhaps with nothing to publish."""
        if connection is self.connection:
            delay = self._disconnect(error)
            self._context.log.warning("the MQTT connection is lost: %s; trying again in %.1f s", error, delay)
            self._recovery.after(delay)

    def _recover(self) -> None:
        if isinstance(self._state, Closed):
            return
        try:
            self.make_ready(snapshot_follows=False)
        except Retry as reason:
            delay = reason.after or _REFUSED_SECONDS
            self._context.log.warning("no MQTT connection: %s; trying again in %.1f s", reason, delay)
            self._recovery.after(delay)

    def _retry(self, error: BrokerError) -> Retry:
        """Ends the connection; returns the reason, and the time of the next attempt."""
        reason, connection = str(error), self.connection
        # mosquitto 2.0.11 with `max_queued_messages 0` ends the connection over each message that its ACL refuses.
        if connection is not None and (refusal := connection.last_refusal()) is not None:
            self._refusals.note(refusal)
            reason = f"{refusal.text}; {reason}"
        return Retry(reason, after=self._disconnect(error))

    def _disconnect(self, error: BrokerError) -> float:
        """Ends the connection; returns the seconds until the next attempt."""
        connection, self._state = self.connection, Disconnected()
        if connection is None:
            delay = self._reconnect.failed()
        else:
            connection.drop()
            delay = self._reconnect.lost(taken_over=isinstance(error, TakenOverError))
        if self._reconnect.conflict or self._reconnect.suspicious:
            self._context.log.warning(
                "another publisher has this node and client id %s: give one of them another node or sink name;"
                " trying again in %.1f s"
                if self._reconnect.conflict
                else "the broker ends each connection soon: does another client use the client id %s?"
                " Trying again in %.1f s",
                self._login.client_id,
                delay,
            )
        return delay

    def _send(self, connection: Connection, planned: Iterable[Planned]) -> None:
        """Sends all, waits for all; raises Rejected or Retry for a refusal, BrokerError when the connection is lost."""
        refused = []
        for message, index in planned:
            if len(message.payload) + len(message.topic) + _HEAD_BYTES > connection.most_bytes:
                refused.append(Refusal(message.topic, index, TOO_LARGE, "larger than the broker takes"))
            else:
                connection.put(message, index)
        try:
            for refusal in [*refused, *connection.flush()]:
                self._refusals.judge(refusal)
        except Retry:
            # Nothing is lost while the permissions are corrected; then everything is published again.
            if isinstance(self._state, Ready):
                self._state = Restoring(self._state.connection, self._state.readback)
            raise

    def _received(self, message: IncomingMessage) -> None:
        """Hands a message over. On paho's thread, which an exception would end without a log line."""
        readback = self._readback
        try:
            if not (readback is not None and readback.take(message)) and not self._ownership.take(message):
                self._on_message(message)
        except Exception as error:  # whatever is received, the connection goes on
            self._context.log.error("a message on %s could not be handled", message.topic, exc_info=error)


class _Later:
    """A job on the sink's thread; while one waits, asking for another changes nothing."""

    def __init__(self, context: SinkContext, job: Callable[[], None]) -> None:
        self._context, self._job = context, job
        self._waits = False

    def after(self, seconds: float) -> None:
        """Runs the job after so many seconds."""
        if not self._waits:
            self._waits = True
            self._context.call(self._run, seconds)

    def _run(self) -> None:
        self._waits = False
        self._job()
