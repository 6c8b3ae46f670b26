"""20,000 link changes at once: the rows are right in the end, no event steps back, and every loss is marked."""

from __future__ import annotations

import json
import time

from publisher.events import IpInterface
from tests.benchmarks.figures import Figure
from tests.benchmarks.program import namespace
from tests.fixtures.linux_source import Following, steps_back
from tests.fixtures.netns import NetNs

CHANGES, LINKS = 20_000, 20


def measure() -> list[Figure]:
    """With the usual receive buffer and with a tiny one."""
    return [figure for size, name in ((32 << 20, "32 MiB"), (4096, "4 KiB")) for figure in burst(size, name)]


def burst(receive_buffer: int, name: str) -> list[Figure]:
    """One flood of rising mtus: the time until the rows are right, and the events."""
    with namespace() as netns:
        netns.ip(*(line for n in range(LINKS) for line in (f"link add b{n} type ifb", f"link set b{n} mtu 1290")))
        with Following(netns, receive_buffer=receive_buffer) as following:
            begin = time.perf_counter()
            netns.ip(*(f"link set b{n % LINKS} mtu {1300 + n // LINKS}" for n in range(CHANGES)))
            events = following.settled()
            seconds = time.perf_counter() - begin
            right = of(following.table.rows) == by_ip(netns)
        reported = sum(event.family == "inet" for event in events)
        marked = reported == CHANGES or "overrun" in following.causes
    what = f"burst of {CHANGES} link changes, receive buffer {name}"
    back = len(steps_back(events))
    return [
        Figure(what, seconds, "s", f"events per family: {reported}", None, "right state in the end", right),
        Figure(f"{what}: resyncs", following.causes.count("overrun"), "", "", None, "every loss marked", marked),
        Figure(f"{what}: events that step back", back, "", "", None, "none", back == 0),
    ]


def of(rows: list[IpInterface]) -> dict[str, int | None]:
    return {row.interface.alias: row.interface.mtu for row in rows}


def by_ip(netns: NetNs) -> dict[str, int | None]:
    return {link["ifname"]: link["mtu"] for link in json.loads(netns.run("ip -j link"))}
