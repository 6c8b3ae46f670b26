"""A publisher on 50 links whose MTUs rise, and what its sinks deliver of that."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.benchmarks.changes import making, moments
from tests.benchmarks.figures import Figure
from tests.benchmarks.program import Running, broker_in, namespace, publisher, to_mqtt
from tests.benchmarks.subscriber import LOOKS, Subscriber, retained
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.netns import NetNs

LINKS = [f"b{number}" for number in range(50)]
FIRST_MTU = 1300
_MTU = re.compile(rb'"nl_mtu":(\d+)')
_LINK_MTU = re.compile(rb'"mtu":(\d+)')
_ALIAS = re.compile(rb'"alias":"(\w+)"')
# A steady stream is behind when its last event comes this long after its last change.
_LATE = 1.0


@dataclass
class Stream:
    """The events of rising MTUs, as one sink delivers them, with the newest MTU of each row."""

    events: int = 0
    snapshots: int = 0
    back: int = 0
    """The events with a lower MTU than one that came before."""
    newest: dict[tuple[bytes, bytes], int] = field(default_factory=dict)

    def take(self, payload: bytes) -> None:
        """Counts an event."""
        if b'"snapshot":{' in payload:
            self.snapshots += b'"position":0,' in payload
            return
        alias, mtu, own = _ALIAS.search(payload), _LINK_MTU.search(payload), _MTU.search(payload)
        if alias is None or mtu is None or own is None:
            return
        self.events += 1
        family = b"inet6" if b'"family":"inet6"' in payload else b"inet"
        for kind, value in ((family, int(mtu[1])), (b"nl" + family, int(own[1]))):
            before = self.newest.get((alias[1], kind), 0)
            self.back += value < before
            self.newest[alias[1], kind] = max(value, before)

    def reached(self, mtu: int) -> bool:
        """Returns whether every link has at least this MTU, in both families."""
        return len(self.newest) == 4 * len(LINKS) and min(self.newest.values()) >= mtu


@dataclass
class BusyHost:
    """The program, its broker, and the subscriber. `memory` and `behind` are looked at once a second while it runs."""

    netns: NetNs
    broker: Mosquitto
    program: Running
    subscriber: Subscriber
    stream: Stream = field(default_factory=Stream)
    memory: list[float] = field(default_factory=list)
    behind: list[int] = field(default_factory=list)
    """The events that the sink which was the most behind had yet to get."""
    mtu: int = FIRST_MTU

    def run(self, changes: int, rate: float = 0) -> tuple[float, float]:
        """Makes changes; returns the seconds to the last event, from the first change and from the last one.

        They are infinite where the last event of a row is lost: its snapshot row comes in its place.
        """
        process = making(self.netns, changes, rate, self.mtu + 1, LINKS)
        self.mtu += changes // len(LINKS)
        next_look = 0.0
        while not self.stream.reached(self.mtu):
            messages = self.subscriber.messages()
            arrived = time.perf_counter()
            if not messages:
                arrived = math.inf
                break
            for message in messages:
                self.stream.take(message.payload)
            if arrived > next_look:
                self._look()
                next_look = arrived + 1.0
        begun, ended = moments(process)
        return arrived - begun, arrived - ended

    def at_a_rate(self, rate: float, seconds: float) -> list[Figure]:
        """Makes changes for so many seconds that lead to this rate of events, one in each family for each change."""
        changes = max(1, int(rate / 2 * seconds / len(LINKS))) * len(LINKS)
        before = self.stream.events
        _, late = self.run(changes, rate / 2)
        what = f"steady rate, {rate:,.0f} events/s for {seconds:.0f} s"
        return [
            Figure(f"{what}: the last event after the last change", late, "s", _LATE),
            Figure(f"{what}: events lost", max(0, 2 * changes - (self.stream.events - before)), "", 0),
        ]

    def wrong_states(self) -> int:
        """Returns the number of rows whose retained states are not what `ip` reports, at the last of some looks.

        The last states may be on their way, and a broker that is held up amid them looks as if it had no more.
        """
        for _ in range(LOOKS):
            if not (wrong := self._differing()):
                break
        return wrong

    def _differing(self) -> int:
        mtus = {link["ifname"]: link["mtu"] for link in json.loads(self.netns.run("ip -j link"))}
        right = 0
        for message in self.netns.in_thread(retained, self.broker.port, "interfaces/bench/+/+/state"):
            state = json.loads(message.payload)
            right += mtus.get(state["interface"]["alias"]) == state["interface"]["mtu"] == state["row"]["nl_mtu"]
        return 2 * len(mtus) - right

    def _look(self) -> None:
        self.memory.append(self.program.memory)
        sinks = self.program.sinks()
        if sinks:
            self.behind.append(max(sink["behind"] for sink in sinks))


@contextmanager
def busy_host(sinks: str = "") -> Iterator[BusyHost]:
    """Yields a host with an MQTT sink and these, which have the snapshot."""
    links = [f"link add {name} type ifb" for name in LINKS]
    mtus = [f"link set {name} mtu {FIRST_MTU}" for name in LINKS]
    with (
        namespace(*links, *mtus) as netns,
        broker_in(netns) as broker,
        publisher(netns, to_mqtt(broker) + sinks) as program,
    ):
        program.settled()
        with netns.call(Subscriber, broker.port, "interfaces/bench/+/+/event") as subscriber:
            yield BusyHost(netns, broker, program, subscriber)
