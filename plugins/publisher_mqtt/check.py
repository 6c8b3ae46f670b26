"""Tries a broker for `publisher check`, over a connection of its own: nothing is retained, no session is disturbed."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

from .client.errors import BrokerError
from .messages import MqttMessage, Topics

if TYPE_CHECKING:
    from .client.connection import Connection, IncomingMessage, Login
    from .homeassistant.discovery import Discovery
    from .options import MqttOptions


def check_broker(options: MqttOptions, login: Login, topics: Topics, discovery: Discovery) -> str:
    """Publishes a message and receives it; returns a line of what works, raises BrokerError with a line."""
    from .client.connection import Connection

    token, returned = secrets.token_hex(8).encode(), threading.Event()

    def received(message: IncomingMessage) -> None:
        if message.payload == token:
            returned.set()

    probe = Connection(options, login._replace(client_id=f"{login.client_id}-check"), on_message=received)
    probe.open()
    try:
        _send_and_receive(probe, topics, token, returned, options.timeout)
        remarks = _remarks(probe, options, topics, discovery)
    finally:
        probe.close()
    server = options.server
    protocol = ", ".join(
        ["MQTT " + options.protocol, *(["TLS"] if server.tls else []), *(["WebSockets"] if server.websockets else [])]
    )
    return "; ".join([f"publishes to {topics.root} on {server.name} ({protocol})", *remarks])


def _send_and_receive(probe: Connection, topics: Topics, token: bytes, returned: threading.Event, wait: float) -> None:
    try:
        if refusal := probe.subscribe(topics.check, qos=1):
            raise BrokerError(f"the broker refuses the subscription to {topics.check}: {refusal} (its access control)")
        probe.put(MqttMessage(topics.check, token, retain=False))
        refusals = probe.flush()
    except BrokerError as error:
        if probe.broken is None:
            raise
        reason = f"the broker ended the connection over {topics.check}: its access control may refuse it"
        raise BrokerError(reason) from error
    if refusals:
        raise BrokerError(f"the broker refuses to take {topics.root}/#: {refusals[0].reason} (its access control)")
    if not returned.wait(wait):
        raise BrokerError(
            f"the broker took {topics.check} and does not send it back: "
            f"its access control refuses writing or reading {topics.root}/#"
        )


def _remarks(probe: Connection, options: MqttOptions, topics: Topics, discovery: Discovery) -> list[str]:
    """Returns what does not work and is not needed for states and events."""
    remarks = []
    if options.replay.enabled and (refusal := probe.subscribe(topics.request, qos=1)):
        remarks.append(f"no replay: subscribing to {topics.request} is refused ({refusal})")
    if options.home_assistant.enabled:
        topic = discovery.config_topic("check")
        try:
            # Empty, not retained, and no device's topic: neither the broker nor Home Assistant keeps anything of it.
            probe.put(MqttMessage(topic, b"", retain=False))
            remarks += [f"no Home Assistant discovery: {one.topic} is refused ({one.reason})" for one in probe.flush()]
        except BrokerError:
            remarks.append(f"no Home Assistant discovery: the broker ended the connection over {topic}")
    return remarks
