"""The `mqtt` sink: keeps the retained states, publishes the events, answers requests (docs/mqtt.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import publisher
from publisher import Backoff, Event, Retry, Sink, SinkContext

from .forgetting import Forgetting, place_of_devices, place_of_states
from .forgetting import client_id as forgetting_id
from .homeassistant.births import Births
from .homeassistant.devices import Devices
from .homeassistant.discovery import Discovery
from .messages import Messages, Topics, client_id
from .options import MqttOptions
from .replay import ReplayResponder
from .retained import RetainedState

if TYPE_CHECKING:
    from publisher import Log

    from .client.connection import IncomingMessage
    from .client.login import Login

_HOUR = 3600.0


class MqttSink(Sink):
    """Publishes each interface's state and events to an MQTT broker.

    The connection is made with the first batch, or shortly after `open` when there is none, and whenever it is lost,
    so `open` itself only raises errors of the options' files.
    """

    Options: ClassVar[type[MqttOptions]] = MqttOptions
    # Each batch ends with a wait for the last acknowledgement, and of each row it publishes one state. After a failure
    # the next one is half as large: on a link that breaks again and again, each batch is to come to its end.
    batch_size = 500
    most_in_batch: ClassVar[int] = 500
    backoff: ClassVar[Backoff] = Backoff(1.0, 60.0)
    birth_delay_seconds: ClassVar[float] = 5.0

    options: MqttOptions

    def __init__(self, options: MqttOptions, context: SinkContext) -> None:
        from .client.reconnect import Reconnect
        from .client.session import Session

        super().__init__(options, context)
        self._discovery = Discovery(
            options.home_assistant,
            context.node,
            options.base,
            publisher.__version__,
            in_cloudevents=options.format == "cloudevents",
        )
        self._messages = Messages(options, Topics(options.base, context.node), context.node)
        self._announces = options.home_assistant.enabled
        devices = Devices(self._discovery) if self._announces else None
        self._retained = RetainedState(self._messages, devices, context)
        self.session = Session(
            options,
            context,
            self._messages,
            self._retained,
            Reconnect(self.backoff),
            self._login,
            self._subscriptions,
            self._received,
        )
        self._births = Births(context, self._announce, self.birth_delay_seconds)
        self._replay = ReplayResponder(options, context, self._messages, lambda: self._retained.newest, self.session)

    def open(self) -> None:
        """Reads the files that the options name, to tell of those that cannot be read; raises ConfigurationError.

        They are read again for each connection: passwords and certificates are renewed.
        """
        for one in self.options.by_destination:
            self._login(one, log=self.context.log)
        self.session.open()
        if self._retained.devices is not None:
            self.context.call(self._look_at_the_day, _HOUR)

    def publish(self, events: Sequence[Event]) -> None:
        """Returns when the broker has acknowledged every state and event; raises Retry or Rejected."""
        if not events:
            return
        try:
            self.session.make_ready(snapshot_follows=self._retained.takes_snapshot(events[0]))
            self.session.publish(self._retained.plan(events))
        except Retry:
            self.batch_size = max(1, self.batch_size // 2)
            raise
        self.batch_size = min(self.most_in_batch, self.batch_size * 2)

    def fileno(self) -> int | None:
        """Returns the descriptor of the connection's socket."""
        connection = self.session.connection
        if connection is None:
            return None
        if connection.has_more:
            # Read ahead and not taken, also by a batch or a job: the descriptor does not show it. As a job it holds up
            # no events, whatever a broker sends without end.
            self.context.call(self.ready)
        return connection.descriptor

    def ready(self) -> None:
        """Takes what the broker sent."""
        connection = self.session.connection
        if connection is not None:
            connection.turn()

    def check(self) -> str:
        """Tries everything that the sink needs of the broker, without disturbing a sink that runs."""
        from .check import check_brokers

        # With another client id, so that the broker does not end the connection of a publisher that runs.
        logins = [
            (one, self._login(one, f"{self.context.name}/check", self.context.log))
            for one in self.options.by_destination
        ]
        return check_brokers(logins, self._messages.topics, self._discovery)

    def retains(self) -> tuple[str, ...]:
        """Returns the places of the states and, with discovery, of the devices, on each broker that is to stay."""
        if self.options.volatile:
            return ()
        return tuple(place for one in self.options.by_destination for place in self._places(one))

    def _places(self, options: MqttOptions) -> tuple[str, ...]:
        states = place_of_states(options, self.context.node)
        return (states, place_of_devices(options, self._discovery)) if self._announces else (states,)

    def forget(self, places: Sequence[str]) -> None:
        """Empties the node's retained topics, if no publisher uses them; raises Retry or Rejected."""
        for one in self.options.by_destination:
            states = place_of_states(one, self.context.node) in places
            devices = place_of_devices(one, self._discovery) in places
            if states or devices:
                login = self._login(one)._replace(client_id=forgetting_id())
                forgetting = Forgetting(one, self.context, self._messages, self._discovery, login)
                forgetting.empty(states=states, devices=devices)

    def close(self) -> None:
        """Publishes that the node is offline, and disconnects."""
        self.session.close()

    def _login(self, options: MqttOptions, name: str = "", log: Log | None = None) -> Login:
        from .client.login import read_login

        # With the journal's epoch: a second host with this node and sink name is not to end our connection, so that
        # the two can notice each other (ownership.py).
        sink = f"{self.context.epoch}/{name or self.context.name}"
        derived = client_id(self.context.node, sink, self.options.base)
        given = self.options.client_id and self.options.client_id + ("-check" if name else "")
        return read_login(options, given or derived, log)

    def _subscriptions(self) -> list[str]:
        requests = [self._messages.topics.request] if self.options.replay.enabled else []
        births = [] if self._retained.devices is None else [self._discovery.birth_topic]
        return requests + births

    def _received(self, message: IncomingMessage) -> None:
        """Has a message answered between two batches."""
        if self.options.replay.enabled and message.topic == self._messages.topics.request:
            self._replay.take(message)
        elif self._discovery.is_birth(message.topic, message.payload) and not message.retain:
            self._births.take()

    def _announce(self) -> None:
        """Sends the devices again, then the states, for a Home Assistant that has started."""
        self.session.send_if_connected(self._retained.again())

    def _look_at_the_day(self) -> None:
        self.session.send_if_connected(self._retained.new_day())
        self.context.call(self._look_at_the_day, _HOUR)
