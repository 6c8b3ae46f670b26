"""Programs for the command sink to run, and the sink that runs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from publisher.testing import FakeSinkContext
from publisher_command.sink import CommandSink


class Scripts:
    """Shell scripts in a folder, and the files that they write there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, text: str, name: str = "script") -> str:
        """Writes a script, in which $OUT is a file; returns its path."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\nOUT={self.folder}/out\n{text}\n")
        path.chmod(0o755)
        return str(path)

    @property
    def out(self) -> list[str]:
        """The lines of $OUT."""
        path = self.folder / "out"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


@contextmanager
def opened(*command: str, context: FakeSinkContext | None = None, **options: Any) -> Iterator[CommandSink]:
    """Yields an open sink that runs this command; a busy machine is to take its time."""
    given = {"command": command, "timeout": "10m", **options}
    sink = CommandSink(CommandSink.Options.model_validate(given), context or FakeSinkContext())
    sink.open()
    try:
        yield sink
    finally:
        sink.close()


def messages(context: FakeSinkContext) -> list[str]:
    """Returns what the sink logged."""
    return [record.getMessage() for record in context.logged]
