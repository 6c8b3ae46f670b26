"""Several brokers in `urls`: the first that accepts is used, and has everything that is retained."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from publisher.delivery.retained import options_to_empty, retained_by
from publisher.errors import PublisherError
from publisher.testing import FakeSinkContext, make_row
from publisher_mqtt.options import MqttOptions
from publisher_mqtt.sink import MqttSink
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.logs import CapturedLog
from tests.fixtures.mqtt_host import MqttHost, published_states, some_rows
from tests.fixtures.mqtt_subscriber import retained
from tests.fixtures.poll import wait_for
from tests.fixtures.service import House

if sys.platform == "win32":
    pytest.skip("the brokers exist on Linux only", allow_module_level=True)

# The status, `info`, a state, and the devices of the node and of the interface.
OF_ONE_ROW = 5
A, B, C = ("mqtt://a.lan", "mqtts://b.lan", "wss://c.lan/mqtt")


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[tuple[Mosquitto, Mosquitto]]:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with Mosquitto(tmp_path / "a") as first, Mosquitto(tmp_path / "b") as second:
        yield first, second


def urls(*brokers: Mosquitto) -> dict[str, Any]:
    return {"url": None, "urls": [broker.url for broker in brokers]}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "expected url, or urls"),
        ({"urls": []}, "expected url, or urls"),
        ({"url": A, "urls": [B]}, "not both"),
        ({"urls": [A, "http://b.lan"]}, "expected mqtt://"),
        ({"urls": [A, "mqtt://me@A.lan:1883"]}, "each broker once: mqtt://a.lan:1883"),
        ({"urls": [A, "mqtt://me@b.lan"], "username": "you"}, "not both"),
        ({"urls": [A, "mqtt://b.lan"], "ca_file": "ca.pem"}, "mqtts://"),
    ],
)
def test_mistakes_in_the_list_are_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        MqttOptions.model_validate(options)


def test_each_broker_has_options_of_its_own() -> None:
    options = MqttOptions.model_validate({"urls": [A, B, C], "ca_file": "ca.pem", "base": "home"})
    assert [(one.url, one.urls, one.base) for one in options.by_destination] == [(url, (), "home") for url in (A, B, C)]
    assert options.destination == MqttOptions(url=A, base="home").destination
    assert MqttOptions(url=A).by_destination == (MqttOptions(url=A),)


def test_after_a_fall_over_the_other_broker_has_everything(tmp_path: Path, brokers: tuple[Mosquitto, ...]) -> None:
    first, second = brokers
    with MqttHost(tmp_path, first, **urls(*brokers)) as host:
        host.put(*some_rows(5))
        host.quiet()
        assert published_states(first) == host.expected()
        assert retained(second, "#") == {}
        before = retained(first, "#")
        first.kill()
        is_whole(host, second)
        # All of it: the devices of Home Assistant, the status and `info`, too.
        assert retained(second, "#").keys() == before.keys()
        assert any("stands in for" in line and f"127.0.0.1:{first.port}" in line for line in host.logged())
        host.put(*some_rows(7))
        host.remove(make_row("eth0", index=2).key)
        host.quiet()
        assert published_states(second) == host.expected()
        # The first one is tried first again, whatever it kept from before.
        first.start()
        second.kill()
        is_whole(host, first)
        assert json.loads(retained(first, "#")["interfaces/testnode/info"])["rows"] == 6


def is_whole(host: MqttHost, broker: Mosquitto) -> None:
    wait_for(
        lambda: retained(broker, "interfaces/testnode/status").get("interfaces/testnode/status") == b"online",
        what="online on the other broker",
    )
    assert published_states(broker) == host.expected()


def test_what_one_broker_refused_is_sent_to_the_other(tmp_path: Path, brokers: tuple[Mosquitto, ...]) -> None:
    for name in ("c", "d"):
        (tmp_path / name).mkdir()
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite interfaces/#\n")
    acl.chmod(0o600)
    with (
        Mosquitto(tmp_path / "c", f"acl_file {acl}") as first,
        MqttHost(tmp_path, first, **urls(first, brokers[1])) as host,
    ):
        host.put(*some_rows(2))
        host.quiet()
        wait_for(lambda: any("discovery is off" in line for line in host.logged()), what="no discovery")
        first.kill()
        is_whole(host, brokers[1])
        # The node's own, and one of each interface.
        assert len(retained(brokers[1], "homeassistant/#")) == 3


def check(*brokers: Mosquitto) -> str:
    sink = MqttSink(MqttOptions(**urls(*brokers)), FakeSinkContext(node="testnode"))
    try:
        return sink.check()
    except PublisherError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        sink.close()


def test_check_tells_each_and_fails_when_one_does_not_work(brokers: tuple[Mosquitto, ...]) -> None:
    first, second = (f"127.0.0.1:{broker.port}" for broker in brokers)
    told = check(*brokers)
    assert f"publishes to interfaces/testnode on {first} (MQTT 5)" in told
    assert f"publishes to interfaces/testnode on {second} (MQTT 5)" in told
    brokers[0].kill()
    told = check(*brokers)
    assert told.startswith("BrokerError: ")
    assert f"nothing listens on {first}" in told
    assert f"publishes to interfaces/testnode on {second} (MQTT 5)" in told
    brokers[1].kill()
    assert f"nothing listens on {second}" in check(*brokers)


def test_what_is_retained_is_recorded_for_each_broker_with_its_own_options() -> None:
    options = MqttOptions.model_validate(
        {"urls": [A, B], "home_assistant": False, "username": "me", "password": "hush"}
    )
    [*places] = retained_by({"home": (MqttSink, options)}, {"mqtt": MqttSink}, "nas", CapturedLog())["home"] or ()
    assert [(one.place, one.options["url"], one.options["urls"]) for one in places] == [
        ("mqtt://a.lan:1883 interfaces/nas", A, []),
        ("mqtts://b.lan:8883 interfaces/nas", B, []),
    ]
    # A password goes to the brokers of its own sink only.
    other = MqttOptions.model_validate({"urls": [B, C], "username": "you", "password": "other"})
    emptying = [options_to_empty(place, MqttSink, other.by_destination) for place in places]
    assert [one.model_dump()["password"] for one in emptying] == [None, other.password]


def test_a_broker_that_leaves_the_list_is_emptied_and_the_others_are_not(
    tmp_path: Path, brokers: tuple[Mosquitto, ...]
) -> None:
    first, second = brokers
    first.end()
    first.store = True
    first.start()
    house = House(tmp_path)
    house.types = {"mqtt": MqttSink}

    def settings(*named: Mosquitto) -> Any:
        table = {"type": "mqtt", "urls": [broker.url for broker in named]}
        return house.settings().model_copy(update={"sinks": {"home": table}})

    with house.running(settings(first, second)) as service:
        wait_for(lambda: len(retained(first, "#")) == OF_ONE_ROW, what="everything on the first")
        first.end()
        wait_for(lambda: len(retained(second, "#")) == OF_ONE_ROW, what="everything on the second")
        first.start()
        assert len(retained(first, "#")) == OF_ONE_ROW
        service.reload(settings(second)).result(30)
        wait_for(lambda: not retained(first, "#"), what="nothing on the first")
        assert len(retained(second, "#")) == OF_ONE_ROW
