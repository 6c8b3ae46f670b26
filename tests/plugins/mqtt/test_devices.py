"""Home Assistant's devices over time: found on the broker, kept, left out; without a broker."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import pytest

from publisher.events import Address, Event, Family, Interface, IpInterface, IpInterfaceRow, make_luid
from publisher.testing import FakeSinkContext, make_event, make_row, make_snapshot
from publisher_mqtt.homeassistant.births import Births
from publisher_mqtt.homeassistant.devices import Devices
from publisher_mqtt.homeassistant.discovery import NODE, Discovery, HomeAssistantOptions
from publisher_mqtt.homeassistant.entities import OF_INTERFACE, OF_NODE
from publisher_mqtt.homeassistant.found import FoundDevice, read_device
from publisher_mqtt.homeassistant.kept import KeptDevices
from publisher_mqtt.homeassistant.shown import Shape
from publisher_mqtt.messages import MqttMessage
from tests.fixtures.discovery import device_of, read_config

TODAY = date(2026, 11, 25)
ETH0 = make_row("eth0")
WG0 = make_row("wg0", index=7)


def discovery(**options: Any) -> Discovery:
    return Discovery(HomeAssistantOptions(**options), "nas")


def devices(**options: Any) -> Devices:
    return Devices(discovery(**options), TODAY)


def snapshot(of: Devices, *rows: IpInterface) -> dict[str, bytes]:
    """Takes a snapshot; returns the last message of each topic."""
    of.begin_snapshot()
    for event in make_snapshot(rows, node="nas"):
        of.remember(event)
    return sent(of.settle(removing=True))


def sent(messages: Iterable[MqttMessage]) -> dict[str, bytes]:
    """Returns the last message of each topic, without that of the node's own device."""
    return {
        message.topic.removeprefix("homeassistant/device/"): message.payload
        for message in of_interfaces(messages)
        if message.retain
    }


def of_interfaces(messages: Iterable[MqttMessage]) -> list[MqttMessage]:
    return [message for message in messages if message.topic != discovery().config_topic(NODE)]


def config(row: IpInterface, **options: Any) -> bytes:
    return device_of(discovery(**options), {row.family: row}) or b""


def found(topic: str, payload: bytes) -> FoundDevice | None:
    return read_device(topic, payload, discovery())


def known(topic: str, payload: bytes) -> FoundDevice:
    """Returns a device that is ours."""
    device = found(topic, payload)
    assert device is not None
    assert device.is_ours
    return device


def topic(row: IpInterface) -> str:
    return discovery().config_topic(row.luid)


def deleted(row: IpInterface) -> Event:
    return make_event(9, "delete_instance", row)


def interface(
    alias: str,
    index: int,
    *,
    kind: str | None = None,
    higher: Iterable[int] = (),
    lower: Iterable[int] = (),
    namespace: int | None = None,
    address: str | None = None,
    family: Family = "inet",
) -> IpInterface:
    return IpInterface(
        row=IpInterfaceRow(family=family, interface_luid=make_luid(6, index), interface_index=index, connected=True),
        interface=Interface(
            alias=alias,
            kind=kind,
            type=6,
            admin_status="up",
            oper_status="up",
            media_connect_state="connected",
            higher=tuple(make_luid(6, one) for one in higher),
            lower=tuple(make_luid(6, one) for one in lower),
            link_netnsid=namespace,
        ),
        addresses=()
        if address is None
        else (Address(address=address, prefix_length=24, scope="global", dad_state="preferred"),),
    )


def names(of: Devices, *rows: IpInterface) -> set[str]:
    """Returns the aliases of the devices that a snapshot leaves."""
    snapshot(of, *rows)
    return {json.loads(message.payload)["dev"]["name"].removeprefix("nas ") for message in of_interfaces(of.again())}


# The cost of thousands.


def test_a_payload_is_made_only_when_a_member_that_it_shows_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    one = devices()
    snapshot(one, ETH0, WG0)
    made: list[Shape] = []
    payload = Discovery.payload

    def counted(self: Discovery, shape: Shape) -> bytes:
        made.append(shape)
        return payload(self, shape)

    monkeypatch.setattr(Discovery, "payload", counted)
    quiet = [
        make_row("eth0", metric=7, nl_mtu=1400, connected=False),
        make_row("eth0", addresses=["192.0.2.1/24"], interface={"oper_status": "down", "admin_status": "down"}),
        make_row("eth0", interface={"transmit_link_speed": 10_000_000}),
    ]
    assert one.apply(make_event(seq, row=row, changed={}) for seq, row in enumerate(quiet, 1)) == []
    assert snapshot(one, quiet[-1], WG0) == {}
    assert made == []
    assert sent(one.apply([make_event(9, row=make_row("uplink"), changed={})])).keys() == {
        f"publisher_nas/{ETH0.luid}/config"
    }
    assert [shape.alias for shape in made] == ["uplink"]


def test_little_is_kept_of_a_device_and_its_rows() -> None:
    """A payload has 3.5 kB and a row as much: with 4,000 interfaces that was 40 MB."""
    families: tuple[Family, Family] = ("inet", "inet6")
    rows = [make_row(f"dum{index}", family, index=index) for index in range(1000) for family in families]
    one = devices()
    snapshot(one, *rows[:100])
    tracemalloc.start()
    try:
        one.begin_snapshot()
        for event in make_snapshot(rows, node="nas"):
            one.remember(Event.from_json(event.json_bytes))
        for _ in one.settle(removing=True):
            pass
        kept = tracemalloc.get_traced_memory()[0] / 1000
    finally:
        tracemalloc.stop()
    assert kept < 2500


# What was announced before.


def test_one_that_the_broker_has_as_it_should_be_is_not_sent_again() -> None:
    one = devices()
    one.found([known(topic(ETH0), config(ETH0))], complete=True)
    assert snapshot(one, ETH0) == {}


def test_a_component_stays_while_the_interface_is_there_also_over_a_restart() -> None:
    """Home Assistant forgets what the user did to an entity that is removed."""
    down = ETH0.model_copy(
        update={"interface": ETH0.interface.model_copy(update={"kind": "tun", "transmit_link_speed": None})}
    )
    up = down.model_copy(update={"interface": down.interface.model_copy(update={"transmit_link_speed": 10_000_000})})
    one = devices()
    assert "v" not in json.loads(snapshot(one, down)[f"publisher_nas/{ETH0.luid}/config"])["cmps"]
    [with_speed] = sent(one.apply([make_event(1, row=up)])).values()
    assert "v" in json.loads(with_speed)["cmps"]
    assert sent(one.apply([make_event(2, row=down)])) == {}

    after = devices()
    after.found([known(topic(ETH0), with_speed)], complete=True)
    assert snapshot(after, down) == {}


def test_the_entities_of_a_family_stay_while_the_interface_is_there() -> None:
    v6 = make_row("eth0", "inet6")
    one = devices()
    [both] = snapshot(one, ETH0, v6).values()
    assert sent(one.apply([deleted(v6)])) == {}
    assert "6c" in json.loads(both)["cmps"]


PLANTED = [
    b"",
    b"x",
    b"[" * 200_000,
    b'{"components":{"\\ud800":{"platform":"sensor"}}}',
    b'{"components":{}}',
    b'{"device":{"name":"UPS"},"origin":{"name":"nut2mqtt"},"availability_topic":"interfaces/nas/status","components":{}}',
    b'{"device":{"name":"x"},"origin":{"name":"interface-publisher"},"availability_topic":"interfaces/other/status",'
    b'"components":{"a":{"platform":"sensor"}}}',
    b'{"dev":{"name":"x"},"o":{"name":"interface-publisher"},"avty":[{"t":"interfaces/nas/status"},{"t":"x"}],"cmps":{}}',
    b'{"dev":{"name":"x"},"o":{"name":"interface-publisher"},"avty":[],"cmps":{}}',
    b'{"device":{"name":1e999}}',
]


@pytest.mark.parametrize("payload", PLANTED, ids=lambda payload: repr(payload[:30]))
def test_what_is_planted_is_replaced_where_we_need_the_topic_and_else_left_alone(payload: bytes) -> None:
    one = devices()
    rogue = make_row("gone", index=9)
    planted = [found(topic(row), payload) for row in (ETH0, rogue)]
    one.found([device for device in planted if device is not None], complete=True)
    messages = of_interfaces(one.settle(removing=True))
    assert messages == []
    one.begin_snapshot()
    for event in make_snapshot([ETH0]):
        one.remember(event)
    messages = of_interfaces(one.settle(removing=True))
    assert [message.payload for message in messages] == [b"", config(ETH0)]
    assert {message.topic for message in messages} == {topic(ETH0)}


def test_nothing_that_is_found_is_sent_again() -> None:
    ours = json.loads(config(ETH0))
    ours["cmps"]["evil"] = {"p": "sensor", "uniq_id": "evil"}
    ours["dev"]["name"] = "nas <evil>"
    one = devices()
    one.found([known(topic(ETH0), json.dumps(ours).encode())], complete=True)
    messages = [*one.apply([make_event(1, row=ETH0)]), *of_interfaces(one.again())]
    assert [message.payload for message in messages] == [b"", config(ETH0), config(ETH0)]


def test_only_topics_of_this_node_and_of_a_luid_are_looked_at() -> None:
    for other in (
        "homeassistant/device/nas/ups/config",
        "homeassistant/device/publisher_nas/ups/config",
        "homeassistant/device/publisher_nas/0006008002000000/x/config",
        "homeassistant/device/publisher_other/0006008002000000/config",
        "homeassistant/device/0006008002000000/config",
        "other/device/publisher_nas/0006008002000000/config",
    ):
        assert found(other, config(ETH0)) is None
    # The topic of another program's device, that happens to look like a LUID.
    assert found("homeassistant/device/nas/0006008002000000/config", PLANTED[5]) is None


def test_the_first_versions_topic_is_cleared_and_its_entities_stay_the_same() -> None:
    old = config(ETH0)
    one = devices()
    one.found([known(f"homeassistant/device/nas/{ETH0.luid}/config", old)], complete=True)
    messages = snapshot(one, ETH0)
    assert list(messages.items()) == [
        (f"nas/{ETH0.luid}/config", b""),
        (f"publisher_nas/{ETH0.luid}/config", config(ETH0)),
    ]


def test_a_device_without_abbreviations_as_the_first_versions_sent_it_is_ours() -> None:
    whole = json.dumps(read_config(config(ETH0))).encode()
    assert b'"components"' in whole
    assert b'"components"' not in config(ETH0)
    assert known(topic(ETH0), whole)._replace(digest=b"") == known(topic(ETH0), config(ETH0))._replace(digest=b"")


def test_of_a_large_payload_only_a_digest_is_kept() -> None:
    large = read_device(topic(ETH0), b'{"device":"' + b"x" * 900_000 + b'"}', discovery())
    assert large is not None
    assert not large.is_ours
    assert large.digest == b""


# The node's own device.

NODE_TOPIC = discovery().config_topic(NODE)
NODE_CONFIG = discovery().payload(discovery().node_shape)


def test_the_nodes_device_comes_first_and_once() -> None:
    """Home Assistant takes the devices behind it in that order."""
    one = devices()
    one.begin_snapshot()
    for event in make_snapshot([ETH0, WG0], node="nas"):
        one.remember(event)
    first, *others = one.settle(removing=True)
    assert (first.topic, first.payload, len(others)) == (NODE_TOPIC, NODE_CONFIG, 2)
    assert [*one.settle(removing=True)] == []
    assert next(one.again()) == first


def test_the_nodes_device_is_there_without_an_interface_and_is_found_again() -> None:
    one = devices(exclude=["*"])
    one.begin_snapshot()
    assert [message.topic for message in one.settle(removing=True)] == [NODE_TOPIC]
    after = devices()
    after.found([known(NODE_TOPIC, NODE_CONFIG)], complete=True)
    assert [*after.settle(removing=True)] == []
    assert after.new_day(TODAY + timedelta(days=400)) == []
    assert found(f"homeassistant/device/nas/{NODE}/config", NODE_CONFIG) is None, "another program's"


def test_what_is_planted_in_the_nodes_place_is_replaced() -> None:
    one = devices()
    planted = found(NODE_TOPIC, b'{"components":{}}')
    assert planted is not None
    one.found([planted], complete=True)
    assert [message.payload for message in one.settle(removing=False)] == [b"", NODE_CONFIG]


def test_found_late_it_is_cleared_too() -> None:
    one = devices(keep_days=0)
    snapshot(one, ETH0)
    luids = one.found_late([known(topic(WG0), config(WG0))])
    assert sent(one.settle(removing=True, only=luids)) == {f"publisher_nas/{WG0.luid}/config": b""}


# Interfaces that are removed.


def test_the_device_of_a_removed_interface_stays_for_thirty_days_on_which_it_was_missed() -> None:
    one = devices()
    snapshot(one, ETH0, WG0)
    assert one.apply([deleted(WG0)]) == []
    for day in range(1, 30):
        assert one.new_day(TODAY + timedelta(days=day)) == []
    assert sent(one.new_day(TODAY + timedelta(days=30))) == {f"publisher_nas/{WG0.luid}/config": b""}
    assert one.kept.payload == b""


def test_a_clock_that_jumps_counts_one_day() -> None:
    one = devices()
    snapshot(one, WG0)
    one.apply([deleted(WG0)])
    for jump in (date(1970, 1, 1), date(2055, 1, 1), TODAY):
        assert one.new_day(jump) == []
    assert json.loads(one.kept.payload)["days"] == {WG0.luid: 3}


def test_the_count_goes_on_over_a_restart() -> None:
    one = devices()
    snapshot(one, WG0)
    one.apply([deleted(WG0)])
    for day in range(1, 20):
        one.new_day(TODAY + timedelta(days=day))

    after = Devices(discovery(), TODAY + timedelta(days=25))
    after.kept.restore(one.kept.payload)
    after.found([known(topic(WG0), config(WG0))], complete=True)
    assert snapshot(after, ETH0).keys() == {f"publisher_nas/{ETH0.luid}/config"}
    assert json.loads(after.kept.payload)["days"] == {WG0.luid: 20}


@pytest.mark.parametrize("payload", [b"", b"?", b"[" * 9999, b'{"day":"2026-11-25","days":{"x":1}}', b'{"day":1}'])
def test_counts_that_cannot_be_read_begin_anew(payload: bytes) -> None:
    kept = KeptDevices(30, TODAY)
    kept.restore(payload)
    kept.add(WG0.luid)
    assert json.loads(kept.payload) == {"day": "2026-11-25", "days": {WG0.luid: 0}}


def test_an_interface_that_is_back_is_the_same_device() -> None:
    one = devices()
    snapshot(one, WG0)
    one.apply([deleted(WG0)])
    assert one.apply([make_event(2, "add_instance", WG0)]) == []
    assert one.kept.payload == b""


@pytest.mark.parametrize("options", [{"exclude": ["wg*"]}, {"include": ["eth*"]}, {"keep_days": 0}], ids=str)
def test_a_kept_device_goes_when_the_configuration_leaves_it(options: dict[str, Any]) -> None:
    after = devices(**options)
    after.found([known(topic(WG0), config(WG0))], complete=True)
    assert snapshot(after)[f"publisher_nas/{WG0.luid}/config"] == b""


def test_a_device_that_the_user_removed_in_home_assistant_stays_removed() -> None:
    one = devices()
    snapshot(one, ETH0, WG0)
    one.apply([deleted(WG0)])
    one.found([known(topic(ETH0), config(ETH0))], complete=True)
    assert snapshot(one, ETH0) == {}


def test_a_broker_that_lost_all_gets_kept_devices_again() -> None:
    one = devices()
    snapshot(one, ETH0, WG0)
    one.apply([deleted(WG0)])
    one.found([], complete=True)
    assert snapshot(one, ETH0) == {
        f"publisher_nas/{ETH0.luid}/config": config(ETH0),
        f"publisher_nas/{WG0.luid}/config": config(WG0),
    }


def test_at_most_fifty_are_kept_and_the_oldest_go() -> None:
    rows = [make_row(f"usb{number}", index=number + 10) for number in range(60)]
    one = devices()
    snapshot(one, *rows)
    gone = [message for row in rows for message in one.apply([deleted(row)])]
    assert list(sent(gone)) == [f"publisher_nas/{row.luid}/config" for row in rows[:10]]


# Containers and virtual machines.

# netdata/netdata PR#12789: four interfaces a guest.
GUESTS = ("fwbr{}i0", "fwpr{}p0", "fwln{}i0", "tap{}i0", "veth{}i0")
PROXMOX = [name.format(guest) for guest in (101, 102) for name in GUESTS]
CONTAINER_NAMES = [
    *PROXMOX,
    *("veth12ab", "br-0f1e", "docker0", "docker_gwbridge", "podman0", "cni0", "cni-podman0", "cali123", "vxlan.calico"),
    *("cilium_host", "cilium_net", "cilium_vxlan", "lxc1a2b3c", "lxcbr0", "lxdbr0", "incusbr0", "virbr0", "virbr0-nic"),
    *("vnet3", "ve-web", "vb-web", "flannel.1", "kube-ipvs0", "kube-bridge", "nodelocaldns", "weave", "antrea-gw0"),
]


@pytest.mark.parametrize("alias", CONTAINER_NAMES)
def test_names_of_containers_and_virtual_machines_are_no_devices(alias: str) -> None:
    assert not HomeAssistantOptions().wants(alias)
    assert HomeAssistantOptions(include=("*",)).wants(alias)


OTHERS = ["vmbr0", "eth0", "enp3s0", "wlan0", "wg0", "tun0", "tap0", "bond0", "br0", "ppp0", "eth0.7"]


@pytest.mark.parametrize("alias", OTHERS)
def test_other_names_are(alias: str) -> None:
    assert HomeAssistantOptions().wants(alias)


@pytest.mark.parametrize("alias", ["lo", "Loopback Pseudo-Interface 1"])
def test_loopback_is_no_device_unless_asked_for(alias: str) -> None:
    loopback = make_row(alias, index=1, interface={"type": 24})
    assert names(devices(), loopback) == set()
    assert names(devices(include=["lo", "Loopback*"]), loopback) == {alias}
    # One that an earlier version announced goes.
    after = devices()
    after.found([known(topic(loopback), config(loopback))], complete=True)
    assert snapshot(after, loopback) == {f"publisher_nas/{loopback.luid}/config": b""}


def test_a_veth_whose_other_end_is_elsewhere_is_none_on_the_host_and_one_in_the_container() -> None:
    port = interface("web", 5, kind="veth", higher=[9], namespace=0)
    routed = interface("web2", 6, kind="veth", namespace=1)
    pair = interface("here", 7, kind="veth")
    own = interface("eth0", 8, kind="veth", namespace=0)
    named = interface("lan", 10, kind="veth", namespace=0, address="192.0.2.1")
    assert names(devices(), port, routed, pair, own, named) == {"here", "eth0", "lan"}
    assert names(devices(include=["*"]), port) == {"web"}


def test_a_containers_own_interface_stays_a_device_without_its_address() -> None:
    one = devices()
    assert names(one, interface("lan", 10, kind="veth", namespace=0, address="192.0.2.1")) == {"lan"}
    assert names(one, interface("lan", 10, kind="veth", namespace=0)) == {"lan"}


def test_a_tap_in_a_bridge_is_a_virtual_machines_and_a_vpns_is_a_device() -> None:
    assert names(devices(), interface("vm1", 5, kind="tun", higher=[9]), interface("vpn", 6, kind="tun")) == {"vpn"}


def test_a_bridge_of_such_ports_only_is_none_and_one_with_hardware_is() -> None:
    tap = interface("vm1", 5, kind="tun", higher=[9, 10])
    veth = interface("vethx", 6, higher=[9], kind="veth", namespace=0)
    card = interface("enp1s0", 7, higher=[10])
    inside = interface("inside", 9, kind="bridge", lower=[5, 6], address="192.0.2.1")
    vmbr0 = interface("vmbr0", 10, kind="bridge", lower=[5, 7])
    assert names(devices(), inside, tap, veth, card, vmbr0) == {"enp1s0", "vmbr0"}


def test_a_bridge_of_containers_is_judged_again_with_its_ports() -> None:
    one = devices()
    empty = interface("inside", 9, kind="bridge")
    filled = interface("inside", 9, kind="bridge", lower=[5])
    tap = interface("vm1", 5, kind="tun", higher=[9])
    snapshot(one, empty)
    removed = sent(one.apply([make_event(1, row=filled), make_event(2, "add_instance", tap)]))
    assert removed == {f"publisher_nas/{empty.luid}/config": b""}
    # Without its ports it is what it was: a container that stops adds no device.
    assert one.apply([deleted(tap), make_event(4, row=empty)]) == []
    mixed = interface("inside", 9, kind="bridge", lower=[7])
    card = interface("enp1s0", 7, higher=[9])
    assert len(one.apply([make_event(5, row=mixed), make_event(6, "add_instance", card)])) == 2


def test_a_container_leaves_no_device_behind_though_it_was_asked_for() -> None:
    one = devices(include=["*"])
    rows = [make_row("veth1", index=5), interface("vm1", 6, kind="tun", higher=[9])]
    snapshot(one, *rows)
    assert set(sent(one.apply([deleted(row) for row in rows])).values()) == {b""}
    assert one.kept.payload == b""


# Names.


def slug(text: str) -> str:
    return "_".join(text.lower().split())


def test_home_assistant_makes_the_entity_ids_of_the_names() -> None:
    for definitions in (OF_INTERFACE, OF_NODE):
        assert len({slug(definition.name) for definition in definitions.values()}) == len(definitions)
    assert "default_entity_id" not in config(ETH0).decode()
    assert "obj_id" not in config(ETH0).decode()


def test_names_without_letters_have_ids_of_their_own() -> None:
    about = discovery()
    rows = [make_row(alias, index=index) for index, alias in enumerate(["🦊", "+#", "сеть", "🦊"], 5)]
    named = [about.device_name(row.luid, row.interface.alias) for row in rows]
    assert len({name.encode("ascii", "ignore") for name in named}) == len(rows)
    assert [about.alias_of(row.luid, name) for row, name in zip(rows, named, strict=True)] == ["🦊", "+#", "сеть", "🦊"]
    assert about.device_name(ETH0.luid, "eth0") == "nas eth0"
    assert about.alias_of(ETH0.luid, "nas eth0") == "eth0"


# Births.


def test_a_flood_of_births_is_one_announcement_in_thirty_seconds() -> None:
    context, announced, now = FakeSinkContext(), [], [1000.0]
    births = Births(context, lambda: announced.append(now[0]), 5.0, clock=lambda: now[0])
    for _ in range(500):
        births.take()
    [(delay, _)] = context.jobs
    assert 0 <= delay <= 5
    context.run_jobs()
    for _ in range(500):
        births.take()
    [(delay, _)] = context.jobs
    assert 30 <= delay <= 35
    now[0] += 31
    context.run_jobs()
    now[0] += 60
    births.take()
    [(delay, _)] = context.jobs
    assert delay <= 5
    assert len(announced) == 2
