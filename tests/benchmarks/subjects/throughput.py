"""QoS 1 through the journal: events that wait in it, by worker and sink to the broker, beside paho alone."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from publisher.events import Event
from publisher_mqtt.options import MqttOptions
from publisher_mqtt.sink import MqttSink
from tests.benchmarks.figures import Figure, median
from tests.benchmarks.peers import paho_alone
from tests.benchmarks.subscriber import Subscriber
from tests.benchmarks.workers import delivered
from tests.fixtures.brokers import Mosquitto


def measure(rounds: int = 5, events: int = 10_000) -> list[Figure]:
    """Measures both in turns, after a first turn that counts the messages that the events lead to."""
    rates, alone = [], []
    with TemporaryDirectory() as folder, Mosquitto(Path(folder), "max_inflight_messages 1000") as broker:
        with Subscriber(broker.port, "interfaces/+/+/+/+") as subscriber:
            through_the_sink(broker, Path(folder) / "counted", events)
            share = len(subscriber.until_quiet(1.0)) / events
        for number in range(rounds):
            seconds, made = through_the_sink(broker, Path(folder) / f"{number}", events)
            rates.append(events / seconds)
            alone.append(events / paho_alone.seconds(broker.port, [event.json_bytes for event in made]))
    paho, what = median(alone), "QoS 1 through the journal"
    return [
        Figure(f"{what}, in messages", median(rates) * share, "/s", 0.95, "paho alone", paho, 2, at_least=True),
        Figure(f"{what}, in events", median(rates), "/s", 0.8, "paho alone", paho, at_least=True),
    ]


def through_the_sink(broker: Mosquitto, path: Path, count: int) -> tuple[float, list[Event]]:
    """Returns the seconds from the first append to the last confirmed event, and the events."""
    options = MqttOptions(url=broker.url)
    return delivered(lambda context: MqttSink(options, context), options.destination, path, count)
