"""The cost of the whole program: its start, its memory, and its CPU while nothing happens."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.benchmarks.figures import Figure, median
from tests.benchmarks.peers.contenders import OURS, SCRIPT
from tests.benchmarks.program import ENVIRONMENT, FILE, STDOUT, Running, broker_in, namespace, publisher, to_mqtt
from tests.benchmarks.subscriber import Subscriber
from tests.fixtures.netns import NetNs

# Ordinary names: those of containers are left out of Home Assistant's discovery, which is on.
_NAME, _PEER = "lan", "wan"


def measure(rounds: int = 7, many: int = 4000, idle_seconds: float = 180.0) -> list[Figure]:
    """The idle time is a multiple of the 60 s between two reconciles."""
    return [start(rounds), memory_of_few(), *large(many, idle_seconds)]


def start(rounds: int) -> Figure:
    """From the start of the process to the first line, beside a Python that imports our models."""
    with namespace() as netns:
        pairs = [(first_line(netns), models()) for _ in range(rounds)]
    ours, peer = (median(side) for side in zip(*pairs, strict=True))
    return Figure("start to the first line", ours * 1e3, "ms", 1.5, "importing our models", peer * 1e3, 1.3)


def first_line(netns: NetNs) -> float:
    """Returns the seconds from the start of the program to its first event."""
    begun = time.perf_counter()
    with publisher(netns, STDOUT) as program:
        program.line()
        return time.perf_counter() - begun


def models() -> float:
    """Returns the seconds of a Python that imports our models."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import publisher.events"], check=True, env=ENVIRONMENT)
    return time.perf_counter() - begun


def links(count: int) -> list[str]:
    """Returns the `ip` commands that make so many links, in pairs."""
    return [f"link add {_NAME}{n} type veth peer name {_PEER}{n}" for n in range(count // 2)]


def memory_of_few() -> Figure:
    """Resident memory of ours and of the script, both with MQTT, after a change."""
    with namespace(*links(10)) as netns, broker_in(netns) as broker:
        found = []
        for contender in (OURS, SCRIPT):
            with contender.run(netns, broker) as program:
                subscriber = netns.call(Subscriber, broker.port, contender.topic)
                with subscriber:
                    netns.ip(f"link set {_NAME}0 up")
                    while not subscriber.messages(0.5):
                        netns.ip(f"link set {_NAME}1 up", f"link set {_NAME}1 down")
                time.sleep(0.5)
                found.append(program.memory)
    ours, script = found
    return Figure("resident memory, 10 links", ours, "MiB", 1.15, "pyroute2 and paho", script, 1.05)


def large(many: int, idle_seconds: float) -> Iterator[Figure]:
    """Memory with many links, and idle CPU with 2 and with many links at the same time."""
    with ExitStack() as stack:
        few = stack.enter_context(with_mqtt(2))
        lots = stack.enter_context(with_mqtt(many))
        yield Figure(f"resident memory, {many:,} links of ordinary names", lots.memory, "MiB", 100, wish=80)
        time.sleep(min(3.0, idle_seconds))  # the caches are warm then; what goes on for ever is asked
        shares = idle((few, lots), idle_seconds)
    for name, share, limit in zip(("2", f"{many:,}"), shares, (0.03, 0.1), strict=True):
        yield Figure(f"idle CPU with MQTT, {name} links, reconciles included", share * 100, "% of a core", limit)


def idle(programs: tuple[Running, ...], seconds: float) -> list[float]:
    """Returns the share of a core that each takes."""
    before = [program.cpu for program in programs]
    time.sleep(seconds)
    return [(program.cpu - used) / seconds for program, used in zip(programs, before, strict=True)]


@contextmanager
def with_mqtt(count: int) -> Iterator[Running]:
    """Yields a publisher with MQTT, Home Assistant's discovery and a file, on so many links, that has settled."""
    with (
        namespace(*links(count)) as netns,
        broker_in(netns) as broker,
        publisher(netns, to_mqtt(broker) + FILE) as program,
    ):
        program.settled()
        yield program
