"""Growth of cost: with links, with addresses of one interface, with ports of one bridge, with sinks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.benchmarks.changes import Mtu
from tests.benchmarks.figures import Curve, Figure, Result
from tests.benchmarks.program import STDOUT, broker_in, namespace, publisher, to_mqtt
from tests.benchmarks.subjects.neighbours import LINK, one, others, wait_for_snapshot
from tests.benchmarks.subjects.reading import commands, in_turns
from tests.benchmarks.subscriber import Subscriber

# The end of what a batch leads to: no message for so long.
_QUIET = 0.6


class Cost(NamedTuple):
    """The cost of one batch of commands: CPU seconds of the program, bytes to a subscriber."""

    cpu: float
    size: int


def measure(
    links: Sequence[int] = (10, 100, 1000, 4000),
    addresses: Sequence[int] = (200, 1000, 2000, 5000),
    ports: Sequence[int] = (100, 300, 1000),
    sinks: Sequence[int] = (1, 10, 50),
) -> Iterator[Result]:
    """Yields each curve, and the budget for addresses."""
    yield Curve("dump, CPU", "links", "ms", [(count, dump(count)) for count in links])
    added = [(count, batch(*with_addresses(count))) for count in addresses]
    yield from curves("addresses added to one interface", added)
    count, cost = added[-1]
    what = f"{count:,} addresses on one interface in one batch, CPU each"
    yield Figure(what, cost.cpu / count * 1e6, "us", 100, wish=60)
    yield from curves("ports put into one bridge", [(count, batch(*with_ports(count))) for count in ports])
    yield Curve("a change, CPU", "sinks", "us", [(count, change(count) * 1e6) for count in sinks])


def curves(of: str, costs: Sequence[tuple[int, Cost]]) -> Iterator[Curve]:
    """Yields the curves of CPU and of bytes."""
    yield Curve("CPU", of, "ms", [(count, cost.cpu * 1e3) for count, cost in costs])
    yield Curve("bytes to a subscriber", of, "KB", [(count, cost.size / 1e3) for count, cost in costs])


def dump(links: int) -> float:
    """Returns the CPU ms of one dump."""
    with namespace(*commands(links)) as netns:
        return in_turns(netns, 3)[0] * 1e3


def with_addresses(count: int) -> tuple[list[str], list[str]]:
    """Returns the commands before, and those of the batch."""
    return ["link add k0 type ifb"], [f"addr add 10.{n // 250}.{n % 250}.1/32 dev k0" for n in range(count)]


def with_ports(count: int) -> tuple[list[str], list[str]]:
    """Returns the commands before, and those of the batch."""
    links = [f"link add p{n} type ifb" for n in range(count)]
    return ["link add k0 type bridge", *links], [f"link set p{n} master k0" for n in range(count)]


def batch(before: Sequence[str], commands: Sequence[str]) -> Cost:
    """Runs commands at once beside the program with MQTT; returns what they cost it."""
    with (
        namespace(*before) as netns,
        broker_in(netns) as broker,
        publisher(netns, to_mqtt(broker)) as program,
        netns.call(Subscriber, broker.port, "interfaces/+/+/+/+") as subscriber,
    ):
        assert subscriber.until_quiet(_QUIET), "no snapshot arrives"
        used = program.cpu
        netns.ip(*commands)
        size = sum(len(message.payload) for message in subscriber.until_quiet(_QUIET))
        return Cost(program.cpu - used, size)


def change(sinks: int, count: int = 300) -> float:
    """Returns the CPU seconds of a change with so many file sinks, each change made when the one before is there."""
    with namespace(f"link add {LINK} type ifb") as netns, publisher(netns, STDOUT + others(sinks - 1)) as program:
        wait_for_snapshot(program)

        def follow() -> float:
            with Mtu() as mtu:
                for number in range(20):
                    one(program, mtu, 1300 + number)
                before = program.cpu
                for number in range(count):
                    one(program, mtu, 1400 + number)
                return program.cpu - before

        return netns.in_thread(follow) / count
