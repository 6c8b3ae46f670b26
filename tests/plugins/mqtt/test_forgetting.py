"""What a sink retained is emptied when the configuration leaves it, and nothing else is."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from publisher import Rejected
from publisher.cli.forget import Forget
from publisher.cli.forget_url import forget_url
from publisher.sources import Resync, Upsert
from publisher.testing import FakeSinkContext, ScriptedSource, make_row
from publisher_mqtt.options import MqttOptions
from publisher_mqtt.sink import MqttSink
from tests.fixtures.brokers import Mosquitto, write_passwords
from tests.fixtures.command import Publisher
from tests.fixtures.mqtt_host import MqttHost, settings
from tests.fixtures.mqtt_subscriber import Subscriber, retained
from tests.fixtures.poll import wait_for
from tests.fixtures.service import House

if sys.platform == "win32":
    pytest.skip("the brokers exist on Linux only", allow_module_level=True)

ETH0 = make_row("eth0")
# The status, `info`, a state, and the devices of the node and of the interface.
OF_ONE_ROW = 5


def sink(
    broker: Mosquitto | str, node: str = "testnode", *, epoch: str = "01926f6e8c7e4b3f", **options: Any
) -> MqttSink:
    url = broker if isinstance(broker, str) else broker.url
    context = FakeSinkContext(node=node, epoch=epoch)
    context.rows_now = []
    return MqttSink(MqttOptions(**({"url": url} | options)), context)


def forget(one: MqttSink) -> None:
    with contextlib.closing(one):
        one.forget(one.retains())


OTHERS = {
    "homeassistant/device/testnode/ups/config": b'{"device":{"name":"UPS"}}',
    f"homeassistant/device/testnode/{ETH0.luid}/config": b'{"origin":{"name":"nut2mqtt"}}',
    f"homeassistant/device/publisher_other/{ETH0.luid}/config": b"{}",
    "interfaces/testnode/eth0/state": b"mine",
    "interfaces/testnode/a/b/state": b"mine",
    f"interfaces/testnode2/{ETH0.luid}/inet/state": b"{}",
    "interfaces/testnode": b"mine",
}


def plant(broker: Mosquitto, payloads: dict[str, bytes] = OTHERS) -> None:
    with Subscriber(broker, "none") as other:
        for topic, payload in payloads.items():
            other.publish(topic, payload, retain=True)


# Places.


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"url": "mqtt://Broker.lan"}, {"url": "mqtt://broker.lan:1883"}),
        ({"url": "mqtt://me@broker.lan"}, {"url": "mqtt://broker.lan/", "password": "x", "keepalive": 60}),
        ({"url": "wss://broker.lan"}, {"url": "wss://broker.lan:443/mqtt"}),
    ],
)
def test_equal_places_have_one_name_without_secrets(first: dict[str, Any], second: dict[str, Any]) -> None:
    names = [sink(options["url"], **options).retains() for options in (first, second)]
    assert names[0] == names[1]
    assert "me@" not in str(names)


def test_other_places_have_other_names() -> None:
    url = "mqtt://broker.lan"
    made = [
        sink(url),
        sink(url, "other"),
        sink(url, base="home"),
        sink("mqtts://broker.lan"),
        sink("mqtt://broker.lan:1884"),
        sink("ws://broker.lan:1883/a"),
        sink("ws://broker.lan:1883/b"),
    ]
    assert len({place for one in made for place in one.retains()}) == 2 * len(made)
    assert sink(url, home_assistant=False).retains() == sink(url).retains()[:1]
    assert sink(url, home_assistant={"prefix": "ha"}).retains() == (
        "mqtt://broker.lan:1883 interfaces/testnode",
        "mqtt://broker.lan:1883 ha/device/publisher_testnode",
    )


def test_a_url_empties_one_node_below_the_given_base_and_prefix_with_the_given_login(
    tmp_path: Path, house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody may write without the login; no journal remembers anything."""
    passwords, acl, secret = write_passwords(tmp_path / "passwords"), tmp_path / "acl", tmp_path / "secret"
    acl.write_text("topic read #\ntopic readwrite test-fence/#\nuser nas\ntopic readwrite #\n")
    acl.chmod(0o600)
    secret.write_text("hush\n")
    options: dict[str, Any] = {"base": "home", "home_assistant": {"prefix": "ha"}, "password_file": secret}
    with Mosquitto(tmp_path, f"password_file {passwords}", f"acl_file {acl}") as broker:
        url = f"mqtt://nas@127.0.0.1:{broker.port}"
        for node, others in (("old", options), ("new", options), ("old", options | {"base": "interfaces"})):
            with MqttHost(tmp_path, url, node=node, name=others["base"], **others) as host:
                host.put(ETH0)
                host.quiet()
        before = retained(broker, "#")
        assert not forget_url(house.settings(), Forget(broker.url, "old", "home", "ha"))
        assert "not emptied" in capsys.readouterr().out
        assert retained(broker, "#") == before
        assert forget_url(house.settings(), Forget(url, "old", "home", "ha", secret))
        # The devices of another base than the default one have names of their own.
        gone = {topic for topic in before if topic.startswith(("home/old/", "ha/device/publisher_old_"))}
        assert len(gone) == 5
        assert retained(broker, "#") == {topic: payload for topic, payload in before.items() if topic not in gone}


# A sink that is not opened.


def test_everything_of_the_node_goes_and_nothing_of_others(tmp_path: Path, broker: Mosquitto) -> None:
    plant(broker)
    with MqttHost(tmp_path, broker) as host:
        host.put(ETH0, make_row("eth0", "inet6"), make_row("wg0", index=5))
        host.quiet()
        host.remove(make_row("wg0", index=5).key)
        host.quiet()
    assert len(retained(broker, "#")) == len(OTHERS) + 8
    first_form = f"homeassistant/device/testnode/{make_row(index=9).luid}/config"
    old = {"device": {"name": "x"}, "origin": {"name": "interface-publisher"}, "components": {}}
    plant(broker, {first_form: json.dumps(old | {"availability_topic": "interfaces/testnode/status"}).encode()})
    forget(sink(broker))
    assert retained(broker, "#") == OTHERS
    forget(sink(broker))
    assert retained(broker, "#") == OTHERS


def test_devices_alone_go_when_only_they_were_left(tmp_path: Path, broker: Mosquitto) -> None:
    with MqttHost(tmp_path, broker) as host:
        host.put(ETH0)
        host.quiet()
    one = sink(broker)
    with contextlib.closing(one):
        one.forget(one.retains()[1:])
    assert retained(broker, "homeassistant/#") == {}
    assert set(retained(broker, "interfaces/#")) == {
        "interfaces/testnode/info",
        "interfaces/testnode/status",
        f"interfaces/testnode/{ETH0.luid}/inet/state",
    }


def test_the_same_broker_by_another_name_is_noticed(tmp_path: Path, broker: Mosquitto) -> None:
    with MqttHost(tmp_path, broker) as host:
        host.put(ETH0)
        host.settle()
        before = retained(broker, "#")
        forget(sink(broker.url.replace("127.0.0.1", "localhost"), epoch=host.journal.epoch))
        assert retained(broker, "#") == before
        assert host.is_quiet()
        # Its devices are another's, so those of the place that was left go.
        other = sink(broker, epoch=host.journal.epoch, home_assistant={"prefix": "ha"})
        topic = f"ha/device/publisher_testnode/{ETH0.luid}/config"
        plant(broker, {topic: before[f"homeassistant/device/publisher_testnode/{ETH0.luid}/config"]})
        forget(other)
        assert retained(broker, "#") == before
        assert [line for line in host.logged() if "WARNING" in line] == []


def test_by_hand_it_is_refused_while_a_publisher_runs(tmp_path: Path, broker: Mosquitto) -> None:
    with MqttHost(tmp_path, broker) as host:
        host.put(ETH0)
        host.settle()
        before = retained(broker, "#")
        with pytest.raises(Rejected, match="a publisher runs that has the node name testnode"):
            forget(sink(broker, epoch="0" * 16))
        assert retained(broker, "#") == before


def test_what_was_planted_does_not_stop_it(broker: Mosquitto) -> None:
    plant(
        broker,
        {
            "interfaces/testnode/info": b"[" * 200_000,
            "interfaces/testnode/status": b"\xff",
            "interfaces/testnode/kept": b"\x00" * 100_000,
            f"homeassistant/device/publisher_testnode/{ETH0.luid}/config": b'{"components":{"\\ud800":{}}}',
        },
    )
    forget(sink(broker))
    assert set(retained(broker, "#")) == {f"homeassistant/device/publisher_testnode/{ETH0.luid}/config"}


def test_known_interfaces_are_cleared_though_nothing_is_read_back(broker: Mosquitto) -> None:
    """RabbitMQ sends no retained messages to wildcards; the journal knows the LUIDs."""
    topics = [
        f"interfaces/testnode/{ETH0.luid}/inet/state",
        f"homeassistant/device/publisher_testnode/{ETH0.luid}/config",
        "homeassistant/device/publisher_testnode/node/config",
    ]
    with Subscriber(broker, *topics) as live:
        one = sink(broker)
        assert isinstance(one.context, FakeSinkContext)
        one.context.rows_now = None
        forget(one)
        for topic in topics:
            live.wait_for(topic)


def test_the_node_s_own_device_is_cleared_where_no_interface_is_known(broker: Mosquitto) -> None:
    """By URL from another host than the node's, where wildcards show nothing."""
    topic = "homeassistant/device/publisher_testnode/node/config"
    with Subscriber(broker, topic) as live:
        forget(sink(broker))
        live.wait_for(topic)


# From the configuration to the broker, by reload and by restart.


CHANGES: dict[str, tuple[dict[str, Any], str, str]] = {
    "discovery off": ({"home_assistant": False}, "testnode", "homeassistant/#"),
    "another prefix": ({"home_assistant": {"prefix": "ha"}}, "testnode", "homeassistant/#"),
    "another base": ({"base": "home"}, "testnode", "interfaces/#"),
    "another node": ({}, "renamed", "interfaces/testnode/#"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("how", ["reload", "restart"])
def test_what_the_configuration_leaves_is_emptied(house: House, broker: Mosquitto, change: str, how: str) -> None:
    options, node, left = CHANGES[change]
    count = OF_ONE_ROW - 2 if change == "discovery off" else OF_ONE_ROW
    before, after = settings(house, broker), settings(house, broker, node, **options)
    house.source = ScriptedSource([ETH0])
    with house.running(before) as service:
        wait_for(lambda: len(retained(broker, "#")) == OF_ONE_ROW, what="everything")
        assert retained(broker, left)
        if how == "reload":
            service.reload(after).result(30)
            wait_for(lambda: not retained(broker, left), what="nothing there")
            wait_for(lambda: len(retained(broker, "#")) == count, what="the rest")
    if how == "restart":
        house.source = ScriptedSource([ETH0])
        with house.running(after):
            wait_for(lambda: not retained(broker, left), what="nothing there")
            wait_for(lambda: len(retained(broker, "#")) == count, what="the rest")
    assert not [topic for topic in retained(broker, "#") if node == "renamed" and "testnode" in topic]


def test_a_sink_that_is_taken_out_leaves_nothing_once_its_broker_is_back(house: House, broker: Mosquitto) -> None:
    house.source = ScriptedSource([ETH0])
    with house.running(settings(house, broker)) as service:
        wait_for(lambda: len(retained(broker, "#")) == OF_ONE_ROW, what="everything")
        broker.kill()
        service.reload(house.settings().model_copy(update={"node": "testnode", "sinks": {}})).result(30)
    house.source = ScriptedSource([ETH0])
    with house.running(house.settings().model_copy(update={"node": "testnode", "sinks": {}})):
        broker.start()
        wait_for(lambda: not retained(broker, "#"), what="nothing")


def test_a_node_that_is_renamed_by_sighup_takes_everything_along(publisher: Publisher, broker: Mosquitto) -> None:
    """A subscriber of every node gets each event once or more, and with the new name all that the old one had."""
    rows = [make_row("eth0", nl_mtu=1400 + number) for number in range(2000)]
    publisher.updates(Resync((ETH0,), "startup"), *map(Upsert, rows), pace=0.02)
    sinks = f'[sinks.home]\ntype = "mqtt"\nurl = "{broker.url}"'
    with Subscriber(broker, "interfaces/+/+/+/event") as live:
        publisher.configure(f'node = "testnode"\n{sinks}')
        process = publisher.start("run")
        live.wait_for("event", 20)
        before = set(retained(broker, "#"))
        publisher.configure(f'node = "renamed"\n{sinks}')
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(live.of_node("renamed")) >= 50, what="events with the new name")
        wait_for(lambda: not [topic for topic in retained(broker, "#") if "testnode" in topic], what="nothing there")
        assert set(retained(broker, "#")) == {topic.replace("testnode", "renamed") for topic in before}
        assert process.poll() is None
        events = [(heard.topic.split("/")[1], heard.json) for heard in live.of("event")]
    seqs = [event["seq"] for _, event in events]
    # The first ones may be in the sink's first snapshot, and the last ones are still to come.
    assert sorted(set(seqs)) == list(range(min(seqs), max(seqs) + 1))
    epochs = {event["epoch"] for _, event in events}
    assert len(epochs) == 1
    first_new = next(event["seq"] for _, event in events if event["node"] == "renamed")
    assert [event["node"] for _, event in events] == ["testnode" if seq < first_new else "renamed" for seq in seqs]
    assert {topic for topic, event in events if event["node"] == "renamed"} == {"renamed"}
    assert json.loads(retained(broker, "interfaces/renamed/info")["interfaces/renamed/info"])["epoch"] in epochs
