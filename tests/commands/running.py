"""Runs the real command in a directory of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from publisher.events import Event
from publisher.sources import Update
from publisher.sources.replay import Header, write_recording
from publisher.testing import make_row

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of POSIX")


ETH0 = make_row("eth0", addresses=["192.0.2.10/24"])


ETH0_6 = make_row("eth0", "inet6", addresses=["fe80::1/64"])


WLAN0 = make_row("wlan0", index=3, connected=False)


FILE_SINK = '[sinks.log]\ntype = "file"\npath = "out.jsonl"'


TERMINAL_SINK = '[sinks.t]\ntype = "terminal"'


FOREVER = 3600.0


class Publisher:
    """Runs `publisher` in a directory of its own, with nothing of the person who runs the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal.sqlite3"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PUBLISHER_", "XDG_"))}
        self.environment = kept | {"HOME": str(folder), "LOCALAPPDATA": str(folder), "COLUMNS": "200"}
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: object, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self._command(arguments), cwd=self.folder, env=self.environment | environment, timeout=60,
            capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert done.returncode == status, f"{done.returncode}: {done.stdout}{done.stderr}"
        assert status == 1 or "Traceback" not in done.stderr, done.stderr
        return done

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self._command(arguments), cwd=self.folder, env=self.environment | environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip
        self.started.append(process)
        return process

    def configure(self, text: str) -> None:
        (self.folder / "publisher.toml").write_text(
            f'source = "replay:updates.jsonl"\n{text}\n[journal]\npath = "journal.sqlite3"\n', encoding="utf-8"
        )

    def updates(self, *updates: Update, last_at: float = 0.0) -> None:
        """The recording that `configure` names as the source: all at once, and the last one at `last_at`."""
        times = iter([0.0] * len(updates) + [last_at])
        with (self.folder / "updates.jsonl").open("wb") as file:
            for _ in write_recording(file, Header(platform="linux", recorder="0"), updates, lambda: next(times)):
                pass

    def _command(self, arguments: tuple[object, ...]) -> list[str]:
        return [sys.executable, "-m", "publisher", *map(str, arguments)]


def events_in(path: Path) -> list[Event]:
    """The whole lines of a file sink's file, as events; none while there is no file."""
    if not path.exists():
        return []
    return [Event.from_json(line[:-1]) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
