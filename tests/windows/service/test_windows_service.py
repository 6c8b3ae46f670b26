"""`publisher service` under Wine: a real service control manager, with the stand-in for iphlpapi.dll.

Wine 8 lacks some of it, which docs/windows.md lists: it does not notice that a service's process was killed, restarts
nothing, and keeps no access lists.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.brokers import Mosquitto
from tests.fixtures.poll import wait_for
from tests.windows.messages import AllMessages, windows_path
from tests.windows.wine import Wine

NAME = "publisher under test"
HOOK = (
    "import sys; any('windows_service' in a for a in sys.orig_argv) and __import__('tests.windows.inside.in_service')\n"
)
STATE = "drive_c/ProgramData/interface-publisher"


class Driver:
    """A process of Windows Python that runs commands (`inside/commands.py`)."""

    def __init__(self, wine: Wine) -> None:
        self._process = wine.python("-m", "tests.windows.inside.commands", stdin=subprocess.PIPE)

    def run(self, call: list[str] | str) -> tuple[int, str]:
        """Runs a command of publisher or Python code; returns its exit status and output."""
        commands, answers = self._process.stdin, self._process.stdout
        assert commands is not None
        assert answers is not None
        commands.write(json.dumps(call).encode() + b"\n")
        commands.flush()
        status, output = json.loads(answers.readline())
        return status, output

    def close(self) -> None:
        self._process.communicate(timeout=60)


class Commands:
    """The command `publisher service` for one service, and the folder of its configuration and files."""

    def __init__(self, driver: Driver, folder: Path) -> None:
        self._driver = driver
        self.folder = folder
        self.config = folder / "with space" / "publisher.toml"

    def __call__(self, action: str, *arguments: str, status: int = 0) -> str:
        """Runs a command for this service; returns its output."""
        return self.publisher("service", action, "--name", NAME, *arguments, status=status)

    def publisher(self, *arguments: str, status: int = 0) -> str:
        found, output = self._driver.run([*arguments])
        assert found == status, output
        return output

    def told_by_status(self) -> str:
        """Returns the output of `publisher status`; an empty one while there is none."""
        status, output = self._driver.run(["status", "--config", windows_path(self.config)])
        return "" if status else output

    def key(self) -> str:
        """Returns the service's key in the registry as Python shows it, or an error."""
        path = rf"SYSTEM\CurrentControlSet\Services\{NAME}"
        return self._driver.run(f"import winreg; print(winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, {path!r}))")[1]

    def kill(self, process: int) -> None:
        """Ends the process as the Task Manager does."""
        self._driver.run(f"import os; os.kill({process}, 9)")

    def processes(self) -> list[str]:
        """Returns the command lines of the service's processes, as Linux sees them."""
        return [line for line in _command_lines() if NAME in line]

    @property
    def events(self) -> list[Any]:
        path = self.config.parent / "events.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def _command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")


@pytest.fixture(scope="module")
def driver(wine: Wine) -> Iterator[Driver]:
    with contextlib.closing(Driver(wine)) as driver:
        yield driver


@pytest.fixture
def service(wine: Wine, driver: Driver, tmp_path: Path, broker: Mosquitto) -> Iterator[Commands]:
    """Yields the commands, with a configuration; afterwards neither the service nor its folder is there."""
    commands = Commands(driver, tmp_path)
    commands.config.parent.mkdir()
    commands.config.write_text(
        f"""
        node = "pc"
        [sinks.home]
        type = "mqtt"
        url = "{broker.url}"
        keepalive = 5
        [sinks.log]
        type = "file"
        path = '{windows_path(commands.config.with_name("events.jsonl"))}'
        """
    )
    hook = wine.root / "python" / "Lib" / "site-packages" / "in_service.pth"
    hook.write_text(HOOK)
    yield commands
    with contextlib.suppress(AssertionError):  # the test has removed it
        commands("remove")
    hook.unlink()
    shutil.rmtree(wine.root / "prefix" / STATE, ignore_errors=True)


def _process_of(status: str) -> int:
    return int(status.partition("running, process ")[2].split()[0])


@pytest.mark.timeout(300)
def test_a_service_from_its_installation_to_its_removal(service: Commands, subscriber: AllMessages, wine: Wine) -> None:
    # Wine's files belong to the user that runs it, and that is no administrator.
    refusal = service("install", "--config", windows_path(service.config), status=1)
    assert "nothing was installed; --force installs nevertheless" in refusal
    assert "who could act as the service" in refusal
    assert "FileNotFoundError" in service.key()

    installed = service("install", "--force", "--config", windows_path(service.config))
    assert r"it runs as NT AUTHORITY\LocalService" in installed
    assert "PyHKEY" in service.key()
    assert "installed already" in service("install", "--force", "--config", windows_path(service.config), status=1)

    assert service("start").startswith(f"service '{NAME}': running, process ")
    wait_for(lambda: len(service.events) >= 3, what="the snapshot in the file")
    assert [event["interface"]["alias"] for event in service.events[1:3]] == ["Ethernet 2"] * 2
    assert subscriber.until(lambda topic, _: topic.endswith("/inet/state"))["addresses"][0]["address"] == "192.0.2.10"
    assert "it runs already" in service("start", status=1)
    status = service("status")
    assert f'"{windows_path(service.config)}"' in status, "a path with a space is in quotes"
    assert "pythonw.exe" in status
    told = wait_for(service.told_by_status, what="the status that the service reports")
    assert f"(process {_process_of(status)}, since" in told

    assert "reads its configuration again" in service("reload")
    log = wine.root / "prefix" / STATE / "publisher.log"
    wait_for(lambda: "configuration reloaded" in log.read_text(), what="the reload")

    # Killed as by the Task Manager: Wine does not notice it, and the next start takes up the journal.
    service.kill(_process_of(status))
    subscriber.until(lambda topic, payload: topic == "interfaces/pc/status" and payload == "offline")
    assert _process_of(service("start")) != _process_of(status)
    subscriber.until(lambda topic, payload: topic == "interfaces/pc/status" and payload == "online")

    assert service("stop") == f"service '{NAME}': stopped\n"
    assert subscriber.until(lambda topic, _: topic == "interfaces/pc/status") == "offline"
    left = service.config.with_name("left.json")
    wait_for(lambda: left.exists() and left.stat().st_size, what="its end")
    assert json.loads(left.read_text()) == {"tables": 0, "registrations": 0, "streams": "None"}
    assert service("status", status=1).startswith(f"service '{NAME}': stopped\n"), "the exit status was 0"
    assert "it does not run" in service("stop", status=1)

    assert "stays, with its journal and its log" in service("remove")
    # Windows removes it once nobody has it open any more.
    wait_for(lambda: "FileNotFoundError" in service.key(), what="its removal")
    wait_for(lambda: not service.processes(), what="the end of the processes")
    assert "it is not installed" in service("remove", status=1)
    by_hand = ["service", "process", NAME, windows_path(service.config), windows_path(service.config.parent)]
    assert "it is started by Windows only: publisher service start" in service.publisher(*by_hand, status=1)


@pytest.mark.timeout(200)
def test_a_service_that_cannot_run_says_so_and_logs_the_reason(service: Commands, wine: Wine) -> None:
    service("install", "--force", "--config", windows_path(service.config))
    service.config.write_text("nod = 3")
    output = service("start", status=1)
    log = wine.root / "prefix" / STATE / "publisher.log"
    assert f"ended at once with status 2; its log: {'C:' + chr(92) + 'ProgramData'}" in output
    assert "nod: unknown setting" in log.read_text()
    assert f"service '{NAME}': stopped after a failure (2)" in service("status", status=1)
    assert "unknown setting" in service("install", "--force", "--config", windows_path(service.config), status=2)
    service("remove")


WITHOUT_CONSOLE = """
import subprocess, sys
own = sys.executable.replace("python.exe", "pythonw.exe")
sys.exit(subprocess.run([own, *{arguments!r}], creationflags=subprocess.DETACHED_PROCESS).returncode)
"""


@pytest.mark.timeout(200)
def test_pythonw_has_no_standard_streams_and_logs_beside_the_journal(driver: Driver, tmp_path: Path) -> None:
    config, seen = tmp_path / "publisher.toml", tmp_path / "streams"
    config.write_text(f"[journal]\npath = '{windows_path(tmp_path / 'journal.sqlite3')}'")
    run = f"import sys; open(r'{windows_path(seen)}', 'w').write(f'{{sys.stdin}} {{sys.stdout}} {{sys.stderr}}')"
    publisher = ["-m", "publisher", "run", "--config", windows_path(config)]
    for arguments, status in (
        (["-c", run], 0),
        (["-m", "publisher", "check", "--offline", "--config", windows_path(config)], 0),
        ([*publisher, "--source", "x11"], 1),
    ):
        assert driver.run(WITHOUT_CONSOLE.format(arguments=arguments)) == (status, "")
    assert seen.read_text() == "None None None"
    assert "unknown source 'x11'" in (tmp_path / "publisher.log").read_text()
