"""A broker for a first run on one host: rumqttd (of iotcore) in a child process, on the loopback address only."""

from __future__ import annotations

import importlib.util
import logging
import os
import platform
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from publisher import Log, PublisherError

LOOPBACK = "127.0.0.1"

# The program at an address: none, a broker that accepts us, one that wants a login, some other program.
Listener = Literal["nothing", "broker", "login", "foreign"]

# Small segments of the commit log keep it at 37 MB after 30,000 messages, where the defaults grow without end; 10,000
# outgoing packets give a wildcard subscriber more than 200 retained messages. Measured with iotcore 0.4.0
# (docs/mqtt.md).
_CONFIG = """\
id = 0

[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 10000
max_segment_size = 1048576
max_segment_count = 2
"""
_LISTENER = """
[{version}.1]
name = "{version}"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[{version}.1.connections]
connection_timeout_ms = 60000
max_payload_size = 262144
max_inflight_count = 1000
dynamic_filters = true
"""
# The variables that Python and its packages may need to be found; no other is handed on.
_VARIABLES = frozenset(
    ("APPDATA", "HOME", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE", "SYSTEMROOT", "TMPDIR")
)
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_MISSING = "the embedded broker is not installed: pipx install --force 'interface-publisher[try,web]'"
_NO_WHEEL = "there is no embedded broker for this system: install a broker, such as mosquitto"
# Those that iotcore 0.4.0 has wheels for; pyproject.toml has the same as a marker, which cannot tell glibc from musl.
_WHEELS = frozenset(
    (
        *(("linux", machine) for machine in ("aarch64", "armv7l", "x86_64")),
        *(("darwin", machine) for machine in ("arm64", "x86_64")),
        ("win32", "AMD64"),
    )
)
# It takes 0.3 s of processor time; a first run at the boot of a small machine has little of that.
_START_SECONDS = 45.0


def rumqttd_config(**ports: int) -> str:
    """Returns the configuration of rumqttd with a listener on the loopback for each port, by its version (v4, v5)."""
    return _CONFIG + "".join(
        _LISTENER.format(version=version, host=LOOPBACK, port=port) for version, port in ports.items()
    )


def has_wheel(system: str = sys.platform, machine: str = "", libc: str = "") -> bool:
    """Returns whether the extra `try` brings a broker for a system; by default for this one."""
    machine = machine or platform.machine()
    # Only of this interpreter, which is read for it, and only where it is asked for.
    libc = libc or (platform.libc_ver()[0] if system == "linux" else "")
    return (system, machine) in _WHEELS and (system != "linux" or libc == "glibc")


class EmbeddedBrokerError(PublisherError):
    """There is no embedded broker here, or it did not start."""


class EmbeddedBroker:
    """MQTT 3.1.1 on `port` and MQTT 5 on `port_5`, both on 127.0.0.1: rumqttd needs a port for each.

    It ends with `close()`, and with this process, also when that is killed; when it ends by itself, it is started
    again. For one host, without login and store. `start` and `close` are called from one thread.
    """

    def __init__(self, port: int = 1883, port_5: int | None = None, log: Log | None = None) -> None:
        self.port = port
        self.port_5 = port_5 or _free_port(port + 1)
        self._log = log or logging.getLogger("publisher")
        # The watching thread starts the process again, so it shares it with `close`.
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the broker, while there is one."""
        return self._process.pid if self._process else None

    def start(self, timeout: float = _START_SECONDS) -> None:
        """Starts the broker and returns when both listeners answer; raises EmbeddedBrokerError."""
        if importlib.util.find_spec("iotcore") is None:
            reason = _MISSING if has_wheel() else _NO_WHEEL
            raise EmbeddedBrokerError(f"nothing listens on {LOOPBACK}:{self.port}, and {reason}")
        try:
            self._start_process(timeout)
        except EmbeddedBrokerError:
            self.close()
            raise
        self._watcher = threading.Thread(target=self._watch, name="embedded broker", daemon=True)
        self._watcher.start()

    def close(self, timeout: float = 5.0) -> None:
        """Ends the broker and waits for its end; harmless when repeated."""
        self._closing.set()
        self._end_process(timeout)
        if self._watcher is not None:
            self._watcher.join()

    def _start_process(self, timeout: float) -> None:
        if ask(LOOPBACK, self.port) != "nothing":
            raise EmbeddedBrokerError(f"something listens on {LOOPBACK}:{self.port} already")
        try:
            with TemporaryDirectory(prefix="publisher-broker-") as directory:
                config = Path(directory, "rumqttd.toml")
                config.write_text(rumqttd_config(v4=self.port, v5=self.port_5), encoding="utf-8")
                with self._lock:
                    if self._closing.is_set():
                        return
                    process = self._process = _spawn(config)
                self._wait_until_listening(process, time.monotonic() + timeout)
        except OSError as error:
            raise EmbeddedBrokerError(f"the embedded broker cannot be started: {error.strerror or error}") from error

    def _end_process(self, timeout: float) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate(timeout=timeout)  # ends its standard input, and with it the broker
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    def _watch(self) -> None:
        """Starts the broker again whenever it ends: sinks connect again and publish what it has lost."""
        while (process := self._process) is not None:
            status = process.wait()
            pause = _FIRST_PAUSE
            while not self._closing.is_set():
                self._log.warning(
                    "the embedded MQTT broker ended with status %d; it is started again in %.0f s", status, pause
                )
                if self._closing.wait(pause):
                    return
                try:
                    self._end_process(1.0)
                    self._start_process(_START_SECONDS)
                    break
                except EmbeddedBrokerError as error:
                    if self._closing.is_set():
                        return
                    self._log.warning("%s", error)
                    pause = min(2 * pause, _LONGEST_PAUSE)

    def _wait_until_listening(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        # Polled, since rumqttd gives no sign when it listens.
        while not (broker_listening(LOOPBACK, self.port) and _accepts(LOOPBACK, self.port_5)):
            if process.poll() is not None:
                raise EmbeddedBrokerError(f"the embedded broker ended at its start: {_reason(process)}")
            if time.monotonic() > deadline:
                raise EmbeddedBrokerError(f"the embedded broker does not answer on {LOOPBACK}:{self.port}")
            time.sleep(0.02)


def broker_listening(host: str, port: int) -> bool:
    """Returns whether an MQTT broker listens there that accepts clients without a login."""
    return ask(host, port) == "broker"


def ask(host: str, port: int, timeout: float = 2.0) -> Listener:
    """Sends an MQTT 3.1.1 CONNECT and returns the kind of program that answers; disconnects at once."""
    try:
        connection = socket.create_connection((host, port), timeout)
    except OSError:
        return "nothing"
    with connection:
        try:
            connection.sendall(_connect_packet(b"publisher-probe"))
            reply = connection.recv(4)
            connection.sendall(b"\xe0\x00")  # DISCONNECT
        except OSError:
            return "foreign"
    # CONNACK (MQTT 3.1.1, section 3.2): type 2, two bytes more, the last is the return code.
    if len(reply) != 4 or reply[:2] != b"\x20\x02":
        return "foreign"
    return "broker" if reply[3] == 0 else "login"


def _connect_packet(client_id: bytes) -> bytes:
    """Returns a CONNECT (MQTT 3.1.1, 3.1): protocol name and level 4, clean session, keepalive 10 s, client id."""
    body = b"\x00\x04MQTT\x04\x02\x00\x0a" + len(client_id).to_bytes(2, "big") + client_id
    return b"\x10" + bytes([len(body)]) + body


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 2.0).close()
    except OSError:
        return False
    return True


def _reason(process: subprocess.Popen[bytes]) -> str:
    """Returns the line with which the process ended, or its status."""
    try:
        line = process.stdout.readline(1000) if process.stdout else b""
    except ValueError:  # `close` has closed it meanwhile
        line = b""
    return line.decode(errors="replace").strip() or f"status {process.returncode}"


def _spawn(config: Path) -> subprocess.Popen[bytes]:
    """Starts the process, without the variables and the directory of this one: it needs no password."""
    script = Path(__file__).with_name("broker_process.py")
    # A group of its own, so that Ctrl+C in the terminal ends us first. -P: else modules in the directory come first.
    group = 0
    if sys.platform == "win32":
        group = subprocess.CREATE_NEW_PROCESS_GROUP
    return subprocess.Popen(
        [sys.executable, "-P", str(script), str(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(sys.executable).anchor,
        env={name: value for name, value in os.environ.items() if name.upper() in _VARIABLES},
        start_new_session=True,
        creationflags=group,
    )


def _free_port(wish: int) -> int:
    """Returns this port if it is free, else any."""
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, wish))
        except OSError:
            probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
