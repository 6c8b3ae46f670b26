"""Home Assistant's device-based MQTT discovery: a device for the node, and one for each interface. No I/O.

The rules are those of home-assistant.io, `source/_integrations/mqtt.markdown`, tried with 2025.4 to 2026.2
(docs/mqtt.md).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Set
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from publisher.containers import has_container_name, matches
from publisher.events import Family

from .entities import OF_INTERFACE, OF_NODE, Definition, components, event_template, ordered
from .shown import Shape, ShownRow, shared

DEFAULT_BASE = "interfaces"
ORIGIN = "interface-publisher"
NODE = "node"
"""The node's own device has this in the place of a LUID."""

_FAMILIES: tuple[Family, ...] = ("inet", "inet6")
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
# The digits of a LUID that are not reserved, which are zero.
_SHORT = 10

# Home Assistant's abbreviations of the members that we use (its `mqtt/abbreviations.py`), which device-based discovery
# has known from its first version on: a payload is a third smaller with them, and one node has one for each interface.
_ABBREVIATIONS = {
    "device": "dev",
    "origin": "o",
    "availability": "avty",
    "components": "cmps",
    "identifiers": "ids",
    "model": "mdl",
    "sw_version": "sw",
    "platform": "p",
    "unique_id": "uniq_id",
    "state_topic": "stat_t",
    "value_template": "val_tpl",
    "json_attributes_topic": "json_attr_t",
    "json_attributes_template": "json_attr_tpl",
    "device_class": "dev_cla",
    "enabled_by_default": "en",
    "entity_category": "ent_cat",
    "event_types": "evt_typ",
    "payload_on": "pl_on",
    "payload_off": "pl_off",
    "suggested_display_precision": "sug_dsp_prc",
    "unit_of_measurement": "unit_of_meas",
}
# A topic that a component names twice is given once, as its base.
_BASE = "~"

Component = dict[str, Any]


class HomeAssistantOptions(BaseModel):
    """The interfaces that become devices of Home Assistant; the patterns are shell patterns for the alias.

    `exclude` wins. An empty `include` is every interface but loopback and those of containers and virtual machines; a
    pattern in it (`["eth*", "docker0"]`, or `["*"]` for all) means exactly those.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=True, description="Interfaces are devices of Home Assistant")
    prefix: str = Field(
        default="homeassistant", pattern=r"^[^+#\x00/]+(/[^+#\x00/]+)*$", description="Its prefix of discovery"
    )
    include: tuple[str, ...] = Field(
        default=(),
        description="Shell patterns for the names of interfaces that become devices; empty: all but loopback and those "
        "of containers and virtual machines",
    )
    exclude: tuple[str, ...] = Field(default=(), description="The same for those that become none; it wins")
    birth_topic: str = Field(
        default="",
        pattern=r"^[^+#\x00]*$",
        description="The topic of its birth message, after which everything is sent again; by default "
        "`<prefix>/status`",
    )
    birth_payload: str = Field(default="online", description="The birth message")
    keep_days: int = Field(
        default=30, ge=0, le=3650, description="Days that the device of a removed interface stays, as not_present"
    )

    def wants(self, alias: str) -> bool:
        """Returns whether the interface with this alias becomes a device, as far as its name shows."""
        if not self.enabled or matches(alias, self.exclude):
            return False
        return matches(alias, self.include) if self.include else not has_container_name(alias)


class Discovery:
    """The discovery payloads of one node.

    Every id is made of the node and the LUID, so it stays when the alias changes. The alias is only a part of the
    device's name, of which Home Assistant makes the entity ids when it meets a `unique_id` that is new to it.
    """

    def __init__(
        self,
        options: HomeAssistantOptions,
        node: str,
        base: str = DEFAULT_BASE,
        version: str = "",
        *,
        in_cloudevents: bool = False,
    ) -> None:
        self.options = options
        self.node = node
        self.root = f"{base}/{node}"
        self.version = version
        # The event in what is published: the option `format`.
        self._event = "value_json.data" if in_cloudevents else "value_json"
        # The unique ids have this prefix, and the topics had: it is that of other programs, too (`device/nas/ups`).
        self._plain_id = _plain_id(node, base)
        self.node_id = f"publisher_{self._plain_id}"

    @property
    def birth_topic(self) -> str:
        """The topic of Home Assistant's birth message; the publisher subscribes to it."""
        return self.options.birth_topic or f"{self.options.prefix}/status"

    @property
    def place(self) -> str:
        """The part of the topics that all devices of this node share, and no other program's."""
        return f"{self.options.prefix}/device/{self.node_id}"

    @property
    def config_topics(self) -> list[str]:
        """The topic filters of every device of this node, also of removed ones that are still retained."""
        return [f"{self.place}/+/config", f"{self.options.prefix}/device/{self._plain_id}/+/config"]

    def config_topic(self, luid: str) -> str:
        """Returns the retained topic of a device, of an interface or `NODE`; an empty payload removes it whole."""
        return f"{self.place}/{luid}/config"

    def first_config_topic(self, luid: str) -> str:
        """Returns the topic that the first versions used."""
        return f"{self.options.prefix}/device/{self._plain_id}/{luid}/config"

    def is_birth(self, topic: str, payload: bytes) -> bool:
        """Returns whether this is Home Assistant's birth message, after which everything is sent again."""
        return topic == self.birth_topic and payload == self.options.birth_payload.encode()

    def shape(self, luid: str, rows: Mapping[Family, ShownRow], had: Set[str] = frozenset()) -> Shape | None:
        """Returns everything that the payload of an interface depends on; `None` when it is not to be a device.

        `had` are the names of the components that it has already: they stay while the interface is there, since Home
        Assistant forgets the user's changes to an entity that is removed.
        """
        first = next((family for family in _FAMILIES if family in rows), None)
        if first is None or not self.options.wants(rows[first].alias):
            return None
        keys = ordered(shared(components(rows, first) | had))
        return Shape(luid, rows[first].alias, rows[first].model, first, keys)

    @property
    def node_shape(self) -> Shape:
        """Everything that the payload of the node's own device depends on."""
        return Shape(NODE, self.node, "", "inet", tuple(OF_NODE))

    def definitions(self, luid: str) -> Mapping[str, Definition]:
        """Returns the kinds of entities of this device."""
        return OF_NODE if luid == NODE else OF_INTERFACE

    def device_name(self, luid: str, alias: str) -> str:
        """Returns the name of a device.

        Home Assistant makes ids of its letters: of a name without any, the LUID keeps the ids apart from the node's.
        """
        return f"{self.node} {alias}" if re.search(r"[a-zA-Z0-9]", alias) else f"{self.node} {alias} {luid[:10]}"

    def alias_of(self, luid: str, device_name: str) -> str:
        """Returns the alias in such a name."""
        alias = device_name.removeprefix(f"{self.node} ")
        shorter = alias.removesuffix(f" {luid[:10]}")
        return shorter if self.device_name(luid, shorter) == device_name else alias

    def payload(self, shape: Shape) -> bytes:
        """Returns the payload of a device.

        Each topic in it is one on which the sink publishes. It has no values: it differs only when entities or names
        do.
        """
        definitions = self.definitions(shape.luid)
        config = {
            "device": self._device(shape),
            "origin": _abbreviated({"name": ORIGIN} | ({"sw_version": self.version} if self.version else {})),
            # As a list, so that an entity can have an empty one.
            "availability": [{"t": f"{self.root}/status"}],
            "state_topic": self._topic("info" if shape.luid == NODE else "first", shape),
            "components": {key: self._component(key, definitions[key], shape) for key in shape.components},
        }
        return json.dumps(_abbreviated(config), ensure_ascii=False, separators=(",", ":")).encode()

    def _device(self, shape: Shape) -> dict[str, Any]:
        if shape.luid == NODE:
            about = {"identifiers": self._plain_id, "name": self.node, "model": "Host"}
            return _abbreviated(about | ({"sw_version": self.version} if self.version else {}))
        # No `connections`: a bridge, its ports and VLANs share a MAC, and Home Assistant would merge them into one.
        device = {
            "identifiers": self._id(shape),
            "name": self.device_name(shape.luid, shape.alias),
            "model": shape.model,
            "via_device": self._plain_id,
        }
        return _abbreviated(device)

    def _component(self, key: str, definition: Definition, shape: Shape) -> Component:
        # No `default_entity_id`: with it Home Assistant 2026.2 gives a device that comes back its first ids again, in
        # place of the user's. Without it, all versions make the id of the device's and the component's name.
        component = {
            "platform": definition.platform,
            "name": definition.name,
            "unique_id": f"{self._id(shape)}_{key}",
            **definition.members,
        }
        topic = self._topic(definition.topic, shape)
        if "json_attributes_topic" in component:
            component |= {_BASE: topic, "state_topic": _BASE}
        elif definition.topic not in ("first", shape.family, "info"):
            component["state_topic"] = topic
        if definition.topic == "events":
            component["value_template"] = event_template(data=self._event, only_inet6=shape.family == "inet6")
        return _abbreviated(component)

    def _id(self, shape: Shape) -> str:
        return f"{self._plain_id}_{shape.luid[:_SHORT]}"

    def _topic(self, name: str, shape: Shape) -> str:
        if name in ("info", "status"):
            return f"{self.root}/{name}"
        if name == "events":
            return f"{self.root}/{shape.luid}/{'+' if shape.family == 'inet' else shape.family}/event"
        return f"{self.root}/{shape.luid}/{shape.family if name == 'first' else name}/state"


def _abbreviated(members: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the members under their short names."""
    return {_ABBREVIATIONS.get(name, name): value for name, value in members.items()}


def _plain_id(node: str, base: str) -> str:
    """Returns the node as `[a-zA-Z0-9_-]+`; different for different nodes and bases on one broker."""
    plain = _NOT_IN_IDS.sub("_", node)
    if plain == node and base == DEFAULT_BASE:
        return plain
    return f"{plain}_{hashlib.sha256(f'{base}/{node}'.encode()).hexdigest()[:8]}"
