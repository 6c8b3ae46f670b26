"""The terminal sink on a real terminal, a pipe, and a stream that lacks characters."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from publisher import Event
from publisher.testing import FakeSinkContext, SinkConformance, make_event, make_row, make_snapshot
from publisher_terminal.sink import TerminalOptions, TerminalSink
from tests.fixtures.file_reader import KINDS, Kind, run_without_reader

ROOT = Path(__file__).parents[3]
SHOW = (
    "import sys\n"
    "from publisher import Ended\n"
    "from publisher.testing import FakeSinkContext, make_event, make_snapshot\n"
    "from publisher_terminal.sink import TerminalOptions, TerminalSink\n"
    "sys.stdin.readline()\n"
    "sink = TerminalSink(TerminalOptions(), FakeSinkContext())\n"
    "sink.open()\n"
    "try: sink.publish([*make_snapshot([]), make_event()])\n"
    "except Ended as error: sys.stderr.write(f'{error}, durable: {error.durable}')\n"
)


class TestConformance(SinkConformance):
    """Lines hold no ids: their number and their ends are compared."""

    sink = TerminalSink

    @pytest.fixture(autouse=True)
    def destination(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.screen = capsys
        self.shown = ""

    # Standard output never fails for a while, and is never slow.
    test_a_failure_is_raised_and_the_same_sink_then_delivers: Any = None
    test_a_destination_that_is_away_at_start_is_reached_by_a_later_sink: Any = None
    test_a_slow_destination_gets_everything_in_order: Any = None

    def options(self) -> dict[str, Any]:
        return {}

    def destination_state(self) -> object:
        self.shown += self.screen.readouterr().out
        return self.shown

    def assert_events(self, events: Sequence[Event]) -> None:
        self.shown += self.screen.readouterr().out
        shown = self.shown.splitlines()[-len(events) :]
        assert len(shown) == len(events)
        for event, line in zip(events, shown, strict=True):
            for change in event.changed.values():
                said = isinstance(change.after, bool) or f"{change.after}, was {change.before}" in line
                assert said or event.cause != "notification"


def test_the_snapshot_is_requested_when_it_opens() -> None:
    context = FakeSinkContext()
    TerminalSink(TerminalOptions(), context).open()
    assert context.snapshots_requested == 1


def test_into_a_pipe_there_is_no_colour() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=ROOT, input="go\n", capture_output=True, text=True, check=True
    )
    assert re.sub(r"\d\d:\d\d:\d\d", "T", done.stdout) == (
        "T  testnode has 0 IP interfaces\nT  eth0  IPv4 mtu 1400, was 1500\n"
    )


def test_on_a_terminal_there_is_colour() -> None:
    if sys.platform == "win32":
        pytest.skip("pseudo-terminals are POSIX's")
    ours, theirs = os.openpty()
    with contextlib.ExitStack() as closers:
        closers.callback(os.close, ours)
        terminal = os.environ | {"TERM": "xterm"}
        subprocess.run([sys.executable, "-c", SHOW], cwd=ROOT, env=terminal, input=b"go\n", stdout=theirs, check=True)
        os.close(theirs)
        shown = os.read(ours, 10_000).decode()
    assert "\x1b[33mIPv4 mtu 1400, was 1500\x1b[0m" in shown


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_that_left_ends_the_sink_quietly_and_in_this_process_only(kind: Kind) -> None:
    assert run_without_reader(SHOW, kind) == "nobody reads standard output any more, durable: False"


def test_what_the_encoding_lacks_becomes_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding="ascii", write_through=True))
    sink = TerminalSink(TerminalOptions(colour="never"), FakeSinkContext())
    sink.open()
    sink.publish([make_event(1, "delete_instance", make_row("Ж"))])
    assert b"\\u0416" in screen.getvalue()


@pytest.mark.parametrize(("colour", "expected"), [("always", True), ("never", False), ("auto", False)])
def test_colour_is_an_option(monkeypatch: pytest.MonkeyPatch, colour: Any, expected: bool) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    sink = TerminalSink(TerminalOptions(colour=colour), FakeSinkContext())
    sink.open()
    sink.publish(make_snapshot())
    sink.close()
    assert ("\x1b[" in screen.getvalue()) is expected


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(ValidationError, match="'auto', 'always' or 'never'"):
        TerminalOptions.model_validate({"colour": "blue"})
