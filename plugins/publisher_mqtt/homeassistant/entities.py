"""The entities of the devices: which an interface has, and how Home Assistant reads each one's value. No I/O.

A node retains a payload for each interface, so keys are short, and what an entity can do without is left out. Of an
entity's name and its device's Home Assistant makes the entity id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

from publisher.events import Family, Kind

from .shown import ShownRow, shared

Topic = Literal["first", "inet", "inet6", "events", "info", "status"]
"""Where a value comes from: the state of a family, or the interface's `first` one; its events; the node's topics."""

# A state is empty when the interface is not there; then `value_json` is not defined. A member that is not known is
# missing, and Home Assistant logs a warning for each look at one without `d`, Jinja's other name for `default`.
# "None" is taken as unknown.
_CONNECTED = "{{iif(value and value_json.row.connected|d,'ON','OFF')}}"
_SLOWER = "{{iif(value and value_json.interface.best_link_speed|d,'ON','OFF')}}"
# Home Assistant has a state "unknown" of its own, which blueprints take for no value.
_STATUS = (
    "{{value_json.interface.oper_status|replace('unknown',iif(value_json.row.connected|d,'up','down'))"
    "if value else'not_present'}}"
)
# A state has at most 255 characters there.
_ADDRESSES = "{{((value and value_json.addresses|d([])|map(attribute='address')|join(', '))or'none')[:255]}}"
_SPEED = (
    "{{value_json.interface.transmit_link_speed/1e6 if value and value_json.interface.transmit_link_speed|d else none}}"
)


def _of_state(member: str) -> str:
    return f"{{{{value_json.{member}|d(none)if value else none}}}}"


def event_template(*, data: str, only_inet6: bool) -> str:
    """Returns the template of an event entity; `data` is the expression of the event.

    Each event comes for both families; of the second one what it has alone is taken. A delivery that is repeated has a
    seq that was there. The type is the first of the kinds, and all are in an attribute.
    """
    kinds = (
        "v.kinds" if only_inet6 else "v.kinds if v.family=='inet'else v.kinds|select('match','add.*_|def|forw')|list"
    )
    members = "event_type=k[0],kinds=k,family=v.family,cause=v.cause,epoch=v.epoch,seq=v.seq"
    return (
        f"{{%set v={data}%}}{{%set a=this.attributes%}}{{%set k={kinds}%}}"
        "{%if k and not(v.epoch==a.epoch|d and v.seq<=a.seq|d(0))%}"
        f"{{{{dict({members})|tojson}}}}{{%endif%}}"
    )


class Definition(NamedTuple):
    """A kind of entity; `topic` has its value."""

    name: str
    platform: str
    topic: Topic
    members: Mapping[str, Any]


def _sensor(name: str, topic: Topic, template: str, **members: Any) -> Definition:
    return Definition(name, "sensor", topic, {"value_template": template, **members})


def _connectivity(name: str, topic: Topic, **members: Any) -> Definition:
    common = {"device_class": "connectivity", "value_template": _CONNECTED}
    return Definition(name, "binary_sensor", topic, common | members)


# One entity of each topic asks for QoS 1; Home Assistant subscribes once, with the greatest.
_SAFE: Mapping[str, Any] = {"qos": 1}
_DIAGNOSTIC: Mapping[str, Any] = {"entity_category": "diagnostic"}
_DISABLED: Mapping[str, Any] = {"enabled_by_default": False}
# Its last value stays while the node is offline, so that a change shows as one from value to value.
_ALWAYS: Mapping[str, Any] = {"availability": []}

OF_INTERFACE: Mapping[str, Definition] = {
    "c": _connectivity("Connected", "first", **_SAFE),
    "s": _sensor("Status", "first", _STATUS, **_DIAGNOSTIC),
    "4": _sensor("IPv4 addresses", "inet", _ADDRESSES, **_DIAGNOSTIC, **_ALWAYS),
    "6": _sensor("IPv6 addresses", "inet6", _ADDRESSES, **_DIAGNOSTIC, **_ALWAYS, **_SAFE),
    "v": _sensor(
        "Link speed",
        "first",
        _SPEED,
        device_class="data_rate",
        unit_of_measurement="Mbit/s",
        suggested_display_precision=0,
        **_DIAGNOSTIC,
    ),
    "p": Definition(
        "Slower", "binary_sensor", "first", {"device_class": "problem", "value_template": _SLOWER, **_DIAGNOSTIC}
    ),
    "t": _sensor("Last change", "first", _of_state("interface.last_change"), device_class="timestamp", **_DIAGNOSTIC),
    "e": Definition("Changes", "event", "events", {"event_types": list(get_args(Kind)), **_ALWAYS, **_SAFE}),
    "4c": _connectivity("IPv4 connected", "inet", **_DISABLED),
    "6c": _connectivity("IPv6 connected", "inet6", **_DISABLED),
    "m": _sensor("MTU", "first", _of_state("row.nl_mtu"), unit_of_measurement="B", **_DISABLED),
    "r": _sensor("Metric", "first", _of_state("row.metric"), **_DISABLED),
}
"""Every kind of entity that an interface may have, by its key; the key is part of ids, and stays."""


def _uplink(name: str, family: Family) -> Definition:
    uplink = f"((value_json|d({{}})).uplinks|d({{}})).{family}|d({{}},true)"
    members = {"json_attributes_topic": "~", "json_attributes_template": f"{{{{({uplink})|tojson}}}}"}
    return _sensor(name, "info", f"{{{{(({uplink}).alias|d('none'))[:255]}}}}", **members, **_ALWAYS)


OF_NODE: Mapping[str, Definition] = {
    "o": Definition(
        "Online",
        "binary_sensor",
        "status",
        {"device_class": "connectivity", "payload_on": "online", "payload_off": "offline", **_ALWAYS, **_SAFE},
    ),
    "4": _uplink("IPv4 uplink", "inet"),
    "6": _uplink("IPv6 uplink", "inet6"),
    "n": _sensor("Interfaces", "info", "{{(value_json|d({})).interfaces|d(none)}}", **_DIAGNOSTIC, **_SAFE),
    "v": _sensor("Version", "info", "{{(value_json|d({})).version|d(none)}}", **_DIAGNOSTIC),
}
"""The entities of a node's own device, by their keys."""

_FAMILY_KEYS: Mapping[Family, frozenset[str]] = {"inet": frozenset({"4", "4c"}), "inet6": frozenset({"6", "6c"})}


def components(rows: Mapping[Family, ShownRow], first: Family) -> frozenset[str]:
    """Returns the keys of the entities that these rows have by themselves; `first` is the interface's first family."""
    row = rows[first]
    known = {"v": row.has_speed, "p": row.may_be_slower, "m": row.has_mtu, "r": row.has_metric}
    found = {"c", "s", "t", "e"}.union(*(_FAMILY_KEYS[family] for family in rows))
    return shared(frozenset(found | {key for key, is_there in known.items() if is_there}))


@lru_cache(maxsize=1024)
def ordered(keys: frozenset[str]) -> tuple[str, ...]:
    """Returns the keys of an interface's entities in one order."""
    return tuple(key for key in OF_INTERFACE if key in keys)


def known_keys(definitions: Mapping[str, Definition], platforms: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Returns the keys of these definitions among keys and platforms that were found."""
    return frozenset(key for key, platform in platforms if key in definitions and definitions[key].platform == platform)
