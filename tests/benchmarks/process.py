"""What the whole program costs: start, memory, an idle host."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from publisher.journal.requests import JournalClient
from tests.benchmarks.figures import Figure
from tests.benchmarks.latency import next_line, wait_for_snapshot
from tests.benchmarks.program import STDOUT, journal_of, namespace, publisher
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for

IDLE_SECONDS = 20.0


def measure() -> list[Figure]:
    return [start(), idle(), memory(10, 50), memory(4000, 120)]


def start() -> Figure:
    """From the start of the process to the first line, beside a Python that does nothing."""
    with namespace() as netns:
        times = statistics.median(first_line(netns) for _ in range(5))
        bare = statistics.median(bare_python() for _ in range(5))
    return Figure(
        "start to the first event delivered", times, "s", "python -c pass", times / bare, "< 0.7 s", times < 0.7
    )


def first_line(netns: NetNs) -> float:
    begun = time.perf_counter()
    with publisher(netns, STDOUT) as process:
        next_line(process)
        return time.perf_counter() - begun


def bare_python() -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - begun


def idle() -> Figure:
    """CPU time while nothing happens, as a share of one core."""
    with namespace() as netns, publisher(netns, STDOUT) as process:
        wait_for_snapshot(process)
        # The caches are warm after the first seconds; what is asked is what goes on for ever.
        time.sleep(3)
        before = cpu_seconds(process)
        time.sleep(IDLE_SECONDS)
        share = (cpu_seconds(process) - before) / IDLE_SECONDS
    return Figure("idle CPU", share * 100, "% of a core", "-", None, "under 0.1 %", share < 0.001)


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """From /proc/PID/schedstat, in nanoseconds: the clock ticks of /proc/PID/stat are too coarse."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def memory(interfaces: int, budget: int) -> Figure:
    """Resident memory with MQTT, file and webhook sinks once every sink has the snapshot."""
    with namespace() as netns, destinations(netns) as sinks:
        # Named as on a container host, the kind of host that has thousands.
        netns.ip(*(f"link add veth{n} type veth peer name vethp{n}" for n in range(interfaces // 2)))
        with publisher(netns, STDOUT + sinks) as process:
            wait_for_snapshot(process)
            with closing(JournalClient.open(journal_of(process))) as client:
                wait_for(lambda: all_delivered(client), timeout=120, what="every sink to have the snapshot")
            mib = psutil.Process(process.pid).memory_info().rss / 2**20
    what = f"resident memory, MQTT + file + webhook, {interfaces} interfaces"
    return Figure(what, mib, "MiB", "-", None, f"under {budget} MB", mib < budget)


def all_delivered(client: JournalClient) -> bool:
    status = client.status() or {"sinks": {}}
    sinks = list(status["sinks"].values())
    return len(sinks) == 3 and all(sink["delivered"] and sink["state"] == "following" for sink in sinks)


@contextmanager
def destinations(netns: NetNs) -> Iterator[str]:
    """A broker and a web server in the namespace, and the sinks that go there."""
    with TemporaryDirectory() as folder:
        broker = Mosquitto(Path(folder))
        netns.call(broker.start)
        server = netns.call(ThreadingHTTPServer, ("127.0.0.1", 0), Accepting)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield (
                f'[sinks.broker]\ntype = "mqtt"\nurl = "{broker.url}"\n'
                f'[sinks.hook]\ntype = "webhook"\nurl = "http://127.0.0.1:{server.server_port}/"\n'
            )
        finally:
            server.shutdown()
            serving.join()
            server.server_close()
            broker.kill()


class Accepting(BaseHTTPRequestHandler):
    """Takes whatever is posted."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
