"""`publisher history` beside a real service in a network namespace, which is killed and started again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.fixtures.command_server import COMMAND, run_command
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.program import Program
from tests.fixtures.still_links import add_still_pair, is_up
from tests.integration.test_whole_program import as_nobody

if sys.platform == "win32":
    pytest.skip("only Linux has network namespaces", allow_module_level=True)

AWAY = 3


def history(program: Program, *arguments: str) -> dict[str, Any]:
    done = run_command(program.netns, ["history", *arguments, "--json"], program.folder, program.environment)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def texts(found: dict[str, Any]) -> list[str]:
    return [change["text"] for change in found["changes"]]


def wait_for_both(program: Program, kind: str, seen: int = 0) -> None:
    """Waits until the running program has reported this of both families, after so many events."""

    def reported() -> bool:
        return {event.family for event in program.events[seen:] if kind in event.kinds} == {"inet", "inet6"}

    program.wait(reported, kind)


def set_link(program: Program, peer: str, *states: str) -> None:
    """Takes the peer of the link down and up; waits until the running program has reported each state."""
    for state in states:
        seen = len(program.events)
        program.netns.ip(f"link set {peer} {state}")
        wait_for_both(program, f"link_{state}", seen)


@pytest.fixture
def program(netns: NetNs, tmp_path: Path) -> Program:
    netns.ip("link set lo up")
    add_still_pair(netns, "wan0", "far0")
    return Program(netns, tmp_path / "it", '[filter]\ninclude = ["wan*", "vpn*"]')


def test_history_goes_over_restarts_and_counts_flaps_while_the_publisher_was_away(program: Program) -> None:
    with program.running(kill=True):
        set_link(program, "far0", "down", "up")
    for _ in range(AWAY):
        program.netns.ip("link set far0 down")
        program.netns.ip("link set far0 up")
    wait_for(lambda: is_up(program.netns, "wan0"), what="the last state: else it is a change of its own")
    with program.running():
        program.wait(lambda: any(event.cause == "startup" for event in program.events), "the changes while away")
        set_link(program, "far0", "down")
        found = history(program, "wan0")
        assert found["running"]
        down, away, again = [change["text"] for change in found["changes"] if "link_down" in change["kinds"]]
        assert down == again == "wan0 down, was 10 Gbit/s"
        assert away.startswith(f"wan0 flapped {AWAY} times")
        assert away.endswith(" (while publisher was away)")
        [first, *_, last] = [change for change in found["changes"] if "link_down" in change["kinds"]]
        assert (first["lasts"], len(first["events"])) == (False, 2)
        assert (last["lasts"], last["lasted_seconds"] < 60) == (True, True)
        [wan0] = found["interfaces"]
        assert (wan0["flaps"], wan0["state"], wan0["seconds_down"] > 0) == (2 + AWAY, "down", True)
        set_link(program, "far0", "up")
        program.netns.ip("link set wan0 name vpn0")
        wait_for_both(program, "renamed")
        assert texts(history(program, "wan0")) == texts(history(program, "vpn*"))
        program.netns.ip("link del vpn0")
        wait_for_both(program, "removed")
    gone = history(program, "wan0")
    assert texts(gone)[-1] == "vpn0 removed"
    assert (gone["running"], gone["interfaces"][0]["state"]) == (False, "gone")
    assert gone["interfaces"][0]["other_names"] == ["wan0"]
    seqs = [event["seq"] for change in history(program)["changes"] for event in change["events"]]
    assert sorted(seqs) == [*range(1, gone["last"]["seq"] + 1)]


def test_another_user_who_may_read_the_files_sees_what_the_service_writes(netns: NetNs) -> None:
    netns.ip("link add vpn0 type ifb")
    # Not below tmp_path, which only the tests' user may enter.
    with TemporaryDirectory() as name:
        program = Program(netns, Path(name) / "it", '[filter]\ninclude = ["vpn*"]')
        with program.running():
            netns.ip("link set vpn0 mtu 1400")
            program.wait(lambda: any("mtu_changed" in event.kinds for event in program.events), "the change")
            for path in (Path(name), *Path(name).rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
            before = {path: path.stat().st_mtime_ns for path in program.data.iterdir() if path.suffix == ".sqlite3"}
            command = [*as_nobody(), *COMMAND, "history", "--json"]
            found = json.loads(netns.run(command, cwd=program.folder, env=program.environment))
            assert (found["running"], "mtu_changed" in found["changes"][-1]["kinds"]) == (True, True)
            assert before == {path: path.stat().st_mtime_ns for path in before}
