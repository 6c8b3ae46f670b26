"""Empties what a node retained on a broker, when the configuration no longer names it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from publisher import Rejected, Retry, SinkContext

from .found import Finder, RetainedContents
from .homeassistant.discovery import NODE, Discovery
from .messages import Messages, MqttMessage, Topics
from .options import MqttOptions
from .ownership import NotPublishing, Ownership

if TYPE_CHECKING:
    from .client.connection import Connection, IncomingMessage
    from .client.login import Login
    from .client.readback import ReadBack

_NO_EPOCH = "0" * 16
# What is read back again after it was emptied: a broker may send a part late, and not everything at once.
_MOST_ROUNDS = 5
# The sink that takes this one's place may be about to connect.
_ANSWER_SECONDS, _ANSWER_SECONDS_OFFLINE = 5.0, 3.0


def place_of_states(options: MqttOptions, node: str) -> str:
    """Returns the name of the place where a node's states are."""
    return f"{options.server.place} {options.base}/{node}"


def place_of_devices(options: MqttOptions, discovery: Discovery) -> str:
    """Returns the name of the place where the node's Home Assistant devices are."""
    return f"{options.server.place} {discovery.place}"


def client_id() -> str:
    """Returns an id of a connection beside that of a sink that runs; every broker takes so few letters."""
    return f"forget{secrets.token_hex(6)}"


class Forgetting:
    """Empties a node's retained topics on one broker, over a connection of its own. One thread.

    Of other programs' topics, and of those of a publisher that runs there, nothing is touched.
    """

    def __init__(
        self, options: MqttOptions, context: SinkContext, messages: Messages, discovery: Discovery, login: Login
    ) -> None:
        self._options = options
        self._context = context
        self._messages = messages
        self._topics: Topics = messages.topics
        self._discovery = discovery
        self._login = login
        self._ownership = Ownership(
            self._topics, context, secrets.token_hex(4), epoch=None, home_assistant=None, publishing=NotPublishing()
        )

    def empty(self, *, states: bool, devices: bool) -> None:
        """Returns when the broker has confirmed that nothing is left; raises Retry or Rejected."""
        from .client.dialing import Dialer
        from .client.errors import BrokerError
        from .client.readback import ReadBack

        takers: list[Callable[[IncomingMessage], bool]] = [self._ownership.take]

        def received(message: IncomingMessage) -> None:
            any(take(message) for take in takers)

        try:
            connection = Dialer(self._options, lambda _: self._login).dial(on_message=received)
            try:
                readback = ReadBack(connection, self._topics.fence)
                takers.insert(0, readback.take)
                self._empty(connection, readback, states=states, devices=devices)
            finally:
                connection.close()
        except BrokerError as error:
            raise Retry(str(error)) from error

    def _empty(self, connection: Connection, readback: ReadBack, *, states: bool, devices: bool) -> None:
        for topic in self._ownership.subscriptions:
            if refusal := connection.subscribe(topic, qos=1):
                raise Retry(f"the broker refuses the subscription to {topic}: {refusal}")
        info = self._ownership.read(readback)
        answer = self._ownership.ask(connection, _ANSWER_SECONDS if info.online else _ANSWER_SECONDS_OFFLINE)
        if answer is not None:
            if self._context.epoch == _NO_EPOCH:
                raise Rejected(
                    f"a publisher runs that has the node name {self._context.node} there: {answer.about};"
                    " stop it, or take the sink out of its configuration"
                )
            # The same broker by another name, or another host has the name now: what it uses is its own.
            states, devices = False, devices and answer.home_assistant != self._discovery.place
        known: frozenset[str] | None = frozenset(self._context.luids())
        for _ in range(_MOST_ROUNDS):
            contents = Finder(self._topics, self._discovery if devices else None).read(readback, info.payload)
            if contents.keys or contents.devices or contents.own:
                # What is there is found. Brokers that send nothing retained to wildcards (RabbitMQ) never get here.
                known = None
            # The node's own device has the same topic everywhere, also where no interface is known.
            messages = [*self._without_devices(contents, {*known, NODE} if devices and known is not None else set())]
            messages += self._without_states(contents, known or ()) if states else ()
            self._send(connection, messages)
            known = None
            if not contents.keys and not any(device.is_ours for device in contents.devices):
                break
        if states:
            # The status last: as long as it is there, the rest is known to be unfinished.
            self._send(connection, [MqttMessage(topic, b"", retain=True) for topic in self._topics.retained])

    def _without_states(self, contents: RetainedContents, known: Collection[str]) -> Iterator[MqttMessage]:
        yield from map(self._messages.no_state, sorted(contents.keys))
        yield from map(self._messages.no_state, sorted(self._topics.keys_of(known) - contents.keys))

    def _without_devices(self, contents: RetainedContents, known: set[str]) -> Iterator[MqttMessage]:
        for device in contents.devices:
            if device.is_ours:
                topic = self._discovery.first_config_topic if device.is_first_form else self._discovery.config_topic
                yield MqttMessage(topic(device.luid), b"", retain=True)
        found = {device.luid for device in contents.devices}
        for luid in sorted(known - found):
            yield MqttMessage(self._discovery.config_topic(luid), b"", retain=True)

    def _send(self, connection: Connection, messages: Iterable[MqttMessage]) -> None:
        refused = [refusal for message in messages if (refusal := connection.put(message)) is not None]
        if refusals := [*refused, *connection.flush()]:
            raise Retry(refusals[0].text)
