"""Home Assistant's device-based MQTT discovery: one device per interface. No I/O.

The rules are those of home-assistant.io, `source/_integrations/mqtt.markdown`, tried with 2025.4 to 2026.2
(docs/mqtt.md).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from functools import lru_cache
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field

from publisher.containers import has_container_name, matches
from publisher.events import Family, OperStatus

from .shown import Shape, ShownRow, shared

DEFAULT_BASE = "interfaces"
ORIGIN = "interface-publisher"

_FAMILY_NAMES: Mapping[Family, str] = {"inet": "IPv4", "inet6": "IPv6"}
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
# Home Assistant keeps at most 16,384 bytes of attributes; an address has at most 340 and a LUID 19.
_MOST_ADDRESSES, _MOST_LUIDS = 40, 100

# Home Assistant's abbreviations of the members that we use (its `mqtt/abbreviations.py`), which device-based discovery
# has known from its first version on: a payload is a third smaller with them, and one node has one for each interface.
_ABBREVIATIONS = {
    "device": "dev",
    "origin": "o",
    "availability_topic": "avty_t",
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
    "entity_category": "ent_cat",
    "icon": "ic",
    "options": "ops",
    "payload_on": "pl_on",
    "payload_off": "pl_off",
    "unit_of_measurement": "unit_of_meas",
}
# A topic that a component names twice is given once, as its base.
_BASE = "~"

# An empty state means that the interface is not there; then `value_json` is not defined.
_GONE = "if value else"
# A member that is not known is missing; "None" is taken as unknown. `d` is Jinja's other name for `default`.
_CONNECTED = f"{{{{value_json.row.connected|d(none) {_GONE} false}}}}"
_STATUS = f"{{{{value_json.interface.oper_status {_GONE} 'not_present'}}}}"
_ADDRESSES = f"{{{{(value_json.addresses|d([])|map(attribute='address')|join(', '))[:255] or 'none' {_GONE} 'none'}}}}"
_LINK_SPEED = (
    "{{value_json.interface.transmit_link_speed/1000000 "
    "if value and value_json.interface.transmit_link_speed is number else none}}"
)
_ROW_ATTRIBUTES = f"{{{{(value_json.row {_GONE} dict())|tojson}}}}"
_INTERFACE_ATTRIBUTES = (
    f"{{{{(dict(value_json.interface,higher=(value_json.interface.higher|d([]))[:{_MOST_LUIDS}],"
    f"lower=(value_json.interface.lower|d([]))[:{_MOST_LUIDS}]) {_GONE} dict())|tojson}}}}"
)
_ADDRESS_ATTRIBUTES = (
    f"{{{{(dict(addresses=(value_json.addresses|d([]))[:{_MOST_ADDRESSES}],"
    f"count=value_json.addresses|d([])|length) {_GONE} dict())|tojson}}}}"
)

Component = dict[str, Any]


class HomeAssistantOptions(BaseModel):
    """The interfaces that become devices of Home Assistant; the patterns are shell patterns for the alias.

    `exclude` wins. An empty `include` is every interface but those of containers and virtual machines; a pattern in it
    (`["eth*", "docker0"]`, or `["*"]` for all) means exactly those.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    prefix: str = Field(default="homeassistant", pattern=r"^[^+#\x00/]+(/[^+#\x00/]+)*$")
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    birth_topic: str = Field(default="", pattern=r"^[^+#\x00]*$", description="Default: <prefix>/status")
    birth_payload: str = "online"
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

    def __init__(self, options: HomeAssistantOptions, node: str, base: str = DEFAULT_BASE, version: str = "") -> None:
        self.options = options
        self.node = node
        self.root = f"{base}/{node}"
        self.version = version
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
        """Returns the retained topic of one interface's device; an empty payload removes it with its entities."""
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
        families = tuple(family for family in _FAMILY_NAMES if family in rows)
        if not families or not self.options.wants(rows[families[0]].alias):
            return None
        first = rows[families[0]]
        return Shape(luid, first.alias, first.model, families[0], _ordered(shared(components(rows) | had)))

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
        """Returns the payload of a device, which takes 100 µs: twice as long as publishing an event.

        Each topic in it is the `state` topic of a row, or the node's `status`. It has no values: it differs only when
        entities or names do.
        """
        config = {
            "device": self._device(shape),
            "origin": _abbreviated({"name": ORIGIN} | ({"sw_version": self.version} if self.version else {})),
            "availability_topic": f"{self.root}/status",
            "qos": 1,
            "components": {name: self._component(name, shape) for name in shape.components},
        }
        return json.dumps(_abbreviated(config), ensure_ascii=False, separators=(",", ":")).encode()

    def _device(self, shape: Shape) -> dict[str, Any]:
        # No `connections`: a bridge, its ports and VLANs share a MAC, and Home Assistant would merge them into one.
        device = {
            "identifiers": [f"{self._plain_id}_{shape.luid}"],
            "name": self.device_name(shape.luid, shape.alias),
            "model": shape.model,
        }
        return _abbreviated(device)

    def _component(self, name: str, shape: Shape) -> Component:
        definition = DEFINITIONS[name]
        topic = f"{self.root}/{shape.luid}/{definition.family or shape.family}/state"
        # No `default_entity_id`: with it Home Assistant 2026.2 gives a device that comes back its first ids again, in
        # place of the user's. Without it, all versions make the id of the device's and the component's name.
        if "json_attributes_template" in definition.members:
            topics = {_BASE: topic, "state_topic": _BASE, "json_attributes_topic": _BASE}
        else:
            topics = {"state_topic": topic}
        component = {
            "platform": definition.platform,
            "name": definition.name,
            "unique_id": f"{self._plain_id}_{shape.luid}_{name}",
            **topics,
            **definition.members,
        }
        return _abbreviated(component)


def _abbreviated(members: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the members under their short names."""
    return {_ABBREVIATIONS.get(name, name): value for name, value in members.items()}


class _Definition(NamedTuple):
    """A kind of component; `family` is that of its state, `None` for the interface's first one.

    The key is `name` as Home Assistant makes an id of it.
    """

    name: str
    platform: str
    family: Family | None
    members: Component


def _family_definitions(family: Family) -> Iterator[_Definition]:
    name = _FAMILY_NAMES[family]
    yield _Definition(
        f"{name} connected",
        "binary_sensor",
        family,
        {
            "device_class": "connectivity",
            "value_template": _CONNECTED,
            "payload_on": "True",
            "payload_off": "False",
            "json_attributes_template": _ROW_ATTRIBUTES,
        },
    )
    # A state is at most 255 characters there; the attributes have the addresses whole.
    attributes = {"json_attributes_template": _ADDRESS_ATTRIBUTES, "icon": "mdi:ip-network"}
    yield _diagnostic(f"{name} addresses", family, _ADDRESSES, **attributes)
    size = {"device_class": "data_size", "unit_of_measurement": "B", "icon": "mdi:ruler"}
    yield _diagnostic(f"{name} MTU", family, f"{{{{value_json.row.nl_mtu|d(none) {_GONE} none}}}}", **size)
    icon = {"icon": "mdi:sort-numeric-ascending"}
    yield _diagnostic(f"{name} metric", family, f"{{{{value_json.row.metric|d(none) {_GONE} none}}}}", **icon)


def _interface_definitions() -> Iterator[_Definition]:
    yield _diagnostic(
        "Oper status",
        None,
        _STATUS,
        device_class="enum",
        options=list(get_args(OperStatus)),
        icon="mdi:lan",
        json_attributes_template=_INTERFACE_ATTRIBUTES,
    )
    yield _diagnostic(
        "Link speed",
        None,
        _LINK_SPEED,
        device_class="data_rate",
        unit_of_measurement="Mbit/s",
        suggested_display_precision=0,
        icon="mdi:speedometer",
    )


def _diagnostic(name: str, family: Family | None, template: str, **members: Any) -> _Definition:
    common = {"entity_category": "diagnostic", "value_template": template}
    return _Definition(name, "sensor", family, common | members)


def _keyed(definitions: Iterable[_Definition]) -> dict[str, _Definition]:
    return {definition.name.lower().replace(" ", "_"): definition for definition in definitions}


DEFINITIONS = _keyed(
    [*_family_definitions("inet"), *_family_definitions("inet6"), *_interface_definitions()],
)
"""Every kind of component that a device may have, by its key."""


def components(rows: Mapping[Family, ShownRow]) -> frozenset[str]:
    """Returns the names of the components that these rows have by themselves."""
    found = {"oper_status"}
    if next(iter(rows.values())).has_speed:
        found.add("link_speed")
    for family, row in rows.items():
        key = _FAMILY_NAMES[family].lower()
        found |= {f"{key}_connected", f"{key}_addresses"}
        found |= {f"{key}_{name}" for name, is_there in (("mtu", row.has_mtu), ("metric", row.has_metric)) if is_there}
    return shared(frozenset(found))


@lru_cache(maxsize=1024)
def _ordered(names: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name in DEFINITIONS if name in names)


def _plain_id(node: str, base: str) -> str:
    """Returns the node as `[a-zA-Z0-9_-]+`; different for different nodes and bases on one broker."""
    plain = _NOT_IN_IDS.sub("_", node)
    if plain == node and base == DEFAULT_BASE:
        return plain
    return f"{plain}_{hashlib.sha256(f'{base}/{node}'.encode()).hexdigest()[:8]}"
