"""A fleet on three nats-servers: its nodes write at once, a new viewer comes, and every server is killed.

The nodes are the real sink, many in a process; each viewer is a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self

import psutil

from tests.benchmarks.figures import Curve, Figure, Result, median
from tests.benchmarks.nats.alone import read
from tests.benchmarks.nats.nodes import Delivered
from tests.benchmarks.nats.viewer import Viewed
from tests.benchmarks.program import ENVIRONMENT
from tests.fixtures.nats import NatsCluster

STREAM = "KV_interfaces"
_NODES_IN_PROCESS = 250


class FleetFigures(NamedTuple):
    """The figures of one size of a fleet."""

    written: float
    ours: Viewed
    alone: Viewed
    memory: float


GROWTH: tuple[tuple[str, str, Callable[[FleetFigures], float]], ...] = (
    ("a fleet's first write, until confirmed", "ms", lambda size: size.written * 1e3),
    ("a new viewer, until complete", "ms", lambda size: size.ours.seconds * 1e3),
    ("memory of a viewer", "MiB", lambda size: size.ours.memory),
    ("memory of a nats-server", "MiB", lambda size: size.memory),
)


def measure(sizes: Sequence[int] = (10, 100, 1000), rows: int = 20, rounds: int = 5) -> Iterator[Result]:
    """Yields the curves of growth, the figures of the largest fleet, and those of its herd."""
    found: dict[int, FleetFigures] = {}
    for size in sizes:
        with MeasuredFleet(size, rows) as fleet:
            found[size] = one_size(fleet, rounds)
            herd = [*fleet.killed()] if size == sizes[-1] else []
    for what, unit, cost in GROWTH:
        yield Curve(what, f"nodes of {rows} rows", unit, [(size, cost(figures)) for size, figures in found.items()])
    yield from largest(f"{sizes[-1]:,} nodes of {rows} rows", found[sizes[-1]])
    yield from herd


def one_size(fleet: MeasuredFleet, rounds: int) -> FleetFigures:
    """Returns the figures of a fleet that writes, and is viewed by both in turns."""
    written = fleet.write()
    viewed: dict[str, list[Viewed]] = defaultdict(list)
    for _ in range(rounds):
        for which in ("ours", "alone"):
            viewed[which].append(fleet.viewed(which))
    ours, alone = (Viewed(*map(median, zip(*viewed[which], strict=True))) for which in ("ours", "alone"))
    return FleetFigures(written, ours, alone, fleet.memory)


def largest(what: str, size: FleetFigures) -> Iterator[Figure]:
    """Yields the figures of the largest fleet."""
    yield Figure(f"{what}: written at once, until the last is confirmed", size.written, "s", 10)
    yield Figure(f"{what}: a new viewer is complete", size.ours.seconds, "s", 3)
    peer = "nats-py alone, its JSON read"
    yield Figure(f"{what}: a new viewer is complete", size.ours.seconds, "s", 2, peer, size.alone.seconds)
    yield Figure(f"{what}: CPU of a new viewer", size.ours.cpu, "s", 2, peer, size.alone.cpu)
    yield Figure(f"{what}: memory of the viewer", size.ours.memory, "MiB", 1, peer, size.alone.memory)
    yield Figure(f"{what}: memory of the largest nats-server", size.memory, "MiB", 200)


class MeasuredFleet:
    """Three servers, and the programs of the nodes."""

    def __init__(self, size: int, rows: int) -> None:
        self.size, self.rows = size, rows
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._cluster = stack.enter_context(NatsCluster(Path(stack.enter_context(TemporaryDirectory()))))
            processes = math.ceil(self.size / _NODES_IN_PROCESS)
            edges = [self.size * n // processes for n in range(processes + 1)]
            self._nodes = [
                stack.enter_context(LineProgram("nodes", first, end - first, self.rows, *self._cluster.urls))
                for first, end in pairwise(edges)
            ]
            assert [program.line() for program in self._nodes] == ["ready"] * processes
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self) -> float:
        """Has every node connect and publish its rows; returns the seconds until the last is confirmed."""
        begun = time.perf_counter()
        self._ask("snapshot")
        seconds = max(answer.ended for answer in self._answers()) - begun
        self._cluster.wait_ready()  # each server knows the new streams then
        return seconds

    def viewed(self, which: str) -> Viewed:
        """Returns the cost of a view."""
        with LineProgram("viewer", which, self.size * self.rows, *self._cluster.urls) as program:
            return Viewed(*json.loads(program.line()))

    @property
    def memory(self) -> float:
        """Resident memory in MiB of the server that has the most."""
        return max(
            psutil.Process(server.process.pid).memory_info().rss / 2**20
            for server in self._cluster.servers
            if server.process is not None
        )

    def killed(self) -> Iterator[Figure]:
        """Yields the figures of a herd: the servers are killed while each node publishes a batch, and come back."""
        what = f"{self.size:,} nodes, all three nats-servers killed while each publishes {self.rows} events"
        self._ask("change")
        self._cluster.kill()
        self._cluster.start()
        ready = time.perf_counter()
        answers = self._answers()
        settled = max(answer.ended for answer in answers) - ready
        failed, refused = (sum(counts) for counts in list(zip(*answers, strict=True))[1:])
        stored = asyncio.run(read(self._cluster.urls, STREAM, everything=True))
        faults = faults_in(stored, self.size, self.rows)
        yield Figure(f"{what}: confirmed, after the servers are ready", max(0.0, settled), "s", 15)
        yield Figure(f"{what}: attempts that failed without an answer, each", failed / self.size, "", 3)
        yield Figure(f"{what}: attempts that a server refused, each", refused / self.size, "", 1)
        yield Figure(f"{what}: events lost", faults.lost, "", 0)
        yield Figure(f"{what}: events repeated or out of order", faults.repeated, "", 0)
        yield Figure(f"{what}: rows that are wrong in the end", faults.wrong, "", 0)

    def _ask(self, command: str) -> None:
        for program in self._nodes:
            program.ask(command)

    def _answers(self) -> list[Delivered]:
        return [Delivered(*json.loads(program.line())) for program in self._nodes]


class Faults(NamedTuple):
    """The differences between what a fleet published and what a stream stored."""

    lost: int
    repeated: int
    wrong: int


def faults_in(stored: Sequence[tuple[str, dict[str, Any]]], nodes: int, rows: int) -> Faults:
    """Returns the faults in a whole stream after one change of each row; the messages are in the stream's order."""
    changes: dict[str, list[int]] = defaultdict(list)
    newest: dict[str, int] = {}
    for subject, message in stored:
        if not subject.endswith(".position"):
            newest[subject] = message["seq"]
            if message["snapshot"] is None:
                changes[message["node"]].append(message["seq"])
    once = [set(seqs) for seqs in changes.values()]
    repeated = sum(after <= before for seqs in changes.values() for before, after in pairwise(seqs))
    right = sum(seq > 0 for seq in newest.values())
    return Faults(nodes * rows - sum(map(len, once)), repeated, nodes * rows - right)


class LineProgram:
    """A program of this folder's neighbour `nats` that answers in lines; it is killed at the end."""

    def __init__(self, name: str, *arguments: object) -> None:
        command = [sys.executable, "-m", f"tests.benchmarks.nats.{name}", *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, command: str) -> None:
        """Sends a command."""
        assert self._process.stdin is not None
        print(command, file=self._process.stdin, flush=True)

    def line(self) -> str:
        """Returns the next line of its output."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the program ended"
        return line
