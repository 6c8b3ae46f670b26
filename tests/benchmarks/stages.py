"""Where the time of one change goes: `python -m tests.benchmarks.stages` prints a table for docs/performance.md.

The program runs with a stamp at each seam; the median of each stamp after the system call is printed. A seam that
was renamed is an error that names it. Stamps cost about 5 us in all.
"""

from __future__ import annotations

import sys
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.changes import Mtu
from tests.benchmarks.figures import median, table
from tests.benchmarks.peers.contenders import OURS
from tests.benchmarks.program import broker_in, namespace, publisher, to_mqtt
from tests.benchmarks.subjects.latency import LINK, Changes
from tests.benchmarks.subscriber import Subscriber

# The module, the attribute in it, when it is stamped, and the name of the stage that has ended then.
SEAMS = (
    ("selectors", "EpollSelector.select", "after", "core's thread awake"),
    ("publisher.sources.linux.notifications", "NotificationSocket.receive", "after", "received and decoded"),
    ("publisher.sources.linux.reader", "LinuxReader.links", "after", "link read"),
    ("publisher.sources.linux.cache", "LinkCache.apply", "after", "rows made"),
    ("publisher.service.core", "step", "after", "events made"),
    ("publisher.journal.journal", "Journal.append", "after", "committed"),
    ("publisher.delivery.inbox", "Inbox.wait", "after", "worker awake"),
    ("publisher_mqtt.sink", "MqttSink.publish", "before", "events read, sink called"),
    ("socket", "socket.send", "before", "first byte to the broker"),
    ("publisher_mqtt.sink", "MqttSink.publish", "after", "all acknowledged"),
)
ARRIVED = "subscriber has the event"


def main() -> None:
    """Prints the stages, hot and isolated."""
    found = {"hot": stages(0.0, 500), "isolated": stages(0.02, 200)}
    names = sorted(found["hot"], key=lambda name: found["hot"][name])
    print(
        "\n".join(table(["Stage", *found], [[name, *(f"{found[how][name]:.0f}" for how in found)] for name in names]))
    )


def stages(apart: float, count: int) -> dict[str, float]:
    """Returns the median us from the change to each stage."""
    with (
        TemporaryDirectory() as folder,
        namespace(f"link add {LINK} type ifb") as netns,
        broker_in(netns) as broker,
    ):
        stamps = Path(folder) / "stamps"
        with publisher(netns, to_mqtt(broker), module=("tests.benchmarks.stages", str(stamps))) as program:
            program.settled()
            moments = netns.in_thread(made, broker.port, apart, count)
        return after_each(moments, stamps.read_text().splitlines())


def made(port: int, apart: float, count: int) -> list[tuple[float, float]]:
    """Makes changes; returns the moments of each and of its arrival."""
    with Subscriber(port, OURS.topic) as subscriber, Mtu() as mtu:
        changes = Changes(subscriber, mtu, OURS.text)
        changes.warm_up(OURS.begins)
        found = []
        for _ in range(count):
            time.sleep(max(apart, 0.001))  # the acknowledgements of the one before
            seconds = changes.one()
            ended = time.perf_counter()
            if seconds:
                found.append((ended - seconds, ended))
        return found


def after_each(moments: list[tuple[float, float]], lines: list[str]) -> dict[str, float]:
    """Returns the median us from each moment to the stamps that follow, in the order of the seams."""
    stamps: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        moment, _, name = line.partition(" ")
        stamps[name].append(float(moment))
    found: dict[str, list[float]] = defaultdict(list)
    for begun, ended in moments:
        found[ARRIVED].append(ended - begun)
        reached = begun
        for *_, name in SEAMS:
            index = bisect_left(stamps[name], reached)
            if index == len(stamps[name]):
                break
            reached = stamps[name][index]
            found[name].append(reached - begun)
    return {name: median(times) * 1e6 for name, times in found.items()}


def run_stamped(path: Path, arguments: list[str]) -> None:
    """Runs the program with a stamp at each seam; the stamps are in the file when it has ended."""
    stamps: list[tuple[float, str]] = []
    for module, attribute, when, name in SEAMS:
        owner: Any = import_module(module)
        *way, last = attribute.split(".")
        for step in way:
            owner = getattr(owner, step)
        setattr(owner, last, stamped(getattr(owner, last), when, name, stamps))
    from publisher.cli.app import main as run

    sys.argv = ["publisher", *arguments]
    try:
        run()
    finally:
        path.write_text("".join(f"{moment} {name}\n" for moment, name in sorted(stamps)))


def stamped(function: Callable[..., Any], when: str, name: str, stamps: list[tuple[float, str]]) -> Callable[..., Any]:
    """Returns the function with a stamp before or after each call."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            stamps.append((time.perf_counter(), name))
            return function(*args, **kwargs)
        result = function(*args, **kwargs)
        stamps.append((time.perf_counter(), name))
        return result

    return call


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_stamped(Path(sys.argv[1]), sys.argv[2:])
    else:
        main()
