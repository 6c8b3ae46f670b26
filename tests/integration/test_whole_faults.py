"""The whole program killed, flooded and on a full disk: no loss goes unmarked."""

from __future__ import annotations

import contextlib
import sys
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults import small_disk
from tests.fixtures.command_server import COMMAND
from tests.fixtures.linux_source import summary
from tests.fixtures.netns import NetNs
from tests.fixtures.program import (
    Changes,
    Program,
    assert_as_ip_says,
    assert_true,
    both,
    journal_events,
    kill_under_changes,
)

if sys.platform == "win32":
    pytest.skip("Windows has neither network namespaces nor SIGKILL", allow_module_level=True)


@pytest.fixture
def changes(netns: NetNs) -> Iterator[Changes]:
    netns.ip(*(f"link add {name} type ifb" for name in (*Changes.links, "mark")))
    with contextlib.closing(Changes(netns)) as changes:
        yield changes


@pytest.mark.timeout(1500)  # with --many 204 starts, each of which a busy machine can make ten times as long
def test_kills_under_a_stream_of_changes_lose_nothing(
    netns: NetNs, changes: Changes, tmp_path: Path, count: Callable[[int], int]
) -> None:
    kills = count(200)
    programs = [Program(netns, tmp_path / str(number)) for number in range(2)]
    kill_under_changes(programs, partial(changes.make, 1), 0.003, kills // 2)
    for program in programs:
        with program.running():
            program.mark(1500)
        assert_true(program)
        assert_each_once(program, least=10 * kills)


def assert_each_once(program: Program, least: int) -> None:
    """Checks that the file has the journal's events, all and in order, and besides them only snapshots."""
    journal = journal_events(program.journal)
    assert list(journal) == list(range(1, len(journal) + 1))
    assert len(journal) > least
    delivered = [event for event in program.events if event.snapshot is None]
    assert [event.seq for event in delivered] == list(journal)
    assert [event.json_bytes for event in delivered] == list(journal.values())
    assert len({event.epoch for event in program.events}) == 1


def test_a_flood_into_a_tiny_buffer_is_marked_and_survived(netns: NetNs, changes: Changes, tmp_path: Path) -> None:
    program = Program(netns, tmp_path / "it", "receive_buffer = 4096")
    with program.running() as process:
        changes.make(20_000)
        netns.ip("link set f0 up", "link del f3", "link add last type bridge")
        program.mark(1400)
        program.wait(lambda: any(event.cause == "overrun" for event in program.events), "a loss that is marked")
        assert process.poll() is None
        # After the loss it follows every change again.
        before = len(program.events)
        netns.ip("link set f1 mtu 1290")
        after = [summary(event) for event in program.mark(1401)[before:] if event.snapshot is None]
        changed = {(kind, alias, family, member) for kind, alias, family, members in after for member in members}
        expected = both("parameter_notification", "f1", "row.nl_mtu", "interface.mtu")
        # What follows the loss can be read just between the kernel's changes of the link's MTU and of IPv6's.
        assert {one for one in changed if one[1] == "f1"} == {
            (kind, alias, family, member) for kind, alias, family, members in expected for member in members
        }
        # While it runs: what was lost since the last read is read once more.
        assert_true(program)


def test_a_full_disk_is_reported_survived_and_healed_by_a_marked_resync(
    netns: NetNs, changes: Changes, tmp_path: Path
) -> None:
    netns.ip("link set lo up")
    folder = tmp_path / "it"
    command = [*small_disk(folder / "data", "64m"), *COMMAND]
    program = Program(netns, folder, 'metrics.address = "127.0.0.1:9464"', command=command)
    process = program.start()
    program.data = Path(f"/proc/{process.pid}/root{program.data}")
    try:
        program.mark(1400)
        fill(program.data / "filler")
        changes.make(2000)
        program.wait(lambda: metrics(netns)["publisher_trouble"] == 1, "the trouble in the metrics")
        program.wait(lambda: metrics(netns)["publisher_dropped_total"] > 0, "the count of lost updates")
        program.wait(lambda: "the journal takes nothing" in program.log(), "the trouble in the log")
        (program.data / "filler").unlink()
        changes.make(10)
        program.wait(lambda: metrics(netns)["publisher_trouble"] == 0, "the end of the trouble")
        program.mark(1401)
        delivered = [event.seq for event in program.events if event.snapshot is None]
        assert delivered == list(range(1, int(metrics(netns)["publisher_events_total"]) + 1))
        assert any(event.snapshot and event.cause == "overrun" for event in program.events), "the loss is marked"
        assert_as_ip_says(program)
        program.end()
    finally:
        process.kill()
        process.wait()


def fill(path: Path) -> None:
    """Fills the disk to the last byte."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 16)):
            pass


def metrics(netns: NetNs) -> dict[str, float]:
    """Returns the metrics without labels."""
    with netns.call(urllib.request.urlopen, "http://127.0.0.1:9464/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}
