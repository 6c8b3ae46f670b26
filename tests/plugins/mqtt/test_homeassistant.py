"""Home Assistant's discovery payloads, judged by a validator of its own written from Home Assistant's rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from publisher.cloudevents import structured_json
from publisher.events import Address, Change, Event, Family, Interface, IpInterface, IpInterfaceRow, Kind
from publisher.testing import make_event, make_row
from publisher_mqtt.homeassistant.discovery import NODE, Discovery, HomeAssistantOptions
from tests.fixtures.discovery import device_of, read_config, render

LUID = "0006008000000000"
EPOCH = "01926f6e8c7e4b3f"
MOMENT = datetime(2026, 11, 22, 20, 4, 12, 123456, UTC)
TOPIC = re.compile(r"^homeassistant/device/(?:[a-zA-Z0-9_-]+/)?[a-zA-Z0-9_-]+/config$")
# home-assistant.io, mqtt.markdown, "Device"; any other key makes Home Assistant refuse the whole config.
DEVICE_KEYS = {
    *("configuration_url", "connections", "hw_version", "identifiers", "manufacturer", "model", "model_id", "name"),
    *("serial_number", "suggested_area", "sw_version", "via_device"),
}
ENTITY_KEYS = {
    *("platform", "unique_id", "name", "device_class", "entity_category", "icon", "state_topic", "availability", "qos"),
    *("value_template", "json_attributes_topic", "json_attributes_template", "enabled_by_default"),
}
KEYS_OF = {
    "binary_sensor": ENTITY_KEYS | {"payload_on", "payload_off"},
    "sensor": ENTITY_KEYS | {"unit_of_measurement", "options", "suggested_display_precision"},
    "event": ENTITY_KEYS | {"event_types"},
}
UNITS_OF = {"data_rate": {"bit/s", "kbit/s", "Mbit/s", "Gbit/s"}, "data_size": {"bit", "B", "kB", "MB"}}


def ip_interface(
    family: Family = "inet",
    *,
    alias: str = "eth0",
    kind: str | None = None,
    addresses: Iterable[str] = (),
    speed: int | None = 1_000_000_000,
    interface: Mapping[str, Any] | None = None,
    **row: Any,
) -> IpInterface:
    members = {"nl_mtu": 1500, "connected": True} | row
    return IpInterface(
        row=IpInterfaceRow(family=family, interface_luid=LUID, interface_index=2, **members),
        interface=Interface(
            **{
                "alias": alias,
                "kind": kind,
                "type": 6,
                "admin_status": "up",
                "oper_status": "up",
                "media_connect_state": "connected",
                "transmit_link_speed": speed,
                "receive_link_speed": speed,
                **(interface or {}),
            }
        ),
        addresses=tuple(
            Address(address=address, prefix_length=24, scope="global", dad_state="preferred") for address in addresses
        ),
    )


def both(**members: Any) -> dict[Family, IpInterface]:
    return {"inet": ip_interface("inet", **members), "inet6": ip_interface("inet6", **members)}


def discovery(node: str = "nas", base: str = "interfaces", **options: Any) -> Discovery:
    return Discovery(HomeAssistantOptions(**options), node, base, version="1.2.3")


def config_of(rows: Mapping[Family, IpInterface], **options: Any) -> dict[str, Any]:
    payload = device_of(discovery(**options), rows)
    assert payload is not None
    return read_config(payload)


def faults(config: Mapping[str, Any]) -> list[str]:
    """Returns what Home Assistant would refuse or warn about in a device's config, by the rules of mqtt.markdown."""
    device, components = config.get("device", {}), config.get("components", {})
    found = [f"device.{key} is unknown" for key in device.keys() - DEVICE_KEYS]
    found += [] if device.get("identifiers") or device.get("connections") else ["device without identity"]
    found += [] if config.get("origin", {}).get("name") else ["origin without name"]
    found += ["availability twice"] if {"availability", "availability_topic"} <= config.keys() else []
    unique = [part["unique_id"] for part in components.values() if "unique_id" in part]
    found += ["a unique_id twice"] if len(unique) != len(set(unique)) else []
    found += [] if components else ["no components"]
    return found + [f"{name}: {fault}" for name, part in components.items() for fault in _component_faults(part)]


def _component_faults(part: Mapping[str, Any]) -> Iterable[str]:
    platform = part.get("platform")
    if platform not in KEYS_OF:
        yield f"platform {platform!r}"
        return
    if part.keys() == {"platform"}:  # a removal
        return
    yield from (f"{key} is unknown" for key in part.keys() - KEYS_OF[platform])
    yield from (f"{key} is missing" for key in ("unique_id", "name", "state_topic") if not part.get(key))
    device_class, unit = part.get("device_class", ""), part.get("unit_of_measurement")
    if part.get("qos", 0) not in (0, 1, 2):
        yield f"{part['qos']} is no qos"
    if (platform == "event") != bool(part.get("event_types")):
        yield "event_types are for events, and events need them"
    if device_class and unit is not None and unit not in UNITS_OF.get(device_class, set()):
        yield f"{unit} is no unit of {device_class}"
    if ("options" in part) != (device_class == "enum"):
        yield "options are for enum, and enum needs them"


def state(row: IpInterface) -> bytes:
    """Returns a retained state."""
    return json.dumps({"seq": 1, "time": "2026-11-22T20:04:12Z"} | row.model_dump(mode="json")).encode()


@pytest.mark.parametrize(
    "rows",
    [
        both(),
        both(alias="a/+/#"),
        both(alias="🛰"),
        both(alias="Ethernet 2 (Küche)", metric=25),
        {"inet6": ip_interface("inet6", addresses=["2001:db8::1"])},
        {"inet": ip_interface(connected=None, nl_mtu=None, speed=None)},
    ],
    ids=["both", "topic-characters", "emoji", "windows", "inet6-only", "nulls"],
)
@pytest.mark.parametrize("node", ["nas", "nas.lan", "büro"])
def test_home_assistant_takes_every_payload(rows: dict[Family, IpInterface], node: str) -> None:
    about = discovery(node=node)
    assert TOPIC.fullmatch(about.config_topic(LUID))
    assert faults(config_of(rows, node=node)) == []


def test_a_payload_is_small() -> None:
    """A node with ten interfaces retains eleven of them."""
    payload = device_of(discovery(), both(metric=25))
    assert payload is not None
    assert len(payload) < 3_300


def test_the_judge_sees_what_home_assistant_refuses() -> None:
    good = config_of(both())
    mtu, changes = good["components"]["m"], good["components"]["e"]
    assert faults(good | {"device": good["device"] | {"luid": LUID}}) == ["device.luid is unknown"]
    assert faults(good | {"device": {"name": "x"}}) == ["device without identity"]
    assert faults(good | {"origin": {}}) == ["origin without name"]
    assert faults(good | {"availability_topic": "x"}) == ["availability twice"]
    assert faults(good | {"components": {"mtu": mtu | {"object_id": "x"}}}) == ["mtu: object_id is unknown"]
    assert faults(good | {"components": {"mtu": mtu | {"unique_id": ""}}}) == ["mtu: unique_id is missing"]
    assert faults(good | {"components": {"mtu": mtu | {"device_class": "data_size", "unit_of_measurement": "b"}}}) != []
    assert faults(good | {"components": {"mtu": mtu | {"qos": 3}}}) == ["mtu: 3 is no qos"]
    assert faults(good | {"components": {"changes": changes | {"event_types": []}}}) != []
    assert faults(good | {"components": {"one": mtu, "two": mtu}}) == ["a unique_id twice"]


def topics(config: Mapping[str, Any]) -> set[str]:
    return {part[key] for part in config["components"].values() for key in part if key.endswith("_topic")}


@pytest.mark.parametrize(
    ("rows", "events"),
    [(both(), "+"), ({"inet": ip_interface()}, "+"), ({"inet6": ip_interface("inet6")}, "inet6")],
    ids=["both", "inet", "inet6"],
)
def test_the_topics_named_are_those_of_the_rows_that_exist(rows: dict[Family, IpInterface], events: str) -> None:
    root = f"interfaces/nas/{LUID}"
    config = config_of(rows)
    assert topics(config) == {*(f"{root}/{family}/state" for family in rows), f"{root}/{events}/event"}
    assert config["availability"] == [{"topic": "interfaces/nas/status"}]
    # One entity of each topic asks for it, and Home Assistant subscribes once.
    safe = {part["state_topic"] for part in config["components"].values() if part.get("qos") == 1}
    assert safe == topics(config)


def test_the_entities_of_an_interface() -> None:
    components = config_of(both(metric=25))["components"].values()
    enabled = {part["name"] for part in components if part.get("enabled_by_default", True)}
    assert enabled == {
        *("Connected", "Status", "IPv4 addresses", "IPv6 addresses", "Link speed", "Slower", "Last change", "Changes")
    }
    assert {part["name"] for part in components} - enabled == {"IPv4 connected", "IPv6 connected", "MTU", "Metric"}


def test_what_the_system_does_not_have_is_no_entity() -> None:
    config = config_of({"inet": ip_interface(alias="tun0", kind="tun", speed=None, nl_mtu=None)})
    assert set(config["components"]) == {"c", "s", "4", "t", "e", "4c"}


@pytest.mark.parametrize(("kind", "there"), [(None, True), ("bond", True), ("bridge", False), ("veth", False)])
def test_what_has_no_cable_is_not_slower(kind: str | None, there: bool) -> None:
    assert ("p" in config_of(both(kind=kind))["components"]) is there


def test_a_flap_changes_no_config() -> None:
    up = device_of(discovery(), both(addresses=["192.0.2.1"]))
    assert device_of(discovery(), both(connected=False, speed=None, nl_mtu=1400)) == up


def test_one_discovery_tells_every_difference() -> None:
    about = discovery()
    shapes: list[dict[Family, IpInterface]] = [
        both(),
        both(alias="uplink"),
        both(metric=25),
        both(nl_mtu=None),
        both(kind="tun"),
        both(kind="tun", speed=None),
        {"inet": ip_interface()},
        {"inet6": ip_interface("inet6")},
    ]
    payloads = [device_of(about, rows) for rows in shapes]
    assert len(set(payloads)) == len(shapes)
    assert [device_of(about, rows) for rows in shapes] == payloads == [device_of(discovery(), rows) for rows in shapes]


@pytest.mark.parametrize(
    ("key", "row", "value"),
    [
        ("c", ip_interface(), "ON"),
        ("c", ip_interface(connected=False), "OFF"),
        ("4c", ip_interface(), "ON"),
        ("4", ip_interface(addresses=["192.0.2.1", "192.0.2.2"]), "192.0.2.1, 192.0.2.2"),
        ("4", ip_interface(), "none"),
        ("4", ip_interface(addresses=["2001:db8::1"] * 40), ", ".join(["2001:db8::1"] * 40)[:255]),
        ("m", ip_interface(nl_mtu=1400), "1400"),
        ("r", ip_interface(metric=25), "25"),
        ("s", ip_interface(), "up"),
        ("s", ip_interface(interface={"oper_status": "unknown"}), "up"),
        ("s", ip_interface(interface={"oper_status": "unknown"}, connected=False), "down"),
        ("v", ip_interface(speed=866_700_000), "866.7"),
        ("v", ip_interface(speed=None), "None"),
        ("p", ip_interface(), "OFF"),
        ("p", ip_interface(interface={"best_link_speed": 10**10}), "ON"),
        ("t", ip_interface(interface={"last_change": MOMENT}), "2026-11-22T20:04:12.123456Z"),
    ],
)
def test_templates_read_the_state(key: str, row: IpInterface, value: str) -> None:
    part = config_of({"inet": ip_interface(metric=1)})["components"][key]
    assert render(part["value_template"], state(row)) == value


GONE = {
    "c": "OFF",
    "4c": "OFF",
    "4": "none",
    "s": "not_present",
    "p": "OFF",
    "m": "None",
    "r": "None",
    "v": "None",
    "t": "None",
}


BARE = ip_interface(connected=None, nl_mtu=None, speed=None)


def bare_states() -> list[bytes]:
    """Returns states in which nothing is known that need not be: by leaving it out, as nulls, and without lists."""
    whole = json.loads(state(BARE))
    nulls = {"row": dict.fromkeys(IpInterfaceRow.model_fields), "interface": dict.fromkeys(Interface.model_fields)}
    filled = whole | {name: members | whole[name] for name, members in nulls.items()}
    reduced = {name: value for name, value in whole.items() if name != "addresses"} | {
        "interface": {name: value for name, value in whole["interface"].items() if name not in ("higher", "lower")}
    }
    return [json.dumps(one).encode() for one in (whole, filled, reduced)]


def values(components: Mapping[str, Mapping[str, Any]], payload: bytes) -> dict[str, str]:
    return {
        key: render(part["value_template"], payload) for key, part in components.items() if part["platform"] != "event"
    }


@pytest.mark.parametrize("payload", bare_states(), ids=["left out", "nulls", "reduced"])
def test_every_template_takes_a_state_without_the_members_it_reads(payload: bytes) -> None:
    components = config_of({"inet": ip_interface(metric=1)})["components"]
    assert values(components, payload) == GONE | {"s": "up"}


def test_an_empty_state_is_an_interface_that_is_not_present() -> None:
    assert values(config_of({"inet": ip_interface(metric=1)})["components"], b"") == GONE


# The event entity.


def entity_event(event: Event, before: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Returns what the event entity makes of an event; nothing when it ignores it."""
    rows: dict[Family, IpInterface] = options.pop("rows", both())
    payload = options.pop("payload", event.json_bytes)
    device = device_of(discovery(**options), rows)
    assert device is not None
    template = read_config(device)["components"]["e"]["value_template"]
    rendered = render(template, payload, before)
    return dict(json.loads(rendered)) if rendered else {}


def change(seq: int = 7, family: Family = "inet", epoch: str = EPOCH, **changed: tuple[Any, Any]) -> Event:
    return make_event(
        seq,
        row=make_row("eth0", family),
        changed={name.replace("__", "."): Change(before=one, after=two) for name, (one, two) in changed.items()},
        epoch=epoch,
    )


SLOWER: dict[str, Any] = {"row__connected": (False, True), "interface__last_link_speed": (10**9, 10**8)}


def test_an_event_has_its_first_kind_as_type_and_all_as_an_attribute() -> None:
    assert entity_event(change(**SLOWER)) == {
        "event_type": "link_up",
        "kinds": ["link_up", "speed_decreased"],
        "family": "inet",
        "cause": "notification",
        "epoch": EPOCH,
        "seq": 7,
    }
    types = config_of(both())["components"]["e"]["event_types"]
    assert set(types) == set(get_args(Kind))


def test_of_both_families_one_event_comes_of_what_is_the_interfaces() -> None:
    moved: dict[str, Any] = {"row__connected": (True, False), "addresses__2001:db8::1/64": ({}, None)}
    assert entity_event(change(family="inet6", **SLOWER)) == {}
    assert entity_event(make_event(7, "add_instance", make_row("eth0", "inet6"))) == {}
    assert entity_event(change(family="inet6", **moved))["kinds"] == ["address_removed"]
    alone = {"inet6": ip_interface("inet6")}
    assert entity_event(change(family="inet6", **moved), rows=alone)["kinds"] == ["link_down", "address_removed"]


def test_a_delivery_that_is_repeated_is_no_event() -> None:
    before = entity_event(change(seq=7, **SLOWER))
    assert entity_event(change(seq=7, **SLOWER), before) == {}
    assert entity_event(change(seq=6, **SLOWER), before) == {}
    assert entity_event(change(seq=8, **SLOWER), before) != {}
    assert entity_event(change(seq=1, epoch="0" * 16, **SLOWER), before) != {}


def test_an_event_is_read_out_of_a_cloudevent() -> None:
    event = change(**SLOWER)
    about = Discovery(HomeAssistantOptions(), "nas", in_cloudevents=True)
    payload = device_of(about, both())
    assert payload is not None
    template = read_config(payload)["components"]["e"]["value_template"]
    assert json.loads(render(template, structured_json(event)))["event_type"] == "link_up"


# The node's device.


def node_config() -> dict[str, Any]:
    about = discovery()
    return read_config(about.payload(about.node_shape))


UPLINKS = {"inet": {"luid": LUID, "alias": "eth0", "next_hop": "192.0.2.1"}, "inet6": None}


def info(**members: Any) -> bytes:
    return json.dumps({"version": "1.2.3", "interfaces": 3, "uplinks": UPLINKS} | members).encode()


def test_the_node_is_a_device_that_those_of_the_interfaces_are_reached_by() -> None:
    config = node_config()
    assert faults(config) == []
    assert discovery().config_topic(NODE) == "homeassistant/device/publisher_nas/node/config"
    assert (config["device"]["name"], config["device"]["sw_version"]) == ("nas", "1.2.3")
    assert config_of(both())["device"]["via_device"] == config["device"]["identifiers"]
    assert topics(config) == {"interfaces/nas/info", "interfaces/nas/status"}


def test_the_entities_of_the_node() -> None:
    parts = {part["name"]: part for part in node_config()["components"].values()}
    read = {name: render(part["value_template"], info()) for name, part in parts.items() if "value_template" in part}
    assert read == {"IPv4 uplink": "eth0", "IPv6 uplink": "none", "Interfaces": "3", "Version": "1.2.3"}
    online = parts["Online"]
    assert (online["state_topic"], online["payload_on"], online["payload_off"]) == (
        *("interfaces/nas/status", "online", "offline"),
    )
    attributes = [render(parts[f"{name} uplink"]["json_attributes_template"], info()) for name in ("IPv4", "IPv6")]
    assert [json.loads(one) for one in attributes] == [UPLINKS["inet"], {}]


def test_what_must_show_each_change_is_not_unavailable_while_the_node_is() -> None:
    always = [
        part["name"]
        for config in (node_config(), config_of(both()))
        for part in config["components"].values()
        if not part["availability"]
    ]
    assert always == [
        *("Online", "IPv4 uplink", "IPv6 uplink"),
        *("IPv4 addresses", "IPv6 addresses", "Changes"),
    ]


@pytest.mark.parametrize("payload", [b"", b"{}", info(uplinks={"inet": None, "inet6": None})])
def test_the_templates_of_the_node_take_an_info_that_is_empty_or_older(payload: bytes) -> None:
    for part in node_config()["components"].values():
        if "value_template" in part:
            render(part["value_template"], payload)


def test_an_alias_renames_the_device_and_keeps_its_ids() -> None:
    before, after = config_of(both()), config_of(both(alias="uplink"))
    assert (before["device"]["name"], after["device"]["name"]) == ("nas eth0", "nas uplink")
    assert before["device"]["identifiers"] == after["device"]["identifiers"]
    for name, part in before["components"].items():
        assert after["components"][name]["unique_id"] == part["unique_id"]
    assert LUID[:10] in before["components"]["m"]["unique_id"]


def test_hosts_on_one_broker_never_share_an_id() -> None:
    nodes = [discovery("a.b"), discovery("a_b"), discovery("a-b"), discovery("a/b"), discovery("a_b", "home")]
    assert len({about.config_topic(LUID) for about in nodes}) == len(nodes)


@pytest.mark.parametrize("alias", ["veth12ab", "br-0f1e", "docker0", "cni0", "cali123", "virbr0", "vnet3"])
def test_container_interfaces_are_left_out_unless_asked_for(alias: str) -> None:
    assert device_of(discovery(), both(alias=alias)) is None
    assert device_of(discovery(include=[alias[:3] + "*"]), both(alias=alias)) is not None
    assert device_of(discovery(include=["*"]), both(alias=alias)) is not None
    assert device_of(discovery(include=["*"], exclude=[alias]), both(alias=alias)) is None


def test_who_asks_for_some_gets_only_those() -> None:
    assert device_of(discovery(include=["wlan*"]), both(alias="eth0")) is None
    assert device_of(discovery(exclude=["lo"]), both(alias="eth0")) is not None


def test_nothing_is_announced_when_off_or_without_a_row() -> None:
    assert device_of(discovery(enabled=False), both()) is None
    assert device_of(discovery(), {}) is None


def test_the_birth_message_is_recognised() -> None:
    assert discovery().is_birth("homeassistant/status", b"online")
    assert not discovery().is_birth("homeassistant/status", b"offline")
    assert discovery(prefix="ha", birth_payload="hello").is_birth("ha/status", b"hello")
    assert discovery(birth_topic="my/birth").is_birth("my/birth", b"online")


@pytest.mark.parametrize("options", [{"prefix": "a/+"}, {"prefix": ""}, {"birth_topic": "#"}, {"unknown": 1}])
def test_options_that_make_no_topic_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        HomeAssistantOptions(**options)
