"""Whoever looks, changes nothing: no file, no directory, no mode, no time is another after the commands that read."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.command import FILE_SINK, Publisher, posix_only

LOOKING = (
    "check",
    "check --offline",
    "status",
    "history",
    "snapshot",
    "dead-letters",
    "watch",
    "plugins",
    "schema config",
)
SINKS = f"""{FILE_SINK}
[sinks.deep]
type = "file"
path = "no/such/folder/out.jsonl"
[sinks.mqtt]
type = "mqtt"
url = "mqtt://127.0.0.1:1"
[sinks.hook]
type = "webhook"
url = "http://127.0.0.1:1/"
"""


def tree(folder: Path) -> dict[str, object]:
    """Returns everything below a folder, itself included. The index of a log is a reader's to write: `-shm`."""
    found: dict[str, object] = {}
    for path in [folder, *folder.rglob("*")]:
        about = path.stat()
        content = path.read_bytes() if path.is_file() else b""
        if path.suffix != ".sqlite3-shm":
            found[str(path)] = about.st_mode, about.st_uid, about.st_gid, about.st_mtime_ns, content
    return found


def look(publisher: Publisher) -> dict[str, object]:
    """Runs the commands that only look, and checks the folder, which is the home, too."""
    before = tree(publisher.folder)
    for command in LOOKING:
        done = publisher.run(tuple(command.split()), publisher.environment)
        assert done.returncode in (0, 1), done.stderr
        assert tree(publisher.folder) == before, command
    return before


def test_looking_makes_nothing_where_nothing_is(publisher: Publisher) -> None:
    publisher.configure(SINKS)
    assert len(look(publisher)) == 3


@posix_only
def test_looking_makes_nothing_without_a_configuration(publisher: Publisher) -> None:
    publisher.environment["PUBLISHER_SOURCE"] = "recording:updates.jsonl"
    assert len(look(publisher)) == 2


def test_looking_changes_nothing_beside_a_journal(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    publisher("run")
    (publisher.folder / "out.jsonl").unlink()
    assert str(publisher.journal) in look(publisher)


@posix_only
@pytest.mark.parametrize("mode", [0o644, 0o400])
def test_looking_changes_nothing_of_a_service_that_was_killed(
    publisher: Publisher, service: Callable[..., subprocess.Popen[str]], mode: int
) -> None:
    process = service()
    process.kill()
    process.wait()
    publisher.updates()
    (publisher.folder / "out.jsonl").chmod(mode)
    assert f"{publisher.journal}-wal" in look(publisher)
