"""The log file: its bound, its rotation, its permissions; and commands of a process without standard streams."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from publisher.service.log_file import LogFile, is_missing, log_file_beside
from publisher.service.logs import Secrets, logging_to
from publisher.sources import Remove, Resync
from tests.fixtures.command import ETH0, FILE_SINK, FOREVER, Publisher, posix_only
from tests.fixtures.poll import wait_for

WITHOUT_STREAMS = "import sys; sys.stdin = sys.stdout = sys.stderr = None; from publisher.cli.app import main; main()"


def test_a_full_file_becomes_the_older_one_and_both_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "made" / "publisher.log"
    for _ in range(2):  # the second is opened with what is there, as after a restart
        with closing(LogFile(path, max_bytes=1000)) as file:
            for number in range(100):
                file.write(f"line {number:03} ü\n")
                assert path.stat().st_size <= 1000
    assert sorted(found.name for found in path.parent.iterdir()) == ["publisher.log", "publisher.log.1"]
    kept = (path.with_name("publisher.log.1").read_text("utf-8") + path.read_text("utf-8")).splitlines()
    assert kept == (2 * [f"line {number:03} ü" for number in range(100)])[-len(kept) :]
    assert 1000 < sum(found.stat().st_size for found in path.parent.iterdir()) <= 2000


def test_the_bound_holds_where_the_older_file_cannot_be_replaced(tmp_path: Path) -> None:
    """As on Windows while another program has the file open; here the older name is a folder that is not empty."""
    path = tmp_path / "publisher.log"
    (tmp_path / "publisher.log.1" / "x").mkdir(parents=True)
    with closing(LogFile(path, max_bytes=100)) as file:
        for number in range(100):
            file.write(f"line {number:03}\n")
    assert path.read_text("utf-8").splitlines()[-1] == "line 099"
    assert path.stat().st_size <= 100


@pytest.mark.parametrize("replaceable", [True, False])
def test_two_processes_with_one_file_do_not_lose_what_the_other_has_begun(tmp_path: Path, replaceable: bool) -> None:
    """As of two services whose journals are in one folder."""
    path, older = tmp_path / "publisher.log", tmp_path / "publisher.log.1"
    if not replaceable:  # as on Windows, where the other one has the file open
        (older / "x").mkdir(parents=True)
    with closing(LogFile(path, max_bytes=100)) as one, closing(LogFile(path, max_bytes=100)) as other:
        begun = 0
        for number in range(100):
            (other if number % 3 else one).write(f"line {number:03}\n")
            found = path.read_text("utf-8").splitlines()
            begun = number if len(found) == 1 else begun
            if replaceable and number > 20:
                # Until its next line, the one writes into what the other has set aside.
                found = sorted(found + older.read_text("utf-8").splitlines())[-10:]
                begun = number - 9
            assert found == [f"line {expected:03}" for expected in range(begun, number + 1)] or number <= 20


@posix_only
def test_a_full_file_whose_folder_was_moved_away_is_written_again_when_that_is_back(tmp_path: Path) -> None:
    folder, away = tmp_path / "state", tmp_path / "away"
    with closing(LogFile(folder / "log", max_bytes=10)) as file:
        file.write("x" * 10)
        folder.rename(away)
        for _ in range(2):
            with pytest.raises(OSError, match="No such file"):
                file.write("lost\n")
        away.rename(folder)
        file.write("kept\n")
    with pytest.raises(ValueError, match="closed"):
        file.write("never\n")
    assert "kept" in (folder / "log").read_text()


def test_a_line_beyond_the_bound_is_kept_whole(tmp_path: Path) -> None:
    with closing(LogFile(tmp_path / "log", max_bytes=10)) as file:
        file.write("x" * 50 + "\n")
        file.write("y\udc80\n")
    assert (tmp_path / "log.1").read_text() == "x" * 50 + "\n"
    assert (tmp_path / "log").read_text() == "y\\udc80\n"


@posix_only
def test_the_log_file_is_its_users_only(tmp_path: Path) -> None:
    LogFile(tmp_path / "new" / "log").close()
    assert [(tmp_path / "new" / "log").stat().st_mode & 0o777, (tmp_path / "new").stat().st_mode & 0o777] == [
        0o600,
        0o700,
    ]


def test_its_lines_are_readable_with_the_date(tmp_path: Path) -> None:
    with closing(LogFile(tmp_path / "log")) as file, logging_to(file, Secrets()):
        logging.getLogger("publisher").info("at %s", "mqtt://me:secret@broker")
    moment, _, rest = (tmp_path / "log").read_text().partition(" info ")
    assert len(moment) == len("2026-11-22 20:04:12")
    assert rest == "   at mqtt://me:***@broker\n"


def test_a_stream_to_the_null_device_is_missing_only_where_the_command_put_it() -> None:
    assert is_missing(None)
    with open(os.devnull, "w", encoding="utf-8") as null:  # noqa: PTH123 - as the command does
        assert is_missing(null)
    assert not is_missing(sys.__stderr__)


def without_streams(publisher: Publisher, *arguments: str) -> int:
    """Runs the command with each standard stream None, as pythonw.exe has them; returns its status."""
    command = [sys.executable, "-c", WITHOUT_STREAMS, *arguments]
    return subprocess.run(command, cwd=publisher.folder, env=publisher.environment, timeout=60, check=False).returncode


def closed(publisher: Publisher, *arguments: str) -> int:
    """Runs the command with descriptors 0, 1 and 2 closed; returns its status."""
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "publisher", *arguments]
    return subprocess.run(command, cwd=publisher.folder, env=publisher.environment, timeout=60, check=False).returncode


@pytest.mark.parametrize("run", [without_streams, pytest.param(closed, marks=posix_only)])
def test_without_standard_streams_the_service_logs_beside_the_journal(
    publisher: Publisher, run: Callable[..., int]
) -> None:
    publisher.configure(FILE_SINK)
    assert run(publisher, "run") == 0
    assert len((publisher.folder / "out.jsonl").read_bytes().splitlines()) == 4
    log = log_file_beside(publisher.journal)
    assert f"journal: {publisher.journal.name}" in log.read_text()
    assert run(publisher, "run", "--verbose") == 0
    assert " debug " in log.read_text(), "the log goes on, in the same file"


@pytest.mark.parametrize("run", [without_streams, pytest.param(closed, marks=posix_only)])
def test_without_standard_streams_an_error_is_in_the_log_file(publisher: Publisher, run: Callable[..., int]) -> None:
    publisher.configure('source = "x11"\n')
    assert run(publisher, "run", "--source", "x11") == 2, "the key is there twice"
    publisher.configure("")
    assert run(publisher, "run", "--source", "x11") == 1
    text = "".join(path.read_text() for path in publisher.folder.rglob("publisher.log"))
    assert "publisher.toml:2" in text
    assert "x11" in text
    assert text.count(" error ") == 2


@pytest.mark.parametrize("run", [without_streams, pytest.param(closed, marks=posix_only)])
def test_other_commands_work_without_standard_streams(publisher: Publisher, run: Callable[..., int]) -> None:
    publisher.configure(FILE_SINK)
    assert run(publisher, "snapshot") == 0
    assert run(publisher, "check") == 0
    assert run(publisher, "status") == 1
    assert run(publisher, "no-such-command") == 2
    assert not list(publisher.folder.rglob("publisher.log"))


def test_a_log_file_that_cannot_be_made_stops_nothing(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    (publisher.folder / "publisher.log").mkdir()
    assert without_streams(publisher, "run") == 0
    assert (publisher.folder / "out.jsonl").exists()


def test_with_standard_error_there_is_no_log_file(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    publisher("run")
    assert not (publisher.folder / "publisher.log").exists()


def status_of(publisher: Publisher) -> str:
    """Returns the output of `publisher status`, empty until it has one."""
    return publisher.run(("status",), publisher.environment).stdout


def test_the_status_names_the_log_file(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0,), "startup"), Remove(ETH0.luid, "inet"), last_at=FOREVER)
    publisher.configure(FILE_SINK)
    command = [sys.executable, "-c", WITHOUT_STREAMS, "run"]
    process = subprocess.Popen(command, cwd=publisher.folder, env=publisher.environment)
    try:
        shown = wait_for(lambda: status_of(publisher), what="its status")
        log = log_file_beside(publisher.journal)
        assert f"log {log}\n" in shown
        assert json.loads(publisher("status", "--json").stdout)["log_file"] == str(log)
    finally:
        process.kill()
        process.wait()
