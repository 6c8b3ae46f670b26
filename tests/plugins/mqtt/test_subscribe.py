"""`publisher.subscribe` over real brokers: snapshot, changes, reconnects, slow readers, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import signal
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import publisher
from publisher import Backoff, ConfigurationError, Cursor, PublisherError
from publisher.client import outbox, subscription
from publisher.testing import make_row
from publisher_mqtt.client.errors import BrokerError
from tests.fixtures.brokers import Mosquitto, write_passwords
from tests.fixtures.mqtt_host import MqttHost, stopped
from tests.fixtures.mqtt_proxy import Proxy
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.starved import judged_while_awake
from tests.fixtures.subscribed import SubscribedReader

if sys.platform == "win32":
    pytest.skip("the brokers exist on Linux only", allow_module_level=True)

THREAD = "publisher subscription"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test restarts brokers more often than people do."""
    monkeypatch.setattr(subscription, "_BACKOFF", Backoff(0.02, 0.2))


def mtu(value: int, name: str = "eth0", index: int = 2) -> Any:
    return make_row(name, index=index, nl_mtu=value)


@pytest.mark.parametrize("only", [{}, {"protocol": "3.1.1"}], ids=["5", "3.1.1"])
def test_the_rows_come_first_and_then_every_change(
    broker: Mosquitto, tmp_path: Path, only: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if only:
        monkeypatch.setattr("publisher_mqtt.options.MqttOptions.protocols", property(lambda _: ("3.1.1",)))
    with MqttHost(tmp_path, broker, **only) as host:
        host.put(make_row("eth0"), mtu(1500, "eth1", 3))
        host.quiet()
        with SubscribedReader(broker.url) as reader:
            reader.in_sync(host)
            assert [type(event).__name__ for event in reader.events] == ["SnapshotStarted"] + 2 * [
                "InitialNotification"
            ]
            for value in range(1000, 1010):
                host.put(mtu(value))
            host.remove(mtu(1500, "eth1", 3).key)
            reader.in_sync(host)
            assert reader.changes == list(range(3, 14))
            assert reader.has_rows_of(host)
            assert reader.events[-2].text() == "eth0 IPv4 mtu 1009, was 1008"


def test_a_node_that_comes_later_and_one_that_is_offline(broker: Mosquitto, tmp_path: Path) -> None:
    with SubscribedReader(broker.url) as reader:
        with MqttHost(tmp_path, broker) as host:
            host.put(make_row("eth0"))
            reader.in_sync(host)
        reader.until(lambda: not reader.subscription.nodes["testnode"].online)
        assert len(reader.rows) == 1
    with SubscribedReader(broker.url) as reader:
        reader.until(lambda: len(reader.rows) == 1)
        reader.until(lambda: reader.subscription.nodes["testnode"].in_sync)
        assert not reader.subscription.nodes["testnode"].online
        assert reader.snapshots == 1


def test_a_broker_that_is_lost_and_forgets_costs_no_change_and_makes_none_twice(
    broker: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with MqttHost(tmp_path, broker) as host:
        host.put(make_row("eth0"))
        with SubscribedReader(broker.url) as reader:
            reader.in_sync(host)
            for value in range(1000, 1005):
                host.put(mtu(value))
                with stopped(broker):
                    host.put(mtu(value + 100), mtu(value + 200))
            reader.in_sync(host)
            assert reader.changes == list(range(reader.events[0].seq + 1, host.journal.seq + 1))
            assert reader.snapshots == 1
            assert reader.has_rows_of(host)
    # The beginning of the line is all that a terminal of 80 columns has room for.
    assert f"the connection to 127.0.0.1:{broker.port} is lost: the broker or the network ended it" in caplog.text
    assert "trying again" in caplog.text
    assert "subscription to" not in caplog.text


def test_a_publisher_with_a_new_journal_is_a_new_snapshot(broker: Mosquitto, tmp_path: Path) -> None:
    with SubscribedReader(broker.url) as reader:
        with MqttHost(tmp_path, broker) as host:
            host.put(make_row("eth0"), mtu(1500, "eth1", 3))
            reader.in_sync(host)
        for path in tmp_path.glob("*journal*"):
            path.unlink()
        time.sleep(0.01)  # epochs are milliseconds
        with MqttHost(tmp_path, broker) as host:
            host.put(make_row("eth7", index=9))
            reader.until(lambda: reader.is_as(host) and reader.has_rows_of(host))
            host.put(mtu(1234, "eth7", 9))
            reader.in_sync(host)
            assert reader.has_rows_of(host)
            assert reader.events[-1].text() == "eth7 IPv4 mtu 1234, was 1500"


def test_what_a_reader_has_no_room_for_is_asked_for(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 20)
    with MqttHost(tmp_path, broker) as host:
        host.put(make_row("eth0"))
        with SubscribedReader(broker.url) as reader:
            reader.in_sync(host)
            for value in range(1000, 1300):
                host.put(mtu(value))
            host.quiet()
            assert len(reader.subscription._driver.outbox._waiting) <= 22
            reader.in_sync(host)
            assert reader.changes == list(range(reader.events[0].seq + 1, 302))


def test_since_an_event_come_the_changes_after_it(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker) as host:
        host.put(make_row("eth0"))
        host.put(mtu(1000))
        host.put(mtu(1001))
        host.quiet()
        with SubscribedReader(
            broker.url, since={"testnode": Cursor(host.journal.epoch, 1)}, nodes="testnode"
        ) as reader:
            reader.in_sync(host)
            assert [event.seq for event in reader.events] == [2, 3]
        with SubscribedReader(broker.url, since={"testnode": Cursor(host.journal.epoch, 3)}) as reader:
            reader.in_sync(host)
            assert reader.events == []


def test_the_history_of_an_interface_comes_from_its_node(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker) as host, SubscribedReader(broker.url) as reader:
        host.put(make_row("eth0"), mtu(1500, "eth1", 3))
        for value in range(1000, 1005):
            host.put(mtu(value), mtu(value, "eth1", 3))
        reader.in_sync(host)
        found = reader.subscription.history("testnode", mtu(0).luid, last=3)
        assert found is not None
        assert [event.text() for event in found] == [
            f"eth0 IPv4 mtu {value}, was {value - 1}" for value in (1002, 1003, 1004)
        ]
        assert [event.seq for event in reader.subscription.history("testnode", last=2) or ()] == [11, 12]
        assert reader.subscription.history("nobody", timeout=0.2) is None
        began = time.monotonic()
        assert reader.subscription.history("testnode", last=1 << 20, timeout=120) is None, "more than it answers"
        assert time.monotonic() - began < 60
        host.put(mtu(1234))
        reader.in_sync(host)
        assert reader.snapshots == 1, "the answers were not taken for missed events"
    assert reader.subscription.history("testnode", timeout=0.1) is None, "it is closed"


@pytest.mark.parametrize(
    "option", [{"settle": timedelta(seconds=0.1)}, {"only": {"families": ["inet"]}}], ids=["settle", "only"]
)
def test_a_filtered_sinks_holes_are_no_losses(broker: Mosquitto, tmp_path: Path, option: dict[str, Any]) -> None:
    with MqttHost(tmp_path, broker, **option) as host:
        host.put(make_row("eth0"))
        host.quiet()
        with SubscribedReader(broker.url) as reader:
            reader.until(lambda: bool(reader.rows))
            host.apply(publisher.Upsert(make_row("eth0", "inet6")), publisher.Upsert(mtu(1400)))
            host.apply(publisher.Upsert(make_row("eth0", "inet6", nl_mtu=1300)), publisher.Upsert(mtu(1300)))
            reader.until(lambda: {event.row.nl_mtu for event in reader.rows.values()} == {1300})
            assert reader.snapshots == 1
            assert reader.subscription.nodes["testnode"].skips


@pytest.mark.parametrize("how", ["cloudevents", "cloudevents_binary"])
def test_events_in_cloudevents(broker: Mosquitto, tmp_path: Path, how: str) -> None:
    with MqttHost(tmp_path, broker, format=how) as host:
        host.put(make_row("eth0"))
        host.quiet()
        with SubscribedReader(broker.url) as reader:
            reader.in_sync(host)
            host.put(mtu(1000))
            reader.in_sync(host)
            assert reader.changes == [2]


def test_an_access_list_that_forbids_questions_and_hides_info_holds_nothing_up(tmp_path: Path) -> None:
    rules = tmp_path / "acl"
    rules.write_text(
        "user nas\ntopic readwrite #\nuser reader\n"
        "pattern read interfaces/+/status\npattern read interfaces/+/+/+/state\npattern read interfaces/+/+/+/event\n"
    )
    rules.chmod(0o600)
    passwords = write_passwords(tmp_path / "passwords")
    _add_password(passwords, "reader")
    secret = tmp_path / "secret"
    secret.write_text("hush")
    secret.chmod(0o600)
    lines = ("allow_anonymous false", f"password_file {passwords}", f"acl_file {rules}")
    with (
        Mosquitto(tmp_path, *lines) as broker,
        MqttHost(tmp_path, broker, username="nas", password_file=secret) as host,
    ):
        host.put(make_row("eth0"))
        host.quiet()
        with SubscribedReader(f"mqtt://reader@127.0.0.1:{broker.port}", password_file=secret) as reader:
            reader.until(lambda: bool(reader.rows))
            host.put(mtu(1000))
            reader.until(lambda: [event.row.nl_mtu for event in reader.rows.values()] == [1000])
            host.put(mtu(1001))
            reader.until(lambda: 3 in reader.changes)
            assert not reader.subscription.nodes["testnode"].in_sync


def _add_password(path: Path, user: str) -> None:
    import subprocess

    subprocess.run(["mosquitto_passwd", "-b", str(path), user, "hush"], check=True, capture_output=True)


@pytest.mark.parametrize("seed", [1, 2])
def test_under_random_faults_no_change_is_lost_and_none_comes_twice(tmp_path: Path, seed: int) -> None:
    """Kills of the broker, cut links, a publisher that stops for a while, and a reader that reads now and then."""
    chance = random.Random(seed)
    with (
        Mosquitto(tmp_path, store=chance.random() < 0.5) as broker,
        Proxy(broker.port) as proxy,
        SubscribedReader(proxy.url) as reader,
    ):
        for _ in range(3):
            with MqttHost(tmp_path, broker) as host:
                for _ in range(6):
                    _change_at_random(host, chance)
                    match chance.choice(["broker", "link", "read", "none"]):
                        case "broker":
                            broker.end(chance.choice([signal.SIGKILL, signal.SIGTERM]))
                            _change_at_random(host, chance)
                            broker.start()
                        case "link":
                            proxy.cut()
                        case "read":
                            reader.take(0.1)
                host.quiet()
                reader.in_sync(host)
                assert reader.has_rows_of(host)
        reader.assert_unbroken()
        assert reader.snapshots <= 3, "the rows come again only where nobody can answer"


def _change_at_random(host: MqttHost, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 20)):
        row = mtu(chance.randrange(1000, 9000), f"eth{chance.randrange(6)}", 2)
        row = make_row(row.interface.alias, index=2 + int(row.interface.alias[3:]), nl_mtu=row.row.nl_mtu)
        if chance.random() < 0.15:
            host.remove(row.key)
        else:
            host.put(row)


# Errors and the end.


def test_a_broker_that_is_not_there_is_an_error_at_once() -> None:
    with pytest.raises(BrokerError, match="nothing listens"):
        publisher.subscribe(f"mqtt://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("url", ["gopher://host", "mqtt://user:secret@host", "mqtt://", "mqtt"])
def test_a_url_that_is_none_is_a_mistake_in_the_program(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        publisher.subscribe(url)
    assert "secret" not in str(raised.value)


def test_a_password_file_that_is_not_there_is_a_mistake_in_the_program(broker: Mosquitto, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="none"):
        publisher.subscribe(broker.url.replace("//", "//me@"), password_file=tmp_path / "none")
    with pytest.raises(ConfigurationError, match="no node"):
        publisher.subscribe(broker.url, nodes=["nas/+"])
    with pytest.raises(ConfigurationError, match="token_file"):
        publisher.subscribe(broker.url, token_file=tmp_path / "none")


def test_a_close_from_another_thread_ends_a_wait_at_once(broker: Mosquitto) -> None:
    def is_ended_at_once() -> None:
        with publisher.subscribe(broker.url) as subscribed:
            ended: list[float] = []

            def iterate() -> None:
                for _event in subscribed:
                    pass
                ended.append(time.monotonic())

            thread = threading.Thread(target=iterate)
            thread.start()
            began = time.monotonic()
            subscribed.close()
            thread.join(60)
            assert ended[0] - began < 0.5
            assert subscribed.closed
            assert subscribed.read(10) == []
        assert not [thread for thread in threading.enumerate() if thread.name == THREAD]

    judged_while_awake(is_ended_at_once, within=0.2)


def test_a_stop_event_ends_the_iteration(broker: Mosquitto) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    assert list(publisher.subscribe(broker.url, stop=stop)) == []


def test_a_subscription_that_nobody_has_any_more_ends(broker: Mosquitto) -> None:
    publisher.subscribe(broker.url)
    wait_for(
        lambda: not [thread for thread in threading.enumerate() if thread.name == THREAD], what="the end of the thread"
    )


def test_what_nobody_expects_ends_the_iteration_with_that_error(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    with publisher.subscribe(broker.url) as subscribed:
        monkeypatch.setattr(type(subscribed._driver), "_follow", None)
        monkeypatch.setattr(type(subscribed._driver.nodes), "is_busy", property(lambda _: 1 / 0))
        with pytest.raises(ZeroDivisionError):
            next(subscribed)


# asyncio.


def test_an_async_program_gets_the_same(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker) as host:
        host.put(make_row("eth0"))
        host.quiet()

        async def first(count: int) -> list[str]:
            events: list[str] = []
            async for event in publisher.asubscribe(broker.url):
                events.append(event.text())
                if len(events) == 2:
                    host.put(mtu(1000))
                if len(events) == count:
                    break
            return events

        assert asyncio.run(first(3)) == [
            "testnode has 1 IP interface",
            "eth0 up, IPv4 mtu 1500",
            "eth0 IPv4 mtu 1000, was 1500",
        ]


def test_a_cancelled_wait_ends_at_once_and_loses_nothing(broker: Mosquitto, tmp_path: Path) -> None:
    mtus = itertools.count(1501)

    async def program(host: MqttHost) -> None:
        async with publisher.asubscribe(broker.url) as subscribed:
            for _ in ("the beginning of the rows", "the row"):
                await asyncio.wait_for(anext(subscribed), 60)
            task = asyncio.ensure_future(anext(subscribed))
            await asyncio.sleep(0.1)
            began = time.monotonic()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            took, value = time.monotonic() - began, next(mtus)
            host.put(mtu(value))
            event = await asyncio.wait_for(anext(subscribed), 60)
            assert event.text() == f"eth0 IPv4 mtu {value}, was {value - 1}"
            assert subscribed.nodes["testnode"].seq == host.journal.seq
            past = await subscribed.history("testnode", last=1)
            assert [event.seq for event in past or ()] == [host.journal.seq]
            subscribed.close()
            assert await subscribed.read(10) == []
            assert took < 0.1

    with MqttHost(tmp_path, broker) as host:
        host.put(make_row("eth0"))
        host.quiet()
        judged_while_awake(lambda: asyncio.run(program(host)), within=0.05)


def test_an_async_program_gets_the_error_of_the_first_connection() -> None:
    async def program() -> None:
        async for _event in publisher.asubscribe(f"mqtt://127.0.0.1:{free_port()}"):
            pass

    with pytest.raises(PublisherError, match="nothing listens"):
        asyncio.run(program())
