"""MQTT messages made from events, and the names of their topics. No I/O."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from publisher import cloudevents
from publisher.events import Event, Key

if TYPE_CHECKING:
    from .client.properties import Packed
    from .options import MqttOptions

ONLINE, OFFLINE = b"online", b"offline"
_JSON = cloudevents.DATA_CONTENT_TYPE
_STATE = re.compile(r"(?P<luid>[0-9a-f]{16})/(?P<family>inet6?)/state")
_CLIENT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")
# A host has hundreds of interfaces, four kinds of event each; kept whole, forgotten whole.
_MOST_KEPT_PROPERTIES = 20_000


class Topics:
    """The topics of one node under one base."""

    def __init__(self, base: str, node: str) -> None:
        self.root = f"{base}/{node}"
        self.status = f"{self.root}/status"
        self.info = f"{self.root}/info"
        self.request = f"{self.root}/replay/get"
        self.fence = f"{self.root}/fence"
        self.check = f"{self.root}/check"
        self.all_states = f"{self.root}/+/+/state"

    def state(self, key: Key) -> str:
        """Where the IP interface's state is retained."""
        return f"{self.root}/{key.luid}/{key.family}/state"

    def event(self, key: Key) -> str:
        """Where its events go."""
        return f"{self.root}/{key.luid}/{key.family}/event"

    def key_of(self, topic: str) -> Key | None:
        """Whose state this topic is; `None` when it is no state of this node."""
        match = _STATE.fullmatch(topic.removeprefix(f"{self.root}/"))
        if match is None:
            return None
        return Key(match["luid"], "inet6" if match["family"] == "inet6" else "inet")

    def answer(self, client: str) -> str | None:
        """Where this client of MQTT 3.1.1 is answered; `None` for a name that is no plain topic level or is taken."""
        return f"{self.root}/replay/{client}" if _CLIENT.fullmatch(client) and client != "get" else None

    def may_answer_to(self, topic: str, forbidden_prefix: str) -> bool:
        """Whether an answer may go to this response topic: none where it would pass for something else."""
        own = topic.startswith(f"{self.root}/")
        return (
            0 < len(topic) <= 1024
            and not any(sign in topic for sign in "+#\0")
            and not topic.startswith("$")
            and topic != self.root
            and not topic.startswith(f"{forbidden_prefix}/")
            and (not own or topic == self.answer(topic.removeprefix(f"{self.root}/replay/")))
        )


def client_id(node: str, sink: str, base: str) -> str:
    """A client id that stays for this node and sink, and is no other's on the same broker.

    Only letters that every broker takes; a name that had others is told apart by a few digits of its hash.
    """
    plain = f"publisher-{_NOT_IN_IDS.sub('_', node)}-{_NOT_IN_IDS.sub('_', sink)}"
    digits = hashlib.sha256(f"{base}/{node}/{sink}".encode()).hexdigest()[:6]
    return f"{plain}-{digits}"


class MqttMessage(NamedTuple):
    """A message to publish, always with QoS 1."""

    topic: str
    payload: bytes
    retain: bool
    properties: Packed | None = None


class Messages:
    """Makes the messages of one sink. Properties are `None` where the protocol has none (3.1.1)."""

    def __init__(self, options: MqttOptions, topics: Topics, node: str) -> None:
        self.topics = topics
        self._node = node
        self._format = options.format
        self._expiry = options.message_expiry
        self._has_properties = options.protocol == "5"
        self._kept: dict[tuple[str, str, str], Packed] = {}

    def state(self, event: Event) -> MqttMessage:
        """The IP interface as it is after this event; an empty payload when it is gone."""
        key = _key(event)
        if event.notification_type == "delete_instance":
            return self.no_state(key)
        return MqttMessage(
            self.topics.state(key), state_bytes(event), retain=True, properties=self._properties(key, "state")
        )

    def no_state(self, key: Key) -> MqttMessage:
        """Takes the retained state off the broker."""
        return MqttMessage(self.topics.state(key), b"", retain=True)

    def event(self, event: Event) -> MqttMessage:
        """The event in the format that the options ask for."""
        key = _key(event)
        topic = self.topics.event(key)
        if self._format == "cloudevents":
            return MqttMessage(
                topic, cloudevents.structured_json(event), False, self._properties(key, event.notification_type)
            )
        if self._format == "cloudevents_binary":
            return MqttMessage(topic, event.json_bytes, False, self._attributes(event))
        return MqttMessage(topic, event.json_bytes, False, self._properties(key, event.notification_type))

    def status(self, payload: bytes) -> MqttMessage:
        """The node's availability."""
        return MqttMessage(self.topics.status, payload, retain=True)

    def info(self, payload: bytes) -> MqttMessage:
        """What the publisher says of itself."""
        return MqttMessage(self.topics.info, payload, retain=True, properties=self.plain())

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
        content_type = _JSON if self._format == "json" else f"{cloudevents.STRUCTURED_CONTENT_TYPE}; charset=utf-8"
        return pack(content_type=content_type, user=[*user, ("notification_type", kind)], expiry=self._expiry)

    def _attributes(self, event: Event) -> Packed:
        """CloudEvents' binary mode (its MQTT binding, 3.1): attributes are user properties without a prefix."""
        from .client.properties import pack

        return pack(content_type=_JSON, user=cloudevents.attributes(event).items(), expiry=self._expiry)


def state_bytes(event: Event) -> bytes:
    """`{"seq", "time", "row", "interface", "addresses"}` as compact JSON.

    They are cut out of the event's own bytes, which is ten times quicker than to serialize them anew. A quotation mark
    inside of a JSON string is always escaped, so `,"row":` can only be the member itself; the order is the model's.
    """
    whole = event.json_bytes
    stamp, kind = whole.index(b',"seq":'), whole.index(b',"notification_type":')
    row = whole.index(b',"row":')
    return b"{%b%b}" % (whole[stamp + 1 : kind], whole[row : whole.index(b',"changed":', row)])


def _key(event: Event) -> Key:
    key = event.key
    if key is None:
        raise ValueError(f"event {event.id} is about no interface")
    return key
