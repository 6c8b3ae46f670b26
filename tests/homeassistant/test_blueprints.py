"""The blueprints in a real Home Assistant: each tells once what really happened, and nothing else."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import publisher
from publisher.events import DefaultRoute, Family, IpInterface
from publisher.sources import Resync
from publisher.testing import FakeSinkContext, make_row
from publisher_mqtt.sink import MqttSink
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.mqtt_host import MqttHost
from tests.fixtures.poll import wait_for
from tests.homeassistant.home import Home, installed

if sys.platform == "win32":
    pytest.skip("the brokers exist on Linux only", allow_module_level=True)

AFTER, GONE_AFTER = 2, 4
CONNECTED = "binary_sensor.nas_eth0_connected"
ETH0 = {"connected": CONNECTED, "changes": "event.nas_eth0_changes"}
_SLOWER = {"slower": "binary_sensor.nas_eth0_slower", "changes": ETH0["changes"], "after": AFTER}
_WG0 = {"connected": "binary_sensor.nas_wg0_connected", "changes": "event.nas_wg0_changes", "after": AFTER}
INPUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "link": ("link_down", ETH0 | {"after": AFTER, "gone_after": GONE_AFTER}),
    "slower": ("slower_link", _SLOWER),
    "address": ("address_changed", {"addresses": "sensor.nas_eth0_ipv4_addresses", "after": AFTER}),
    "canary": ("address_changed", {"addresses": "sensor.nas_wwan0_ipv4_addresses", "after": AFTER}),
    "uplink": ("uplink_changed", {"uplink": "sensor.nas_ipv4_uplink", "after": AFTER}),
    "vpn": ("vpn", _WG0),
}
FAST, SLOW = 10**9, 10**8
DOWN = {"oper_status": "down", "media_connect_state": "disconnected"}


class House:
    """A broker, a host and a Home Assistant; `host` may be stopped and started."""

    def __init__(self, version: str, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.broker = Mosquitto(folder, store=True)
        self.broker.start()
        (folder / "config").mkdir()
        self.home = Home(version, folder / "config", self.broker.port, INPUTS, **options)
        self.up()

    def up(self, *rows: IpInterface) -> None:
        """Starts the publisher; with `rows`, that is how it finds the interfaces."""
        self.host = MqttHost(self.folder, self.broker, node="nas").__enter__()
        if rows:
            self.host.apply(Resync(rows, "startup"))
            self.host.quiet()

    def down(self) -> None:
        """Stops the publisher."""
        self.host.__exit__()

    def close(self) -> None:
        """Ends everything."""
        self.home.kill()
        self.down()
        self.broker.kill()


def eth0(*addresses: str, up: bool = True, speed: int | None = FAST, hop: str = "192.0.2.1") -> list[IpInterface]:
    """Returns both rows of an Ethernet."""
    members = {"transmit_link_speed": speed if up else None} | ({} if up else DOWN)
    v4 = make_row(
        "eth0",
        addresses=addresses or ["192.0.2.10/24"],
        default_routes=[hop],
        interface=members,
        connected=up,
    )
    return [v4, make_row("eth0", "inet6", addresses=["fe80::1/64"] if up else [], interface=members, connected=up)]


WWAN0_ROUTES = [DefaultRoute(next_hop=None, metric=700)]
WWAN0 = make_row("wwan0", index=3, default_routes=WWAN0_ROUTES)


def wg0(*, up: bool = True) -> list[IpInterface]:
    """Returns both rows of a VPN."""
    families: tuple[Family, Family] = ("inet", "inet6")
    members = {"kind": "wireguard", "type": 131} | ({} if up else DOWN)
    return [make_row("wg0", family, index=7, interface=members, connected=up) for family in families]


WG0 = wg0()
ALL = [*eth0(), WWAN0, *WG0]


@pytest.fixture(scope="module", params=installed())
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    one = House(request.param, tmp_path_factory.mktemp("home"))
    try:
        one.host.put(*ALL)
        one.host.quiet()
        one.home.start()
        one.home.wait(CONNECTED, "on")
        one.home.do("rename", device="nas wg0", name="Office")
        yield one
    finally:
        one.close()


class Told:
    """What was told since the last time."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._count = len(house.home.told)
        self._canaries = 0

    def __call__(self, *messages: str) -> None:
        """Waits for exactly these, in any order, and shows by a change of address that nothing else comes."""
        wanted = sorted(messages)
        wait_for(lambda: len(self._news) >= len(wanted), what=f"{wanted}: {self._news}", timeout=30)
        assert sorted(self._news) == wanted, (sorted(self._news), wanted)
        self._count += len(wanted)

    def nothing(self) -> None:
        """Shows that nothing is told: of two changes of an address, which come afterwards, both are the next."""
        self._house.host.put(make_row("wwan0", index=3, addresses=["198.51.100.9/24"], default_routes=WWAN0_ROUTES))
        wait_for(lambda: bool(self._news), what="the change of wwan0's address", timeout=30)
        assert self._news == ["nas wwan0 has 198.51.100.9, was none"]
        self._house.host.put(WWAN0)
        wait_for(lambda: len(self._news) > 1, what="the change of wwan0's address", timeout=30)
        assert self._news == ["nas wwan0 has 198.51.100.9, was none", "nas wwan0 has none, was 198.51.100.9"]
        self._count += 2

    @property
    def _news(self) -> list[str]:
        return self._house.home.told[self._count :]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> None:
    """Allows threads: the host outlives the test that starts it again."""


@pytest.fixture
def told(house: House) -> Told:
    return Told(house)


# A home as it is: devices and entities.

NODE = {
    *("binary_sensor.nas_online", "sensor.nas_interfaces", "sensor.nas_version"),
    *("sensor.nas_ipv4_uplink", "sensor.nas_ipv6_uplink"),
}


def test_the_devices_are_reached_by_the_node_and_few_entities_are_enabled(house: House, told: Told) -> None:
    assert house.home.do("devices") == {
        "nas": {"by_user": None, "via": None, "version": publisher.__version__},
        **{f"nas {alias}": {"by_user": None, "via": "nas", "version": None} for alias in ("eth0", "wwan0")},
        "nas wg0": {"by_user": "Office", "via": "nas", "version": None},
    }
    entities = house.home.do("entities")
    eth0 = {entity_id: by for entity_id, by in entities.items() if "_eth0_" in entity_id}
    enabled = {
        *("binary_sensor.nas_eth0_connected", "binary_sensor.nas_eth0_slower", "sensor.nas_eth0_status"),
        *("sensor.nas_eth0_ipv4_addresses", "sensor.nas_eth0_ipv6_addresses", "sensor.nas_eth0_link_speed"),
        *("sensor.nas_eth0_last_change", "event.nas_eth0_changes"),
    }
    disabled = {
        *("binary_sensor.nas_eth0_ipv4_connected", "binary_sensor.nas_eth0_ipv6_connected"),
        *("sensor.nas_eth0_mtu", "sensor.nas_eth0_metric"),
    }
    assert eth0 == dict.fromkeys(enabled) | dict.fromkeys(disabled, "integration")
    assert entities.keys() >= NODE
    told.nothing()


def test_the_states_are_those_of_the_host(house: House) -> None:
    states = house.home.do("states")
    read = {name: entry["state"] for name, entry in states.items() if "_eth0_" in name}
    read |= {name: states[name]["state"] for name in NODE}
    del read["sensor.nas_eth0_last_change"]
    assert read == {
        "binary_sensor.nas_online": "on",
        "sensor.nas_interfaces": "3",
        "sensor.nas_version": publisher.__version__,
        "sensor.nas_ipv4_uplink": "eth0",
        "sensor.nas_ipv6_uplink": "none",
        "binary_sensor.nas_eth0_connected": "on",
        "binary_sensor.nas_eth0_slower": "off",
        "sensor.nas_eth0_status": "up",
        "sensor.nas_eth0_ipv4_addresses": "192.0.2.10",
        "sensor.nas_eth0_ipv6_addresses": "fe80::1",
        "sensor.nas_eth0_link_speed": "1000.0",
        "event.nas_eth0_changes": "unknown",
    }
    assert states["sensor.nas_ipv4_uplink"]["attributes"]["next_hop"] == "192.0.2.1"


# What is told.


def test_a_link_that_goes_down_is_told_once_and_a_flap_is_not(house: House, told: Told) -> None:
    for up in (False, True):
        house.host.put(*eth0(up=up))
    told.nothing()
    house.host.put(*eth0(up=False))
    told("nas eth0 is down", "nas has the uplink wwan0, was eth0 via 192.0.2.1")
    house.host.put(*eth0())
    told("nas has the uplink eth0 via 192.0.2.1, was wwan0")


def test_a_link_that_comes_back_slower_is_told_once(house: House, told: Told) -> None:
    house.host.put(*eth0(up=False))
    house.host.put(*eth0(speed=SLOW))
    told("nas eth0 is slower than it was: 100 Mbit/s")
    house.host.put(*eth0(up=False))
    house.host.put(*eth0(speed=SLOW // 10))
    told("nas eth0 is slower than it was: 10 Mbit/s")
    house.home.wait("binary_sensor.nas_eth0_slower", "on")
    house.host.put(*eth0())
    house.home.wait("binary_sensor.nas_eth0_slower", "off")
    told.nothing()


def test_another_address_is_told_with_the_one_before(house: House, told: Told) -> None:
    house.host.put(*eth0("192.0.2.11/24"))
    told("nas eth0 has 192.0.2.11, was 192.0.2.10")
    # Removed and there again.
    house.host.put(*eth0("192.0.2.12/24"))
    house.host.put(*eth0("192.0.2.11/24"))
    told.nothing()
    house.host.put(*eth0())
    told("nas eth0 has 192.0.2.10, was 192.0.2.11")


def test_another_gateway_is_another_uplink(house: House, told: Told) -> None:
    house.host.put(*eth0(hop="192.0.2.254"))
    told("nas has the uplink eth0 via 192.0.2.254, was eth0 via 192.0.2.1")
    house.host.put(*eth0())
    told("nas has the uplink eth0 via 192.0.2.1, was eth0 via 192.0.2.254")


def test_a_vpn_goes_and_comes_back_with_the_users_names(house: House, told: Told) -> None:
    house.home.do("rename_entity", entity_id="sensor.nas_wg0_status", name="Tunnel", new_entity_id="sensor.tunnel")
    house.host.remove(*(row.key for row in WG0))
    told("Office is gone")
    assert house.home.state("sensor.tunnel") == "not_present"
    assert house.home.state("binary_sensor.nas_wg0_connected") == "off"
    house.host.put(*WG0)
    told("Office is back")
    house.home.wait("sensor.tunnel", "up")
    # It begins anew.
    house.host.remove(*(row.key for row in WG0))
    house.host.put(*WG0)
    told.nothing()


# What restarts.


def restart_publisher(house: House, *rows: IpInterface) -> None:
    house.down()
    house.home.wait(CONNECTED, "unavailable")
    house.up(*(rows or ALL))
    house.home.wait("binary_sensor.nas_online", "on")


def restart_home(house: House, *_: IpInterface) -> None:
    house.home.stop()
    house.home.start()
    house.home.wait("binary_sensor.nas_online", "on")


def restart_broker(house: House, *rows: IpInterface) -> None:
    be_without_broker(house, house.broker.end, *rows)


def lose_broker(house: House, *rows: IpInterface) -> None:
    be_without_broker(house, house.broker.kill, *rows)
    house.host.quiet()


def be_without_broker(house: House, end: Callable[[], object], *rows: IpInterface) -> None:
    """Ends the broker, and starts it again; rows that are given become other ones meanwhile."""
    end()
    house.home.wait(CONNECTED, "unavailable")
    if rows:
        house.host.put(*eth0(up=False))
        house.host.put(*rows)
    house.broker.start()
    house.home.wait("binary_sensor.nas_online", "on")


@pytest.mark.parametrize("restart", [restart_publisher, restart_home, restart_broker, lose_broker])
def test_a_restart_tells_nothing(house: House, told: Told, restart: Callable[..., None]) -> None:
    restart(house)
    house.home.wait(CONNECTED, "on")
    told.nothing()


def test_a_home_that_starts_beside_a_link_that_is_down_tells_nothing(house: House, told: Told) -> None:
    house.host.put(*eth0(up=False), *wg0(up=False))
    told("nas eth0 is down", "nas has the uplink wwan0, was eth0 via 192.0.2.1", "Office is gone")
    for restart in (restart_home, restart_publisher):
        restart(house, *eth0(up=False), WWAN0, *wg0(up=False))
        house.home.wait(CONNECTED, "off")
        told.nothing()
    house.host.put(*ALL)
    told("nas has the uplink eth0 via 192.0.2.1, was wwan0", "Office is back")


@pytest.mark.parametrize("restart", [restart_publisher, restart_broker, lose_broker])
def test_what_happens_meanwhile_is_told_once(house: House, told: Told, restart: Callable[..., None]) -> None:
    restart(house, *eth0("192.0.2.20/24", up=False), WWAN0)
    told(
        "nas eth0 is down",
        "nas has the uplink wwan0, was eth0 via 192.0.2.1",
        "nas eth0 has 192.0.2.20, was 192.0.2.10",
        *(["Office is gone"] if restart is restart_publisher else []),
    )
    house.host.put(*eth0(speed=SLOW), WWAN0, *WG0)
    told(
        "nas eth0 is slower than it was: 100 Mbit/s",
        "nas has the uplink eth0 via 192.0.2.1, was wwan0",
        "nas eth0 has 192.0.2.10, was 192.0.2.20",
        *(["Office is back"] if restart is restart_publisher else []),
    )
    house.host.put(*ALL)
    house.home.wait("binary_sensor.nas_eth0_slower", "off")
    restart(house, *eth0(speed=SLOW), WWAN0, *WG0)
    told("nas eth0 is slower than it was: 100 Mbit/s")
    house.host.put(*ALL)
    house.home.wait("binary_sensor.nas_eth0_slower", "off")
    told.nothing()


def test_a_host_that_is_gone_is_told_once(house: House, told: Told) -> None:
    house.down()
    told("nas eth0 cannot be reached: its host is gone")
    assert house.home.state("binary_sensor.nas_online") == "off"
    house.up(*ALL)
    house.home.wait(CONNECTED, "on")
    told.nothing()


def test_a_broker_that_is_gone_is_not_told_of_any_host(house: House, told: Told) -> None:
    house.broker.end()
    house.home.wait(CONNECTED, "unavailable")
    began = time.monotonic()
    wait_for(lambda: time.monotonic() > began + GONE_AFTER + 1, what="longer than a host may be gone")
    house.broker.start()
    house.home.wait(CONNECTED, "on")
    told.nothing()


# At last.


# Of a broker that is gone; the task is that of a birth message.
EXPECTED = r"paho|MQTT server|MQTT broker|Disconnected|asyncio\] Task exception was never retrieved"


def test_nothing_was_wrong_in_the_log(house: House) -> None:
    wrong = re.findall(r".*(?:ERROR|WARNING).*", house.home.log)
    known = rf"{EXPECTED}|Skipping pip|zlib_ng|Stopping Home Assistant"
    assert [line for line in wrong if not re.search(known, line)] == []


def test_what_leaves_takes_every_device_along(house: House) -> None:
    house.down()
    context = FakeSinkContext(node="nas")
    sink = MqttSink(house.host.options, context)
    with contextlib.closing(sink):
        sink.forget(sink.retains())
    wait_for(lambda: house.home.do("devices") == {}, what="no device")
    assert house.home.do("entities") == {}
    house.up()
