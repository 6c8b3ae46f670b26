"""What `publisher check` tries of a broker, over a connection of its own, so that a running publisher is left alone."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from .client.errors import BrokerError
from .messages import MqttMessage, Topics

if TYPE_CHECKING:
    from .client.connection import Connection, Login, Received
    from .client.inflight import Refusal
    from .client.readback import ReadBack
    from .homeassistant.discovery import Discovery
    from .options import MqttOptions


def check_broker(options: MqttOptions, identity: Login, topics: Topics, discovery: Discovery) -> str:
    """Publish a retained message, read it back, clear it; says what works in a line, raises BrokerError in a line."""
    from .client.connection import Connection
    from .client.readback import ReadBack

    reader: ReadBack | None = None

    def arrived(message: Received) -> None:
        if reader is not None:
            reader.take(message)

    probe = Connection(options, identity._replace(client_id=f"{identity.client_id}-check"), on_message=arrived)
    probe.open()
    reader = ReadBack(probe, topics.fence)
    try:
        _check_writing(probe, reader, topics)
        remarks = _remarks(probe, options, topics, discovery)
    finally:
        probe.close()
    server = options.server
    how = ", ".join(
        ["MQTT " + options.protocol, *(["TLS"] if server.tls else []), *(["WebSockets"] if server.websockets else [])]
    )
    return "; ".join([f"publishes to {topics.root} on {server.name} ({how})", *remarks])


def _check_writing(probe: Connection, reader: ReadBack, topics: Topics) -> None:
    token = secrets.token_hex(8).encode()
    try:
        refusals, kept = _write_and_read(probe, reader, topics.check, token)
    except BrokerError as error:
        reason = f"the broker ended the connection over {topics.check}: its access control may refuse it"
        raise BrokerError(reason) from error
    if refusals:
        raise BrokerError(f"the broker refuses to take {topics.root}/#: {refusals[0].reason} (its access control)")
    if kept != token:
        raise BrokerError(
            f"the broker took {topics.check} and does not give it back: "
            f"its access control refuses writing or reading {topics.root}/#, or it keeps no retained messages"
        )


def _write_and_read(
    probe: Connection, reader: ReadBack, topic: str, token: bytes
) -> tuple[list[Refusal], bytes | None]:
    """What was refused of writing, and what is retained then; nothing is retained afterwards."""
    probe.put(MqttMessage(topic, token, retain=True))
    if refusals := probe.flush():
        return refusals, None
    kept = reader.read([topic], lambda heard: heard == topic).payloads.get(topic)
    # Always: what was refused to be read may have been written.
    probe.put(MqttMessage(topic, b"", retain=True))
    probe.flush()
    return [], kept


def _remarks(probe: Connection, options: MqttOptions, topics: Topics, discovery: Discovery) -> list[str]:
    """What does not work and is not needed for states and events."""
    remarks = []
    if options.replay.enabled and (refusal := probe.subscribe(topics.request, qos=1)):
        remarks.append(f"no replay: subscribing to {topics.request} is refused ({refusal})")
    if options.home_assistant.enabled:
        topic = discovery.config_topic("check")
        try:
            probe.put(MqttMessage(topic, b"", retain=True))
            remarks += [f"no Home Assistant discovery: {one.topic} is refused ({one.reason})" for one in probe.flush()]
        except BrokerError:
            remarks.append(f"no Home Assistant discovery: the broker ended the connection over {topic}")
    return remarks
