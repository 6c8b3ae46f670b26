"""The command sink keeps the promises of every sink."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from publisher import Event
from publisher.testing import SinkConformance
from publisher_command.sink import CommandSink
from tests.plugins.command.conftest import Scripts

if sys.platform == "win32":
    pytest.skip("these programs are shell scripts", allow_module_level=True)

APPEND = 'printf "%s\\n" "$EVENT_ID" >> "$OUT"'


class TestCommand(SinkConformance):
    sink = CommandSink

    @pytest.fixture(autouse=True)
    def destination(self, scripts: Scripts) -> None:
        self.scripts = scripts
        self.program = scripts.write(APPEND)

    def options(self) -> dict[str, Any]:
        return {"command": [self.program]}

    def received(self) -> Sequence[str]:
        return self.scripts.out

    def assert_snapshot(self, snapshot: Sequence[Event]) -> None:
        """No program runs for position 0, which is about no interface."""
        assert snapshot[0].is_marker
        self.assert_events(snapshot[1:])

    def assert_events(self, events: Sequence[Event]) -> None:
        super().assert_events(events)
        assert events or not self.received()

    @contextmanager
    def broken(self) -> Iterator[None]:
        """Takes the program away."""
        away = Path(self.program).rename(self.program + ".away")
        yield
        away.rename(self.program)

    @contextmanager
    def slow(self) -> Iterator[None]:
        self.scripts.write(f"sleep 0.05; {APPEND}")
        yield
        self.scripts.write(APPEND)
