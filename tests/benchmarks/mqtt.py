"""MQTT: sustained events through journal and sink beside paho alone, and how long a change takes to a subscriber."""

from __future__ import annotations

import logging
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from publisher.delivery.worker import Worker
from publisher.events import Event
from publisher.journal.journal import Journal
from publisher.testing import make_row
from publisher.testing.events import make_stamp
from publisher_mqtt.options import MqttOptions
from publisher_mqtt.sink import MqttSink
from tests.benchmarks.figures import Figure
from tests.benchmarks.latency import set_mtu
from tests.benchmarks.program import namespace, publisher
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for

ROUNDS = 5
EVENTS = 10_000
INTERFACES = 50
# As the watcher's batches are when much happens.
BATCH = 250
WINDOW = 200
CHANGES = 300


def measure() -> list[Figure]:
    return [*sustained(), *latency()]


def sustained() -> list[Figure]:
    """The same events, as QoS 1 messages by paho at its quickest, and through journal, worker and sink."""
    events = some_events()
    alone, ours = [], []
    with TemporaryDirectory() as folder, Mosquitto(Path(folder), "max_inflight_messages 1000") as broker:
        for number in range(ROUNDS):
            alone.append(EVENTS / paho_alone(broker, events))
            ours.append(EVENTS / through_the_sink(broker, Path(folder) / f"{number}.journal", events))
    rate, beside = statistics.median(ours), statistics.median(alone)
    ratio = rate / beside
    what = "sustained events through journal and MQTT QoS 1"
    return [
        Figure(what, rate, "events/s", f"paho alone: {beside:.0f}/s", ratio, "at least 0.5", ratio >= 0.5),
    ]


def some_events() -> list[Event]:
    stamp = make_stamp()
    rows = [make_row(f"eth{n}", index=n + 2, addresses=["192.0.2.1/24"]) for n in range(INTERFACES)]
    events = [stamp.event("parameter_notification", "notification", rows[n % INTERFACES]) for n in range(EVENTS)]
    for event in events:
        assert event.json_bytes
    return events


def paho_alone(broker: Mosquitto, events: list[Event]) -> float:
    """Seconds until all are acknowledged; the window of paho's own is slower, so it is ours here too."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(0)
    acknowledged = threading.Semaphore(WINDOW)
    client.on_publish = lambda *_: acknowledged.release()
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    assert connected.wait(10)
    begun = time.perf_counter()
    for event in events:
        acknowledged.acquire()
        client.publish(f"alone/{event.luid}/{event.family}/event", event.json_bytes, qos=1)
    for _ in range(WINDOW):
        acknowledged.acquire()
    seconds = time.perf_counter() - begun
    client.disconnect()
    client.loop_stop()
    return seconds


def through_the_sink(broker: Mosquitto, path: Path, events: list[Event]) -> float:
    """Seconds from the first append to the last confirmed event."""
    journal = Journal.open(path, node="testnode")
    journal.replace_rows([])
    options = MqttOptions(url=broker.url)
    worker = Worker(
        "mqtt",
        lambda context: MqttSink(options, context),
        destination=options.destination,
        fingerprint="benchmark",
        journal=journal,
        log=logging.getLogger("publisher"),
    )
    worker.start()
    wait_for(lambda: worker.status().state == "following" and worker.status().seq is not None, what="the snapshot")
    mine = [event.model_copy(update={"epoch": journal.epoch}) for event in events]
    for event in mine:
        event.__dict__.pop("json_bytes", None)
        assert event.json_bytes
    begun = time.perf_counter()
    for at in range(0, len(mine), BATCH):
        journal.append(mine[at : at + BATCH])
        worker.wake()
    wait_for(lambda: worker.status().seq == mine[-1].seq, timeout=60, what="all events")
    seconds = time.perf_counter() - begun
    worker.stop(10)
    journal.close()
    return seconds


def latency() -> list[Figure]:
    """A change of an mtu in the kernel to a subscriber with QoS 1; the journal on, the broker with TCP_NODELAY."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(percentiles(by_publisher))
        theirs.append(percentiles(by_ip_monitor))
    budgets = (("p50", 1.5), ("p99", 8.0))
    return [
        latency_figure(name, limit, [run[index] for run in ours], [run[index] for run in theirs])
        for index, (name, limit) in enumerate(budgets)
    ]


def latency_figure(name: str, limit: float, ours: list[float], theirs: list[float]) -> Figure:
    own, other = statistics.median(ours) * 1e3, statistics.median(theirs) * 1e3
    beside = f"ip monitor | mosquitto_pub -l: {other:.2f} ms"
    what = f"kernel change to MQTT subscriber, {name}"
    return Figure(what, own, "ms", beside, own / other, f"under {limit} ms", own < limit)


Publishing = Callable[[NetNs, Mosquitto], "Iterator[tuple[str, bytes]]"]


def percentiles(publishing: Publishing) -> tuple[float, float]:
    """Seconds from before the system call to the subscriber's callback, p50 and p99."""
    with TemporaryDirectory() as folder, namespace() as netns:
        netns.veth("v0", "v1")
        broker = Mosquitto(Path(folder))
        netns.call(broker.start)
        try:
            with contextmanager(publishing)(netns, broker) as (topic, pattern):
                times = sorted(changes(netns, broker, topic, pattern))
        finally:
            broker.kill()
    return times[len(times) // 2], times[len(times) * 99 // 100]


def by_publisher(netns: NetNs, broker: Mosquitto) -> Iterator[tuple[str, bytes]]:
    with publisher(netns, f'[sinks.mqtt]\ntype = "mqtt"\nurl = "{broker.url}"\n'):
        yield "interfaces/+/+/inet/event", b'"row.nl_mtu":{"before":%(before)d,"after":%(after)d}'


def by_ip_monitor(netns: NetNs, broker: Mosquitto) -> Iterator[tuple[str, bytes]]:
    to_broker = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-t", "monitor", "-q", "1", "-l"]
    monitor = netns.popen(["ip", "monitor", "link"], stdout=subprocess.PIPE)
    pipe = netns.popen(to_broker, stdin=monitor.stdout)
    try:
        yield "monitor", b"mtu %(after)d "
    finally:
        monitor.terminate()
        monitor.wait(10)
        pipe.wait(10)
        if monitor.stdout:
            monitor.stdout.close()


def changes(netns: NetNs, broker: Mosquitto, topic: str, pattern: bytes) -> Iterator[float]:
    """One change after the other, each when the one before has arrived."""
    arrived: dict[int, float] = {}
    news = threading.Event()
    wanted = [(0, b"")]

    def take(_client: object, _userdata: object, message: MQTTMessage) -> None:
        now = time.perf_counter()
        number, text = wanted[0]
        if text in message.payload:
            arrived[number] = now
            news.set()

    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    granted = threading.Event()
    client.on_message = take
    client.on_subscribe = lambda *_: granted.set()
    client.on_connect = lambda *_: (client.subscribe(topic, 1), None)[1]
    netns.call(client.connect, "127.0.0.1", broker.port)
    client.loop_start()
    assert granted.wait(10)
    try:
        warm_up(netns, wanted, news, pattern)
        for number in range(1, CHANGES + 1):
            before, after = 1300 + (number - 1) % 100, 1300 + number % 100
            news.clear()
            wanted[0] = (number, text_of(pattern, before, after))
            start = netns.call(set_mtu, "v0", after)
            assert news.wait(20), f"no message of the change to {after}"
            yield arrived[number] - start
    finally:
        client.disconnect()
        client.loop_stop()


def warm_up(netns: NetNs, wanted: list[tuple[int, bytes]], news: threading.Event, pattern: bytes) -> None:
    """Change until a change arrives: whatever publishes has started then. The mtu is 1300 afterwards."""
    for attempt in range(200):
        before, after = (1299, 1300) if attempt % 2 else (1300, 1299)
        wanted[0] = (0, text_of(pattern, before, after))
        netns.call(set_mtu, "v0", after)
        if news.wait(0.2) and after == 1300:
            return
        news.clear()
    raise AssertionError("no change arrives")


def text_of(pattern: bytes, before: int, after: int) -> bytes:
    return pattern % {b"before": before, b"after": after}
