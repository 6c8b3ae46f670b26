"""`publisher forget`: each test runs the real command, with a plugin whose sink keeps files for later readers."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from publisher.config.locations import Locations
from publisher.journal.migrations import VERSION
from publisher.nodes import node_from
from tests.fixtures.command import FILE_SINK, Publisher
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("a reload is SIGHUP", allow_module_level=True)

NODE = node_from(Locations.of_this_process().hostname)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def shelf(publisher: Publisher) -> Path:
    """Installs this plugin for the command; returns the folder of its sink."""
    info = publisher.folder / "plugins" / "shelf-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[publisher]\nshelf = tests.fixtures.shelf\n")
    publisher.environment["PYTHONPATH"] = f"{info.parent}:{ROOT}"
    return publisher.folder / "shelf"


def sinks(shelf: Path, **options: str) -> str:
    return "\n".join([FILE_SINK, "[sinks.home]", 'type = "shelf"', f'path = "{shelf}"'] + [
        f'{name} = "{value}"' for name, value in options.items()
    ])  # fmt: skip


def kept(shelf: Path) -> list[str]:
    return sorted(str(path.relative_to(shelf)) for path in shelf.rglob("*-inet*"))


def filled(publisher: Publisher, shelf: Path, **options: str) -> None:
    publisher.configure(sinks(shelf, **options))
    publisher("run")
    assert len(kept(shelf)) == 3


def test_a_configured_sink_is_emptied_when_no_service_runs_and_filled_again_at_the_next_start(
    publisher: Publisher, shelf: Path
) -> None:
    filled(publisher, shelf)
    assert publisher("forget", "home").stdout == f"home: {shelf}/rows/{NODE}: emptied\n"
    assert kept(shelf) == []
    assert "no sink 'home' left anything" in publisher("forget", "home", status=2).stderr
    assert "there is nothing to empty" in publisher("forget").stderr
    publisher("run")
    assert len(kept(shelf)) == 3


def test_without_a_name_it_lists_what_there_is_and_empties_nothing(publisher: Publisher, shelf: Path) -> None:
    filled(publisher, shelf, base="old")
    (shelf / "locked").touch()
    publisher.configure(sinks(shelf, base="new").replace("sinks.home", "sinks.attic"))
    publisher("run")
    before = publisher.journal.read_bytes()
    assert publisher("forget").stdout.splitlines() == [
        f"attic: {shelf}/new/{NODE}: of a configured sink",
        f"home: {shelf}/old/{NODE}: left by a former configuration",
        "publisher forget NAME empties what has this name, publisher forget --all empties everything",
    ]
    assert "there is nothing to empty" in publisher("forget", "--node", "other").stderr
    assert (len(kept(shelf)), publisher.journal.read_bytes()) == (6, before)


def test_all_of_it_is_emptied_in_one_go(publisher: Publisher, shelf: Path) -> None:
    """Whoever left had to name each sink, and what had another name stayed."""
    filled(publisher, shelf, base="old")
    (shelf / "locked").touch()
    publisher.configure(sinks(shelf, base="new").replace("sinks.home", "sinks.attic"))
    publisher("run")
    assert len(kept(shelf)) == 6
    assert publisher("forget", "--all", status=1).stdout.splitlines() == [
        f"attic: {shelf}/new/{NODE}: not emptied: LockedError: it is locked",
        f"home: {shelf}/old/{NODE}: not emptied: LockedError: it is locked",
    ]
    (shelf / "locked").unlink()
    assert publisher("forget", "--all").stdout.splitlines() == [
        f"attic: {shelf}/new/{NODE}: emptied",
        f"home: {shelf}/old/{NODE}: emptied",
    ]
    assert kept(shelf) == []
    nothing = publisher("forget", "--all", status=1).stderr
    assert "there is nothing to empty, as far as the journal journal.sqlite3 knows; what another journal" in nothing
    assert "publisher forget mqtt://BROKER --node NAME" in nothing


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("home", "--all"), "--all takes no name"),
        (("--drop",), "--drop needs a name, or --all"),
        (("--all", "--password-file", "secret"), "a login is for one sink: name it"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_refused(publisher: Publisher, arguments: tuple[str, ...], reason: str) -> None:
    assert reason in publisher("forget", *arguments, status=2).stderr


def test_a_record_is_dropped_without_emptying(publisher: Publisher, shelf: Path) -> None:
    filled(publisher, shelf)
    publisher.configure(FILE_SINK)
    assert publisher("forget", "home", "--drop").stdout == f"home: forgotten, and left as it is: {shelf}/rows/{NODE}\n"
    assert len(kept(shelf)) == 3
    assert "there is nothing to empty" in publisher("forget").stderr
    publisher.configure(sinks(shelf))
    publisher("run")
    assert publisher("forget", "--all", "--drop").stdout.startswith("home: forgotten, and left as it is: ")
    assert len(kept(shelf)) == 3


def test_a_running_service_empties_what_is_left_and_says_so(
    publisher: Publisher, shelf: Path, service: Callable[..., subprocess.Popen[str]]
) -> None:
    process = service(sinks=sinks(shelf))
    wait_for(lambda: kept(shelf))
    refusal = publisher("forget", "home", status=1).stderr
    assert "is configured, and the running service would publish everything again" in refusal
    refusal = publisher("forget", "--all", status=1).stderr
    assert "would publish everything of 'home' again at once: stop it, then publisher forget --all" in refusal
    listed = publisher("forget").stdout.splitlines()
    assert listed[0] == f"home: {shelf}/rows/{NODE}: of a configured sink"
    assert "stop it before publisher forget" in listed[1]
    assert "the running service keeps" in publisher("forget", f"shelf://{shelf}", status=1).stderr
    (shelf / "locked").touch()
    publisher.configure(FILE_SINK)
    process.send_signal(signal.SIGHUP)
    line = f"home left {shelf}/rows/{NODE}, still to be emptied: LockedError: it is locked (next attempt"
    wait_for(lambda: line in publisher("status").stdout, what="the place in the status")
    assert f"home: {shelf}/rows/{NODE}: left by a former configuration" in publisher("forget").stdout
    trouble = publisher("forget", "--all", status=1).stdout
    assert f"home: {shelf}/rows/{NODE}: not emptied: LockedError: it is locked" in trouble
    (shelf / "locked").unlink()
    assert publisher("forget", "home").stdout.endswith("home: emptied\n")
    assert kept(shelf) == []
    assert "left" not in publisher("status").stdout
    assert "left nothing" in publisher("forget", "home", status=1).stderr
    assert "there is nothing to empty" in publisher("forget", "--all", status=1).stderr


@pytest.mark.parametrize("journal", ["older", "newer", "damaged", "foreign"])
def test_by_its_url_it_is_emptied_whatever_the_journal_is(publisher: Publisher, shelf: Path, journal: str) -> None:
    filled(publisher, shelf)
    match journal:
        case "older" | "newer":
            with closing(sqlite3.connect(publisher.journal)) as file:
                file.execute(f"PRAGMA user_version = {VERSION + (1 if journal == 'newer' else -1)}")
        case "damaged":
            publisher.journal.write_bytes(publisher.journal.read_bytes()[:5000])
        case _:
            publisher.journal.write_bytes(b"a diary")
    before = publisher.journal.read_bytes()
    done = publisher("forget", f"shelf://{shelf}")
    assert done.stdout == f"{shelf}/rows/{NODE}: emptied\n"
    assert "which a URL does not need" in done.stderr
    assert publisher.journal.read_bytes() == before


def test_what_no_journal_remembers_is_emptied_by_its_url(publisher: Publisher, shelf: Path) -> None:
    filled(publisher, shelf, base="lost")
    publisher.journal.unlink()
    publisher.configure(FILE_SINK)
    url = f"shelf://{shelf}"
    assert publisher("forget", url, "--base", "lost", "--node", "other").stdout == f"{shelf}/lost/other: emptied\n"
    assert len(kept(shelf)) == 3
    assert publisher("forget", url, "--base", "lost").stdout == f"{shelf}/lost/{NODE}: emptied\n"
    assert kept(shelf) == []
    assert "no plugin can empty 'ftp://x'; there are: " in publisher("forget", "ftp://x", status=2).stderr
    assert "expected" in publisher("forget", "mqtt://user:secret1@broker", status=2).stderr
