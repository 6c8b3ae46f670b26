"""20,000 link changes at once: nothing is wrong in the end, and every loss is marked."""

from __future__ import annotations

import json
import time

from publisher.events import IpInterface
from tests.benchmarks.figures import Figure
from tests.benchmarks.program import namespace
from tests.fixtures.linux_source import Following
from tests.fixtures.netns import NetNs

CHANGES = 20_000


def measure() -> list[Figure]:
    """With the usual receive buffer and with a tiny one."""
    return [figure for size, name in ((32 << 20, "32 MiB"), (4096, "4 KiB")) for figure in burst(size, name)]


def burst(receive_buffer: int, name: str) -> list[Figure]:
    """One flood: how long until the rows are right, and how it was told."""
    with namespace() as netns:
        netns.ip(*(f"link add b{number} type ifb" for number in range(8)))
        with Following(netns, receive_buffer=receive_buffer) as following:
            begin = time.perf_counter()
            netns.ip(*(f"link set b{n % 8} mtu {1300 + n // 8 % 2}" for n in range(8, CHANGES + 8)))
            events = following.settled()
            seconds = time.perf_counter() - begin
            right = of(following.table.rows) == by_ip(netns)
        told = sum(event.family == "inet" for event in events)
        marked = told >= CHANGES or "overrun" in following.causes
    what = f"burst of {CHANGES} link changes, receive buffer {name}"
    return [
        Figure(what, seconds, "s", f"events per family: {told}", None, "right state in the end", right),
        Figure(f"{what}: resyncs", following.causes.count("overrun"), "", "", None, "every loss marked", marked),
    ]


def of(rows: list[IpInterface]) -> dict[str, int | None]:
    return {row.interface.alias: row.interface.mtu for row in rows}


def by_ip(netns: NetNs) -> dict[str, int | None]:
    return {link["ifname"]: link["mtu"] for link in json.loads(netns.run("ip -j link"))}
