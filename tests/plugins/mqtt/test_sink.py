"""The sink under its real worker, against every installed broker."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from publisher.cli.forget import Forget, forget_left
from publisher.cli.forget_url import forget_url
from publisher.events import Key
from publisher.journal.journal import Journal
from publisher.journal.positions import ResendSnapshot
from publisher.sources import Remove, Resync
from publisher.sources.assignments import LuidAssignment
from publisher.testing import FakeSinkContext, ScriptedSource, make_row
from publisher_mqtt.options import MqttOptions
from publisher_mqtt.sink import MqttSink
from tests.faults import changing
from tests.fixtures.brokers import Broker, Mosquitto, Nats, RabbitMq
from tests.fixtures.mqtt_host import MqttHost, published_states, settings, some_rows
from tests.fixtures.mqtt_subscriber import Subscriber, retained, states
from tests.fixtures.pipeline import ask, send_again
from tests.fixtures.poll import wait_for
from tests.fixtures.service import House

ROOT = "interfaces/testnode"


class Mosquitto3(Mosquitto):
    """mosquitto, used with MQTT 3.1.1."""

    protocols = ("3.1.1",)


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    """RabbitMQ, whose start takes more processor time than all tests with it."""
    directory = tmp_path_factory.mktemp("rabbit")
    directory.chmod(0o755)
    with RabbitMq(directory) as broker:
        yield broker


@pytest.fixture(
    scope="module",
    params=[Mosquitto, Mosquitto3, Nats, pytest.param(RabbitMq, marks=pytest.mark.once)],
    ids=lambda kind: kind.__name__,
)
def any_broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if request.param is RabbitMq:
        yield request.getfixturevalue("rabbit")
        return
    directory = tmp_path_factory.mktemp("broker")
    directory.chmod(0o755)
    with request.param(directory) as broker:
        yield broker


@pytest.fixture
def host(any_broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[MqttHost]:
    """A host with a node of its own for each test, since the broker is shared."""
    node = "".join(sign if sign.isalnum() else "-" for sign in request.node.name)
    with MqttHost(tmp_path, any_broker, node=node) as host:
        host.quiet()  # what changes before the first snapshot is in it, and no event
        yield host


def root(host: MqttHost) -> str:
    return f"interfaces/{host.node}"


def last(broker: Broker, topic: str) -> Any:
    """Returns the retained payload of one topic; this works also with brokers that have none for wildcards."""
    return retained(broker, topic).get(topic)


def test_states_are_retained_and_events_are_not(any_broker: Broker, host: MqttHost) -> None:
    row = make_row("a/+/#😀")
    with Subscriber(any_broker, f"{root(host)}/#") as live:
        host.put(row)
        live.wait_for("/event")
        host.put(make_row("a/+/#😀", nl_mtu=1400))
        events = live.wait_for("/event", 2)
    assert [event.json["seq"] for event in events] == [1, 2]
    assert events[1].json["changed"] == {"row.nl_mtu": {"before": 1500, "after": 1400}}
    assert not any("+" in heard.topic for heard in live.messages)
    state = json.loads(last(any_broker, f"{root(host)}/{row.luid}/inet/state"))
    assert (state["seq"], state["row"]["nl_mtu"], state["interface"]["alias"]) == (2, 1400, "a/+/#😀")
    assert last(any_broker, f"{root(host)}/{row.luid}/inet/event") is None


def test_the_newest_version_that_the_broker_speaks_is_found(any_broker: Broker, tmp_path: Path) -> None:
    version = "3.1.1" if "MQTT 5" in any_broker.lacks else "5"
    with MqttHost(tmp_path, any_broker, node="versionnode", protocol="auto") as host:
        host.put(make_row())
        host.quiet()
        connected = [line for line in host.logged() if "connected to" in line]
        assert connected == [f"INFO connected to the MQTT broker 127.0.0.1:{any_broker.port} (MQTT {version})"]
        assert not any("wrong port" in line for line in host.logged())
        options = MqttOptions.model_validate({"url": any_broker.url, "home_assistant": False})
        assert f"(MQTT {version})" in MqttSink(options, FakeSinkContext(node="versionnode")).check()


def test_a_deleted_interface_leaves_its_device_alone(any_broker: Broker, host: MqttHost) -> None:
    row = make_row()
    host.put(row)
    host.quiet()
    topic, config = (
        f"{root(host)}/{row.luid}/inet/state",
        f"homeassistant/device/publisher_{host.node}/{row.luid}/config",
    )
    assert last(any_broker, topic)
    host.remove(row.key)
    host.quiet()
    assert not last(any_broker, topic)
    # The device stays, since Home Assistant forgets the user's changes to one that goes.
    assert last(any_broker, config)
    assert json.loads(last(any_broker, f"{root(host)}/kept"))["days"] == {row.luid: 0}


def test_status_is_online_then_offline(any_broker: Broker, tmp_path: Path) -> None:
    with MqttHost(tmp_path, any_broker, node="statusnode") as host:
        topic = f"{root(host)}/status"
        wait_for(lambda: last(any_broker, topic) == b"online", what="online")
    assert last(any_broker, topic) == b"offline"


def test_a_check_tells_of_a_broker_that_retains_nothing_for_wildcards(any_broker: Broker, host: MqttHost) -> None:
    host.put(make_row())
    host.settle()
    topics = [f"{root(host)}/{name}" for name in ("info", "status", "check", "fence")]
    before = retained(any_broker, *topics)
    line = MqttSink(host.options, FakeSinkContext(node=host.node)).check()
    assert ("no retained messages to subscriptions with wildcards" in line) == (
        "retained messages for wildcards" in any_broker.lacks
    )
    assert retained(any_broker, *topics) == before


def test_the_first_start_warns_of_a_broker_that_retains_nothing_for_wildcards(
    any_broker: Broker, tmp_path: Path
) -> None:
    node = f"first{secrets.token_hex(4)}"
    with MqttHost(tmp_path, any_broker, node=node) as host:
        host.put(make_row())
        host.quiet()
        assert host.sink is not None
        late = host.sink.session._late
        wait_for(lambda: late._had_info and late._rounds == 0, what="the end of the read-back")
        warned = any("no retained messages to subscriptions with wildcards" in line for line in host.logged())
        assert warned == ("retained messages for wildcards" in any_broker.lacks)
        assert sum("wildcards" in line for line in host.logged()) <= 1


def test_the_will_is_offline(any_broker: Broker, tmp_path: Path) -> None:
    with MqttHost(tmp_path, any_broker, node="willnode") as host:
        host.put(make_row())
        host.quiet()
        assert host.sink is not None
        with Subscriber(any_broker, f"{root(host)}/status") as live:
            live.wait_for("/status")
            connection = host.connection
            assert connection is not None
            host.sink.context.call(connection.drop)  # on its thread, as everything else
            assert live.wait_for("/status", 2)[1].payload == b"offline"


def test_a_late_subscriber_gets_the_table(any_broker: Broker, host: MqttHost) -> None:
    any_broker.needs("retained messages for wildcards")
    host.put(*some_rows(100))
    host.quiet()
    assert published_states(any_broker, root(host)) == host.expected()
    assert len(host.expected()) == 100


def test_what_went_away_while_the_publisher_was_down_is_cleared(any_broker: Broker, tmp_path: Path) -> None:
    any_broker.needs("retained messages for wildcards")
    with MqttHost(tmp_path, any_broker, node="ghosts", name="before") as host:
        host.put(*some_rows(5))
        host.quiet()
    # Another journal: it does not have those five.
    with MqttHost(tmp_path, any_broker, node="ghosts", name="after", home_assistant={"keep_days": 0}) as host:
        host.put(make_row(index=9))
        host.quiet()
        wait_for(lambda: published_states(any_broker, root(host)) == host.expected(), what="only what is there")
        configs = retained(any_broker, f"homeassistant/device/publisher_{host.node}/+/config")
        place = f"homeassistant/device/publisher_{host.node}"
        assert set(configs) == {f"{place}/node/config", f"{place}/{make_row(index=9).luid}/config"}


def test_a_request_is_answered(any_broker: Broker, host: MqttHost) -> None:
    host.put(*some_rows(3))
    host.quiet()
    with Subscriber(any_broker, f"{root(host)}/replay/me") as asker:
        asker.publish(f"{root(host)}/replay/get", '{"client": "me"}')
        head, *rows = asker.wait_for("/me", 4)
    assert (head.json["answer"], head.json["count"]) == ("snapshot", 3)
    assert [row.json["position"] for row in rows] == [1, 2, 3]
    assert {row.json["event"]["luid"] for row in rows} == {row.luid for row in host.journal.rows() or []}


def test_a_tail_is_answered_and_a_wrong_request_too(any_broker: Broker, host: MqttHost) -> None:
    host.put(*some_rows(3))
    host.quiet()
    since = {"epoch": host.journal.epoch, "seq": 1}
    with Subscriber(any_broker, f"{root(host)}/replay/me") as asker:
        asker.publish(f"{root(host)}/replay/get", json.dumps({"client": "me", "since": since}))
        assert [heard.json.get("event", {}).get("seq") for heard in asker.wait_for("/me", 3)] == [None, 2, 3]
        asker.publish(f"{root(host)}/replay/get", '{"client": "me", "since": 1}')
        assert "since" in asker.wait_for("/me", 4)[3].json["error"]


def test_a_home_assistant_that_starts_gets_everything_again(any_broker: Broker, tmp_path: Path) -> None:
    node = "birthnode"
    with MqttHost(tmp_path, any_broker, node=node, home_assistant={"prefix": "ha"}) as host:
        host.put(make_row())
        host.quiet()
        with Subscriber(any_broker, f"ha/device/publisher_{node}/#", f"{root(host)}/#") as live:
            live.publish("ha/status", "online")
            wait_for(lambda: [heard for heard in live.of("/config") if not heard.retain], what="the device again")
            wait_for(lambda: [heard for heard in live.of("/state") if not heard.retain], what="the state again")


# From here on mosquitto only: the sink is tested, not the broker.


def test_mqtt_5_properties_arrive(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker, message_expiry=600) as host, Subscriber(broker, f"{ROOT}/+/+/event") as live:
        host.quiet()
        [event] = host.put(make_row())
        [heard] = live.wait_for("/event")
    assert heard.properties.ContentType == "application/json"
    assert ("luid", event.luid) in heard.properties.UserProperty
    assert 590 <= heard.properties.MessageExpiryInterval <= 600


def test_an_answer_keeps_the_correlation_and_goes_to_the_response_topic(broker: Mosquitto, tmp_path: Path) -> None:
    options: dict[str, Any] = {"replay_topics": ["answers/#"]}
    with MqttHost(tmp_path, broker, **options) as host, Subscriber(broker, "answers/#") as asker:
        host.put(make_row())
        host.quiet()
        asker.publish(f"{ROOT}/replay/get", "{}", ResponseTopic="answers/mine", CorrelationData=b"\x00\x01")
        heard = asker.wait_for("answers/mine", 2)
    assert [one.properties.CorrelationData for one in heard] == [b"\x00\x01"] * 2


def test_bad_requests_do_no_harm(broker: Mosquitto, tmp_path: Path) -> None:
    options: dict[str, Any] = {"replay_topics": ["answers/#"]}
    filters = "answers/#", f"{ROOT}/+/+/event"
    with MqttHost(tmp_path, broker, **options) as host, Subscriber(broker, *filters) as asker:
        host.quiet()
        request = f"{ROOT}/replay/get"
        for payload, topic in [
            (b"\xff{", "answers/1"),
            (b"{}", "answers/+"),
            (b"{}", f"{ROOT}/status"),
            (b'{"a":' * 2000, "answers/2"),
        ]:
            asker.publish(request, payload, ResponseTopic=topic.replace("+", "x/../y") if "+" in topic else topic)
        asker.publish(request, b"x" * 10_000_000)
        for _ in range(3000):
            asker.client.publish(request, b"{}", qos=0)
        host.put(make_row())
        asker.wait_for("/event")
        assert "UTF-8" in asker.wait_for("answers/1")[0].json["error"]
        wait_for(lambda: any("not answered" in line for line in host.logged()), what="the reason")
        wait_for(lambda: last(broker, f"{ROOT}/status") == b"online", what="online")
        assert host.worker.status().failures == 0


def test_a_flood_of_requests_does_not_keep_events_back(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker) as host, Subscriber(broker, f"{ROOT}/+/+/event") as live:
        host.quiet()
        host.put(*some_rows(200))
        host.quiet()
        with Subscriber(broker, f"{ROOT}/replay/me", qos=0) as asking:
            flood = partial(asking.client.publish, f"{ROOT}/replay/get", b'{"client":"me"}')
            with changing(flood, pause=0.001):
                for mtu in range(1000, 1050):
                    host.put(make_row("eth0", index=2, nl_mtu=mtu))
                    live.wait_for("/event", 200 + mtu - 999)


def test_no_answer_is_older_than_an_event_already_sent_there(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker) as host, Subscriber(broker, f"{ROOT}/+/+/event", f"{ROOT}/replay/me") as both:
        host.put(*some_rows(20))
        for mtu in range(1000, 1040):
            host.put(make_row("eth0", index=2, nl_mtu=mtu))
            both.publish(f"{ROOT}/replay/get", b'{"client":"me"}')
        both.wait_for("/replay/me", 21)
        host.quiet()
    seen = 0
    for heard in both.messages:
        if heard.topic.endswith("/event"):
            seen = max(seen, heard.json["seq"])
        elif heard.json["position"] == 0:
            assert heard.json["seq"] >= seen


@pytest.mark.parametrize("count", [1, 2000])
def test_retained_states_are_the_table_for_slow_subscribers_too(broker: Mosquitto, tmp_path: Path, count: int) -> None:
    with MqttHost(tmp_path, broker) as host:
        host.put(*some_rows(count))
        host.quiet()
        assert published_states(broker) == host.expected()
        heard: dict[str, bytes] = {}

        def take(_client: Any, _userdata: Any, message: Any) -> None:
            threading.Event().wait(0.0001)
            heard[message.topic] = message.payload

        with Subscriber(broker, "nothing", qos=0) as slow:
            slow.client.on_message = take
            slow.client.subscribe(f"{ROOT}/+/+/state", qos=1)
            wait_for(lambda: len(heard) == count, what=f"{count} states: {len(heard)}")


def test_many_interfaces_made_and_deleted_leave_nothing(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker, home_assistant={"include": ["*"]}) as host:
        pairs = [make_row(f"veth{n}", family, index=n + 10) for n in range(500) for family in ("inet", "inet6")]
        for at in range(0, len(pairs), 100):
            host.put(*pairs[at : at + 100])
        host.quiet()
        assert len(retained(broker, "homeassistant/#")) == 501
        for at in range(0, len(pairs), 100):
            host.remove(*(row.key for row in pairs[at : at + 100]))
        host.quiet()
        assert list(retained(broker, f"{ROOT}/+/+/#", "homeassistant/#")) == [
            "homeassistant/device/publisher_testnode/node/config"
        ]


def test_a_lost_store_is_filled_again_though_nothing_changes(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker) as host:
        host.put(*some_rows(10))
        host.quiet()
        broker.kill()
        broker.start()
        wait_for(lambda: last(broker, f"{ROOT}/status") == b"online", what="online again")
        assert published_states(broker) == host.expected()
        assert len(retained(broker, "homeassistant/#")) == 11


def test_a_broker_that_kept_its_store_gets_nothing_again(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, store=True) as broker, MqttHost(tmp_path, broker) as host:
        host.put(*some_rows(10))
        host.settle()
        broker.end()
        broker.start()
        with Subscriber(broker, f"{ROOT}/#") as live:
            live.wait_for_last("/status", b"online")
            assert all(heard.retain for heard in live.of("/state"))
        assert published_states(broker) == host.expected()


def test_the_broker_is_down_at_the_start(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    with MqttHost(tmp_path, broker) as host:
        host.put(make_row())
        wait_for(lambda: any("nothing listens" in line for line in host.logged()), what="a line that says so")
        with broker:
            host.quiet()
            assert published_states(broker) == host.expected()


def test_a_frozen_broker_is_noticed_and_the_batch_sent_again(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, MqttHost(tmp_path, broker, timeout=1) as host:
        host.put(make_row())
        host.quiet()
        broker.freeze()
        host.put(make_row(nl_mtu=1400))
        wait_for(lambda: any("acknowledged nothing" in line for line in host.logged()), what="a line that says so")
        broker.thaw()
        host.quiet()
        assert published_states(broker) == host.expected()


def test_two_publishers_with_one_client_id_are_logged_and_make_no_storm(broker: Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with MqttHost(tmp_path / "a", broker, client_id="one") as one:
        one.put(make_row())
        one.quiet()
        with MqttHost(tmp_path / "b", broker, client_id="one") as other:
            other.put(make_row())
            words = ("another publisher has", "does another client use the client id")
            wait_for(
                lambda: any(word in line for word in words for line in one.logged() + other.logged()),
                what="a line that says so",
            )
            wait_for(lambda: one.is_quiet() or other.is_quiet(), what="one of them publishes")
            # The one that lost tries again after pauses of up to a minute.
            wait_for(
                lambda: any("another publisher has" in line for line in one.logged() + other.logged()),
                timeout=180,
                what="the reason",
            )
            before = broker.connections()
            threading.Event().wait(2)
            assert broker.connections() - before <= 3


def test_two_publishers_with_the_same_names_have_client_ids_of_their_own(broker: Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with MqttHost(tmp_path / "a", broker) as one:
        one.put(make_row())
        one.quiet()
        connected = one.sink and one.sink.session.connection
        with MqttHost(tmp_path / "b", broker) as other:
            other.put(make_row())
            wait_for(lambda: "another publisher has the node name" in (other.worker.status().error or ""))
            assert one.sink is not None
            assert one.sink.session.connection is connected
            assert one.is_quiet()


def test_an_overrun_is_marked_where_subscribers_see_it(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker) as host:
        host.put(make_row())
        host.quiet()
        host.apply(Resync((make_row(),), "overrun"))
        send_again(host.journal, host.worker, ResendSnapshot("overrun", host.journal.seq))
        wait_for(
            lambda: (json.loads(last(broker, f"{ROOT}/info") or b"{}").get("resynced") or {}).get("cause") == "overrun",
            what="the mark in info",
        )


def test_replayed_events_do_not_turn_the_states_back(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker) as host:
        host.quiet()
        for mtu in range(1000, 1005):
            host.put(make_row(nl_mtu=mtu))
        host.quiet()
        before = states(broker)
        with Subscriber(broker, f"{ROOT}/#") as live:
            ask(host.journal, host.worker, kind="replay", since=1)
            live.wait_for("/event", 4)
            host.quiet()
            assert all(heard.retain for heard in live.of("/state"))
        assert states(broker) == before


def test_interfaces_of_other_nodes_are_left_alone(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker, node="one") as one, MqttHost(tmp_path, broker, node="two") as two:
        one.put(make_row())
        two.put(make_row(index=3))
        one.quiet()
        two.quiet()
        one.remove(Key(make_row().luid, "inet"))
        one.quiet()
        assert published_states(broker, "interfaces/two") == two.expected()


# A broker that sends no retained messages to wildcards: what the journal knows is emptied.

ETH0, WG0 = make_row("eth0"), make_row("wg0", index=5)
LEAVING = "leaving"
EACH_TOPIC = [
    *(f"interfaces/{LEAVING}/{name}" for name in ("info", "status", "kept")),
    *(f"interfaces/{LEAVING}/{row.luid}/inet/state" for row in (ETH0, WG0)),
    *(f"homeassistant/device/publisher_{LEAVING}/{row.luid}/config" for row in (ETH0, WG0)),
    f"homeassistant/device/publisher_{LEAVING}/node/config",
]


@pytest.mark.once
@pytest.mark.parametrize("how", ["reload", "restart", "command", "url"])
def test_what_the_journal_knows_is_emptied_where_wildcards_show_nothing(
    house: House, rabbit: RabbitMq, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """wg0 is removed: no row has its LUID any more, and its device is kept for a while."""
    before = settings(house, rabbit, LEAVING)
    after = before.model_copy(update={"sinks": {}})
    with contextlib.closing(Journal.open(house.path, node=LEAVING)) as journal:
        journal.luids.save_luids([LuidAssignment(WG0.luid, "wireguard", b"wg0", b"wg0")])
    house.source = ScriptedSource([ETH0, WG0])
    with house.running(before) as service:
        wait_for(lambda: len(retained(rabbit, *EACH_TOPIC)) == 7, what="everything")
        house.source.send(Remove(*WG0.key))
        wait_for(lambda: retained(rabbit, EACH_TOPIC[2]), what="which device is kept")
        if how == "reload":
            service.reload(after).result(30)
            wait_for(lambda: not retained(rabbit, *EACH_TOPIC), what="nothing there")
    if how == "restart":
        house.source = ScriptedSource([ETH0])
        with house.running(after):
            wait_for(lambda: not retained(rabbit, *EACH_TOPIC), what="nothing there")
    elif how == "command":
        assert forget_left(before, Forget("home"), drop=False)
    elif how == "url":
        assert forget_url(before, Forget(rabbit.url, LEAVING))
    assert retained(rabbit, *EACH_TOPIC) == {}
    assert "not emptied" not in capsys.readouterr().out
