"""A hostile reader, publisher, webhook server and plugin: the events of everyone else arrive, in order and in time.

Calm and hostile phases take turns in one run, and their latencies are compared with each other. The short form is a
part of `make test-once`; `make test-hostile` runs each for five minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import pytest

from publisher.events import Event
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.program import Program
from tests.fixtures.webhook_server import receiving
from tests.hostile import plugin
from tests.hostile.measure import LINK, Arrivals, Changes, File, Hook, Latencies, Subscriber, Toggle
from tests.hostile.server import Server

if sys.platform != "linux":
    pytest.skip("only Linux has network namespaces", allow_module_level=True)

SHORT = 4.0
PHASES_OF_A_SHORT, PHASES_OF_A_LONG = 3, 15
# A short run goes on so long for one phase of each kind in which the machine was free.
MOST_PHASES_OF_A_SHORT = 12
# Of a short run, the slowest of some hundred events is what the machine did at that moment.
SHORT_SHARE, SHORT_RATIO = 0.9, 20.0
LONG_SHARE, LONG_RATIO = 0.99, 3.0
EVERY = 0.05
# Quicker than this is no matter of a ratio.
_LEAST_MS = 10.0


class Host:
    """A service with a file, a broker and a webhook as healthy sinks, and their readers."""

    def __init__(self, netns: NetNs, folder: Path, around: ExitStack) -> None:
        self._netns = netns
        netns.ip("link set lo up", "link add mark type ifb")
        broker_folder = folder / "broker"
        broker_folder.mkdir()
        acl = broker_folder / "acl"
        # Anybody may do anything, but the publisher's own account: only what it needs.
        acl.write_text(
            "topic readwrite #\nuser nas\ntopic readwrite interfaces/#\ntopic readwrite homeassistant/#\n",
        )
        lines = (f"acl_file {acl}", "max_packet_size 300000")
        self.broker = around.enter_context(Mosquitto(broker_folder, *lines))
        self.hook = Hook()
        good = around.enter_context(receiving(always=self.hook))
        self.server = Server()
        bad = around.enter_context(receiving(always=self.server))
        sinks = [
            f'[sinks.home]\ntype = "mqtt"\nurl = "mqtt://nas@127.0.0.1:{self.broker.port}"\nprotocol = "5"',
            f'[sinks.hook]\ntype = "webhook"\nurl = "{good.url}"',
            f'[sinks.bad]\ntype = "webhook"\nurl = "{bad.url}"\ntimeout = 1.0',
            *(f'[sinks.{name}]\ntype = "{name}"' for name in ("raises", "hangs", "consumes", "asks")),
        ]
        plugin.install(folder / "site")
        self.program = Program(netns, folder / "it", *sinks)
        self.program.environment["PYTHONPATH"] = f"{folder / 'site'}:{self.program.environment.get('PYTHONPATH', '')}"
        around.enter_context(self.program.running())
        self.changes = Changes()
        around.callback(self.changes.close)
        self.file = File(self.program.output)
        around.callback(self.file.close)
        epoch = self.program.events[0].epoch
        self.subscriber = Subscriber(self.broker.port, epoch)
        around.callback(self.subscriber.close)
        self.sinks: dict[str, Arrivals] = {"file": self.file, "mqtt": self.subscriber, "webhook": self.hook}
        # The first changes find everything open.
        wait_for(self._all_open, what="all sinks are open")
        self.phase(0.5)

    def _all_open(self) -> bool:
        self.changes.make(0.001, EVERY)
        return all(arrivals.ids for arrivals in self.sinks.values())

    def phase(self, seconds: float) -> list[tuple[int, float]]:
        """Makes changes for so many seconds; returns them when their events have arrived everywhere."""
        made = list(self.changes.make(seconds, EVERY))
        last = made[-1][0]
        for name, arrivals in self.sinks.items():
            wait_for(
                partial(has_both, arrivals, last),
                timeout=60 + seconds,
                what=f"the last change at {name}; the log: {self.program.log()[-3000:]}",
            )
        return made


def has_both(arrivals: Arrivals, mtu: int) -> bool:
    """Returns whether the events of a change have arrived."""
    return (mtu, "inet") in arrivals.moments and (mtu, "inet6") in arrivals.moments


def client(kind: str) -> Callable[[Host], Toggle]:
    """Returns a hostile client of the broker, as a process that runs in the hostile phases."""

    def of(host: Host) -> Toggle:
        running: list[subprocess.Popen[bytes]] = []

        def toggle(hostile: bool) -> None:
            if hostile:
                command = [sys.executable, "-m", "tests.hostile.clients", kind, str(host.broker.port)]
                process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
                running.append(process)
                assert process.stdout
                assert process.stdout.readline() == b"connected\n"
            while not hostile and running:
                with running.pop() as process:
                    process.kill()

        return toggle

    return of


def server(host: Host) -> Toggle:
    """Returns the hostile webhook server."""

    def toggle(hostile: bool) -> None:
        host.server.hostile = hostile

    return toggle


def plugins(host: Host) -> Toggle:
    """Returns the hostile plugin, whose sinks misbehave while there is a file."""
    flag = host.program.folder / "hostile"

    def toggle(hostile: bool) -> None:
        if hostile:
            flag.touch()
        else:
            flag.unlink(missing_ok=True)

    return toggle


HOSTILE: dict[str, Callable[[Host], Toggle]] = {
    "reader": client("reader"),
    "publisher": client("publisher"),
    "server": server,
    "plugin": plugins,
}


@contextmanager
def turned(toggle: Toggle, hostile: bool) -> Iterator[None]:
    toggle(hostile)
    try:
        yield
    finally:
        toggle(False)


@pytest.mark.parametrize("who", HOSTILE)
def test_everyone_else_gets_everything_in_order_and_in_time(
    who: str, inside_netns: NetNs, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seconds = float(request.config.getoption("--hostile-seconds"))
    long = seconds > SHORT
    latencies = {name: Latencies() for name in ("file", "mqtt", "webhook")}
    phases = PHASES_OF_A_LONG if long else PHASES_OF_A_SHORT
    most_phases = phases if long else MOST_PHASES_OF_A_SHORT
    with ExitStack() as around:
        host = Host(inside_netns, tmp_path, around)
        toggle = HOSTILE[who](host)
        for done in range(most_phases):
            if done >= phases and not late_ones(latencies, long=long):
                break
            for hostile in (False, True):
                with turned(toggle, hostile):
                    # Of a long run, most of the time is hostile.
                    made = host.phase(seconds / phases * (1.0 if hostile or not long else 0.3))
                for name, arrivals in host.sinks.items():
                    latencies[name].add(hostile, made, arrivals)
        events = [event for event in host.program.events if event.snapshot is None and is_about_mark(event)]
        mtus = [event.interface.mtu for event in events if event.interface and event.family == "inet"]
        assert mtus == [mtu for mtu, _ in host.changes.made]
        for name, arrivals in host.sinks.items():
            ids, order = list(arrivals.ids), [event.id for event in events]
            assert ids == order[order.index(ids[0]) :], name
    share = LONG_SHARE if long else SHORT_SHARE
    figures = {name: figures_of(found, long=long) for name, found in latencies.items()}
    sys.stdout.write(json.dumps({"who": who, "seconds": seconds, "share": share, "ms calm, hostile": figures}) + "\n")
    assert not late_ones(latencies, long=long), figures


def figures_of(latencies: Latencies, *, long: bool) -> tuple[float, float]:
    """Returns the milliseconds within which most events of a sink arrived, in calm phases and in hostile ones."""
    share, of_phases = (LONG_SHARE, median) if long else (SHORT_SHARE, min)
    calm, hostile = (round(latencies.quantile(hostile, share, of_phases) * 1000, 1) for hostile in (False, True))
    return calm, hostile


def late_ones(latencies: Mapping[str, Latencies], *, long: bool) -> list[str]:
    """Returns the sinks whose events arrived much later beside the hostile one."""
    most = LONG_RATIO if long else SHORT_RATIO
    figures = ((name, *figures_of(found, long=long)) for name, found in latencies.items())
    return [name for name, calm, hostile in figures if hostile > most * max(calm, _LEAST_MS)]


def is_about_mark(event: Event) -> bool:
    """Returns whether the event is a change of the interface, and not its beginning."""
    return event.interface is not None and event.interface.alias == LINK and "interface.mtu" in event.changed
