"""The messages to systemd, over a real socket."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from publisher.config.locations import APPLICATION
from publisher.service.systemd import Notifier, watchdog_seconds

if sys.platform == "win32":
    pytest.skip("systemd is Linux's", allow_module_level=True)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(60)
        listener.bind(str(tmp_path / "notify"))
        yield listener


def received(listener: socket.socket) -> list[str]:
    """The messages that were sent up to now."""
    listener.setblocking(False)
    messages = []
    try:
        while True:
            messages.append(listener.recv(1000).decode())
    except BlockingIOError:
        return messages


class Service:
    """A notifier with the clock and the summary of a service."""

    def __init__(self, address: str, **environment: str) -> None:
        self.now = 1000.0
        self.summary = "1 sink, all delivered"
        self.notifier = Notifier(
            {"NOTIFY_SOCKET": address, **environment}, 42, lambda: self.summary, clock=lambda: self.now
        )

    def turn(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.notifier.turned()


def test_the_first_turn_reports_that_the_service_is_ready(tmp_path: Path, listener: socket.socket) -> None:
    service = Service(str(tmp_path / "notify"))
    assert received(listener) == []
    service.turn()
    service.turn(0.1)
    assert received(listener) == ["READY=1", "STATUS=1 sink, all delivered"]


def test_a_receiver_that_takes_nothing_holds_nothing_up_and_is_told_later(
    tmp_path: Path, listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, suppress(BlockingIOError):
        other.setblocking(False)
        while True:
            other.sendto(b"full", str(tmp_path / "notify"))
    service = Service(str(tmp_path / "notify"))
    for seconds in (0.0, 1.0):
        turning = threading.Thread(target=service.turn, args=(seconds,), daemon=True)
        turning.start()
        turning.join(10)
        assert not turning.is_alive()
    assert set(received(listener)) == {"full"}
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == ["READY", "STATUS"]
    service.turn(1.0)
    assert received(listener) == ["READY=1", "STATUS=1 sink, all delivered"]


def test_an_abstract_socket_works_too(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0publisher-test-{tmp_path.name}-{id(listener)}")
        Service(f"@publisher-test-{tmp_path.name}-{id(listener)}").notifier.stopping()
        assert received(listener) == ["STOPPING=1"]


def test_the_status_is_sent_when_it_changes_and_at_most_once_a_second(tmp_path: Path, listener: socket.socket) -> None:
    service = Service(str(tmp_path / "notify"))
    service.turn()
    received(listener)
    service.turn(5.0)
    assert received(listener) == []
    service.summary = "sink 'hook' retrying: a\nb"
    service.turn(0.9)
    assert received(listener) == []
    service.turn(0.1)
    assert received(listener) == ["STATUS=sink 'hook' retrying: a b"]


def test_the_watchdog_is_fed_by_turns_and_at_most_every_half_of_its_time(
    tmp_path: Path, listener: socket.socket
) -> None:
    service = Service(str(tmp_path / "notify"), WATCHDOG_USEC="10000000")
    service.turn()
    assert received(listener)[1] == "WATCHDOG=1"
    for _ in range(12):
        service.turn(1.0)
    assert received(listener) == ["WATCHDOG=1"] * 2
    service.turn(60.0)
    assert received(listener) == ["WATCHDOG=1"]


def test_a_reload_is_over_when_it_is_reported_and_a_failed_one_stays_in_the_status(
    tmp_path: Path, listener: socket.socket
) -> None:
    service = Service(str(tmp_path / "notify"))
    service.turn()
    received(listener)
    service.notifier.reloading()
    service.turn(2.0)
    [reloading] = received(listener)
    first, second = reloading.splitlines()
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
    service.notifier.reloaded("x.toml: nod is an unknown setting")
    service.turn(1.0)
    assert received(listener) == [
        "READY=1",
        "STATUS=1 sink, all delivered; the configuration was not reloaded: x.toml: nod is an unknown setting",
    ]
    service.notifier.reloaded(None)
    service.turn(1.0)
    assert received(listener) == ["READY=1", "STATUS=1 sink, all delivered"]


def test_without_a_socket_nothing_happens() -> None:
    def never() -> str:
        raise AssertionError("nobody listens")

    notifier = Notifier({"WATCHDOG_USEC": "1"}, 42, never)
    notifier.turned()
    notifier.stopping()


def test_a_socket_that_was_removed_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    Service("/nowhere/at/all").notifier.stopping()
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("STOPPING cannot be sent to systemd (NOTIFY_SOCKET): ")


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
    assert watchdog_seconds(environment, 42) == seconds


def test_the_unit_fits_what_the_command_does() -> None:
    unit = Path(__file__).parents[2] / "compose" / "interface-publisher.service"
    lines = unit.read_text().splitlines()
    given = [line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")]
    settings = dict(given)
    assert settings["Type"] == "notify"
    assert settings["ExecStart"].endswith("/publisher run")
    reload = [value for name, value in given if name == "ExecReload"]
    assert reload == [settings["ExecStart"].replace(" run", " check --offline"), "/bin/kill -HUP $MAINPID"]
    assert settings["StateDirectory"] == settings["ConfigurationDirectory"] == APPLICATION
    assert settings["RestartPreventExitStatus"] == "2"
    assert "AF_NETLINK" in settings["RestrictAddressFamilies"]
