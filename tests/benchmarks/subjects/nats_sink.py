"""Events a second and latency of the `nats` sink, beside the `mqtt` sink and nats-py alone, on one server and on three.

Each is the way through journal, worker and sink; nats-py alone has the same payloads in memory. The consumer is one
plain socket for every contender on NATS, and another one for MQTT.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol, Self
from urllib.parse import urlsplit

from publisher import Event, Sink, SinkContext
from publisher_mqtt.options import MqttOptions
from publisher_mqtt.sink import MqttSink
from publisher_nats.options import NatsOptions
from publisher_nats.sink import NatsSink
from tests.benchmarks.figures import Figure, median, percentile
from tests.benchmarks.nats.alone import STREAM, NatsAlone
from tests.benchmarks.nats.deliveries import Deliveries
from tests.benchmarks.subscriber import Subscriber
from tests.benchmarks.workers import delivered, following, some_events
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.nats import NatsCluster, NatsServer
from tests.fixtures.waking import wake

_WARM = 20
_SINGLY, _BATCHES, _MQTT = "nats-py alone, one by one", "nats-py alone, atomic batches", "mqtt sink"


class Consumer(Protocol):
    """A plain socket that receives events."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def wait_for(self, text: bytes) -> float:
        """Returns the moment, by time.perf_counter, at which a message with this text came."""
        ...


class Destination(NamedTuple):
    """A sink's destination: its name, how its sink is made, and a consumer of what comes from now on."""

    name: str
    make: Callable[[SinkContext], Sink]
    consumer: Callable[[], Consumer]


def measure(rounds: int = 5, events: int = 10_000, changes: int = 200) -> Iterator[Figure]:
    """Measures all in turns; `events` are for the rates, `changes` for the latencies."""
    with TemporaryDirectory() as name, Mosquitto(Path(name), "max_inflight_messages 1000") as broker:
        folder = Path(name)
        with NatsServer(folder / "alone") as server:
            yield from figures("one nats-server", in_turns([server.url], broker, folder / "1", rounds, events, changes))
        with NatsCluster(folder / "three") as cluster:
            yield from figures(
                "three nats-servers", in_turns(cluster.urls, broker, folder / "3", rounds, events, changes)
            )


def in_turns(
    servers: Sequence[str], broker: Mosquitto, folder: Path, rounds: int, events: int, changes: int
) -> dict[tuple[str, str], float]:
    """Returns the median of each figure of each contender."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    folder.mkdir()
    payloads = [event.json_bytes for event in some_events("0" * 16, events)]
    destinations = {"ours": to_nats(servers), _MQTT: to_mqtt(broker)}
    with NatsAlone(servers, replicas=len(servers)) as peer:
        for number in range(rounds):
            for name, to in destinations.items():
                seconds, _ = delivered(to.make, to.name, folder / f"{number}-{name}", events)
                found[name, "rate"].append(events / seconds)
            found[_SINGLY, "rate"].append(events / peer.seconds_singly(payloads))
            found[_BATCHES, "rate"].append(events / peer.seconds_in_batches(payloads))
            times = {name: latencies(to, folder / f"{number}-{name}-hot", changes) for name, to in destinations.items()}
            times |= alone_latencies(peer, servers, changes)
            for name, seconds_each in times.items():
                for percent in (50, 99):
                    found[name, f"p{percent}"].append(percentile(seconds_each[_WARM:], percent) * 1e3)
    return {key: median(values) for key, values in found.items()}


def figures(where: str, found: dict[tuple[str, str], float]) -> Iterator[Figure]:
    """Yields the figures of one size of a cluster."""
    for peer, least in {_SINGLY: 0.35, _BATCHES: 0.3, _MQTT: 0.25}.items():
        what = f"nats sink, {where}: through the journal"
        yield Figure(what, found["ours", "rate"], "events/s", least, peer, found[peer, "rate"], at_least=True)
    for percent, most in (("p50", 5), ("p99", 6)):
        for peer in (_SINGLY, _BATCHES, _MQTT):
            what = f"nats sink, {where}: event to a consumer, {percent}"
            yield Figure(what, found["ours", percent], "ms", most, peer, found[peer, percent])


def to_nats(servers: Sequence[str]) -> Destination:
    """Returns the bucket on these servers."""
    options = NatsOptions.model_validate({"servers": list(servers)})
    port = urlsplit(servers[0]).port or 0
    return Destination(
        options.destination, lambda context: NatsSink(options, context), lambda: Deliveries(port, "KV_interfaces")
    )


def to_mqtt(broker: Mosquitto) -> Destination:
    """Returns the topics on a broker."""
    options = MqttOptions(url=broker.url)
    return Destination(
        options.destination,
        lambda context: MqttSink(options, context),
        lambda: Subscriber(broker.port, "interfaces/+/+/+/event"),
    )


def latencies(to: Destination, path: Path, changes: int) -> list[float]:
    """Returns the seconds from each append to the journal to the event at a consumer, one after the other."""
    with following(to.make, to.name, path) as (journal, worker), to.consumer() as consumer:

        def publish(event: Event) -> None:
            journal.append([event])
            wake(worker)

        return [one(event, publish, consumer) for event in some_events(journal.epoch, changes + _WARM)]


def alone_latencies(peer: NatsAlone, servers: Sequence[str], changes: int) -> dict[str, list[float]]:
    """Returns the seconds from each call of nats-py to the event at a consumer, for both kinds of messages."""
    publish = {
        _SINGLY: lambda event: peer.publish(event.json_bytes),
        _BATCHES: lambda event: peer.publish_batch(event.json_bytes),
    }
    with Deliveries(urlsplit(servers[0]).port or 0, STREAM) as consumer:
        return {
            name: [one(event, way, consumer) for event in some_events(f"{number:016}", changes + _WARM)]
            for number, (name, way) in enumerate(publish.items())
        }


def one(event: Event, publish: Callable[[Event], object], consumer: Consumer) -> float:
    """Publishes an event; returns the seconds until it is received."""
    begun = time.perf_counter()
    published = publish(event)
    seconds = consumer.wait_for(event.id.encode()) - begun
    if isinstance(published, Future):
        published.result(20)  # its acknowledgement may be still under way
    return seconds
