"""The session with the broker: it connects again after each loss, and knows when the broker has every state.

All methods are called on the sink's thread; messages are received there, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from publisher import Rejected, Retry, SinkContext

from ..messages import OFFLINE, Messages, MqttMessage
from ..ownership import OtherPublisher, Ownership
from ..payloads import Token
from ..retained import Planned, RetainedState
from .announcement import Announcement
from .connection import Connection, IncomingMessage
from .dialing import Dialer
from .errors import BrokerError
from .late import LateRetained, Postponed
from .later import Heartbeat, Later, Trouble
from .losses import Losses
from .readback import ReadBack
from .refusals import Refusals
from .states import Claiming, Closed, Disconnected, Ready, Restoring, SessionState
from .subscriptions import Subscriptions
from .suspects import Suspects
from .transmission import Transmission, send_answer

if TYPE_CHECKING:
    from ..options import MqttOptions
    from .login import Login
    from .reconnect import Reconnect

# The worker usually comes with a snapshot or a tail at once; only when it does not, the session begins by itself.
_FIRST_CONNECT_SECONDS = 0.2
_REFUSED_SECONDS = 30.0


class Session:
    """Connects, restores and sends; `subscriptions` and the login are read at each connection."""

    def __init__(
        self,
        options: MqttOptions,
        context: SinkContext,
        messages: Messages,
        retained: RetainedState,
        reconnect: Reconnect,
        read_login: Callable[[MqttOptions], Login],
        subscriptions: Callable[[], Sequence[str]],
        on_message: Callable[[IncomingMessage], None],
    ) -> None:
        self._context = context
        self._messages = messages
        self._retained = retained
        self._dialer = Dialer(options, read_login)
        self._on_message = on_message
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
        self._reason = ""
        self._postponed = Postponed(context, self.send_if_connected)
        self._recovery = Later(context, self._recover)
        self._refusals = Refusals(context.log, retained.give_up_discovery)
        self._late = LateRetained(
            context,
            messages.topics,
            retained,
            self._refusals,
            self._present,
            lambda: self._announcement.has_info,
            self.send_if_connected,
            self._failed,
        )
        self._subscriptions = Subscriptions(
            context,
            lambda: [*subscriptions(), *self._ownership.subscriptions],
            self._refusals,
            lambda: self.connection,
            self._failed,
        )
        self._announcement = Announcement(
            context, messages, retained, self._refusals, self._ready_connection, self._failed
        )
        control = MqttMessage(messages.topics.fence, Token(token="0" * 16).json_bytes, retain=False)
        self._suspects = Suspects(context.log, control=control)
        self._losses = Losses(context.log, reconnect, self._suspects, self._refusals)
        self._trouble = Trouble(context.log, context.unreachable)
        self._heartbeat = Heartbeat(context, lambda: self.connection)

    @property
    def connection(self) -> Connection | None:
        """The connection, while there is one."""
        return self._state.connection if isinstance(self._state, Claiming | Restoring | Ready) else None

    @property
    def is_settled(self) -> bool:
        """True while the `info` on the broker is newer than everything else that was published."""
        return self._announcement.is_settled

    def open(self) -> None:
        """Connects with the first batch, or shortly after when there is none."""
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
                self._send(self._transmission(self._state.connection), self._retained.everything())
                self._go_online(self._state)
        except BrokerError as error:
            raise self._retry(error) from error

    def publish(self, planned: Iterable[Planned]) -> None:
        """Returns when the broker has acknowledged every message; raises Rejected or Retry. The session is ready."""
        state, before = self._state, self._retained.resynced
        if not isinstance(state, Restoring | Ready):
            raise Retry("not connected")
        self._announcement.outdated()
        transmission = self._transmission(state.connection)
        try:
            self._send(transmission, planned)
            if self._retained.resynced is not before:
                self._go_online(state)
        except BrokerError as error:
            raise self._retry(error, transmission) from error
        finally:
            # Also after an event that is refused for good: its state is there, or counted as missing.
            self._announcement.settle_soon()

    def send_if_connected(self, planned: Iterable[Planned]) -> None:
        """Sends messages that are not sent again when they get lost."""
        connection = self.connection
        if connection is not None:
            try:
                self._send(self._transmission(connection), planned)
            except BrokerError as error:
                self._failed(error)
            except Retry:
                self._recovery.after(_REFUSED_SECONDS)

    def answer(self, replies: Iterable[MqttMessage]) -> str | None:
        """Sends the answer to one request; returns `None`, or the reason when it is not to be answered again."""
        connection = self.connection
        if connection is None:
            return None
        try:
            return send_answer(connection, replies)
        except BrokerError as error:
            blamed = bool(connection.outstanding()) or connection.last_refusal is not None
            self._disconnect(error, over_answer=True)
            # At once: a broker that is there again ended the connection; one that is not was away itself.
            self._recover()
            return str(error) if blamed and self.connection is not None else None

    def fits(self, message: MqttMessage) -> bool:
        """Returns whether the broker takes a message of this size, as far as that is known."""
        connection = self.connection
        return connection is None or (
            connection.size(message) <= connection.most_bytes and self._suspects.refusal(message) is None
        )

    def close(self) -> None:
        """Publishes that the node is offline, and disconnects."""
        connection, self._state = self.connection, Closed()
        if connection is None:
            return
        try:
            self._announcement.offline(connection)
        except BrokerError:
            connection.drop()
        else:
            connection.close()

    def _connect(self) -> None:
        """Leaves the session ready when the broker lost nothing, else restoring; raises BrokerError or Retry."""
        if (wait := self._losses.remaining) > 0:
            raise Retry(self._reason or f"waiting to connect to {self._dialer.names}", after=wait)
        self._ownership.begin()
        self._readback = None
        connection = self._dialer.dial(
            will=self._messages.status(OFFLINE),
            on_message=self._received,
            on_lost=lambda lost, error: self._context.call(partial(self._lost, lost, error)),
            suspects=self._suspects,
            drops=self._messages.topics.is_state,
        )
        if self._dialer.has_moved:
            self._move()
        self._losses.connected()
        self._heartbeat.begin(connection)
        self._postponed.clear()
        self._readback = readback = ReadBack(connection, self._messages.topics.fence)
        self._state = Claiming(connection, readback)
        self._context.log.info("connected to the MQTT broker %s (MQTT %s)", connection.server.name, connection.protocol)
        if self._dialer.passed_over:
            reasons = "; ".join(map(str, self._dialer.passed_over))
            self._context.log.warning("%s stands in for a broker before it: %s", connection.server.name, reasons)
        self._subscriptions.make(connection)
        info = self._claim(connection, readback)
        self._state = Restoring(connection, readback)
        if self._announcement.is_replaced(info):
            self._losses.met_rival()
        if self._announcement.is_intact(info):
            self._announcement.online(connection)
            self._state = Ready(connection, readback)
            self._trouble.over()
        else:
            self._late.read(readback, info)

    def _move(self) -> None:
        """Forgets what is known of the broker before this one: what it has, refused and was given up for it."""
        self._suspects.forget()
        self._announcement.forget()
        self._retained.resume_discovery()

    def _claim(self, connection: Connection, readback: ReadBack) -> bytes | None:
        """Returns the retained `info`; raises OtherPublisher when somebody else publishes as this node."""
        try:
            return self._ownership.claim(connection, readback)
        except OtherPublisher as other:
            # In order, without the will: the status is the other one's.
            self._state = Disconnected()
            connection.close()
            self._reason = str(other)
            self._losses.wait(other.after or _REFUSED_SECONDS)
            raise

    def _present(self) -> tuple[ReadBack, bool] | None:
        """Returns the read-back in use, and whether the session is ready; `None` without a connection."""
        state = self._state
        if not isinstance(state, Restoring | Ready) or state.connection.broken is not None:
            return None
        return state.readback, isinstance(state, Ready)

    # For `Ownership`.

    @property
    def has_topics(self) -> bool:
        """True while this sink publishes under its root."""
        return isinstance(self._state, Restoring | Ready) and self._state.connection.broken is None

    def send(self, message: MqttMessage) -> None:
        """Sends a message, if there is a connection."""
        self.send_if_connected([Planned(message, None)])

    def met_another(self) -> None:
        """Notes that another publisher was connected meanwhile: it is to blame when this connection is lost too."""
        self._losses.met_rival()

    def renew(self) -> None:
        """Reads back what is retained, and publishes everything again: somebody else has changed it."""
        state = self._state
        if isinstance(state, Restoring | Ready):
            self._state = Restoring(state.connection, state.readback)
            try:
                self._late.read(state.readback, None)
            except BrokerError as error:
                self._failed(error)
                return
            self._recovery.after(0.0)

    def leave(self, reason: str) -> None:
        """Ends the connection in favour of another publisher, and tries again after a while."""
        connection, self._state = self.connection, Disconnected()
        if connection is not None:
            self._reason = f"leaving {self._messages.topics.root} to another publisher: {reason}"
            self._context.log.warning("%s", self._reason)
            self._context.unreachable(self._reason)
            connection.close()
            self._losses.wait(_REFUSED_SECONDS)
            self._recovery.after(_REFUSED_SECONDS)

    def _go_online(self, state: Restoring | Ready) -> None:
        """Publishes that the states are right, and who publishes them."""
        self._announcement.complete(state.connection)
        self._state = Ready(state.connection, state.readback)
        self._reason = ""
        self._trouble.over()

    def _ready_connection(self) -> Connection | None:
        state = self._state
        return state.connection if isinstance(state, Ready) and state.connection.broken is None else None

    def _failed(self, error: BrokerError) -> None:
        """Ends a connection that was lost, and makes another when it is time."""
        self._recovery.after(self._disconnect(error))

    def _lost(self, connection: Connection, error: BrokerError) -> None:
        """Makes a new connection in place of one that ended by itself, perhaps with nothing to publish."""
        if connection is self.connection:
            delay = self._disconnect(error)
            self._trouble.tell(str(error), delay)
            self._recovery.after(delay)

    def _recover(self) -> None:
        if isinstance(self._state, Closed):
            return
        try:
            self.make_ready(snapshot_follows=False)
        except Retry as reason:
            delay = _REFUSED_SECONDS if reason.after is None else reason.after
            self._trouble.tell(f"no MQTT connection: {reason}", delay)
            self._recovery.after(delay)

    def _retry(self, error: BrokerError, transmission: Transmission | None = None) -> Retry | Rejected:
        """Ends the connection; returns the reason, the first event that is not safe, and the time to wait.

        When that event was given up before, it is rejected now: that is progress, after which the worker's pauses begin
        anew. Else the search among many events would take as long as their pauses, which double.
        """
        connection, self._reason = self.connection, str(error)
        delay = self._disconnect(error)
        index, rejected = 0, None
        if connection is not None:
            refusals = connection.take_refusals()
            index = transmission.index(refusals) if transmission else 0
            rejected = transmission.rejected(index, refusals) if transmission else None
            self._reason = self._losses.explain(connection, error, refusals)
        # The search for the message that ends connections does not wait for the worker's own pause.
        self._recovery.after(delay)
        return Rejected(rejected.text, index=index) if rejected else Retry(self._reason, after=delay, index=index)

    def _disconnect(self, error: BrokerError, *, over_answer: bool = False) -> float:
        """Ends the connection; returns the seconds until the next attempt."""
        connection, self._state = self.connection, Disconnected()
        if connection is None:
            return self._losses.failed()
        connection.drop()
        return self._losses.lost(connection, error, over_answer=over_answer)

    def _transmission(self, connection: Connection) -> Transmission:
        return Transmission(connection, self._messages, self._retained, self._refusals)

    def _send(self, transmission: Transmission, planned: Iterable[Planned]) -> None:
        """Sends all, waits for all; raises Rejected or Retry for a refusal, BrokerError when the connection is lost."""
        try:
            later = transmission.send(self._postponed.passing(planned))
        except Retry:
            # Nothing is lost while the permissions are corrected; then everything is published again.
            if isinstance(self._state, Ready):
                self._state = Restoring(self._state.connection, self._state.readback)
            raise
        self._postponed.add(later, _REFUSED_SECONDS)

    def _received(self, message: IncomingMessage) -> None:
        """Hands a message over."""
        readback = self._readback
        try:
            if not (readback is not None and readback.take(message)) and not self._ownership.take(message):
                self._on_message(message)
        except Exception as error:  # whatever is received, the connection goes on
            self._context.log.error("a message on %s could not be handled", message.topic, exc_info=error)
