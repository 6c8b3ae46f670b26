"""The command sink on Windows: a job object ends what a program started."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from publisher import Rejected, Retry
from publisher.testing import HOSTILE_ALIAS, FakeSinkContext, make_event, make_row
from publisher_command.sink import CommandSink


def sink(code: str, *arguments: str, context: FakeSinkContext | None = None, timeout: int = 60) -> CommandSink:
    """Returns an open sink that runs this Python code."""
    options = CommandSink.Options(command=(sys.executable, "-c", code, *arguments), timeout=timedelta(seconds=timeout))
    opened = CommandSink(options, context or FakeSinkContext())
    opened.open()
    return opened


def test_the_event_is_on_standard_input_and_in_the_environment(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = "import os, sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read() + os.environ['IFACE'].encode())"
    row = make_row(HOSTILE_ALIAS)
    sink(code, str(out)).publish([make_event(1, "add_instance", row)])
    expected = make_event(1, "add_instance", row).json_bytes + b"\n" + HOSTILE_ALIAS.replace("\0", "").encode()
    assert out.read_bytes() == expected


def test_the_output_is_logged_and_the_exit_status_counts() -> None:
    context = FakeSinkContext()
    with pytest.raises(Rejected, match=r"^the program failed: exit status 3: no$"):
        sink("import sys; print('yes'); print('no', file=sys.stderr); sys.exit(3)", context=context).publish(
            [make_event()]
        )
    assert sorted(record.getMessage() for record in context.logged) == ["no", "yes"]
    with pytest.raises(Retry, match="exit status 75"):
        sink("import sys; sys.exit(75)").publish([make_event()])


def test_a_program_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    out = tmp_path / "out"
    child = "import sys, time; open(sys.argv[1], 'w').write('x'); time.sleep(1000)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}, sys.argv[1]])"
    for seconds in (3, 10, 40):  # until it has time enough to start the other one
        with pytest.raises(Rejected, match=f"was not done after {seconds} s and was ended"):
            sink(code, str(out), timeout=seconds).publish([make_event()])
        if out.exists():
            break
    out.unlink()  # nobody has it open any more


def test_a_child_that_keeps_the_output_open_holds_nothing_up() -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])"
    sink(code).publish([make_event()])


def test_a_program_that_is_missing_loses_nothing() -> None:
    options = CommandSink.Options(command=("C:\\no\\such.exe",))
    with pytest.raises(Retry, match=r"cannot run C:\\no\\such\.exe"):
        CommandSink(options, FakeSinkContext()).publish([make_event()])


@pytest.mark.parametrize("option", [{"user": "root"}, {"umask": "077"}, {"style": "ifplugd"}], ids=str)
def test_options_of_linux_are_refused(option: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="is not supported on Windows: remove it"):
        CommandSink.Options.model_validate({"command": ["x"], **option})
