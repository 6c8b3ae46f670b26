"""The real `publisher run` with a file sink over the real kernel, as a user starts it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from publisher.events import Event, Snapshot
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.command_server import COMMAND
from tests.fixtures.linux_source import summary
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.program import Program, Told, assert_true, both
from tests.fixtures.requirements import need, unable
from tests.fixtures.still_links import add_still_pair, is_up

if sys.platform == "win32":
    pytest.skip("only Linux has network namespaces", allow_module_level=True)


def test_what_changed_while_it_was_down_is_told_at_start(netns: NetNs, tmp_path: Path) -> None:
    netns.ip(*(f"link add {name} type ifb" for name in ("changed", "renamed", "deleted", "silent")))
    program = Program(netns, tmp_path / "it")
    with program.running():
        pass
    before = len(program.events)
    netns.ip(
        "link set changed mtu 1400",
        "addr add 192.0.2.1/24 dev changed",
        "link set renamed name another",
        "link del deleted",
        "link add added type ifb",
    )
    netns.sysctl("net/ipv6/conf/silent/forwarding", 1)
    with program.running():
        program.wait(lambda: len(program.events) - before >= 11, "what happened meanwhile")
    events = program.events[before:]
    assert {event.cause for event in events} == {"startup"}
    mtu = ("row.nl_mtu", "interface.mtu")
    assert in_order(map(summary, events)) == in_order(
        [
            ("parameter_notification", "changed", "inet", {*mtu, "addresses.192.0.2.1/24"}),
            ("parameter_notification", "changed", "inet6", set(mtu)),
            # An interface without a permanent hardware address is known by its name and kind.
            *both("delete_instance", "renamed"),
            *both("add_instance", "another"),
            *both("delete_instance", "deleted"),
            *both("add_instance", "added"),
            # Not `router_discovery_behavior`: a link without multicast solicits no router anyway.
            ("parameter_notification", "silent", "inet6", {"row.forwarding_enabled"}),
        ]
    )
    assert_true(program)


def test_a_link_that_flapped_while_it_was_killed_says_so_in_its_first_event(netns: NetNs, tmp_path: Path) -> None:
    add_still_pair(netns)
    program = Program(netns, tmp_path / "it")
    with program.running(kill=True):
        program.wait(lambda: has_whole_snapshot(program), "the rows that the second run compares with")
    before = len(program.events)
    for _ in range(7):
        netns.ip("link set v1 down", "link set v1 up")
    wait_for(lambda: is_up(netns, "v0"))

    def told() -> list[Event]:
        changes = [event for event in program.events[before:] if event.snapshot is None]  # it may come once more
        return [event for event in changes if event.interface and event.interface.alias == "v0"]

    with program.running():
        program.wait(lambda: len(told()) == 2, "the flaps of v0")
    assert [(event.family, event.cause, event.kinds) for event in told()] == [
        (family, "startup", ("link_up", "link_down")) for family in ("inet", "inet6")
    ]
    for event in told():
        change = event.changed["interface.carrier_transitions"]
        assert change.after - change.before == 14
        assert event.text() == "v0 flapped 7 times (while publisher was away)"


def has_whole_snapshot(program: Program) -> bool:
    return any(event.snapshot and event.snapshot.position == event.snapshot.count for event in program.events)


def in_order(summaries: Iterable[Told]) -> list[Told]:
    return sorted(summaries, key=lambda event: event[:3])


def test_each_change_of_a_veth_is_the_events_that_one_would_say_aloud(netns: NetNs, tmp_path: Path) -> None:
    netns.veth(up=False)
    for name in ("v0", "v1"):
        netns.sysctl(f"net/ipv6/conf/{name}/addr_gen_mode", 1)  # no link-local address, no duplicate address detection
    netns.ip("link add mark type ifb")
    program = Program(netns, tmp_path / "it")
    changed = "parameter_notification"
    with program.running():
        aloud = Aloud(program)
        aloud.says("link set v0 mtu 1400", both(changed, "v0", "row.nl_mtu", "interface.mtu"))
        aloud.becomes("link set v0 up", v0=["lower_layer_down"])
        # Its carrier is there at once; the kernel reports in another message that it is up (net/core/link_watch.c).
        aloud.becomes("link set v1 up", v0=["up"], v1=["lower_layer_down", "up"])
        aloud.becomes("link set v1 down", v0=["lower_layer_down"], v1=["down"])
        aloud.becomes("link set v0 down", v0=["down"])
        aloud.says("link set v0 name w0", both(changed, "w0", "interface.alias"))
        for verb in ("add", "del"):
            aloud.says(f"addr {verb} 192.0.2.1/24 dev w0", [(changed, "w0", "inet", {"addresses.192.0.2.1/24"})])
        netns.sysctl("net/ipv4/conf/w0/forwarding", 1)
        aloud.says("", [(changed, "w0", "inet", {"row.forwarding_enabled"})])
        aloud.says("link del w0", [*both("delete_instance", "w0"), *both("delete_instance", "v1")])
    assert_true(program)


def is_last(place: Snapshot | None) -> bool:
    """Returns whether no further row of a snapshot follows."""
    return place is None or place.position == place.count


class Aloud:
    """A comparison of the events of one `ip` command with the expected ones."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._mtu = 1400
        program.wait(lambda: is_last(program.events[-1].snapshot), "the end of the first rows")
        self._before = len(program.events)

    def says(self, line: str, expected: list[Told]) -> None:
        """Checks that the command leads to exactly these events, in this order."""
        assert list(map(summary, self._events(line, len(expected)))) == expected

    def becomes(self, line: str, **expected: list[str]) -> None:
        """Checks that the command leads to one event in each family for each of these states in turn."""
        events = self._events(line, 2 * sum(map(len, expected.values())))
        for family in ("inet", "inet6"):
            said: dict[str, list[str]] = {}
            for event in events:
                if event.interface and event.family == family:
                    after = event.changed["interface.oper_status"].after
                    said.setdefault(event.interface.alias, []).append(str(after))
            assert said == expected

    def _events(self, line: str, expected: int) -> list[Event]:
        """Runs the command, waits for that number of events and for a mark; returns all events before the mark."""
        if line:
            self._program.netns.ip(line)
        self._program.wait(lambda: len(self._new()) >= expected, f"{expected} events of {line}")
        self._mtu += 1
        self._program.mark(self._mtu)
        events = self._new()
        self._before += len(events)
        return [event for event in events if event.interface and event.interface.alias != "mark"]

    def _new(self) -> list[Event]:
        return self._program.events[self._before :]


def as_nobody() -> list[str]:
    """Returns the beginning of a command that runs as an ordinary user: nobody, or the tests' own user."""
    need("setpriv", package="util-linux")
    if os.geteuid() == 0:
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        if subprocess.run([*nobody, *COMMAND, "--version"], check=False, capture_output=True, cwd="/").returncode:
            unable(f"nobody may not run {sys.executable}: put Python and this folder where others may read them")
        return nobody
    return ["setpriv", "--inh-caps=-all", "--ambient-caps=-all"]


def test_an_ordinary_user_may_run_it(netns: NetNs) -> None:
    netns.ip("link add mark type ifb")
    # Not below tmp_path, which only the tests' user may enter.
    with TemporaryDirectory() as name:
        program = Program(netns, Path(name), command=[*as_nobody(), *COMMAND])
        for folder in (program.folder, program.data):
            if os.geteuid() == 0:
                os.chown(folder, 65534, 65534)
        with program.running() as process:
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert "CapEff:\t0000000000000000" in status
            program.mark(1400)
            netns.sysctl("net/ipv4/conf/mark/forwarding", 1)
            program.wait(
                lambda: any("row.forwarding_enabled" in event.changed for event in program.events), "the change"
            )
        assert_true(program)
        assert "warning" not in program.log(), program.log()


@pytest.mark.parametrize("broker", ["embedded", "there"])
def test_a_first_run_says_how_to_subscribe_and_that_works(netns: NetNs, tmp_path: Path, broker: str) -> None:
    need("mosquitto_sub", package="mosquitto-clients")
    netns.ip("link set lo up")
    program = Program(netns, tmp_path / "it")
    (program.folder / "publisher.toml").unlink()
    with contextlib.ExitStack() as around:
        if broker == "there":
            around.enter_context(there_on_1883(netns, tmp_path))
        elif find_spec("iotcore") is None:
            unable("iotcore has no wheel for this system")
        around.callback(program.end)
        program.start()
        program.wait(lambda: "Subscribe:" in program.log(), "how to subscribe")
        assert ("the MQTT broker that listens on" in program.log()) == (broker == "there")
        [line] = [line for line in program.log().splitlines() if line.startswith("Subscribe:")]
        topic, _, payload = first_heard(netns, shlex.split(line.removeprefix("Subscribe:")), "/inet/state ").partition(
            " "
        )
    assert topic.startswith("interfaces/")
    state = json.loads(payload)
    assert (state["interface"]["alias"], state["addresses"][0]["address"]) == ("lo", "127.0.0.1")


def first_heard(netns: NetNs, subscribe: list[str], wanted: str) -> str:
    """Returns the first line of the command's output that contains `wanted`."""
    with netns.popen(subscribe, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            return next(str(line) for line in process.stdout if wanted in line)
        finally:
            process.kill()


@contextlib.contextmanager
def there_on_1883(netns: NetNs, folder: Path) -> Iterator[None]:
    """Runs a mosquitto on port 1883."""
    broker = Mosquitto(folder)
    broker.port = 1883
    netns.call(broker.start)
    try:
        yield
    finally:
        broker.kill()
