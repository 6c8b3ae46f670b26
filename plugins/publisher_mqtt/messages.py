"""Events as MQTT messages: topic, payload and properties. No I/O."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from publisher.events import Event, Key

if TYPE_CHECKING:
    from .client.properties import Packed
    from .options import MqttOptions
    from .topics import Topics

ONLINE, OFFLINE = b"online", b"offline"
_JSON = "application/json"
# A host has hundreds of interfaces, four kinds of event each; kept whole, forgotten whole.
_MOST_KEPT_PROPERTIES = 20_000


class Message(NamedTuple):
    """What is published, always with QoS 1."""

    topic: str
    payload: bytes
    retain: bool
    properties: Packed | None = None


class Messages:
    """Makes the messages of one sink. Properties are `None` where the protocol has none (3.1.1)."""

    def __init__(self, options: MqttOptions, topics: Topics, node: str) -> None:
        self._topics = topics
        self._node = node
        self._format = options.format
        self._expiry = options.message_expiry
        self._has_properties = options.protocol == "5"
        self._kept: dict[tuple[str, str, str], Packed] = {}

    def state(self, event: Event) -> Message:
        """The IP interface as it is after this event; an empty payload when it is gone."""
        key = _key(event)
        if event.notification_type == "delete_instance":
            return self.no_state(key)
        return Message(
            self._topics.state(key), state_bytes(event), retain=True, properties=self._properties(key, "state")
        )

    def no_state(self, key: Key) -> Message:
        """Takes the retained state off the broker."""
        return Message(self._topics.state(key), b"", retain=True)

    def event(self, event: Event) -> Message:
        """The event in the format that the options ask for."""
        key = _key(event)
        topic = self._topics.event(key)
        if self._format == "cloudevents":
            return Message(topic, cloudevent_bytes(event), False, self._properties(key, event.notification_type))
        if self._format == "cloudevents_binary":
            return Message(topic, event.json_bytes, False, self._attributes(event))
        return Message(topic, event.json_bytes, False, self._properties(key, event.notification_type))

    def status(self, payload: bytes) -> Message:
        """The node's availability."""
        return Message(self._topics.status, payload, retain=True)

    def info(self, payload: bytes) -> Message:
        """What the publisher says of itself."""
        return Message(self._topics.info, payload, retain=True, properties=self.plain())

    def plain(self, correlation: bytes | None = None) -> Packed | None:
        """The properties of a JSON message that is about no one interface."""
        if not self._has_properties:
            return None
        from .client.properties import pack

        return pack(content_type=_JSON, user=[("node", self._node)], correlation=correlation)

    def _properties(self, key: Key, kind: str) -> Packed | None:
        """Content type and user properties; `kind` is the notification type, or `state`."""
        if not self._has_properties:
            return None
        found = self._kept.get((*key, kind))
        if found is None:
            if len(self._kept) >= _MOST_KEPT_PROPERTIES:
                self._kept.clear()
            found = self._kept[(*key, kind)] = self._make_properties(key, kind)
        return found

    def _make_properties(self, key: Key, kind: str) -> Packed:
        from .client.properties import pack

        user = [("node", self._node), ("luid", key.luid), ("family", key.family)]
        if kind == "state":
            return pack(content_type=_JSON, user=user)
        content_type = _JSON if self._format == "json" else "application/cloudevents+json; charset=utf-8"
        return pack(content_type=content_type, user=[*user, ("notification_type", kind)], expiry=self._expiry)

    def _attributes(self, event: Event) -> Packed:
        """CloudEvents' binary mode (its MQTT binding, 3.1): attributes are user properties without a prefix."""
        from .client.properties import pack

        return pack(content_type=_JSON, user=cloudevent_attributes(event).items(), expiry=self._expiry)


def state_bytes(event: Event) -> bytes:
    """`{"seq", "time", "row", "interface", "addresses"}` as compact JSON.

    They are cut out of the event's own bytes, which is ten times quicker than to serialize them anew. A quotation mark
    inside of a JSON string is always escaped, so `,"row":` can only be the member itself; the order is the model's.
    """
    whole = event.json_bytes
    stamp, kind = whole.index(b',"seq":'), whole.index(b',"notification_type":')
    row = whole.index(b',"row":')
    return b"{%b%b}" % (whole[stamp + 1 : kind], whole[row : whole.index(b',"changed":', row)])


def cloudevent_attributes(event: Event) -> dict[str, str]:
    """The context attributes of CloudEvents 1.0. A LUID is text, since an integer has 32 bits there."""
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/{event.node}",
        "type": f"ip_interface.{event.notification_type}",
        "subject": f"{event.luid}/{event.family}",
        "time": event.time.isoformat().replace("+00:00", "Z"),
        "sequence": f"{event.seq:020d}",  # compared as text
        "node": event.node,
        "luid": event.luid or "",
        "family": event.family or "",
    }


def cloudevent_bytes(event: Event) -> bytes:
    """The event as a CloudEvent in structured JSON; `data` holds the event's own bytes."""
    attributes = cloudevent_attributes(event) | {"datacontenttype": _JSON}
    head = json.dumps(attributes, ensure_ascii=False, separators=(",", ":")).encode()
    return b'%b,"data":%b}' % (head[:-1], event.json_bytes)


def _key(event: Event) -> Key:
    key = event.key
    if key is None:
        raise ValueError(f"event {event.id} is about no interface")
    return key
