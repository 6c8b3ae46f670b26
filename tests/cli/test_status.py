"""`publisher status`, of a real service and of a journal that another version wrote."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest

from publisher.cli.deliveries import ask_for_replay
from publisher.cli.forget import Forget, forget_left
from publisher.cli.status import show_status
from publisher.config.settings import JournalSettings, Settings
from publisher.delivery.status import State
from publisher.errors import JournalError
from publisher.journal.journal import Journal
from publisher.service.status import LeftReport
from tests.fixtures.command import FILE_SINK, Publisher, posix_only
from tests.fixtures.poll import wait_for
from tests.fixtures.terminals import on_terminal

Service = Callable[..., "subprocess.Popen[str]"]
# Nothing listens on port 1 of the loopback interface.
HOOK = '[sinks.hook]\ntype = "webhook"\nurl = "http://127.0.0.1:1/"'


def status_of(publisher: Publisher) -> dict[str, Any]:
    done = publisher.run(("status", "--json"), publisher.environment)
    return dict(json.loads(done.stdout)) if done.stdout else {"sinks": {}}


def sink_state(publisher: Publisher, name: str) -> str:
    return str(status_of(publisher)["sinks"].get(name, {}).get("state", "unknown"))


def delivered(publisher: Publisher, name: str) -> int:
    return int(status_of(publisher)["sinks"].get(name, {}).get("delivered", 0))


def test_a_service_that_is_well_is_status_0(publisher: Publisher, service: Service) -> None:
    process = service()
    # The sink follows before its first batch, too.
    wait_for(lambda: delivered(publisher, "log") == 3, what="the status")
    wait_for(lambda: sink_state(publisher, "log") == "following", what="the status")
    first, second, heading, row = publisher("status").stdout.splitlines()
    assert re.fullmatch(
        rf"publisher 0\.1\.0 on \S+: runs for \d+ s \(process {process.pid}, since .*\), 0 events", first
    )
    assert second == f"journal {publisher.journal.name}: fine"
    assert re.split(r"  +", heading) == ["Sink", "State", "Behind", "Delivered", "Last delivery"]
    assert re.fullmatch(r"log +all delivered +0 +3 +(just now|\d+ s ago) *", row)
    found = json.loads(publisher("status", "--json").stdout)
    assert {"running": True, "healthy": True, "pid": process.pid, "trouble": None}.items() <= found.items()
    assert found["sinks"]["log"]["delivered"] == 3


def test_a_sink_in_trouble_is_status_1_with_its_error_and_next_attempt(publisher: Publisher, service: Service) -> None:
    service(sinks=f"{FILE_SINK}\n{HOOK}")
    row = re.compile(r"^hook +retrying +\d+ +0 +- +(in \d+ s|now) +\S.*refused", re.MULTILINE)

    def printed() -> subprocess.CompletedProcess[str] | None:
        done = publisher.run(("status",), publisher.environment)
        return done if row.search(done.stdout) else None  # during an attempt, the state is another

    assert wait_for(printed, what="a failure of the sink").returncode == 1
    assert json.loads(publisher("status", "--json", status=1).stdout)["healthy"] is False


def test_without_a_service_it_is_status_1_and_names_the_journal(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    output = publisher("status", status=1).stderr
    said = "publisher: no service runs: no process holds the journal journal.sqlite3; start one: publisher run, or "
    assert output.startswith(said)
    assert output.count("\n") == 1
    assert not publisher.journal.exists()
    publisher("run")
    assert publisher("status", status=1).stderr == output
    found = json.loads(publisher("status", "--json", status=1).stdout)
    assert found == {"running": False, "journal": "journal.sqlite3", "healthy": False}


@contextmanager
def held_journal(path: Path, status: object) -> Iterator[Settings]:
    """A journal that this process holds as a service would, with this status in it."""
    with closing(Journal.open(path, node="nas")):
        with closing(sqlite3.connect(path)) as connection, connection:
            data = status if isinstance(status, str) else json.dumps(status)
            connection.execute("INSERT OR REPLACE INTO status (only, data) VALUES (1, ?)", (data,))
        yield Settings(journal=JournalSettings(path=path))


def test_a_newer_services_status_is_shown_as_far_as_it_is_understood(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = {"state": "resting", "mood": "fine", "error": "a\x1b[2J\nb http://me:hunter2@x", "next_attempt": 7300.0,
            "dead_letters": 10_000, "dead_letters_dropped": 5}  # fmt: skip
    status = {
        "version": "9.0", "pid": os.getpid(), "started": 0, "node": "n", "colour": 1, "sinks": {"new": sink},
    }  # fmt: skip
    with held_journal(tmp_path / "j.sqlite3", status) as settings:
        assert not show_status(settings, as_json=False, clock=lambda: 100.0)
    *_, row, advice = capsys.readouterr().out.splitlines()
    assert advice.startswith("publisher dead-letters lists")
    assert re.split(r"  +", row.strip()) == [
        "new",
        "resting",
        "0",
        "0",
        "-",
        "10,000 (+5 dropped)",
        "in 2 h",
        "a\\x1b[2J b http://me:***@x",
    ]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"version": "9.0", "started": 0}, r"\(pid: Field required\)"),
        ("no JSON", "cannot be understood"),
        ("[]", "cannot be understood"),
        ("[1, 2]", "cannot be understood"),
        ("null", "cannot be understood"),
        ("[" * 100_000, "cannot be understood"),
        ({"version": "9.0", "pid": 1, "started": 1e300}, r"\(started: Input should be less"),
        ({"version": "9.0", "pid": 1, "started": float("inf")}, r"\(started: Input should be less"),
        ({"version": "9.0", "pid": 1, "started": 0, "left": 1}, r"\(left: Input should be"),
    ],
)
def test_a_status_that_cannot_be_understood_is_a_clear_error(tmp_path: Path, status: object, reason: str) -> None:
    commands: list[Callable[[Settings], object]] = [
        partial(show_status, as_json=False),
        partial(forget_left, wanted=Forget(None), drop=False),
    ]
    if not isinstance(status, dict):
        commands.append(partial(ask_for_replay, sink="home", since=None))
    with held_journal(tmp_path / "j.sqlite3", status) as settings:
        for command in commands:
            with pytest.raises(JournalError, match=f"the status in the journal .*{reason}"):
                command(settings)


def test_a_journal_that_takes_nothing_is_trouble_though_the_status_in_it_is_old(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(Journal.open(path, node="nas")) as journal:
        journal.requests.put_status({"version": "1", "pid": os.getpid(), "started": 0})
        journal.commit()
        settings = Settings(journal=JournalSettings(path=path))
        assert show_status(settings, as_json=False)
        journal.note_stuck(stuck=True)
        assert not show_status(settings, as_json=False)
        assert f"journal {path}: it takes nothing" in capsys.readouterr().out
        journal.note_stuck(stuck=False)
        assert show_status(settings, as_json=False)


def test_the_status_of_an_earlier_process_is_not_shown(tmp_path: Path) -> None:
    status = {"version": "1", "pid": 1, "started": 0}
    with (
        held_journal(tmp_path / "j.sqlite3", status) as settings,
        pytest.raises(JournalError, match=r"has just started"),
    ):
        show_status(settings, as_json=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_commands_that_read_change_no_file(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    publisher("run")
    before = contents(publisher.folder)
    publisher("status", status=1)
    publisher("dead-letters")
    publisher("snapshot")
    assert contents(publisher.folder) == before


WELL = {"state": "following", "seq": 41, "delivered": 1204, "last_delivery": 9_850.0}
AWAY = {
    "state": "retrying", "seq": 29, "behind": 12, "delivered": 3, "failures": 7, "last_delivery": 2_000.0,
    "next_attempt": 10_012.4, "error": "ConnectionError: connection refused",
}  # fmt: skip
ENDED = {"state": "ended", "behind": 0, "delivered": 4, "error": "410 Gone", "dead_letters": 2}


def shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], **sinks: dict[str, Any]) -> list[str]:
    """Returns the lines of a status, of a service that started 10,000 seconds ago."""
    status = {"version": "0.1.0", "pid": os.getpid(), "started": 0.0, "node": "nas", "seq": 41, "sinks": sinks}
    with held_journal(tmp_path / "journal.sqlite3", status) as settings:
        show_status(settings, as_json=False, clock=lambda: 10_000.0)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_columns_of_what_is_rare_are_shown_when_there_is_something_in_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(tmp_path, capsys, home=WELL)[2:] == [
        "Sink  State          Behind  Delivered  Last delivery",
        "home  all delivered       0      1,204  2 min ago",
    ]
    assert shown(tmp_path, capsys, home=WELL, hook=AWAY)[2:] == [
        "Sink  State          Behind  Delivered  Last delivery  Next attempt  Last error",
        "home  all delivered       0      1,204  2 min ago      -             -",
        "hook  retrying           12          3  2 h ago        in 12 s       ConnectionError: connection refused",
    ]
    *_, ended, advice = shown(tmp_path, capsys, gone=ENDED)
    assert ended == "gone  ended       0          4  -                         2  410 Gone"
    assert advice.startswith("publisher dead-letters lists")
    assert shown(tmp_path, capsys)[2:] == ["no sinks: the configuration names none ([sinks.NAME])"]


def test_it_says_for_how_long_the_service_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = shown(tmp_path, capsys, home=WELL)[0]
    assert first.startswith(f"publisher 0.1.0 on nas: runs for 2 h 46 min (process {os.getpid()}, since 1970-01-01 ")
    assert first.endswith("), 41 events")


@posix_only
def test_on_a_terminal_a_state_has_a_colour_and_each_column_its_place(publisher: Publisher, service: Service) -> None:
    service(sinks=f"{FILE_SINK}\n{HOOK}")
    publisher.environment.pop("COLUMNS")
    for columns, environment in ((80, {}), (40, {"NO_COLOR": "1"}), (80, {"TERM": "dumb"})):

        def printed(columns: int = columns, environment: dict[str, str] = environment) -> str | None:
            screen = on_terminal(publisher, ["status"], columns, {"TERM": "xterm-256color"} | environment)
            return screen if "retrying" in screen and "all delivered" in screen else None

        screen = wait_for(printed, what="a failure of the one sink, and what the other one has")
        assert ("\x1b[31mretrying" in screen) == (not environment)
        assert ("\x1b[32mall delivered" in screen) == (not environment)
        assert "\x1b" not in screen or not environment
        lines = re.sub(r"\x1b\[[0-9;]*m", "", screen).splitlines()
        table = lines[next(index for index, line in enumerate(lines) if line.startswith("Sink")) :]
        assert max(map(len, table)) <= columns
        assert " ".join(line.strip() for line in table if line.startswith("    ")).endswith("Connection refused")
        assert re.search(r"^    next attempt (now|in \d+ s): ", "\n".join(table), re.MULTILINE)


DOCUMENT = Path(__file__).parents[2] / "docs/status.md"


def test_the_example_of_the_documentation_is_what_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    if sys.platform != "win32":
        time.tzset()
    began = datetime(2026, 11, 26, 3, 13, 20, tzinfo=UTC).timestamp()
    moments = ("last_delivery", "next_attempt")
    sinks = {
        name: sink | {moment: began + float(str(sink[moment])) for moment in moments if moment in sink}
        for name, sink in (("home", WELL), ("hook", AWAY))
    }
    status = {"version": "0.1.0", "pid": os.getpid(), "started": began, "node": "nas", "seq": 41, "sinks": sinks}
    with held_journal(tmp_path / "journal.sqlite3", status) as settings:
        show_status(settings, as_json=False, clock=lambda: began + 10_000)
        printed = capsys.readouterr().out.replace(f"process {os.getpid()}", "process 812")
        assert not show_status(settings, as_json=True)
        found = json.loads(capsys.readouterr().out)
    printed = printed.replace(str(tmp_path), "/var/lib/interface-publisher")
    text = DOCUMENT.read_text(encoding="utf-8")
    assert f"$ publisher status\n{printed}```" in text
    members = [*found, *found["sinks"]["hook"], *get_args(State), *LeftReport.model_fields]
    assert not [member for member in members if f"`{member}`" not in text]
