"""Reading everything: a dump of many links beside `ip`, and what a reconcile of 4,000 links makes a change wait."""

from __future__ import annotations

import gc
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing

from publisher.sources.luids import LuidAssigner, MemoryLuids
from tests.benchmarks.changes import Mtu
from tests.benchmarks.figures import Figure, median
from tests.benchmarks.peers.contenders import OURS
from tests.benchmarks.program import broker_in, namespace, publisher, to_mqtt
from tests.benchmarks.subjects.latency import LINK, Changes
from tests.benchmarks.subscriber import Subscriber
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.netns import NetNs

_OFTEN, _NEVER = 2.0, 3600.0


def measure(rounds: int = 5, sizes: tuple[int, ...] = (1000, 4000), links: int = 4000) -> list[Figure]:
    """Dumps beside `ip -j -d addr` with its JSON read; then changes while everything is read again and again."""
    return [*(dump(size, rounds) for size in sizes), stalls(links, rounds)]


def dump(links: int, rounds: int) -> Figure:
    """CPU of one dump, in turns with `ip`."""
    with namespace(*commands(links)) as netns:
        own, peer = in_turns(netns, rounds)
    what = f"dump of {links:,} links to validated rows, CPU"
    return Figure(what, own * 1e3, "ms", 1.6, "ip -j -d addr, its JSON read", peer * 1e3, 1.3)


def commands(links: int) -> list[str]:
    """Returns the `ip` commands that make links with an address of each family."""
    return [
        command
        for n in range(links)
        for command in (
            f"link add d{n} type ifb",
            f"addr add 10.{n // 250}.{n % 250}.1/24 dev d{n}",
            f"addr add fd00:{n:x}::1/64 dev d{n}",
        )
    ]


def in_turns(netns: NetNs, rounds: int) -> tuple[float, float]:
    """Returns the CPU seconds of our dump and of the peer's, medians."""
    luids = MemoryLuids()
    netns.call(ours, luids)
    pairs = [(netns.call(timed, lambda: ours(luids)), netns.call(timed, by_ip)) for _ in range(rounds)]
    return median(own for own, _ in pairs), median(peer for _, peer in pairs)


def ours(luids: MemoryLuids) -> int:
    """Reads as the source does at a start and in a reconcile, without the watches of settings that it adds."""
    if sys.platform == "linux":
        from publisher.sources.linux.cache import LinkCache
        from publisher.sources.linux.reader import LinuxReader
        from publisher.sources.linux.rtnetlink import Decoder

        log = logging.getLogger("publisher")
        with closing(LinuxReader(Decoder(), log)) as reader:
            cache = LinkCache(log, LuidAssigner(luids), reader.details, "unspec")
            return len(cache.resync(reader.dump(), [])[0])
    raise OSError("rtnetlink is Linux's")


def by_ip() -> int:
    """Reads as a script would."""
    done = subprocess.run(["ip", "-j", "-d", "addr"], capture_output=True, check=True)
    return len(json.loads(done.stdout))


def timed(function: Callable[[], object]) -> float:
    """CPU seconds of one call and the processes it starts: nothing waits here, and a busy machine distorts the rest."""
    # What others left in memory is not to be walked through by the garbage collector in our time, nor in theirs.
    gc.collect()
    gc.freeze()
    begin = cpu()
    function()
    return cpu() - begin


def cpu() -> float:
    """CPU seconds of this process and of those it waited for, so far."""
    if sys.platform != "win32":
        from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

        used = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in used)
    raise OSError("getrusage is POSIX's")


def stalls(links: int, reconciles: int) -> Figure:
    """Returns what a reconcile adds to the longest wait of a change: without one, the machine makes some wait, too."""
    with namespace(*commands(links), f"link add {LINK} type ifb") as netns, broker_in(netns) as broker:
        longest, without = (longest_waits(netns, broker, every, reconciles) for every in (_OFTEN, _NEVER))
    what = f"longest wait of a change during a reconcile, {links:,} links, above that without one"
    return Figure(what, max(0.0, longest - without) * 1e3, "ms", 10, wish=5)


def longest_waits(netns: NetNs, broker: Mosquitto, reconcile_seconds: float, times: int) -> float:
    """Returns the longest wait of a change in the time of a reconcile or more, the median of so many times."""
    with publisher(netns, to_mqtt(broker), f"reconcile_seconds = {reconcile_seconds}"):
        return median(map(max, netns.in_thread(changing, broker.port, 1.5 * _OFTEN, times)))


def changing(port: int, seconds: float, times: int) -> list[list[float]]:
    """Makes changes for so long, so many times; returns the seconds that each waited."""
    with Subscriber(port, OURS.topic) as subscriber, Mtu() as mtu:
        changes = Changes(subscriber, mtu, OURS.text)
        changes.warm_up()
        found = [waits(changes, seconds) for _ in range(times)]
        assert all(found), "the kernel held up every change for seconds: others change many links"
        return found


def waits(changes: Changes, seconds: float) -> list[float]:
    """Makes changes for so long, which has a reconcile in it; returns the seconds that each waited."""
    until = time.monotonic() + seconds
    found: list[float] = []
    while time.monotonic() < until:
        found += changes.make(20, 0)
    return found
