"""What systemd is told, over a real socket."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from publisher.config.locations import APPLICATION
from publisher.service.systemd import Notifier

if sys.platform == "win32":
    pytest.skip("systemd is Linux's", allow_module_level=True)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(10)
        yield listener


def notifier(address: str, **environment: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": address, **environment}, 42, CapturingLogger())


@pytest.mark.parametrize("abstract", [False, True])
def test_states_arrive(tmp_path: Path, listener: socket.socket, abstract: bool) -> None:
    name = f"publisher-test-{tmp_path.name}-{id(listener)}" if abstract else str(tmp_path / "notify")
    listener.bind(f"\0{name}" if abstract else name)
    told = notifier(f"@{name}" if abstract else name)
    assert told.wanted
    told.ready()
    told.alive()
    told.reloading()
    told.stopping()
    received = [listener.recv(1000).decode() for _ in range(4)]
    assert received[:2] == ["READY=1", "WATCHDOG=1"]
    reloading, monotonic = received[2].splitlines()
    assert reloading == "RELOADING=1"
    assert int(monotonic.removeprefix("MONOTONIC_USEC=")) > 0
    assert received[3] == "STOPPING=1"


def test_without_a_socket_nothing_happens() -> None:
    told = Notifier({}, 42, CapturingLogger())
    told.ready()
    assert not told.wanted
    assert told.watchdog_seconds is None


def test_a_socket_that_is_gone_is_a_warning() -> None:
    log = CapturingLogger()
    Notifier({"NOTIFY_SOCKET": "/nowhere/at/all"}, 42, log).ready()
    [call] = log.calls
    assert (call.method_name, call.kwargs["state"]) == ("warning", "READY=1")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_patience(environment: dict[str, str], seconds: float | None) -> None:
    assert notifier("/x", **environment).watchdog_seconds == seconds


def test_the_unit_fits_what_the_command_does() -> None:
    unit = Path(__file__).parents[2] / "compose" / "interface-publisher.service"
    lines = unit.read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    assert settings["Type"] == "notify"
    assert settings["ExecStart"].endswith("/publisher run")
    assert settings["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert settings["StateDirectory"] == settings["ConfigurationDirectory"] == APPLICATION
    assert settings["RestartPreventExitStatus"] == "2"
    assert "AF_NETLINK" in settings["RestrictAddressFamilies"]
