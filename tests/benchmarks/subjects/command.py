"""From a change of a link to the start of a command: by the publisher, and by a shell that follows `ip monitor`.

The shell does what a script would do in the place of a dispatcher: it reads the notification, asks `ip` for the
addresses, and runs the command. networkd-dispatcher does as much with `networkctl`, and waits for D-Bus before. Both
are compared with the command alone, which this process spawns.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from tests.benchmarks.changes import Mtu
from tests.benchmarks.figures import Figure, median, percentile
from tests.benchmarks.program import namespace, publisher, running
from tests.fixtures.netns import NetNs

assert sys.platform == "linux"

LINK = "v0"
# Changes are far enough apart for the commands of both families, and for a shell that is slower.
_APART = 0.05
_WARM = 10
SINK = """
[sinks.run]
type = "command"
command = ["sh", "-c", "echo > started"]
directory = "{folder}"
"""
FOLLOW = """
ip monitor link | while read -r line; do
  case "$line" in *{link}*) ip -j addr show dev {link} > /dev/null; sh -c 'echo > started' ;; esac
done
"""


def measure(rounds: int = 5, changes: int = 100) -> list[Figure]:
    """Measures both and the command alone in turns."""
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        found["ours"] += one_round(_ours, changes)
        found["shell"] += one_round(_shell, changes)
        found["alone"] += alone(changes)
    p50 = {name: median(times) for name, times in found.items()}
    what = "change to command started"
    return [
        Figure(f"{what}, p99", percentile(found["ours"], 99), "ms", 50),
        Figure(f"{what}, p50", p50["ours"], "ms", 6, "the command alone", p50["alone"]),
        Figure(f"{what}, p50", p50["ours"], "ms", 1.5, "a shell behind ip monitor", p50["shell"]),
    ]


class Starts:
    """The starts of a command that writes to a named pipe."""

    def __init__(self, folder: Path) -> None:
        os.mkfifo(folder / "started")
        self._descriptor = os.open(folder / "started", os.O_RDWR | os.O_NONBLOCK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def next(self, seconds: float) -> bool:
        """Waits for a start, at most so many seconds; takes all that are there."""
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return False
        os.read(self._descriptor, 4096)
        return True


def one_round(follower: Callable[[NetNs, Path], AbstractContextManager[object]], changes: int) -> list[float]:
    """Returns the milliseconds from each change to the start of the first command."""
    with (
        namespace(f"link add {LINK} type veth peer name v1", f"link set {LINK} up", "link set v1 up") as netns,
        TemporaryDirectory() as folder,
        Starts(Path(folder)) as starts,
        follower(netns, Path(folder)),
    ):
        return netns.in_thread(follow, starts, changes)


def follow(starts: Starts, changes: int) -> list[float]:
    """Makes changes, and waits for the command of each."""
    values, deadline = count(1300), time.monotonic() + 60
    with Mtu() as mtu:
        while not (mtu.set(LINK, next(values)) and starts.next(0.5)):
            assert time.monotonic() < deadline, "no command starts"
        return [*one_by_one(starts, lambda: mtu.set(LINK, next(values)), changes + _WARM)][_WARM:]


def alone(changes: int) -> list[float]:
    """Returns the milliseconds from spawning the same command in this process to its start."""
    with TemporaryDirectory() as folder, Starts(Path(folder)) as starts, ExitStack() as commands:

        def spawn() -> float:
            commands.close()  # the one before
            begun = time.perf_counter()
            commands.enter_context(subprocess.Popen(["sh", "-c", "echo > started"], cwd=folder))
            return begun

        return [*one_by_one(starts, spawn, changes + _WARM)][_WARM:]


def one_by_one(starts: Starts, begin: Callable[[], float], number: int) -> Iterator[float]:
    for _ in range(number):
        time.sleep(_APART)
        while starts.next(0.0):
            pass
        begun = begin()
        assert starts.next(20.0), "a command does not start"
        yield (time.perf_counter() - begun) * 1e3


@contextmanager
def _ours(netns: NetNs, folder: Path) -> Iterator[object]:
    with publisher(netns, SINK.format(folder=folder)) as program:
        program.settled()
        yield program


@contextmanager
def _shell(netns: NetNs, folder: Path) -> Iterator[object]:
    with running(netns, ["setsid", "sh", "-c", FOLLOW.format(link=LINK)], subprocess.DEVNULL, cwd=folder) as process:
        yield process
