"""A worker with one sink, as the benchmarks of delivery start it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from publisher.delivery.worker import Worker
from publisher.events import Event
from publisher.journal.journal import Journal
from publisher.sink import Sink, SinkContext
from publisher.testing import make_row
from publisher.testing.events import make_stamp
from tests.fixtures.poll import wait_for
from tests.fixtures.waking import wake

INTERFACES = 50
# As the core's appends are when much happens.
APPEND = 250


def started(make: Callable[[SinkContext], Sink], destination: str, journal: Journal) -> Worker:
    """Starts a worker; `make` makes its sink."""
    worker = Worker(
        "sink",
        make,
        destination=destination,
        fingerprint="benchmark",
        journal=journal,
        log=logging.getLogger("publisher"),
    )
    worker.start()
    return worker


@contextmanager
def following(make: Callable[[SinkContext], Sink], destination: str, path: Path) -> Iterator[tuple[Journal, Worker]]:
    """Yields a new journal of the node `bench` without rows, and a worker that has sent the snapshot."""
    with closing(Journal.open(path, node="bench")) as journal:
        journal.replace_rows([])
        worker = started(make, destination, journal)
        try:
            wait_for(
                lambda: worker.status().state == "following" and worker.status().seq is not None, what="the snapshot"
            )
            yield journal, worker
        finally:
            worker.stop(10)


def delivered(
    make: Callable[[SinkContext], Sink], destination: str, path: Path, count: int
) -> tuple[float, list[Event]]:
    """Returns the seconds from the first append of so many events to the last confirmed one, and the events."""
    with following(make, destination, path) as (journal, worker):
        events = some_events(journal.epoch, count)
        begun = time.perf_counter()
        for at in range(0, count, APPEND):
            journal.append(events[at : at + APPEND])
            wake(worker)
        wait_for(lambda: worker.status().seq == events[-1].seq, timeout=60, what="all events")
        return time.perf_counter() - begun, events


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
