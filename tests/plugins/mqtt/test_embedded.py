"""The embedded broker as a real process, and first runs with different programs on the port."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from packaging.requirements import Requirement
from paho.mqtt import publish, subscribe

from publisher_mqtt.embedded.broker import (
    LOOPBACK,
    EmbeddedBroker,
    EmbeddedBrokerError,
    ask,
    broker_listening,
    has_wheel,
)
from publisher_mqtt.embedded.first_run import prepare
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.requirements import need, unable

LOG = logging.getLogger("publisher")


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    if importlib.util.find_spec("iotcore") is None:
        unable("iotcore has no wheel for this system")
    started = EmbeddedBroker(free_port())
    started.start()
    yield started
    started.close()
    assert ask(LOOPBACK, started.port) == "nothing"


@contextlib.contextmanager
def listener(reply: bytes | None) -> Iterator[int]:
    """A server that answers each connection with these bytes; with `None` it closes it without an answer."""
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(100)
                        connection.sendall(reply or b"")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def retained(port: int, topic: str, **options: Any) -> bytes:
    # With a client id of its own: two clients without one may be given the same by the broker.
    name = f"reader-{port}-{options.get('protocol', 4)}"
    message = subscribe.simple(topic, hostname=LOOPBACK, port=port, client_id=name, **options)  # type: ignore[no-untyped-call]  # paho's
    payload: bytes = message.payload
    return payload


def test_both_versions_of_mqtt_see_the_same_retained_messages(broker: EmbeddedBroker) -> None:
    publish.single("interfaces/nas/status", b"online", qos=1, retain=True, hostname=LOOPBACK, port=broker.port)
    assert retained(broker.port, "interfaces/#") == b"online"
    assert retained(broker.port_5, "interfaces/#", protocol=5) == b"online"


def test_a_large_payload_and_many_retained_topics_fit(broker: EmbeddedBroker) -> None:
    messages = [(f"many/{number}", b"x" * 100, 1, True) for number in range(300)]
    publish.multiple([*messages, ("many/large", b"x" * 200_000, 1, True)], hostname=LOOPBACK, port=broker.port)
    received = subscribe.simple(  # type: ignore[no-untyped-call]  # paho's
        "many/#", qos=0, msg_count=301, hostname=LOOPBACK, port=broker.port
    )
    assert len({message.topic for message in received}) == 301


def test_it_listens_on_the_loopback_address_only(broker: EmbeddedBroker) -> None:
    listening = {
        connection.laddr
        for connection in psutil.Process(broker.pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {(LOOPBACK, broker.port), (LOOPBACK, broker.port_5)}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals; its consoles' groups do the same")
def test_the_signals_that_end_us_leave_it_to_the_last_deliveries(broker: EmbeddedBroker) -> None:
    assert broker.pid is not None
    if sys.platform != "win32":  # again, for the type checker
        assert os.getpgid(broker.pid) != os.getpgid(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(broker.pid, number)
    publish.single("still/there", b"yes", qos=1, retain=True, hostname=LOOPBACK, port=broker.port)
    assert retained(broker.port, "still/there") == b"yes"


def test_it_ends_when_its_parent_is_killed(broker: EmbeddedBroker) -> None:
    del broker  # needed only to skip the test without iotcore
    port = free_port()
    code = (
        "import sys; from publisher_mqtt.embedded.broker import EmbeddedBroker;"
        f"broker = EmbeddedBroker({port}); broker.start(); print(broker.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert broker_listening(LOOPBACK, port)
        parent.kill()
    child.wait(60)
    assert ask(LOOPBACK, port) == "nothing"


def test_a_port_in_use_is_an_error_and_leaves_no_process(broker: EmbeddedBroker) -> None:
    second = EmbeddedBroker(broker.port)
    with pytest.raises(EmbeddedBrokerError, match="listens on"):
        second.start()
    assert second.pid is None


def test_a_broker_that_cannot_bind_is_an_error_of_one_line(
    broker: EmbeddedBroker, capfd: pytest.CaptureFixture[str]
) -> None:
    second = EmbeddedBroker(free_port(), broker.port_5)
    with pytest.raises(EmbeddedBrokerError, match=r"ended at its start: .*in use") as error:
        second.start()
    assert second.pid is None
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_without_a_temporary_directory_the_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    with pytest.raises(EmbeddedBrokerError, match="cannot be started: No such file"):
        EmbeddedBroker(free_port()).start()


def test_it_inherits_no_password_no_directory_and_no_file(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del broker
    monkeypatch.setenv("PUBLISHER_SINKS__HOME__PASSWORD", "hunter2")
    monkeypatch.setenv("MY_TOKEN", "hunter2")
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "open").open("w") as file, contextlib.closing(EmbeddedBroker(free_port())) as started:
        os.set_inheritable(file.fileno(), True)
        started.start()
        process = psutil.Process(started.pid)
        assert "hunter2" not in str(process.environ())
        assert Path(process.cwd()) != tmp_path
        assert str(tmp_path / "open") not in [opened.path for opened in process.open_files()]


def test_it_is_started_again_when_it_ends(broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture) -> None:
    del broker
    with contextlib.closing(EmbeddedBroker(free_port())) as started:
        started.start()
        first = psutil.Process(started.pid)
        first.kill()
        wait_for(lambda: started.pid not in (None, first.pid) and broker_listening(LOOPBACK, started.port), what="it")
    assert ask(LOOPBACK, started.port) == "nothing"
    assert "the embedded MQTT broker ended with status" in caplog.text


def test_it_can_be_closed_while_it_waits_to_be_started_again(
    broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    del broker
    started = EmbeddedBroker(free_port())
    started.start()
    psutil.Process(started.pid).kill()
    wait_for(lambda: "is started again in" in caplog.text, what="the warning")
    started.close()
    assert ask(LOOPBACK, started.port) == "nothing"


@pytest.mark.parametrize(
    ("wheel", "words"),
    [
        (True, "pipx install --force 'interface-publisher[try,web]'"),
        (False, "there is no embedded broker for this system: install a broker, such as mosquitto"),
    ],
)
def test_without_iotcore_the_start_is_an_error_with_the_way_to_have_a_broker(
    monkeypatch: pytest.MonkeyPatch, *, wheel: bool, words: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr("publisher_mqtt.embedded.broker.has_wheel", lambda: wheel)
    with pytest.raises(EmbeddedBrokerError) as error:
        EmbeddedBroker(free_port()).start()
    assert words in str(error.value)


def test_the_systems_with_a_broker_are_those_of_the_extra_try() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [requirement] = project["optional-dependencies"]["try"]
    marker = Requirement(requirement).marker
    assert marker is not None
    for system in ("linux", "darwin", "win32", "freebsd14"):
        for machine in ("x86_64", "aarch64", "armv7l", "arm64", "AMD64", "ARM64", "riscv64"):
            there = marker.evaluate({"sys_platform": system, "platform_machine": machine})
            real = machine in ("x86_64", "arm64") if system == "darwin" else True  # all that macOS has
            assert not real or has_wheel(system, machine, "glibc") == there, (system, machine)
    assert not has_wheel("linux", "x86_64", "musl"), "no marker tells it"


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (b"\x20\x02\x00\x00", "broker"),
        (b"\x20\x02\x00\x05", "login"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "foreign"),
        (None, "foreign"),
    ],
)
def test_the_kind_of_program_on_a_port_is_found(reply: bytes | None, answer: str) -> None:
    with listener(reply) as port:
        assert ask(LOOPBACK, port) == answer
        assert broker_listening(LOOPBACK, port) == (answer == "broker")


def test_a_first_run_starts_a_broker_and_its_line_works(broker: EmbeddedBroker) -> None:
    del broker
    need("mosquitto_sub", package="mosquitto-clients")
    port = free_port()
    with contextlib.closing(prepare(LOG, port=port)) as first:
        assert first.sinks, first.lines
        assert first.sinks["mqtt"] == {
            "type": "mqtt",
            "url": f"mqtt://127.0.0.1:{port}",
            "protocol": "3.1.1",
            "base": "interfaces",
            "volatile": True,
        }
        assert "embedded" in first.lines[0]
        publish.single("interfaces/nas/status", b"online", qos=1, retain=True, hostname=LOOPBACK, port=port)
        [line] = [line for line in first.lines if "mosquitto_sub" in line]
        command = shlex.split(line.partition(":")[2])
        told = subprocess.run([*command, "-C", "1"], capture_output=True, text=True, timeout=60, check=True)
        assert told.stdout == "interfaces/nas/status online\n"
    assert ask(LOOPBACK, port) == "nothing"


@pytest.mark.parametrize(
    ("found", "started", "command"),
    [
        ("/usr/bin/publisher", "/usr/bin/publisher", "publisher"),
        (None, ".venv/bin/publisher", ".venv/bin/publisher"),
        (None, "/opt/publisher/__main__.py", f"{sys.executable} -m publisher"),
    ],
)
def test_a_first_run_names_the_command_as_the_shell_finds_it(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch, found: str | None, started: str, command: str
) -> None:
    """After `make run` no folder of PATH has it."""
    monkeypatch.setattr("shutil.which", lambda _: found)
    monkeypatch.setattr("sys.argv", [started])
    assert f"or watch:   {command} watch mqtt://127.0.0.1:{broker.port}" in prepare(LOG, port=broker.port).lines


def test_a_first_run_uses_the_broker_that_is_there(broker: EmbeddedBroker) -> None:
    first = prepare(LOG, port=broker.port)
    first.close()
    assert first.sinks
    assert "that listens on" in first.lines[0]
    assert ask(LOOPBACK, broker.port) == "broker"


@pytest.mark.parametrize(
    ("reply", "words"), [(b"\x20\x02\x00\x05", "user and a password"), (b"HTTP/1.1 400\r\n", "not an MQTT broker")]
)
def test_a_first_run_continues_without_mqtt_when_the_port_is_taken(reply: bytes, words: str) -> None:
    with listener(reply) as port:
        first = prepare(LOG, port=port)
    assert first.sinks == {}
    assert words in first.lines[0]


def test_a_first_run_continues_without_iotcore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    first = prepare(LOG, port=free_port())
    assert first.sinks == {}
    [line] = first.lines
    assert line.startswith("No MQTT in this run: nothing listens on 127.0.0.1:")


def test_the_configuration_is_removed_once_it_runs(broker: EmbeddedBroker) -> None:
    configuration = psutil.Process(broker.pid).cmdline()[-1]
    assert not Path(configuration).exists()
    assert broker_listening(LOOPBACK, broker.port)
