"""The shipped unit: its surroundings, its own examples, and a reload of a file that is wrong.

systemd itself is not run. What it gives a service is imitated: a user that no password file has, only the variables
of systemd.exec(5), and a root that is read-only but for the unit's own directories.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from publisher.sources import Remove, Resync
from tests.fixtures.command import ETH0, ETH0_6, FOREVER, Publisher, events_in
from tests.fixtures.poll import wait_for
from tests.fixtures.requirements import need

if sys.platform == "win32":
    pytest.skip("systemd is Linux's", allow_module_level=True)

UNIT = Path(__file__).parents[2] / "compose" / "interface-publisher.service"
PROGRAM = "/opt/interface-publisher/bin/publisher"
# The unit's directories come from the folder of the test; everything else is read-only, and so are they but for two.
SANDBOX = """
for place in etc var/lib var/log; do
  mount -t tmpfs none /$place && mkdir /$place/interface-publisher || exit 99
  mount --bind "$FOLDER/$place" /$place/interface-publisher && mount -o remount,bind,ro /$place || exit 99
done
mount -o remount,bind,ro /etc/interface-publisher && mount -o remount,bind,ro / || exit 99
cd /
"""


class Unit:
    """The unit's service with its directories below a folder, and a socket in the place of systemd's."""

    def __init__(self, publisher: Publisher, listener: socket.socket) -> None:
        self.folder = publisher.folder / "unit"
        self.listener = listener
        self.log = publisher.folder / "stderr"
        for place in ("etc", "var/lib", "var/log"):
            (self.folder / place).mkdir(parents=True)
        self.configuration = self.folder / "etc" / "publisher.toml"
        self.recording = publisher.folder / "updates.jsonl"
        publisher.updates(Resync((ETH0, ETH0_6), "startup"), Remove(ETH0.luid, "inet6"), last_at=FOREVER)

    def configure(self, text: str) -> None:
        self.configuration.write_text(f'source = "recording:{self.recording}"\n{text}')

    def command(self, line: str) -> list[str]:
        """Returns the command that runs one of the unit's Exec lines as systemd would."""
        given = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "USER": "interface-publisher",
            "LOGNAME": "interface-publisher",
            "SHELL": "/usr/sbin/nologin",
            "INVOCATION_ID": "0123456789abcdef0123456789abcdef",
            "STATE_DIRECTORY": "/var/lib/interface-publisher",
            "LOGS_DIRECTORY": "/var/log/interface-publisher",
            "CONFIGURATION_DIRECTORY": "/etc/interface-publisher",
            "NOTIFY_SOCKET": self.listener.getsockname(),
            "WATCHDOG_USEC": "60000000",
            "JOURNAL_STREAM": "{0.st_dev}:{0.st_ino}".format(self.log.stat()),
        }
        variables = " ".join(f"{name}='{value}'" for name, value in given.items())
        user = "unshare --user --map-user=61184 --map-group=61184"
        run = line.replace(PROGRAM, f"{sys.executable} -m publisher")
        script = f"{SANDBOX}\nexec env -i {variables} {user} {run}"
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]

    def environment(self) -> dict[str, str]:
        return dict(os.environ) | {"FOLDER": str(self.folder)}

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        self.log.touch()
        with self.log.open("ab") as log:
            process = subprocess.Popen(self.command(lines("ExecStart")[0]), env=self.environment(), stderr=log)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, self.log.read_text()
        finally:
            process.kill()
            process.wait()

    def told(self, first: str) -> str:
        """Returns the next message to systemd that begins so; the socket's time limit ends the wait."""
        while not (message := self.listener.recv(4000).decode()).startswith(first):
            pass
        return message

    def reload(self, process: subprocess.Popen[bytes]) -> int:
        """Runs the unit's ExecReload lines up to the first that fails; returns its status."""
        check, kill = lines("ExecReload")
        done = subprocess.run(self.command(check), env=self.environment(), capture_output=True, text=True, timeout=60)
        if done.returncode == 0:
            assert kill == "/bin/kill -HUP $MAINPID"
            process.send_signal(signal.SIGHUP)
        assert "Traceback" not in done.stderr
        return done.returncode


def lines(name: str) -> list[str]:
    """Returns the values of a setting of the unit."""
    return [line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith(f"{name}=")]


@pytest.fixture
def unit(publisher: Publisher) -> Iterator[Unit]:
    need("unshare", "mount", package="util-linux and mount")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(publisher.folder / "n"))
        listener.settimeout(60)
        yield Unit(publisher, listener)


def sinks_of(text: str, *names: str) -> str:
    """Returns these sinks of the template, with their comment signs taken off."""
    tables = text.split("\n# [")
    found = [table for name in names for table in tables if table.startswith(f"sinks.{name}]")]
    return "\n".join("[" + table.replace("\n# ", "\n") for table in found)


def test_the_service_starts_where_no_password_file_has_its_user_and_writes_its_own_example(unit: Unit) -> None:
    from publisher.cli.init import TEMPLATE

    unit.configure(sinks_of(TEMPLATE, "log"))
    with unit.running():
        unit.told("READY=1")
        unit.told("STATUS=1 sink, all delivered")
    events = events_in(unit.folder / "var" / "log" / "interfaces.jsonl")
    assert [event.notification_type for event in events] == ["initial_notification"] * 3
    assert (unit.folder / "var" / "lib" / "journal.sqlite3").exists()
    assert unit.log.read_text()
    assert all(line.startswith("<6>{") for line in unit.log.read_text().splitlines())


def test_a_reload_of_a_wrong_file_fails_and_leaves_the_service_as_it_is(unit: Unit) -> None:
    log = '[sinks.log]\ntype = "file"\npath = "/var/log/interface-publisher/a.jsonl"\n'
    more = log.replace("sinks.log", "sinks.more").replace("a.jsonl", "b.jsonl")
    unit.configure(log)
    with unit.running() as process:
        unit.told("READY=1")
        unit.configure(f"{log}pth = 1\n")
        assert unit.reload(process) == 2
        process.send_signal(signal.SIGHUP)  # as somebody does who does not use systemctl
        unit.told("RELOADING=1")
        unit.told("READY=1")
        assert "the configuration was not reloaded: " in unit.told("STATUS=")
        unit.configure(log + more)
        assert unit.reload(process) == 0
        unit.told("RELOADING=1")
        unit.told("READY=1")
        assert "not reloaded" not in unit.told("STATUS=2 sinks")
        wait_for(lambda: len(events_in(unit.folder / "var" / "log" / "b.jsonl")) == 3, what="the new sink's snapshot")
    assert any(line.startswith("<3>") for line in unit.log.read_text().splitlines())


def test_a_service_that_cannot_start_says_why_as_an_error(unit: Unit) -> None:
    unit.configure('[sinks.log]\ntype = "fil"\n')
    unit.log.touch()
    with unit.log.open("ab") as log:
        done = subprocess.run(
            unit.command(lines("ExecStart")[0]), env=unit.environment(), stderr=log, timeout=60, check=False
        )
    assert done.returncode == 2
    assert unit.log.read_text().splitlines()[-1].startswith("<3>publisher: /etc/interface-publisher/publisher.toml:")


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    need("systemd-analyze", package="systemd")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(PROGRAM, sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    if "Failed to initialize manager" in done.stderr:
        pytest.skip(f"systemd-analyze cannot work here: {done.stderr}")
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])
