"""Flaps of a real link through `only` and `settle`: few events, all of them counted, the last one right."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from publisher.events import Event, Key
from tests.fixtures.netns import NetNs
from tests.fixtures.program import Program

if sys.platform == "win32":
    pytest.skip("only Linux has network namespaces", allow_module_level=True)


class Flapping:
    """A link that goes down and up, a whole file beside one in which its changes settle."""

    def __init__(self, netns: NetNs, folder: Path, *settle: str) -> None:
        netns.ip("link add flap type ifb", "link add other type ifb")
        for name in ("flap", "other"):
            netns.sysctl(f"net/ipv6/conf/{name}/addr_gen_mode", 1)  # its addresses would come and go, too
        netns.ip("link set flap up")
        self.netns = netns
        calm = ['[sinks.calm]\ntype = "file"\npath = "data/calm.jsonl"', *(f'settle = "{each}"' for each in settle)]
        self.program = Program(netns, folder, *calm, 'only = { interfaces = ["fl*"] }')
        self.changes = 0

    def flap(self, times: int, pause: float) -> None:
        """Changes the link's state so often, and the other link's as well."""
        for _ in range(times):
            self.changes += 1
            state = "down" if self.changes % 2 else "up"
            self.netns.ip(f"link set flap {state}", f"link set other {state}")
            # The rate is what is tested.
            time.sleep(pause)

    @property
    def all(self) -> list[Event]:
        """The events of the link in the whole file."""
        return [event for event in self.program.events if event.interface and event.interface.alias == "flap"]

    @property
    def calm(self) -> list[Event]:
        """Every event of the other file."""
        path = self.program.data / "calm.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        return [Event.from_json(line.strip()) for line in lines if line.endswith(b"\n")]

    def has_begun(self) -> bool:
        """Returns whether the journal knows that the other file has its snapshot."""
        with closing(sqlite3.connect(f"file:{self.program.journal}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT position FROM positions WHERE sink = 'calm'").fetchone()
        return found is not None and json.loads(found[0])["state"] == "tail"

    def has_the_last(self) -> bool:
        """Returns whether all changes are in the whole file, and their last event of each family in the other one."""
        last = {event.key: event.seq for event in self.all if event.snapshot is None}
        enough = Counter(event.family for event in self.all if event.snapshot is None)
        there = {event.key: event.seq for event in self.calm}
        return min(enough.values(), default=0) >= self.changes and all(there.get(key) == last[key] for key in last)


@pytest.fixture
def flapping(netns: NetNs, tmp_path: Path) -> Flapping:
    return Flapping(netns, tmp_path / "it", "1s")


def counts(events: list[Event]) -> Counter[Key]:
    """The number of events that these stand for, of each row."""
    count: Counter[Key] = Counter()
    for event in events:
        if event.key and event.snapshot is None:
            count[event.key] += event.settled.count if event.settled else 1
    return count


def assert_settled(flapping: Flapping, most: int) -> None:
    """Fails unless at most so many events of each family stand for all, and the last ones are as the link is."""
    calm = [event for event in flapping.calm if event.snapshot is None]
    assert max(Counter(event.key for event in calm).values()) <= most
    assert counts(flapping.calm) == counts(flapping.all), "none is missing, and none counted twice"
    assert set(counts(flapping.all).values()) == {flapping.changes}
    rows = {event.key: event.ip_interface_json for event in flapping.all}
    assert {event.key: event.ip_interface_json for event in calm} == rows
    assert [event.seq for event in calm] == sorted({event.seq for event in calm})
    assert {event.interface.alias for event in flapping.calm if event.interface} == {"flap"}


def test_a_storm_of_flaps_is_few_events_that_count_all_of_them(flapping: Flapping) -> None:
    with flapping.program.running():
        began = time.monotonic()
        flapping.flap(120, 0.02)
        seconds = time.monotonic() - began
        flapping.program.wait(flapping.has_the_last, "the last state, when it has settled")
    assert_settled(flapping, most=int(seconds) + 2)


def test_a_stop_delivers_what_settles(netns: NetNs, tmp_path: Path) -> None:
    flapping = Flapping(netns, tmp_path / "it", "10m")
    with flapping.program.running():
        flapping.flap(9, 0.0)
        flapping.program.wait(lambda: set(counts(flapping.all).values()) == {9}, "the events in the whole file")
    assert_settled(flapping, most=1)


def test_a_kill_loses_nothing_that_settles(flapping: Flapping) -> None:
    """The publisher misses what happens while it is down; what it journaled is in the other file, too."""
    for _ in range(4):
        before = len(flapping.all)
        flapping.program.start()
        flapping.program.wait(lambda: flapping.program.size > 0, "the first events")
        flapping.flap(15, 0.03)

        def has_some(before: int = before) -> bool:
            """Flaps on until some are seen: all may have been made before the publisher listened."""
            flapping.flap(2, 0.03)
            return len(flapping.all) > before

        flapping.program.wait(has_some, "some of them")
        flapping.program.end(signal.SIGKILL)
    # Whatever state of the link it has journaled, this is news at the start.
    flapping.netns.ip("link set flap mtu 1400")
    with flapping.program.running():
        flapping.flap(2, 0.0)
        flapping.program.wait(lambda: last_seqs(flapping.calm) == last_seqs(flapping.all), "the last state")
    stood_for = {
        (event.key, raw.seq)
        for event in flapping.calm
        for raw in flapping.all
        if raw.key == event.key and (event.settled.first if event.settled else event.seq) <= raw.seq <= event.seq
    }
    begun = flapping.calm[0].seq
    missing = {(raw.key, raw.seq) for raw in flapping.all if raw.snapshot is None and raw.seq > begun} - stood_for
    assert not missing


def test_a_file_with_a_filter_has_each_line_once_over_kills(netns: NetNs, tmp_path: Path) -> None:
    """Its last event is behind the position, which passes what is filtered out: no line is missing or there twice."""
    flapping = Flapping(netns, tmp_path / "it")
    for number in range(4):
        size = flapping.program.size
        flapping.program.start()
        flapping.program.wait(lambda: flapping.program.size > size, "the first events")  # noqa: B023 - called at once
        flapping.program.wait(flapping.has_begun, "the place after its snapshot: before that a kill repeats it")
        flapping.flap(10, 0.03)
        flapping.program.wait(lambda: last_seqs(flapping.calm) == last_seqs(flapping.all), "these changes")
        flapping.program.end(signal.SIGKILL)
        netns.ip(*(f"link set other mtu {mtu}" for mtu in range(1300, 1340)), f"link set other mtu {1400 + number}")
        flapping.flap(1, 0.0)
    with flapping.program.running():
        flapping.program.wait(lambda: last_seqs(flapping.calm) == last_seqs(flapping.all), "the last state")
    [begun, *_] = flapping.calm
    wanted = [event.id for event in flapping.all if event.snapshot is None and event.seq > begun.seq]
    assert [event.id for event in flapping.calm if event.snapshot is None] == wanted
    assert len([event for event in flapping.calm if event.is_marker]) == 1, "no other snapshot than the first"


def last_seqs(events: list[Event]) -> dict[Key | None, int]:
    """The newest seq of each row, of one that had an event."""
    return {event.key: event.seq for event in events if event.snapshot is None}
