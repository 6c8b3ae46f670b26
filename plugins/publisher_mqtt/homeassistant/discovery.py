"""Home Assistant's device-based MQTT discovery: one device per interface. No I/O.

The rules are those of home-assistant.io, `source/_integrations/mqtt.markdown`, tried with 2025.4 to 2026.2
(docs/mqtt.md).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field

from publisher.events import Family, IpInterface, OperStatus

# Interfaces that container engines and hypervisors add and remove by the hundred (go-hass-agent#320: 3,293 entities).
CONTAINER_INTERFACES = ("veth*", "br-*", "docker*", "cni*", "cali*", "virbr*", "vnet*")
DEFAULT_BASE = "interfaces"

_FAMILY_NAMES: Mapping[Family, str] = {"inet": "IPv4", "inet6": "IPv6"}
# IANA types of interfaces that have a link speed when they are up: Ethernet and Wi-Fi.
_TYPES_WITH_SPEED = frozenset({6, 71})
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
_ADDRESSES = "{{ (value_json.addresses | map(attribute='address') | join(', '))[:255] or 'none' }}"
_LINK_SPEED = (
    "{{ value_json.interface.transmit_link_speed / 1000000 "
    "if value_json.interface.transmit_link_speed is not none else none }}"
)

Component = dict[str, Any]


class HomeAssistantOptions(BaseModel):
    """The interfaces that become devices of Home Assistant; the patterns are shell patterns for the alias.

    `exclude` wins. An empty `include` is every interface but those of container engines; a pattern in it
    (`["eth*", "docker0"]`, or `["*"]` for all) means exactly those.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    prefix: str = Field(default="homeassistant", pattern=r"^[^+#\x00/]+(/[^+#\x00/]+)*$")
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    birth_topic: str = Field(default="", pattern=r"^[^+#\x00]*$", description="Default: <prefix>/status")
    birth_payload: str = "online"

    def wants(self, alias: str) -> bool:
        """Returns whether the interface with this alias becomes a device."""
        if not self.enabled or _matches(alias, self.exclude):
            return False
        return _matches(alias, self.include) if self.include else not _matches(alias, CONTAINER_INTERFACES)


class _Part(NamedTuple):
    """The part of a device that depends on one family."""

    family: Family
    has_mtu: bool
    has_metric: bool


class _Shape(NamedTuple):
    """Everything that a device's payload depends on: it stays the same over nearly every event."""

    luid: str
    alias: str
    model: str
    parts: tuple[_Part, ...]
    has_speed: bool


class Discovery:
    """The discovery payloads of one node.

    Every id is made of the node and the LUID, so it stays when the alias changes. The alias is only the device's name
    and a part of the default entity id, which Home Assistant reads once, with a `unique_id` that is new to it.
    """

    def __init__(self, options: HomeAssistantOptions, node: str, base: str = DEFAULT_BASE, version: str = "") -> None:
        self.options = options
        self.node = node
        self.root = f"{base}/{node}"
        self.node_id = _node_id(node, base)
        self.version = version
        # Nearly no event changes the shape, and making a payload takes 100 µs, twice as long as publishing an event.
        self._config_of = lru_cache(maxsize=1024)(self._config)

    @property
    def birth_topic(self) -> str:
        """The topic of Home Assistant's birth message; the publisher subscribes to it."""
        return self.options.birth_topic or f"{self.options.prefix}/status"

    @property
    def config_topics(self) -> str:
        """The topic filter of every device of this node, also of removed ones that are still retained."""
        return f"{self.options.prefix}/device/{self.node_id}/+/config"

    def config_topic(self, luid: str) -> str:
        """Returns the retained topic of one interface's device; an empty payload removes it with its entities."""
        return f"{self.options.prefix}/device/{self.node_id}/{luid}/config"

    def is_birth(self, topic: str, payload: bytes) -> bool:
        """Returns whether this is Home Assistant's birth message, after which everything is sent again."""
        return topic == self.birth_topic and payload == self.options.birth_payload.encode()

    def payload(self, interface_rows: Mapping[Family, IpInterface]) -> bytes | None:
        """Returns the device of one interface, made from its rows; `None` when it is not to be a device.

        Each topic in it is the `state` topic of a given row, or the node's `status`. It has no values: it differs only
        when entities or names do, so a comparison of bytes shows whether it must be sent again.
        """
        rows = [interface_rows[family] for family in _FAMILY_NAMES if family in interface_rows]
        if not rows or not self.options.wants(rows[0].interface.alias):
            return None
        return self._config_of(_shape(rows))

    def _config(self, shape: _Shape) -> bytes:
        config = {
            "device": self._device(shape),
            "origin": {"name": "interface-publisher"} | ({"sw_version": self.version} if self.version else {}),
            "availability_topic": f"{self.root}/status",
            "qos": 1,
            "components": {name: self._identified(name, shape, part) for name, part in self._components(shape)},
        }
        return json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode()

    def _device(self, shape: _Shape) -> dict[str, Any]:
        # No `connections`: a bridge, its ports and VLANs share a MAC, and Home Assistant would merge them into one.
        return {
            "identifiers": [f"{self.node_id}_{shape.luid}"],
            "name": f"{self.node} {shape.alias}",
            "model": shape.model,
        }

    def _identified(self, name: str, shape: _Shape, component: Component) -> Component:
        words = _slug(f"{self.node} {shape.alias}") or self.node_id
        return component | {
            "unique_id": f"{self.node_id}_{shape.luid}_{name}",
            "default_entity_id": f"{component['platform']}.{words}_{name}",
        }

    def _components(self, shape: _Shape) -> Iterator[tuple[str, Component]]:
        for part in shape.parts:
            yield from self._family_components(part, self._state_topic(shape.luid, part.family))
        yield from self._interface_components(shape, self._state_topic(shape.luid, shape.parts[0].family))

    def _family_components(self, part: _Part, topic: str) -> Iterator[tuple[str, Component]]:
        family = _FAMILY_NAMES[part.family]
        key = family.lower()
        yield f"{key}_connected", _connectivity(family, topic)
        yield f"{key}_addresses", _addresses(f"{family} addresses", topic)
        if part.has_mtu:
            mtu = {"device_class": "data_size", "unit_of_measurement": "B", "icon": "mdi:ruler"}
            yield f"{key}_mtu", _diagnostic(f"{family} MTU", topic, "{{ value_json.row.nl_mtu }}") | mtu
        if part.has_metric:
            icon = {"icon": "mdi:sort-numeric-ascending"}
            yield f"{key}_metric", _diagnostic(f"{family} metric", topic, "{{ value_json.row.metric }}") | icon

    def _interface_components(self, shape: _Shape, topic: str) -> Iterator[tuple[str, Component]]:
        yield (
            "oper_status",
            _diagnostic("Status", topic, "{{ value_json.interface.oper_status }}")
            | {
                "device_class": "enum",
                "options": list(get_args(OperStatus)),
                "icon": "mdi:lan",
                "json_attributes_topic": topic,
                "json_attributes_template": "{{ value_json.interface | tojson }}",
            },
        )
        if shape.has_speed:
            yield (
                "link_speed",
                _diagnostic("Link speed", topic, _LINK_SPEED)
                | {
                    "device_class": "data_rate",
                    "unit_of_measurement": "Mbit/s",
                    "suggested_display_precision": 0,
                    "icon": "mdi:speedometer",
                },
            )

    def _state_topic(self, luid: str, family: Family) -> str:
        return f"{self.root}/{luid}/{family}/state"


def _shape(rows: list[IpInterface]) -> _Shape:
    interface = rows[0].interface
    return _Shape(
        luid=rows[0].row.interface_luid,
        alias=interface.alias,
        model=interface.description or interface.kind or f"interface type {interface.type}",
        parts=tuple(_Part(row.row.family, row.row.nl_mtu is not None, row.row.metric is not None) for row in rows),
        # Also while the speed is unknown since the link is down: else each flap would remove and add the entity.
        has_speed=(interface.kind is None and interface.type in _TYPES_WITH_SPEED)
        or interface.transmit_link_speed is not None,
    )


def removals(before: bytes | None, after: bytes) -> bytes | None:
    """Returns the payload to send between two payloads of one device: removed components have their platform only.

    `None` when no component was removed. Home Assistant keeps an entity that is only left out of the payload. `before`
    may be anything that a broker retained.
    """
    kept, had = json.loads(after), _components_of(before)
    removed = {name: {"platform": part["platform"]} for name, part in had.items() if name not in kept["components"]}
    if not removed:
        return None
    kept["components"] |= removed
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()


def _components_of(payload: bytes | None) -> dict[str, Component]:
    """Returns the components that have a platform; the payload may not be ours."""
    try:
        config = json.loads(payload or b"{}")
    except ValueError:  # Home Assistant could not read it either, so it has no entity of it
        return {}
    components = config.get("components") if isinstance(config, dict) else None
    if not isinstance(components, dict):
        return {}
    return {name: part for name, part in components.items() if isinstance(part, dict) and "platform" in part}


def _connectivity(name: str, topic: str) -> Component:
    # A null renders as "None", which Home Assistant takes as unknown.
    return {
        "platform": "binary_sensor",
        "name": name,
        "device_class": "connectivity",
        "state_topic": topic,
        "value_template": "{{ value_json.row.connected }}",
        "payload_on": "True",
        "payload_off": "False",
        "json_attributes_topic": topic,
        "json_attributes_template": "{{ value_json.row | tojson }}",
    }


def _addresses(name: str, topic: str) -> Component:
    # A state is at most 255 characters there; the attributes have every address whole.
    return _diagnostic(name, topic, _ADDRESSES) | {
        "icon": "mdi:ip-network",
        "json_attributes_topic": topic,
        "json_attributes_template": "{{ {'addresses': value_json.addresses} | tojson }}",
    }


def _diagnostic(name: str, topic: str, template: str) -> Component:
    return {
        "platform": "sensor",
        "name": name,
        "entity_category": "diagnostic",
        "state_topic": topic,
        "value_template": template,
    }


def _node_id(node: str, base: str) -> str:
    """Returns the node as `[a-zA-Z0-9_-]+`; different for different nodes and bases on one broker."""
    plain = _NOT_IN_IDS.sub("_", node)
    if plain == node and base == DEFAULT_BASE:
        return plain
    return f"{plain}_{hashlib.sha256(f'{base}/{node}'.encode()).hexdigest()[:8]}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _matches(alias: str, patterns: tuple[str, ...]) -> bool:
    return bool(patterns) and _compiled(patterns).match(alias) is not None


@lru_cache(maxsize=16)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Returns the shell patterns as one expression: seven times as quick as one after the other, at each event."""
    return re.compile("|".join(map(translate, patterns)))
