"""The whole program, and its peers, as processes in a network namespace: start, CPU, memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from publisher.errors import JournalError
from publisher.journal.requests import JournalClient
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.netns import NetNs, become_capable
from tests.fixtures.poll import wait_for

_ROOT = Path(__file__).parents[2]
FILE = '[sinks.log]\ntype = "file"\npath = "events.jsonl"\n'
STDOUT = '[sinks.out]\ntype = "file"\npath = "-"\n'

# As installed: with bytecode. To compile every module takes a third of a start, and memory.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def namespace(*commands: str) -> Iterator[NetNs]:
    """Yields a network namespace whose loopback is up, after these `ip` commands."""
    become_capable()
    with closing(NetNs()) as netns:
        netns.ip("link set lo up", *commands)
        yield netns


@contextmanager
def broker_in(netns: NetNs) -> Iterator[Mosquitto]:
    """Runs mosquitto in the namespace; its own limits on messages in flight are lifted, for everybody."""
    with TemporaryDirectory() as folder:
        broker = Mosquitto(Path(folder), "max_inflight_messages 1000")
        netns.call(broker.start)
        try:
            yield broker
        finally:
            broker.kill()


@dataclass(frozen=True)
class Running:
    """A program that runs: its processes, and for ours the folder of its configuration, journal, log and files."""

    processes: Sequence[subprocess.Popen[bytes]]
    folder: Path = Path()

    @property
    def cpu(self) -> float:
        """CPU seconds so far, of every thread that lives; /proc/PID/stat is too coarse."""
        tasks = [task for process in self.processes for task in Path(f"/proc/{process.pid}/task").iterdir()]
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    @property
    def memory(self) -> float:
        """Resident memory in MiB."""
        return float(sum(psutil.Process(process.pid).memory_info().rss for process in self.processes)) / 2**20

    def line(self) -> dict[str, dict[str, dict[str, object]]]:
        """Returns the next event of the file sink that writes to standard output."""
        output = self.processes[0].stdout
        assert output is not None
        line = output.readline()
        assert line, (self.folder / "log").read_text()[-2000:]
        event: dict[str, dict[str, dict[str, object]]] = json.loads(line)
        return event

    def settled(self) -> None:
        """Waits until each sink has everything that is in the journal."""
        wait_for(self._is_settled, timeout=120, what="every sink to have everything")

    def sinks(self) -> list[dict[str, Any]]:
        """Returns the status of each sink, which the program writes once a second; none at first."""
        with suppress(JournalError), closing(JournalClient.open(self.folder / "journal.sqlite3")) as client:
            return list((client.status() or {}).get("sinks", {}).values())
        return []  # there is no journal yet, or half of one

    def _is_settled(self) -> bool:
        assert self.processes[0].poll() is None, (self.folder / "log").read_text()[-2000:]
        sinks = self.sinks()
        return bool(sinks) and all(sink["state"] == "following" and sink["behind"] == 0 for sink in sinks)


@contextmanager
def publisher(netns: NetNs, sinks: str, *lines: str, module: Sequence[str] = ("publisher",)) -> Iterator[Running]:
    """Runs `publisher run` with these sinks and its standard output in a pipe; ends it with SIGTERM.

    `module` is another module that runs it, with its arguments.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        settings = ['node = "bench"', *lines, '[journal]\npath = "journal.sqlite3"', sinks]
        path = folder / "publisher.toml"
        path.write_text("\n".join(settings), encoding="utf-8")
        command = [sys.executable, "-m", *module, "run", "--config", str(path)]
        environment = ENVIRONMENT | {"PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT / 'plugins'}"}
        with (
            (folder / "log").open("wb") as log,
            running(netns, command, log.fileno(), cwd=folder, env=environment) as process,
        ):
            yield Running([process], folder)


@contextmanager
def running(netns: NetNs, command: Sequence[str], log: int, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a command with its standard output in a pipe; ends it with SIGTERM."""
    process = netns.popen(command, stdout=subprocess.PIPE, stderr=log, **{"env": ENVIRONMENT, **options})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout:
            process.stdout.close()


def to_mqtt(broker: Mosquitto) -> str:
    """Returns the configuration of an MQTT sink."""
    return f'[sinks.mqtt]\ntype = "mqtt"\nurl = "{broker.url}"\n'
