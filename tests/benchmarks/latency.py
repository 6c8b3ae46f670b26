"""How long a change in the kernel takes to a line of the file sink, and what a neighbour that hangs does to that."""

from __future__ import annotations

import fcntl
import json
import socket
import statistics
import struct
import subprocess
import sys
import time
from contextlib import closing

from tests.benchmarks.figures import Figure
from tests.benchmarks.program import STDOUT, namespace, publisher
from tests.fixtures.netns import NetNs

CHANGES = 300
PORT = 8080
HANGING = f'[sinks.hung]\ntype = "webhook"\nurl = "http://127.0.0.1:{PORT}/"\n'


def measure() -> list[Figure]:
    alone, beside = [], []
    for _ in range(5):
        alone.append(percentiles(hanging=False))
        beside.append(percentiles(hanging=True))
    return [
        figure
        for index, name in enumerate(("p50", "p99"))
        for figure in figures(name, [run[index] for run in alone], [run[index] for run in beside])
    ]


def figures(name: str, alone: list[float], beside: list[float]) -> list[Figure]:
    """The medians of the runs, in milliseconds."""
    plain, disturbed = statistics.median(alone), statistics.median(beside)
    ratio = disturbed / plain
    return [
        Figure(f"kernel change to a line in the file, {name}", plain * 1e3, "ms", "-", None, "-", True),
        Figure(
            f"the same beside a sink that hangs, {name}", disturbed * 1e3, "ms", "alone", ratio, "at most 2", ratio <= 2
        ),
    ]


def percentiles(*, hanging: bool) -> tuple[float, float]:
    """Seconds from before the system call that changes an mtu to its line, p50 and p99."""
    with namespace() as netns, closing(netns.call(receiver_that_hangs)) as receiver:
        netns.veth("v0", "v1")
        with publisher(netns, STDOUT + (HANGING if hanging else "")) as process:
            wait_for_snapshot(process)
            # Until the neighbour hangs it starts up, which is its own CPU time and not what is asked here.
            neighbour = [netns.call(receiver.accept)] if hanging else []
            times = sorted(one_change(netns, process, 1300 + number % 100) for number in range(CHANGES))
        for connection, _ in neighbour:
            connection.close()
    return times[len(times) // 2], times[len(times) * 99 // 100]


def receiver_that_hangs() -> socket.socket:
    """It takes connections, in the kernel, and never reads or answers."""
    return socket.create_server(("127.0.0.1", PORT))


def one_change(netns: NetNs, process: subprocess.Popen[bytes], mtu: int) -> float:
    start = netns.call(set_mtu, "v0", mtu)
    while True:
        event = next_line(process)
        changed = event["changed"].get("row.nl_mtu")
        if changed and changed["after"] == mtu:
            return time.perf_counter() - start


def set_mtu(name: str, mtu: int) -> float:
    """Set an interface's mtu by the oldest way there is, SIOCSIFMTU of netdevice(7); the time just before."""
    with socket.socket() as control:
        request = struct.pack("16si12x", name.encode(), mtu)
        start = time.perf_counter()
        if sys.platform == "linux":
            fcntl.ioctl(control, 0x8922, request)
    return start


def next_line(process: subprocess.Popen[bytes]) -> dict[str, dict[str, dict[str, object]]]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the publisher ended"
    event: dict[str, dict[str, dict[str, object]]] = json.loads(line)
    return event


def wait_for_snapshot(process: subprocess.Popen[bytes]) -> None:
    while not ((snapshot := next_line(process)["snapshot"]) and snapshot["position"] == snapshot["count"]):
        pass
