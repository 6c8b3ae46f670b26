"""Processes that write to file sinks until they are killed.

Run as a program, it reads a line of JSON for each writer that it is to start: the options, the `seq` to stop at, and
the file operation to die at. Writers are forks, so that a hundred of them cost little.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publisher import Event
from publisher.testing import FakeSinkContext, make_events, make_row, make_snapshot
from tests.plugins.file.writing import opened

JOURNAL_LENGTH = 20_000
_FILE_OPERATIONS = frozenset({"open", "os.rename", "os.remove", "os.truncate"})


@dataclass
class Order:
    """What one writer is to do."""

    options: dict[str, Any]
    until: int = JOURNAL_LENGTH
    die_at: int | None = None


class Writers:
    """A process that starts writers."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.plugins.file.writers"],
            cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, order: Order) -> int:
        """The process id of a writer that is about to open its sink."""
        assert self._process.stdin
        print(json.dumps(order.__dict__), file=self._process.stdin, flush=True)
        return int(self._said())

    def result(self) -> int:
        """How the writer ended: 0, or minus the signal; blocks until it did."""
        return int(self._said())

    def close(self) -> None:
        self._process.communicate()

    def _said(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


def write(order: Order, journal: list[Event]) -> None:
    """What a worker does: the snapshot where one is needed, then the tail from the sink's own cursor on."""
    with opened(context=(context := FakeSinkContext()), **order.options) as sink:
        cursor = sink.cursor()
        seq = cursor.seq if cursor else 0
        if cursor is None or context.snapshots_requested:
            sink.publish(make_snapshot([make_row(), make_row("eth1", index=3)], seq))
        while seq < order.until:
            batch = journal[seq : min(order.until, seq + random.randint(1, 40))]
            sink.publish(batch)
            seq += len(batch)


def _die_at(operation: int) -> None:
    """Kill this process at its n-th file operation from now on, before that is done."""
    left = iter(range(operation - 1, -1, -1))
    kill = signal.Signals["SIGKILL"]

    def count(name: str, _: object) -> None:
        if name in _FILE_OPERATIONS and next(left, 1) == 0:
            os.kill(os.getpid(), kill)

    sys.addaudithook(count)


def _main() -> None:
    if sys.platform == "win32":
        sys.exit("Windows has no fork")
    journal = make_events(JOURNAL_LENGTH)
    for line in sys.stdin:
        order = Order(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            if order.die_at:
                _die_at(order.die_at)
            write(order, journal)
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
