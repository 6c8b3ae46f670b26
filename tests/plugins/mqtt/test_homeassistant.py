"""Home Assistant's discovery payloads, judged by a validator of its own written from Home Assistant's rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from publisher.events import Address, Family, Interface, IpInterface, IpInterfaceRow, make_luid
from publisher_mqtt.homeassistant.discovery import Discovery, HomeAssistantOptions
from tests.fixtures.discovery import device_of, read_config

LUID = "0006008000000000"
TOPIC = re.compile(r"^homeassistant/device/(?:[a-zA-Z0-9_-]+/)?[a-zA-Z0-9_-]+/config$")
# home-assistant.io, mqtt.markdown, "Device"; any other key makes Home Assistant refuse the whole config.
DEVICE_KEYS = {
    *("configuration_url", "connections", "hw_version", "identifiers", "manufacturer", "model", "model_id", "name"),
    *("serial_number", "suggested_area", "sw_version", "via_device"),
}
ENTITY_KEYS = {
    *("platform", "unique_id", "name", "device_class", "entity_category", "icon", "state_topic"),
    *("value_template", "json_attributes_topic", "json_attributes_template"),
}
KEYS_OF = {
    "binary_sensor": ENTITY_KEYS | {"payload_on", "payload_off"},
    "sensor": ENTITY_KEYS | {"unit_of_measurement", "options", "suggested_display_precision"},
}
UNITS_OF = {"data_rate": {"bit/s", "kbit/s", "Mbit/s", "Gbit/s"}, "data_size": {"bit", "B", "kB", "MB"}}


def ip_interface(
    family: Family = "inet",
    *,
    alias: str = "eth0",
    kind: str | None = None,
    addresses: Iterable[str] = (),
    speed: int | None = 1_000_000_000,
    **row: Any,
) -> IpInterface:
    members = {"nl_mtu": 1500, "connected": True} | row
    return IpInterface(
        row=IpInterfaceRow(family=family, interface_luid=LUID, interface_index=2, **members),
        interface=Interface(
            alias=alias,
            kind=kind,
            type=6,
            admin_status="up",
            oper_status="up",
            media_connect_state="connected",
            transmit_link_speed=speed,
            receive_link_speed=speed,
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
    found += [f"{config.get('qos')} is no qos"] if config.get("qos", 0) not in (0, 1, 2) else []
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
    if unit is not None and unit not in UNITS_OF.get(device_class, set()):
        yield f"{unit} is no unit of {device_class}"
    if ("options" in part) != (device_class == "enum"):
        yield "options are for enum, and enum needs them"


class _Filter:
    """A Jinja filter, so that Python's `|` calls it."""

    def __init__(self, call: Any) -> None:
        self.call = call

    def __ror__(self, value: Any) -> Any:
        return self.call(value)


class _Undefined:
    """A member that is missing, as Jinja has it: only `default` and `is number` take it."""


class _Object(dict[str, Any]):
    """A JSON object as Jinja has it: its members are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name, _Undefined())


def render(template: str, payload: bytes) -> str:
    """Renders the template. Ours are plain expressions that mean the same in Jinja and in Python."""
    [expression] = re.fullmatch(r"\{\{(.*)\}\}", template).groups()  # type: ignore[union-attr]  # an error fails it
    names = {
        # Home Assistant defines it for JSON only.
        "value_json": json.loads(payload, object_hook=_Object) if payload else None,
        "value": payload.decode(),
        "none": None,
        "false": False,
        "dict": dict,
        "map": lambda attribute: _Filter(lambda items: [getattr(item, attribute) for item in items]),
        "join": lambda separator: _Filter(separator.join),
        "length": _Filter(len),
        "d": lambda other: _Filter(lambda value: other if isinstance(value, _Undefined) else value),
        "is_number": _Filter(lambda value: isinstance(value, (int, float))),
        "tojson": _Filter(json.dumps),
    }
    expression = expression.replace(" is number", " | is_number")
    return str(eval(expression, {"__builtins__": {}}, names))


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
    assert len(payload) < 4_200


def test_the_judge_sees_what_home_assistant_refuses() -> None:
    good = config_of(both())
    mtu = good["components"]["ipv4_mtu"]
    assert faults(good | {"device": good["device"] | {"luid": LUID}}) == ["device.luid is unknown"]
    assert faults(good | {"device": {"name": "x"}}) == ["device without identity"]
    assert faults(good | {"origin": {}}) == ["origin without name"]
    assert faults(good | {"components": {"mtu": mtu | {"object_id": "x"}}}) == ["mtu: object_id is unknown"]
    assert faults(good | {"components": {"mtu": mtu | {"unique_id": ""}}}) == ["mtu: unique_id is missing"]
    assert faults(good | {"components": {"mtu": mtu | {"unit_of_measurement": "bytes"}}}) != []
    assert faults(good | {"components": {"one": mtu, "two": mtu}}) == ["a unique_id twice"]


def test_the_topics_named_are_those_of_the_rows_that_exist() -> None:
    some: list[dict[Family, IpInterface]] = [both(), {"inet": ip_interface()}, {"inet6": ip_interface("inet6")}]
    for rows in some:
        config = config_of(rows)
        named = {part[key] for part in config["components"].values() for key in part if key.endswith("_topic")}
        assert named == {f"interfaces/nas/{LUID}/{family}/state" for family in rows}
        assert config["availability_topic"] == "interfaces/nas/status"


def test_the_entities_of_an_interface() -> None:
    assert set(config_of(both(metric=25))["components"]) == {
        *("ipv4_connected", "ipv4_addresses", "ipv4_mtu", "ipv4_metric"),
        *("ipv6_connected", "ipv6_addresses", "ipv6_mtu", "ipv6_metric"),
        *("oper_status", "link_speed"),
    }


def test_what_the_system_does_not_have_is_no_entity() -> None:
    config = config_of({"inet": ip_interface(alias="tun0", kind="tun", speed=None, nl_mtu=None)})
    assert set(config["components"]) == {"ipv4_connected", "ipv4_addresses", "oper_status"}


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
    ("component", "row", "value"),
    [
        ("ipv4_connected", ip_interface(), "True"),
        ("ipv4_connected", ip_interface(connected=False), "False"),
        ("ipv4_connected", ip_interface(connected=None), "None"),
        ("ipv4_addresses", ip_interface(addresses=["192.0.2.1", "192.0.2.2"]), "192.0.2.1, 192.0.2.2"),
        ("ipv4_addresses", ip_interface(), "none"),
        ("ipv4_addresses", ip_interface(addresses=["2001:db8::1"] * 40), ", ".join(["2001:db8::1"] * 40)[:255]),
        ("ipv4_mtu", ip_interface(nl_mtu=1400), "1400"),
        ("ipv4_metric", ip_interface(metric=25), "25"),
        ("oper_status", ip_interface(), "up"),
        ("link_speed", ip_interface(speed=866_700_000), "866.7"),
        ("link_speed", ip_interface(speed=None), "None"),
    ],
)
def test_templates_read_the_state(component: str, row: IpInterface, value: str) -> None:
    part = config_of({"inet": ip_interface(metric=1)})["components"][component]
    assert render(part["value_template"], state(row)) == value


GONE = {
    "ipv4_connected": "False",
    "ipv4_addresses": "none",
    "ipv4_mtu": "None",
    "ipv4_metric": "None",
    "oper_status": "not_present",
    "link_speed": "None",
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


@pytest.mark.parametrize("payload", bare_states(), ids=["left out", "nulls", "reduced"])
def test_every_template_takes_a_state_without_the_members_it_reads(payload: bytes) -> None:
    components = config_of({"inet": ip_interface(metric=1)})["components"]
    values = {name: render(part["value_template"], payload) for name, part in components.items()}
    assert values == GONE | {"ipv4_connected": "None", "oper_status": "up"}
    for part in components.values():
        if "json_attributes_topic" in part:
            assert isinstance(json.loads(render(part["json_attributes_template"], payload)), dict)


def test_an_empty_state_is_an_interface_that_is_not_present() -> None:
    components = config_of({"inet": ip_interface(metric=1)})["components"]
    assert {name: render(part["value_template"], b"") for name, part in components.items()} == GONE
    attributes = [part["json_attributes_template"] for part in components.values() if "json_attributes_topic" in part]
    assert [render(template, b"") for template in attributes] == ["{}"] * 3


def test_a_binary_sensor_has_the_payloads_that_its_template_renders() -> None:
    part = config_of(both())["components"]["ipv4_connected"]
    assert (part["payload_on"], part["payload_off"]) == (
        render(part["value_template"], state(ip_interface(connected=True))),
        render(part["value_template"], state(ip_interface(connected=False))),
    )


def test_attributes_are_json_objects() -> None:
    row = ip_interface(addresses=["192.0.2.1"])
    components = config_of({"inet": row})["components"]
    attributes = {
        name: json.loads(render(part["json_attributes_template"], state(row)))
        for name, part in components.items()
        if "json_attributes_topic" in part
    }
    assert attributes["ipv4_connected"]["nl_mtu"] == 1500
    assert attributes["oper_status"]["alias"] == "eth0"
    assert [entry["address"] for entry in attributes["ipv4_addresses"]["addresses"]] == ["192.0.2.1"]


def test_attributes_stay_below_what_home_assistant_stores() -> None:
    """Its recorder takes 16,384 bytes, with the few that it adds itself."""
    moment = datetime(2026, 11, 22, 20, 4, 12, 123456, tzinfo=UTC)
    address = Address(
        address="ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
        prefix_length=128,
        scope="organization",
        scope_id=0xFFFF_FFFF,
        prefix_origin="router_advertisement",
        suffix_origin="link_layer_address",
        dad_state="deprecated",
        skip_as_source=False,
        valid_until=moment,
        preferred_until=moment,
    )
    row = ip_interface(alias="\x01" * 15)
    many = tuple(make_luid(6, index) for index in range(5000))
    row = row.model_copy(
        update={
            "addresses": (address,) * 3000,
            "interface": row.interface.model_copy(update={"higher": many, "lower": many, "description": "d" * 255}),
        }
    )
    for part in config_of({"inet": row})["components"].values():
        if "json_attributes_template" in part:
            assert len(render(part["json_attributes_template"], state(row))) < 15_500


def test_an_alias_renames_the_device_and_keeps_its_ids() -> None:
    before, after = config_of(both()), config_of(both(alias="uplink"))
    assert (before["device"]["name"], after["device"]["name"]) == ("nas eth0", "nas uplink")
    assert before["device"]["identifiers"] == after["device"]["identifiers"]
    for name, part in before["components"].items():
        assert after["components"][name]["unique_id"] == part["unique_id"]
    assert LUID in before["components"]["ipv4_mtu"]["unique_id"]


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
