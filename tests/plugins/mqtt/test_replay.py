"""Requests for a replay by hostile readers: where answers go, what they cost, and who pays for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from publisher.testing import make_row
from publisher_mqtt.replay_limits import RestingTopics
from tests.faults import changing
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.mqtt_host import MqttHost, some_rows
from tests.fixtures.mqtt_proxy import PUBLISH, Packet, Proxy
from tests.fixtures.mqtt_subscriber import Subscriber
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("the brokers exist on Linux only", allow_module_level=True)

ROOT = "interfaces/testnode"
REQUEST = f"{ROOT}/replay/get"


def acl(tmp_path: Path, *lines: str) -> str:
    """Returns the line of a configuration that names an ACL of these lines."""
    path = tmp_path / "acl"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return f"acl_file {path}"


@pytest.mark.parametrize(
    "topic",
    [
        "evil/x",
        "zigbee2mqtt/bridge/request/restart",
        "interfaces/other/0006008001000000/inet/state",
        f"{ROOT}/0006008001000000/inet/state",
        f"{ROOT}/info",
        "homeassistant/status",
    ],
)
def test_no_request_has_a_message_written_to_another_topic(broker: Mosquitto, tmp_path: Path, topic: str) -> None:
    with (
        MqttHost(tmp_path, broker, home_assistant=False) as host,
        Subscriber(broker, topic, f"{ROOT}/replay/+") as live,
    ):
        host.quiet()
        host.put(*some_rows(3))
        host.settle()
        live.pass_fence(f"{ROOT}/replay/fence")
        before = len(live.of(topic))
        live.publish(REQUEST, "{}", ResponseTopic=topic)
        live.publish(REQUEST, '{"client": "me"}', ResponseTopic=topic)
        # The asker is told where it can be told, and the next request comes after the first.
        [told] = live.wait_for("/replay/me")
        assert topic in told.json["error"]
        assert "replay/<client>" in told.json["error"]
        assert len(live.of(topic)) == before


def test_the_newest_events_are_those_of_the_journal_that_pass_the_filter_and_not_too_many(
    broker: Mosquitto, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"replay": {"max_events": 10}, "only": {"interfaces": ["eth[01]"]}}
    with MqttHost(tmp_path, broker, **options) as host, Subscriber(broker, f"{ROOT}/replay/+") as live:
        host.put(*some_rows(3))
        for mtu in range(1300, 1320):
            host.put(make_row("eth2", index=4, nl_mtu=mtu))
        host.quiet()
        luid = make_row("eth1", index=3).luid
        for client, request in (
            ("all", '"last": 10'),
            ("one", f'"last": 10, "luid": "{luid}"'),
            ("many", '"last": 11'),
        ):
            live.publish(REQUEST, f'{{"client": "{client}", {request}}}')
        live.wait_for("/replay/many")
        seqs = {client: [heard.json["event"]["seq"] for heard in live.of(client)[1:]] for client in ("all", "one")}
        assert seqs == {"all": [1, 2], "one": [2]}
        assert live.of("all")[0].json["answer"] == "events"
        assert live.of("many")[0].json["error"] == "last: expected at most 10 events, not 11"


def test_requests_that_come_together_are_all_answered(broker: Mosquitto, tmp_path: Path) -> None:
    clients = [f"{ROOT}/replay/c{number}" for number in range(15)]
    with MqttHost(tmp_path, broker) as host, Subscriber(broker, f"{ROOT}/replay/+") as live:
        host.put(*some_rows(3))
        host.quiet()
        for topic in clients:
            live.client.publish(REQUEST, json.dumps({"client": topic.rpartition("/")[2]}), qos=1)
        wait_for(lambda: {heard.topic for heard in live.of("")} >= set(clients), what="each answer")


def test_a_reader_costs_the_publisher_no_connection(tmp_path: Path) -> None:
    """With the ACL that we ship: mosquitto ends the connection of whoever publishes what its ACL refuses."""
    refuses = acl(tmp_path, "topic readwrite interfaces/#", "topic readwrite homeassistant/#", "topic read evil/#")
    with (
        Mosquitto(tmp_path, refuses, "max_queued_messages 0") as broker,
        MqttHost(tmp_path, broker, replay_topics=["evil/#"]) as host,
        Subscriber(broker, f"{ROOT}/+/+/event", f"{ROOT}/replay/good", f"{ROOT}/status") as live,
    ):
        host.quiet()
        host.put(*some_rows(3))
        host.quiet()
        before = broker.connections()
        for number in range(10):
            live.publish(REQUEST, "{}", ResponseTopic="evil/x")
            host.put(make_row("eth0", index=2, nl_mtu=1300 + number))
        host.quiet()
        wait_for(lambda: any("evil/x" in line for line in host.logged()), what="the reason")
        # Not the online of before: what is asked while it connects again reaches nobody.
        wait_for(
            lambda: [heard.payload for heard in live.of("/status")][-2:] == [b"offline", b"online"],
            what="online again",
        )
        # One connection taught it, and no more; whoever may be answered is answered.
        assert broker.connections() - before == 1
        live.publish(REQUEST, '{"client": "good"}')
        live.wait_for("/replay/good", 4)
        assert not any("client id" in line or "client use" in line for line in host.logged())


def test_where_no_answer_is_taken_names_without_end_cost_few_connections(broker: Mosquitto, tmp_path: Path) -> None:
    def refuses(packet: Packet) -> bool:
        return packet.kind == PUBLISH and packet.topic.startswith(f"{ROOT}/replay/r")

    with (
        Proxy(broker.port, refuses) as proxy,
        MqttHost(tmp_path, proxy.url, protocol="3.1.1", replay={"requests_per_second": 1000, "burst": 1000}) as host,
        Subscriber(broker, f"{ROOT}/+/+/event") as live,
    ):
        host.quiet()
        host.put(*some_rows(3))
        host.quiet()
        for number in range(60):
            live.publish(REQUEST, json.dumps({"client": f"r{number}"}))
            host.put(make_row("eth0", index=2, nl_mtu=1300 + number))
            live.wait_for("/event", 4 + number)
        assert proxy.connections <= 5
        assert host.worker.status().dead_letters == 0


def test_correlation_data_is_bounded(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker) as host, Subscriber(broker, f"{ROOT}/replay/me") as asker:
        host.quiet()
        host.put(*some_rows(10))
        host.quiet()
        topic = f"{ROOT}/replay/me"
        asker.publish(REQUEST, "{}", ResponseTopic=topic, CorrelationData=b"x" * 60_000)
        [told] = asker.wait_for("/me")
        assert "60000 bytes" in told.json["error"]
        assert "CorrelationData" not in told.properties.__dict__
        asker.publish(REQUEST, "{}", ResponseTopic=topic, CorrelationData=b"y" * 256)
        answer = asker.wait_for("/me", 12)[1:]
        assert {heard.properties.CorrelationData for heard in answer} == {b"y" * 256}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_an_answer_that_is_too_large_in_part_has_an_error_in_its_place(tmp_path: Path, protocol: str) -> None:
    large = make_row("large", index=50, addresses=[f"10.9.{number}.1/24" for number in range(60)])
    with (
        Mosquitto(tmp_path, "max_packet_size 9000") as broker,
        MqttHost(tmp_path, broker, protocol=protocol) as host,
        Subscriber(broker, f"{ROOT}/replay/me") as asker,
    ):
        host.quiet()
        host.put(*some_rows(3), large)
        host.quiet()
        for number in range(1, 4):
            asker.publish(REQUEST, '{"client": "me"}')
            asker.wait_for("/me", 5 * number)
        answer = [heard.json for heard in asker.of("/me")[-5:]]
        assert [part["position"] for part in answer] == [0, 1, 2, 3, 4]
        [error] = [part["error"] for part in answer if "error" in part]
        assert "larger than the broker takes" in error


def test_answers_take_a_bounded_part_of_the_link(broker: Mosquitto, tmp_path: Path) -> None:
    """10 requests of 60 kB caused 13 MB of answers."""
    with MqttHost(tmp_path, broker) as host, Subscriber(broker, f"{ROOT}/replay/me", f"{ROOT}/+/+/event") as live:
        host.quiet()
        host.put(*some_rows(10))
        host.quiet()

        def flood() -> None:
            live.publish(REQUEST, "{}", ResponseTopic=f"{ROOT}/replay/me", CorrelationData=b"x" * 256)

        with changing(flood, pause=0.01):
            for mtu in range(1300, 1320):
                host.put(make_row("eth0", index=2, nl_mtu=mtu))
                live.wait_for("/event", 11 + mtu - 1300)
        assert host.worker.status().failures == 0


def test_a_topic_rests_longer_each_time_and_all_do_where_several_did() -> None:
    now = [0.0]
    resting = RestingTopics(lambda: now[0])
    assert not resting.rests("a")
    assert [resting.add("a") for _ in range(8)] == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert resting.rests("a")
    assert not resting.rests("b")
    now[0] = 4000
    assert not resting.rests("a")
    for topic in "xyz":
        resting.add(topic)
    assert resting.rests("b")
    now[0] = 4070
    assert not resting.rests("b")
