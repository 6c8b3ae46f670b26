"""QoS 1 through the journal: events that wait in it, by worker and sink to the broker, beside paho alone."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from publisher.events import Event
from publisher.journal.journal import Journal
from publisher.testing import make_row
from publisher.testing.events import make_stamp
from publisher_mqtt.options import MqttOptions
from publisher_mqtt.sink import MqttSink
from tests.benchmarks.figures import Figure, median
from tests.benchmarks.peers import paho_alone
from tests.benchmarks.subscriber import Subscriber
from tests.benchmarks.workers import started
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.poll import wait_for
from tests.fixtures.waking import wake

INTERFACES = 50
# As the core's appends are when much happens.
APPEND = 250


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


def some_events(epoch: str, count: int) -> list[Event]:
    """Returns events of 50 interfaces in turn, with their JSON made."""
    stamp = make_stamp()
    stamp.epoch = epoch
    rows = [make_row(f"eth{n}", index=n + 2, addresses=["192.0.2.1/24"]) for n in range(INTERFACES)]
    events: list[Event] = [
        stamp.event("parameter_notification", "notification", rows[n % INTERFACES]) for n in range(count)
    ]
    assert all(event.json_bytes for event in events)
    return events


def through_the_sink(broker: Mosquitto, path: Path, count: int) -> tuple[float, list[Event]]:
    """Returns the seconds from the first append to the last confirmed event, and the events."""
    with closing(Journal.open(path, node="bench")) as journal:
        journal.replace_rows([])
        events = some_events(journal.epoch, count)
        options = MqttOptions(url=broker.url)
        worker = started(lambda context: MqttSink(options, context), options.destination, journal)
        wait_for(lambda: worker.status().state == "following" and worker.status().seq is not None, what="the snapshot")
        begun = time.perf_counter()
        for at in range(0, count, APPEND):
            journal.append(events[at : at + APPEND])
            wake(worker)
        wait_for(lambda: worker.status().seq == events[-1].seq, timeout=60, what="all events")
        ended = time.perf_counter()
        worker.stop(10)
    return ended - begun, events
