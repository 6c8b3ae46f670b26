"""A worker with one sink, as the benchmarks of delivery start it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from publisher.delivery.worker import Worker
from publisher.journal.journal import Journal
from publisher.sink import Sink, SinkContext


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
