"""Reading 1,000 links into validated rows of both families with their addresses, beside `ip` and pyroute2."""

from __future__ import annotations

import gc
import json
import logging
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

from publisher.sources.luids import LuidAssigner, MemoryLuids
from tests.benchmarks.figures import Figure
from tests.benchmarks.program import namespace

assert sys.platform == "linux"

LINKS = 1000


def measure() -> list[Figure]:
    """In a namespace of its own, in turns."""
    with namespace() as netns:
        netns.ip(*(f"link add d{n} type ifb" for n in range(LINKS)))
        netns.ip(
            *(f"addr add 10.{n // 250}.{n % 250}.1/24 dev d{n}" for n in range(LINKS)),
            *(f"addr add fd00:{n:x}::1/64 dev d{n}" for n in range(LINKS)),
        )
        luids = MemoryLuids()
        netns.call(ours, luids)
        times: dict[str, list[float]] = {"ours": [], "ip": [], "pyroute2": []}
        for _ in range(5):
            times["ours"].append(netns.call(timed, lambda: ours(luids)))
            times["ip"].append(netns.call(timed, by_ip))
            times["pyroute2"].append(netns.call(timed, by_pyroute2))
    own, ip, pyroute2 = (statistics.median(times[name]) * 1000 for name in ("ours", "ip", "pyroute2"))
    what = f"dump of {LINKS} links to validated rows"
    return [
        Figure(
            what, own, "ms CPU", f"ip -j -d addr, parsed: {ip:.0f} ms", own / ip, "at most 3 (wish 2)", own <= 3 * ip
        ),
        Figure(
            what, own, "ms CPU", f"pyroute2: {pyroute2:.0f} ms", own / pyroute2, "at most 0.1", own <= pyroute2 / 10
        ),
    ]


def ours(luids: MemoryLuids) -> int:
    """As `publisher snapshot` reads."""
    from publisher.sources.linux.cache import LinkCache
    from publisher.sources.linux.reader import LinuxReader
    from publisher.sources.linux.rtnetlink import Decoder

    with closing(LinuxReader(Decoder(), logging.getLogger("publisher"))) as reader:
        cache = LinkCache(logging.getLogger("publisher"), LuidAssigner(luids), reader.details, "unspec")
        rows, _ = cache.resync(reader.dump(), [])
    return len(rows)


def by_ip() -> int:
    """As a script would."""
    done = subprocess.run(["ip", "-j", "-d", "addr"], capture_output=True, check=True)
    return len(json.loads(done.stdout))


def by_pyroute2() -> int:
    """The same members, as far as one message of pyroute2's has them."""
    from pyroute2 import IPRoute  # type: ignore[import-untyped]  # it has no types

    read: list[Any] = []
    names = ("IFLA_IFNAME", "IFLA_ADDRESS", "IFLA_MTU", "IFLA_MASTER", "IFLA_LINK", "IFLA_OPERSTATE", "IFLA_CARRIER")
    wanted = ("IFA_ADDRESS", "IFA_LOCAL", "IFA_CACHEINFO", "IFA_FLAGS")
    with IPRoute() as route:
        for link in route.get_links():
            inet, inet6 = (link.get_attr("IFLA_AF_SPEC").get_attr(name) for name in ("AF_INET", "AF_INET6"))
            read.append(
                [link.get_attr(name) for name in (*names, "IFLA_PERM_ADDRESS", "IFLA_LINKINFO", "IFLA_IFALIAS")]
            )
            read.append([inet.get_attr("IFLA_INET_CONF"), inet6.get_attr("IFLA_INET6_CONF")])
            read.append([inet6.get_attr(name) for name in ("IFLA_INET6_FLAGS", "IFLA_INET6_CACHEINFO")])
        read.extend([address.get_attr(name) for name in wanted] for address in route.get_addr())
        read.extend(table.get_attr("NDTA_PARMS") for table in route.get_ntables())
    return len(read)


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
    from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

    used = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
