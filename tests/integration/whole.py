"""The whole program at work in a network namespace: `publisher run` with a file sink, and what stands in its file."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from publisher.events import Event
from tests.netns import NetNs
from tests.waiting import wait_for

State = dict[str, Any]
Told = tuple[str, str, str | None, set[str]]
_SIOCSIFMTU = 0x8922  # linux/sockios.h
COMMAND = (sys.executable, "-m", "publisher")


class Program:
    """A publisher with a folder of its own: its configuration and log, and in `data` its journal and its file."""

    def __init__(self, netns: NetNs, folder: Path, *lines: str, command: Sequence[str] = COMMAND) -> None:
        self.netns = netns
        self.folder = folder
        self.data = folder / "data"
        self.process: subprocess.Popen[bytes] | None = None
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PUBLISHER_", "XDG_"))}
        self.environment = kept | {"HOME": str(folder)}
        self._command = command
        self._position = 0
        self._events: list[Event] = []
        self.data.mkdir(parents=True)
        settings = ['node = "nas"', *lines, '[journal]\npath = "data/journal.sqlite3"', "max_events = 1_000_000"]
        settings += ["max_bytes = 1_000_000_000", '[sinks.log]\ntype = "file"\npath = "data/events.jsonl"']
        (folder / "publisher.toml").write_text("\n".join(settings))

    def start(self) -> subprocess.Popen[bytes]:
        """Start it; what it says goes to `log`."""
        with (self.folder / "log").open("ab") as log:
            self.process = self.netns.popen(
                [*self._command, "run"],
                cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return self.process

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it with this signal; in order, unless that is SIGKILL."""
        assert self.process
        self.process.send_signal(how)
        expected = -how if how.name == "SIGKILL" else 0
        assert self.process.wait(30) == expected, self.log()[-3000:]

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """From its first words in the file, or after the old ones, to an end in order."""
        seen = self.size
        process = self.start()
        try:
            self.wait(lambda: self.size > seen, "the first events")
            yield process
            self.end()
        finally:
            process.kill()
            process.wait()

    def wait(self, condition: Any, what: str) -> None:
        """Until the condition holds, as long as the program lives."""
        wait_for(lambda: condition() or self._ended(), timeout=60, what=what)
        assert not self._ended(), self.log()[-3000:]

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def journal(self) -> Path:
        return self.data / "journal.sqlite3"

    @property
    def output(self) -> Path:
        return self.data / "events.jsonl"

    @property
    def size(self) -> int:
        return self.output.stat().st_size if self.output.exists() else 0

    @property
    def events(self) -> list[Event]:
        """The events in the file so far."""
        if self.output.exists():
            with self.output.open("rb") as file:
                file.seek(self._position)
                whole = file.read().rpartition(b"\n")
            self._position += len(whole[0]) + len(whole[1])
            self._events += map(Event.from_json, whole[0].splitlines())
        return self._events

    def mark(self, mtu: int) -> list[Event]:
        """Change the MTU of the interface `mark`; wait until that is in the file: links' changes before it are then.

        Settings' changes (forwarding and the like) may follow, where the kernel told both in one go.
        """
        self.netns.ip(f"link set mark mtu {mtu}")
        wanted = {"inet", "inet6"} if mtu >= 1280 else {"inet"}

        def marked() -> bool:
            told = {event.family for event in self.events[-50:] if is_mark(event, mtu)}
            return told >= wanted

        self.wait(marked, "the mark")
        return self.events

    def snapshot(self) -> dict[tuple[str, str], State]:
        """The rows that `publisher snapshot` reads now."""
        told = self.netns.run([*self._command, "snapshot", "--json"], cwd=self.folder, env=self.environment)
        return {(row.pop("luid"), row.pop("family")): comparable(row) for row in json.loads(told)}


def is_mark(event: Event, mtu: int) -> bool:
    return event.interface is not None and event.interface.alias == "mark" and event.interface.mtu == mtu


def states_in(events: Sequence[Event]) -> dict[tuple[str, str], State]:
    """The rows after these events, as a reader of the file knows them."""
    states: dict[tuple[str, str], State] = {}
    for event in events:
        if event.snapshot and event.snapshot.position == 0:
            states.clear()
        elif event.luid is None or event.family is None:
            raise AssertionError(f"an event about nothing: {event}")
        elif event.notification_type == "delete_instance":
            del states[event.luid, event.family]
        else:
            state = json.loads(event.json_bytes)
            states[event.luid, event.family] = comparable(
                {name: state[name] for name in ("row", "interface", "addresses")}
            )
    return states


def comparable(state: State) -> State:
    """Without what the kernel picks at random or counts down: its change is no event."""
    for address in state["addresses"]:
        for lifetime in ("preferred_lifetime", "valid_lifetime"):
            del address[lifetime]
    del state["row"]["reachable_time"]
    return state


def assert_true(program: Program) -> None:
    """The file ends with what `publisher snapshot` reads now, and that is what `ip` says."""
    assert states_in(program.events) == program.snapshot()
    assert_as_ip_says(program)


def assert_as_ip_says(program: Program) -> None:
    """The file ends with what `ip` says now."""
    told = {link["ifname"]: link for link in json.loads(program.netns.run("ip -j addr"))}
    families = {(row["interface"]["alias"], row["row"]["family"]): row for row in states_in(program.events).values()}
    assert {name for name, _ in families} == set(told)
    for (name, family), row in families.items():
        link = told[name]
        assert (row["interface"]["mtu"], row["row"]["interface_index"]) == (link["mtu"], link["ifindex"])
        assert row["interface"]["admin_status"] == ("up" if "UP" in link["flags"] else "down")
        addresses = {(entry["local"], entry["prefixlen"]) for entry in link["addr_info"] if entry["family"] == family}
        assert {(entry["address"], entry["prefix_length"]) for entry in row["addresses"]} == addresses


def journal_events(journal: Path) -> dict[int, bytes]:
    """Every event that the journal has, by seq, as it was written."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        return dict(connection.execute("SELECT seq, data FROM events ORDER BY seq"))


class Changes:
    """Changes MTUs, each one another than before, as `ip link set` does, but thousands a second."""

    links = ("f0", "f1", "f2", "f3")

    def __init__(self, netns: NetNs) -> None:
        self._socket = netns.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        self._count = 0

    def make(self, number: int) -> None:
        """So many, round and round the links."""
        if sys.platform == "win32":
            raise OSError("fcntl is POSIX's")
        import fcntl

        for _ in range(number):
            self._count += 1
            name, mtu = self.links[self._count % len(self.links)], 1300 + self._count // len(self.links) % 1000
            fcntl.ioctl(self._socket, _SIOCSIFMTU, struct.pack("16si12x", name.encode(), mtu))

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """A few hundred a second meanwhile."""
        stop = threading.Event()

        def stream() -> None:
            while not stop.wait(0.003):
                self.make(1)

        thread = threading.Thread(target=stream)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def close(self) -> None:
        self._socket.close()


def both(kind: str, alias: str, *members: str) -> list[Told]:
    """What `told` says of a change that is one event in each family."""
    return [(kind, alias, "inet", set(members)), (kind, alias, "inet6", set(members))]
