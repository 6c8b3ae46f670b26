"""The service under signals, systemd and terminals of POSIX. Each test runs the real command."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from publisher.journal.lock import holder
from publisher.sources import Remove, Resync, Upsert
from publisher.testing import make_row
from tests.fixtures.command import ETH0, FILE_SINK, FOREVER, TERMINAL_SINK, Publisher, events_in
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("signals, pipes and sockets of POSIX", allow_module_level=True)


def test_run_shows_snapshot_and_changes_in_the_terminal(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0,), "startup"), Upsert(make_row("eth0", nl_mtu=1400, addresses=["192.0.2.10/24"])))
    recording = (publisher.folder / "updates.jsonl").read_bytes().splitlines(keepends=True)
    (publisher.folder / "updates.jsonl").unlink()
    os.mkfifo(publisher.folder / "updates.jsonl")
    publisher.configure(TERMINAL_SINK)
    process = publisher.start("run")
    assert process.stdout
    with (publisher.folder / "updates.jsonl").open("wb", buffering=0) as source:
        source.write(b"".join(recording[:2]))
        assert process.stdout.readline().endswith("1 IP interface\n")
        assert "192.0.2.10/24" in process.stdout.readline()
        source.write(recording[2])
        assert process.stdout.readline().endswith("mtu 1400, was 1500\n")
    assert process.wait(30) == 0
    assert {path.name for path in publisher.folder.iterdir()} == {
        "publisher.toml", "updates.jsonl", "journal.sqlite3", "journal.sqlite3.lock", "journal.sqlite3.mark",
    }  # fmt: skip


def test_run_ends_when_nobody_reads_its_terminal_lines_any_more(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0,), "startup"), Remove(ETH0.luid, "inet"), last_at=FOREVER)
    publisher.configure(TERMINAL_SINK)
    process = publisher.start("run")
    assert process.stdout
    assert "1 IP interface" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_run_in_order(service: Callable[..., subprocess.Popen[str]], number: signal.Signals) -> None:
    process = service()
    process.send_signal(number)
    assert process.wait(30) == 0


def test_sighup_reads_the_configuration_again(
    publisher: Publisher, service: Callable[..., subprocess.Popen[str]]
) -> None:
    process = service()
    publisher.configure("nod = 3")
    process.send_signal(signal.SIGHUP)
    assert "did you mean 'node'" in logged(process, "the configuration was not reloaded and stays as it was")["message"]
    publisher.configure(f'{FILE_SINK}\n[sinks.more]\ntype = "file"\npath = "more.jsonl"')
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(events_in(publisher.folder / "more.jsonl")) == 3, what="the new sink's snapshot")
    assert len(events_in(publisher.folder / "out.jsonl")) == 3


def logged(process: subprocess.Popen[str], message: str) -> dict[str, Any]:
    """The next log entry whose message contains this; the test's timeout ends the wait."""
    assert process.stderr
    for line in process.stderr:
        if message in (entry := json.loads(line))["message"]:
            return dict(entry)
    raise AssertionError(f"the log ended without {message!r}")


def test_a_terminal_that_is_closed_ends_run_instead_of_reloading(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0,), "startup"), Remove(ETH0.luid, "inet"), last_at=FOREVER)
    publisher.configure(FILE_SINK)
    on_terminal = "import pty, sys; pty.spawn([sys.executable, '-m', 'publisher', 'run'])"
    terminal = subprocess.Popen(
        [sys.executable, "-c", on_terminal], cwd=publisher.folder, env=publisher.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: len(events_in(publisher.folder / "out.jsonl")) == 2, what="snapshot")
    assert holder(publisher.journal)
    terminal.kill()
    terminal.wait()
    wait_for(lambda: holder(publisher.journal) is None, what="the end of publisher")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "n"))
        listener.settimeout(30)
        yield listener


def received_until(listener: socket.socket, last: str) -> list[str]:
    """The messages to systemd up to the first that begins with this."""
    messages = [listener.recv(1000).decode()]
    while not messages[-1].startswith(last):
        messages.append(listener.recv(1000).decode())
    return messages


def test_systemd_receives_the_states_of_the_service(
    service: Callable[..., subprocess.Popen[str]], systemd: socket.socket, tmp_path: Path
) -> None:
    process = service(NOTIFY_SOCKET=str(tmp_path / "n"), WATCHDOG_USEC="3000000")
    assert received_until(systemd, "STATUS=1 sink, all delivered")[:2] == ["READY=1", "WATCHDOG=1"]
    received_until(systemd, "WATCHDOG=1")
    process.send_signal(signal.SIGTERM)
    received_until(systemd, "STOPPING=1")
    assert process.wait(30) == 0


def test_systemd_receives_that_a_reload_is_over_after_it_happened(
    publisher: Publisher,
    service: Callable[..., subprocess.Popen[str]],
    systemd: socket.socket,
    tmp_path: Path,
) -> None:
    """A sink that hangs makes the reload last: its worker is given some seconds to end."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it never answers
        hook = f'[sinks.hook]\ntype = "webhook"\nurl = "http://127.0.0.1:{silent.getsockname()[1]}/"'
        process = service(sinks=f"{FILE_SINK}\n{hook}", NOTIFY_SOCKET=str(tmp_path / "n"))
        connection, _ = silent.accept()
        received_until(systemd, "STATUS=")
        publisher.configure(f"{FILE_SINK}\n{hook}\ntimeout = 20")
        process.send_signal(signal.SIGHUP)
        received_until(systemd, "RELOADING=1\nMONOTONIC_USEC=")
        received_until(systemd, "READY=1")
        assert "configuration reloaded" in waiting_log(process)
        connection.close()


def waiting_log(process: subprocess.Popen[str]) -> str:
    """What the process has logged up to now."""
    assert process.stderr
    os.set_blocking(process.stderr.fileno(), False)
    return process.stderr.read() or ""


def test_a_reload_that_fails_is_visible_and_the_old_configuration_stays(
    publisher: Publisher,
    service: Callable[..., subprocess.Popen[str]],
    systemd: socket.socket,
    tmp_path: Path,
) -> None:
    process = service(NOTIFY_SOCKET=str(tmp_path / "n"))
    received_until(systemd, "STATUS=1 sink, all delivered")  # it may be preceded by another, and none follows it
    publisher.configure("nod = 3")
    process.send_signal(signal.SIGHUP)
    assert received_until(systemd, "READY=1")[0].startswith("RELOADING=1")
    [status] = received_until(systemd, "STATUS=")
    assert status.startswith("STATUS=1 sink, all delivered; the configuration was not reloaded: ")
    assert "did you mean 'node'" in status
    assert logged(process, "the configuration was not reloaded")["level"] == "error"


def test_run_imports_neither_broker_nor_http_client_nor_tables_of_its_own(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "publisher", "run"],
        cwd=publisher.folder, env=publisher.environment, timeout=60, capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "publisher.service.service" in imported
    assert not imported & {"paho.mqtt.client", "urllib3", "prometheus_client", "publisher_mqtt.asyncapi", "iotcore"}
