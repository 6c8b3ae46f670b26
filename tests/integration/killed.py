"""A publisher that is killed: forks a process for each line on standard input, and says its process id.

Each one opens the journal, delivers it to a file, and appends until it dies. What it appended stands in `committed`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import structlog

from publisher.delivery import Worker
from publisher.events import Event
from publisher.journal import Journal
from publisher.sink import Sink, SinkContext, SinkOptions
from publisher.sources import Resync, Upsert
from publisher.table import Stamp, Table
from publisher.testing.events import make_row


class Lines(Sink):
    """Appends a line for each event: position in the snapshot or seq, and the event's id and metric."""

    def __init__(self, path: Path, context: SinkContext) -> None:
        super().__init__(SinkOptions(), context)
        self.path = path

    def open(self) -> None:
        written = self.path.read_bytes() if self.path.exists() else b""
        if not written.endswith(b"\n"):
            # A kill can tear a large write: the rest of its last line was never confirmed, and comes again.
            self.path.write_bytes(written[: written.rfind(b"\n") + 1])
        self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def publish(self, events: Sequence[Event]) -> None:
        os.write(self.file, "".join(map(line_of, events)).encode())

    def close(self) -> None:
        os.close(self.file)


def line_of(event: Event) -> str:
    kind = "event" if event.snapshot is None else "snapshot"
    return f"{kind} {event.seq} {event.id} {event.row.metric if event.row else '-'}\n"


def worker_to(path: Path, journal: Journal) -> Worker:
    """A worker that delivers to a file of lines, started."""
    log = structlog.wrap_logger(structlog.ReturnLogger(), wrapper_class=structlog.make_filtering_bound_logger(0))
    worker = Worker(
        "lines", lambda context: Lines(path, context), destination="", fingerprint="", journal=journal, log=log
    )
    worker.start()
    return worker


def append_for_ever(directory: Path) -> None:
    journal = Journal.open(directory / "journal.db", node="nas", max_events=1_000_000)
    table = Table(journal.rows(), Stamp("nas", journal.epoch, journal.seq))
    if journal.rows() is None:
        table.apply(Resync((make_row(),), "startup"))
        journal.replace_rows(table.rows)
    worker = worker_to(directory / "delivered", journal)
    committed = os.open(directory / "committed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        seq = table.stamp.seq
        events = [event for n in range(seq % 3 + 1) for event in table.apply(Upsert(make_row(metric=seq + n + 7)))]
        journal.append(events)
        worker.wake()
        os.write(committed, f"{journal.seq}\n".encode())


def main(directory: Path) -> None:
    if sys.platform == "win32":
        raise OSError("os.fork is POSIX's")
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            with closing(sys.stdin):
                append_for_ever(directory)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
