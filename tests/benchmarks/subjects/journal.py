"""Events through the journal, beside SQLite alone with the same bytes."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

from publisher.events import Event
from publisher.journal.journal import Journal
from publisher.journal.positions import Tail
from publisher.sink import Cursor
from publisher.sources import Resync, Upsert
from publisher.table import Stamp, Table
from publisher.testing.events import make_row
from tests.benchmarks.figures import Figure, median

ROUNDS = 5
EVENTS = 4000
BATCH = 100


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Appending in batches, one by one, and one by one while three sinks confirm each event."""
    pairs: dict[str, list[tuple[float, float]]] = {"batches": [], "singly": [], "sinks": []}
    with tempfile.TemporaryDirectory() as directory:
        for number in range(rounds):
            with closing(_begun(Path(directory) / f"{number}.db")) as journal:
                stamp = Stamp("bench", journal.epoch, 0)
                for name, size, sinks in (("batches", BATCH, 0), ("singly", 1, 0), ("sinks", 1, 3)):
                    events = _events(stamp, EVENTS)
                    ours = _seconds(events, size, _confirming(journal, sinks))
                    alone = _bare(Path(directory) / f"{number}-{name}.db", events, size)
                    pairs[name].append((ours, alone))
    return [
        _figure(f"journal: events in batches of {BATCH}, rows kept too", pairs["batches"], 1.5),
        _figure("journal: events one by one, rows kept too", pairs["singly"], 2.5),
        _figure("journal: events one by one, and three sinks confirm each", pairs["sinks"], 4),
    ]


def _begun(path: Path) -> Journal:
    journal = Journal.open(path, node="bench")
    journal.replace_rows([make_row(addresses=["192.0.2.10/24"])])
    return journal


def _events(stamp: Stamp, number: int) -> list[Event]:
    """Changes of one interface, with their JSON made: both sides write the same bytes."""
    table = Table([], stamp)
    table.apply(Resync((make_row(addresses=["192.0.2.10/24"]),), "startup"))
    stamp.seq -= 1
    events: list[Event] = [
        event
        for metric in range(number)
        for event in table.apply(Upsert(make_row(metric=metric + 1000, addresses=["192.0.2.10/24"])))
    ]
    assert all(event.json_bytes for event in events)
    return events


def _confirming(journal: Journal, sinks: int) -> Callable[[list[Event]], None]:
    parts = [journal.sink(f"sink{number}", "") for number in range(sinks)]

    def append(events: list[Event]) -> None:
        journal.append(events)
        for part in parts:
            part.report(Tail(Cursor(journal.epoch, events[-1].seq)))

    return append


def _bare(path: Path, events: list[Event], size: int) -> float:
    """The same bytes by INSERTs in transactions of the same size, same file format, same synchronous."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = normal")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, data BLOB NOT NULL)")
        numbers = count()

        def insert(batch: list[Event]) -> None:
            connection.execute("BEGIN")
            rows = [(next(numbers), event.json_bytes) for event in batch]
            connection.executemany("INSERT INTO events VALUES (?, ?)", rows)
            connection.execute("COMMIT")

        return _seconds(events, size, insert)


def _seconds(events: list[Event], size: int, write: Callable[[list[Event]], None]) -> float:
    begun = time.perf_counter()
    for start in range(0, len(events), size):
        write(events[start : start + size])
    return time.perf_counter() - begun


def _figure(what: str, seconds: list[tuple[float, float]], budget: float) -> Figure:
    ours, alone = (median(side) / EVENTS * 1e6 for side in zip(*seconds, strict=True))
    return Figure(f"{what}, each", ours, "us", budget, "SQLite alone, same bytes", alone)
