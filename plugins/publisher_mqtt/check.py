"""Tries a broker for `publisher check`, over a connection of its own: nothing is retained, no session is disturbed."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .client.errors import BrokerError
from .found import no_wildcards
from .messages import MqttMessage, Topics
from .payloads import Token

if TYPE_CHECKING:
    from .client.connection import Connection, IncomingMessage
    from .client.login import Login
    from .client.readback import ReadBack
    from .client.refusals import Refusal
    from .homeassistant.discovery import Discovery
    from .options import MqttOptions

# Bytes of packets with MQTT 5: a state without any list, one of each kind that is often larger.
_LEAST_STATE_BYTES = 1500
_LARGE_MESSAGES = {"a device of Home Assistant": 5_000, "a state with 50 addresses": 12_000}


def check_brokers(logins: Sequence[tuple[MqttOptions, Login]], topics: Topics, discovery: Discovery) -> str:
    """Tries each broker; returns a line of what works on each, raises BrokerError with it when one does not work."""
    lines, failed = [], False
    for options, login in logins:
        try:
            lines.append(check_broker(options, login, topics, discovery))
        except BrokerError as error:
            if len(logins) == 1:
                raise
            failed = True
            lines.append(str(error))
    if failed:
        raise BrokerError("; ".join(lines))
    return "; ".join(lines)


def check_broker(options: MqttOptions, login: Login, topics: Topics, discovery: Discovery) -> str:
    """Publishes a message and receives it; returns a line of what works, raises BrokerError with a line."""
    from .client.dialing import Dialer
    from .client.readback import ReadBack

    token, returned = Token(token=secrets.token_hex(8)).json_bytes, list[bytes]()

    def received(message: IncomingMessage) -> None:
        if not any(one.take(message) for one in reading) and message.payload == token:
            returned.append(token)

    reading: list[ReadBack] = []
    # The will is the one of the sink in all but its topic, which no subscriber takes for the node's state.
    will = MqttMessage(topics.check, Token(token="0" * 16).json_bytes, retain=False)
    probe = Dialer(options, lambda _: login).dial(will=will, on_message=received)
    try:
        _send_and_receive(probe, topics, token, returned, options.timeout)
        reading.append(ReadBack(probe, topics.check))
        remarks = [*_sizes(probe.most_bytes), *_remarks(probe, options, topics, discovery)]
        remarks += _wildcards(reading[0], topics)
    finally:
        probe.close()
        reading.clear()
    return "; ".join([f"publishes to {topics.root} on {options.server.name} ({_protocol(options, probe)})", *remarks])


def _protocol(options: MqttOptions, probe: Connection) -> str:
    """Returns the version of MQTT, and what it goes over."""
    server = options.server
    parts = [f"MQTT {probe.protocol}", *(["TLS"] if server.tls else []), *(["WebSockets"] if server.websockets else [])]
    if options.insecure:
        parts.append("the certificate is not verified: insecure = true")
    return ", ".join(parts)


def _sizes(most_bytes: int) -> list[str]:
    """Returns a remark about a limit that usual messages exceed; raises BrokerError where nothing fits."""
    limit = f"the broker takes messages of at most {most_bytes} bytes"
    if most_bytes < _LEAST_STATE_BYTES:
        raise BrokerError(f"{limit}, and a state has about {_LEAST_STATE_BYTES}: raise its maximum packet size")
    too_large = [what for what, size in _LARGE_MESSAGES.items() if size > most_bytes]
    return [f"{limit}, which is too little for {' and '.join(too_large)}"] if too_large else []


def _send_and_receive(probe: Connection, topics: Topics, token: bytes, returned: list[bytes], wait: float) -> None:
    try:
        if refusal := probe.subscribe(topics.check, qos=1):
            raise BrokerError(f"the broker refuses the subscription to {topics.check}: {refusal} (its access control)")
        refusals = _put(probe, MqttMessage(topics.check, token, retain=False))
    except BrokerError as error:
        if probe.broken is None:
            raise
        reason = (
            f"the broker ended the connection over {topics.check}: it does not take this name, or its access control "
            "refuses it"
        )
        raise BrokerError(reason) from error
    if refusals:
        raise BrokerError(f"the broker refuses to take {topics.root}/#: {refusals[0].reason} (its access control)")
    if not probe.wait_for(lambda: bool(returned), wait):
        raise BrokerError(
            f"the broker took {topics.check} and does not send it back: "
            f"its access control refuses writing or reading {topics.root}/#"
        )


def _wildcards(readback: ReadBack, topics: Topics) -> list[str]:
    """Returns a remark when a subscription with a wildcard does not receive what one without it does.

    Nothing is written for that, so it shows once a sink has retained its `info` there.
    """
    filters = (topics.info, f"{topics.root}/+")
    try:
        alone, together = (readback.read([one], lambda _topic, payload: payload) for one in filters)
    except BrokerError:  # the remarks before say over which topic, if it is one of them
        return []
    missed = topics.info in alone.found and topics.info not in together.found
    return [no_wildcards(topics)] if missed else []


def _put(probe: Connection, message: MqttMessage) -> list[Refusal]:
    """Sends a message and waits for it; returns its refusal, if any. Raises BrokerError."""
    refusal = probe.put(message)
    return [refusal] if refusal else probe.flush()


def _remarks(probe: Connection, options: MqttOptions, topics: Topics, discovery: Discovery) -> list[str]:
    """Returns what does not work and is not needed for states and events."""
    remarks = []
    if options.replay.enabled and (refusal := probe.subscribe(topics.request, qos=1)):
        remarks.append(f"no replay: subscribing to {topics.request} is refused ({refusal})")
    if options.home_assistant.enabled:
        topic = discovery.config_topic("check")
        try:
            # Empty, not retained, and no device's topic: neither the broker nor Home Assistant keeps anything of it.
            refusals = _put(probe, MqttMessage(topic, b"", retain=False))
            remarks += [f"no Home Assistant discovery: {topic} is refused ({one.reason})" for one in refusals]
        except BrokerError:
            remarks.append(f"no Home Assistant discovery: the broker ended the connection over {topic}")
    return remarks
