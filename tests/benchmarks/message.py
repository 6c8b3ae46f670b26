"""CPU for a message that changes none of our members, beside that of pyroute2 for the same message."""

from __future__ import annotations

import logging
import statistics
import sys
import time
from contextlib import closing
from typing import Any

from publisher.sources import SourceContext, open_source
from publisher.sources.luids import MemoryLuids
from tests.benchmarks.figures import Figure
from tests.benchmarks.program import namespace
from tests.fixtures.netns import NetNs

assert sys.platform == "linux"

MESSAGES = 500


def measure() -> list[Figure]:
    """In a namespace of its own, in turns; one message at a time is the dearest case, a burst the usual one."""
    with namespace() as netns:
        netns.ip("link add m0 type ifb", "link set m0 up")
        own: dict[int, list[float]] = {1: [], MESSAGES: []}
        peer: dict[int, list[float]] = {1: [], MESSAGES: []}
        for _ in range(5):
            for at_once in own:
                own[at_once].append(ours(netns, at_once))
                peer[at_once].append(pyroute2(netns, at_once))
    return [figure(how, own[at_once], peer[at_once]) for at_once, how in ((1, "one at a time"), (MESSAGES, "a burst"))]


def figure(how: str, own: list[float], peer: list[float]) -> Figure:
    """Medians beside each other."""
    ours, theirs = statistics.median(own) * 1e6, statistics.median(peer) * 1e6
    what = f"CPU per message that changes nothing, {how}"
    beside = f"pyroute2, decoding alone: {theirs:.0f} us"
    return Figure(what, ours, "us", beside, ours / theirs, "at most 0.1", ours <= theirs / 10)


def ours(netns: NetNs, at_once: int) -> float:
    """CPU seconds a message in the whole source: received, decoded, the link read, compared."""

    def follow() -> float:
        context = SourceContext(logging.getLogger("publisher"), MemoryLuids(), idle_seconds=0.0)
        source = open_source("linux", context, {})
        spent = 0.0
        with closing(source):
            updates = source.updates()
            next(updates)
            for _ in range(MESSAGES // at_once):
                change(at_once)
                begin = time.process_time()
                assert not next(updates)
                spent += time.process_time() - begin
        return spent / MESSAGES

    change = Changes(netns)
    return netns.call(follow)


def pyroute2(netns: NetNs, at_once: int) -> float:
    """CPU seconds a message: received and decoded, with the attributes that we need read."""

    def follow() -> float:
        spent = 0.0
        from pyroute2 import IPRoute  # type: ignore[import-untyped]  # it has no types

        with IPRoute() as route:
            route.bind()
            for _ in range(MESSAGES // at_once):
                change(at_once)
                begin = time.process_time()
                seen = 0
                while seen < at_once:
                    seen += sum(read(message) for message in route.get())
                spent += time.process_time() - begin
        return spent / MESSAGES

    change = Changes(netns)
    return netns.call(follow)


def read(message: Any) -> int:
    """Take out what we need of a link; how many links it was."""
    if message["event"] != "RTM_NEWLINK":
        return 0
    spec = message.get_attr("IFLA_AF_SPEC")
    taken = [spec.get_attr(name) for name in ("AF_INET", "AF_INET6")]
    taken += [message.get_attr(name) for name in ("IFLA_IFNAME", "IFLA_MTU", "IFLA_OPERSTATE")]
    return min(1, len(taken))


class Changes:
    """Makes changes that are reported and not published, of the length of a queue, by a socket: each is made."""

    def __init__(self, netns: NetNs) -> None:
        from socket import if_nametoindex

        self._index = netns.call(if_nametoindex, "m0")
        self._length = 1000

    def __call__(self, count: int) -> Any:
        """That many, one after the other, from inside."""
        import socket
        import struct

        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as requests:
            for _ in range(count):
                self._length += 1
                body = struct.pack("=BxHiIIHHI", 0, 0, self._index, 0, 0, 8, 13, self._length)
                requests.send(struct.pack("=IHHII", 16 + len(body), 16, 0x5, 1, 0) + body)
                requests.recv(4096)
