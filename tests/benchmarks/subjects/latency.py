"""Latency and CPU of one change, from the system call to a subscriber: ours, the pipe, the script of pyroute2 and paho.

Hot: each change is made when the one before has arrived. Isolated: changes are 20 ms apart, so that processors sleep
and caches are cold between them, as at home.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import count

from tests.benchmarks.changes import Mtu
from tests.benchmarks.figures import Figure, median, percentile
from tests.benchmarks.peers.contenders import OURS, PIPE, SCRIPT, Contender
from tests.benchmarks.program import Running, broker_in, namespace
from tests.benchmarks.subscriber import Subscriber

LINK = "v0"
CONTENDERS = {"ours": OURS, "pipe": PIPE, "script": SCRIPT}
# Others on the machine may hold the kernel's lock of its network configuration: a change whose system call takes so
# many seconds, and so many times as long as usual (with thousands of links the kernel walks their routes), is left out.
_HELD_UP, _HELD_UP_TIMES = 0.0005, 3
_APART = 0.02
_WARM = 100
_PIPE, _SCRIPT = "ip monitor | mosquitto_pub -l", "pyroute2 and paho"


def measure(rounds: int = 5, hot: int = 400, isolated: int = 150) -> list[Figure]:
    """Measures the contenders in turns; hot and isolated are numbers of changes."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, contender in CONTENDERS.items():
            for what, value in one_round(contender, hot, isolated):
                found[name, what].append(value)
    medians = {key: median(values) for key, values in found.items()}

    def figure(what: str, name: str, peer: str, beside: str, limit: float, wish: float | None = None) -> Figure:
        unit = "us" if "CPU" in what else "ms"
        return Figure(what, medians["ours", name], unit, limit, peer, medians[beside, name], wish)

    return [
        figure("change to MQTT subscriber, hot, p50", "hot p50", _PIPE, "pipe", 5, 3.5),
        figure("change to MQTT subscriber, hot, p99", "hot p99", _PIPE, "pipe", 6, 5),
        figure("change to MQTT subscriber, isolated, p50", "isolated p50", _PIPE, "pipe", 3.6, 2.5),
        figure("change to MQTT subscriber, isolated, p50", "isolated p50", _SCRIPT, "script", 1),
        figure("change to MQTT subscriber, isolated, p99", "isolated p99", _PIPE, "pipe", 6, 5),
        figure("CPU per change, hot", "CPU", _SCRIPT, "script", 1, 0.8),
    ]


def one_round(contender: Contender, hot: int, isolated: int) -> Iterator[tuple[str, float]]:
    """Runs it; yields times in ms, and CPU in us."""
    with (
        namespace(f"link add {LINK} type veth peer name v1", f"link set {LINK} up", "link set v1 up") as netns,
        broker_in(netns) as broker,
        contender.run(netns, broker) as program,
    ):
        times, apart, cpu = netns.in_thread(follow, program, broker.port, contender, hot, isolated)
    for name, seconds in (("hot", times), ("isolated", apart)):
        for percent in (50, 99):
            yield f"{name} p{percent}", percentile(seconds, percent) * 1e3
    yield "CPU", cpu / hot * 1e6


def follow(
    program: Running, port: int, contender: Contender, hot: int, isolated: int
) -> tuple[list[float], list[float], float]:
    """Makes the changes; returns the seconds of each, hot and isolated, and the CPU seconds of the hot ones."""
    with Subscriber(port, contender.topic) as subscriber, Mtu() as mtu:
        changes = Changes(subscriber, mtu, contender.text)
        changes.warm_up(contender.begins)
        before = program.cpu
        times = [*changes.make(hot, 0)]
        cpu = program.cpu - before
        return times, [*changes.make(isolated, _APART)], cpu


class Changes:
    """Changes of one link's MTU, each of which is awaited at the subscriber."""

    def __init__(self, subscriber: Subscriber, mtu: Mtu, text: bytes) -> None:
        self._subscriber = subscriber
        self._mtu = mtu
        self._text = text
        self._next = count(1300)
        self._system_calls: list[float] = []
        self._held_up = _HELD_UP

    def warm_up(self, seconds: float = 0.0) -> None:
        """Makes changes until some arrive, and for so many seconds: what publishes has started then, and is warm."""
        deadline = time.monotonic() + 60
        while self.one(0.5) is None:
            assert time.monotonic() < deadline, "no change arrives"
        begun = time.monotonic()
        assert None not in [self.one() for _ in range(_WARM)]
        self._held_up = max(_HELD_UP, _HELD_UP_TIMES * median(self._system_calls[-_WARM:]))
        while time.monotonic() < begun + seconds:
            self.one()
        # The kernel removes the links of a namespace that was left in the background, and holds its lock for so long.
        while not all(self.one() for _ in range(5)):
            assert time.monotonic() < deadline, "the kernel holds up every change: others change many links"

    def make(self, number: int, apart: float) -> Iterator[float]:
        """Makes changes so many seconds apart; yields the seconds of each."""
        for _ in range(number):
            time.sleep(apart)
            seconds = self.one()
            assert seconds is not None, "a change does not arrive"
            if seconds:
                yield seconds

    def one(self, timeout: float = 20.0) -> float | None:
        """Makes a change; returns the seconds until it arrives, None if it does not, 0 if the kernel held it up."""
        mtu = next(self._next)
        text = self._text % mtu
        begun = self._mtu.set(LINK, mtu)
        self._system_calls.append(time.perf_counter() - begun)
        held_up = self._system_calls[-1] > self._held_up
        while messages := self._subscriber.messages(timeout):
            arrived = time.perf_counter()
            if any(text in message.payload for message in messages):
                return 0.0 if held_up else arrived - begun
        return None
