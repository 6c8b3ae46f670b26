"""MQTT messages made from events, and the names of their topics. No I/O."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from publisher import cloudevents
from publisher.events import Event, Family, Key

from .client.properties import packed_properties

if TYPE_CHECKING:
    from .options import MqttOptions

ONLINE, OFFLINE = b"online", b"offline"
_JSON = cloudevents.DATA_CONTENT_TYPE
_STATE = re.compile(r"(?P<luid>[0-9a-f]{16})/(?P<family>inet6?)/state")
_CLIENT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9]")
# MQTT 3.1.1, 3.1.3.1: every server takes client ids of 1 to 23 letters and digits; some take no others.
_LONGEST_ID = 23
# Those of 500 interfaces, with two kinds of message for each family; with more, all are made again, which costs 6 µs a
# message. Each takes 400 bytes: those of 4,000 interfaces would be 6 MiB.
_MOST_KEPT_HEADS = 2_000


class Topics:
    """The topics of one node under one base. No level has text of the user but the base and the node."""

    def __init__(self, base: str, node: str) -> None:
        self.root = f"{base}/{node}"
        self.status = f"{self.root}/status"
        self.info = f"{self.root}/info"
        self.request = f"{self.root}/replay/get"
        self.owner = f"{self.root}/owner"
        self.kept = f"{self.root}/kept"
        self.fence = f"{self.root}/fence"
        self.check = f"{self.root}/check"
        self._below = f"{self.root}/".encode()
        self.all_states = f"{self.root}/+/+/state"
        self.retained = (self.info, self.status, self.kept)

    def state(self, key: Key) -> str:
        """Returns the topic of the IP interface's retained state."""
        return f"{self.root}/{key.luid}/{key.family}/state"

    def event(self, key: Key) -> str:
        """Returns the topic of the IP interface's events."""
        return f"{self.root}/{key.luid}/{key.family}/event"

    def is_state(self, topic: bytes) -> bool:
        """Returns whether this is the topic of a state of this node, or looks like one."""
        return topic.endswith(b"/state") and topic.startswith(self._below)

    def key_of(self, topic: str) -> Key | None:
        """Returns the IP interface whose state has this topic; `None` for other topics."""
        match = _STATE.fullmatch(topic.removeprefix(f"{self.root}/"))
        if match is None:
            return None
        return Key(match["luid"], "inet6" if match["family"] == "inet6" else "inet")

    def keys_of(self, luids: Iterable[str]) -> set[Key]:
        """Returns the IP interfaces that these interfaces can have."""
        families: tuple[Family, ...] = ("inet", "inet6")
        return {Key(luid, family) for luid in luids for family in families}

    def answer(self, client: str) -> str | None:
        """Returns the topic of answers to this `client`; `None` when it is not a plain topic level, or is taken."""
        return f"{self.root}/replay/{client}" if _CLIENT.fullmatch(client) and client != "get" else None

    def is_answer(self, topic: str) -> bool:
        """Returns whether this is the topic of answers to some client of this node."""
        return topic == self.answer(topic.removeprefix(f"{self.root}/replay/"))


def client_id(node: str, sink: str, base: str) -> str:
    """Returns a client id that this node and sink keep, and that no other has on the same broker.

    At most 23 letters and digits, which every broker takes: the beginning of the node, then digits of a hash.
    """
    digest = hashlib.sha256(f"{base}/{node}/{sink}".encode()).digest()
    digits = base64.b32encode(digest)[:8].decode()
    return f"pub{_NOT_IN_IDS.sub('', node)[: _LONGEST_ID - 11]}{digits}"


class MqttMessage(NamedTuple):
    """A message to publish, always with QoS 1."""

    topic: str
    payload: bytes
    retain: bool
    properties: bytes | None = None


class _Head(NamedTuple):
    """The part of a message that those of one kind about one IP interface have in common."""

    topic: str
    properties: bytes | None


class Messages:
    """Makes the messages of one sink. Properties are `None` where the protocol has none (3.1.1)."""

    def __init__(self, options: MqttOptions, topics: Topics, node: str) -> None:
        self.topics = topics
        self._node = node
        self.skips = options.skips
        """True if the sink does not get each event."""
        self._format = options.format
        self._expiry = options.message_expiry
        # With "auto" they are made too: a message of MQTT 3.1.1 is sent without them.
        self._has_properties = options.protocol != "3.1.1"
        self._heads: dict[tuple[str | None, str | None, str], _Head] = {}

    def state(self, event: Event) -> MqttMessage:
        """Returns the IP interface's state after this event; its payload is empty when the interface was removed."""
        if event.notification_type == "delete_instance":
            return self.no_state(_key(event))
        topic, properties = self._head(event, "state")
        return MqttMessage(topic, state_bytes(event), True, properties)

    def no_state(self, key: Key) -> MqttMessage:
        """Returns the message that clears the retained state."""
        return MqttMessage(self.topics.state(key), b"", retain=True)

    def reductions(self, event: Event) -> Iterator[MqttMessage]:
        """Yields smaller messages for a state that the broker does not take, the last one empty.

        Members are left out, the largest first, and named in `reduced`; no list is shortened.
        """
        key, state = _key(event), json.loads(state_bytes(event))
        topic, properties = self._head(event, "state")
        lists = sorted(_lists(state), key=lambda entry: len(json.dumps(entry.holder[entry.name])), reverse=True)
        for count in dict.fromkeys((min(1, len(lists)), len(lists))):
            for entry in lists[:count]:
                entry.holder.pop(entry.name, None)
            if count:
                state["reduced"] = sorted(entry.path for entry in lists[:count])
                payload = json.dumps(state, ensure_ascii=False, separators=(",", ":")).encode()
                yield MqttMessage(topic, payload, True, properties)
        yield self.no_state(key)

    def event(self, event: Event) -> MqttMessage:
        """Returns the event in the format of the options."""
        topic, properties = self._head(event, event.notification_type)
        if self._format == "cloudevents":
            return MqttMessage(topic, cloudevents.structured_json(event), False, properties)
        if self._format == "cloudevents_binary":
            return MqttMessage(topic, event.json_bytes, False, self._attributes(event))
        return MqttMessage(topic, event.json_bytes, False, properties)

    def status(self, payload: bytes) -> MqttMessage:
        """Returns the node's availability."""
        return MqttMessage(self.topics.status, payload, retain=True)

    def info(self, payload: bytes) -> MqttMessage:
        """Returns the retained `info`."""
        return MqttMessage(self.topics.info, payload, retain=True, properties=self.plain())

    def kept(self, payload: bytes) -> MqttMessage:
        """Returns the retained list of devices that are kept; empty when there are none."""
        return MqttMessage(self.topics.kept, payload, retain=True, properties=self.plain() if payload else None)

    def plain(self, correlation: bytes | None = None) -> bytes | None:
        """Returns the properties of a JSON message about the node; `None` with MQTT 3.1.1."""
        if not self._has_properties:
            return None
        return packed_properties(content_type=_JSON, user=[("node", self._node)], correlation=correlation)

    def _head(self, event: Event, kind: str) -> _Head:
        """Returns topic and properties; `kind` is the notification type, or `state`."""
        place = event.luid, event.family, kind
        found = self._heads.get(place)
        if found is None:
            if len(self._heads) >= _MOST_KEPT_HEADS:
                self._heads.clear()
            found = self._heads[place] = self._make_head(_key(event), kind)
        return found

    def _make_head(self, key: Key, kind: str) -> _Head:
        topic = self.topics.state(key) if kind == "state" else self.topics.event(key)
        return _Head(topic, self._make_properties(key, kind) if self._has_properties else None)

    def _make_properties(self, key: Key, kind: str) -> bytes:
        user = [("node", self._node), ("luid", key.luid), ("family", key.family)]
        if kind == "state":
            return packed_properties(content_type=_JSON, user=user)
        user.append(("notification_type", kind))
        content_type = _JSON if self._format == "json" else f"{cloudevents.STRUCTURED_CONTENT_TYPE}; charset=utf-8"
        return packed_properties(content_type=content_type, user=user, expiry=self._expiry)

    def _attributes(self, event: Event) -> bytes:
        """Returns the properties of CloudEvents' binary mode: attributes without a prefix (MQTT binding, 3.1)."""
        return packed_properties(content_type=_JSON, user=cloudevents.attributes(event).items(), expiry=self._expiry)


class _List(NamedTuple):
    """A list in a state, and the object that holds it."""

    path: str
    holder: dict[str, Any]
    name: str


def _lists(state: dict[str, Any]) -> Iterator[_List]:
    """Yields the lists of a state, which are all that grows: addresses, routes, the stack of interfaces."""
    for name, value in state.items():
        if isinstance(value, list) and value:
            yield _List(name, state, name)
        elif isinstance(value, dict):
            yield from (
                _List(f"{name}.{inner}", value, inner) for inner, one in value.items() if isinstance(one, list) and one
            )


def state_bytes(event: Event) -> bytes:
    """Returns the payload of a state, `payloads.State`, cut from the event's own bytes.

    That is ten times quicker than to serialize it anew; `Event.ip_interface_json` has the reason why it is safe.
    """
    whole = event.json_bytes
    stamp = whole.index(b',"epoch":')
    return b"{%b,%b" % (whole[stamp + 1 : whole.index(b',"notification_type":', stamp)], event.ip_interface_json[1:])


def _key(event: Event) -> Key:
    key = event.key
    if key is None:
        raise ValueError(f"the event {event.id} is about no interface: it has no topic")
    return key
