"""Real MQTT brokers on free ports of the loopback, started, killed and restarted by tests."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import ClassVar, Self

import pytest

from .tools import need
from .waiting import wait_for


def free_port() -> int:
    """A TCP port that nothing listens on right now.

    Not one of those that the system gives to clients: a client that tries again and again to reach a broker that is
    down would in the end be given that very port, and be connected to itself.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


class Broker:
    """A broker as a child process. What it cannot do is in `lacks`, by name, with the reason."""

    protocols: ClassVar[tuple[str, ...]] = ("5", "3.1.1")
    lacks: ClassVar[dict[str, str]] = {}
    start_seconds: ClassVar[float] = 20.0

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def needs(self, capability: str) -> None:
        """Skip the test when this broker cannot do that; that is its nature, so CI does not mind."""
        if reason := self.lacks.get(capability):
            pytest.skip(f"{type(self).__name__} has no {capability}: {reason}")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        command = self.command()
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
                cwd=self.directory,
            )
        wait_for(self._listens, timeout=self.start_seconds, what=f"{command[0]} on port {self.port}")

    def _listens(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the broker ended: {(self.directory / 'log').read_text()[-2000:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it with this signal, and wait."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None

    def kill(self) -> None:
        """As by `kill -9`: nothing more is written."""
        if sys.platform == "win32":
            raise NotImplementedError
        self.end(signal.SIGKILL)

    def freeze(self) -> None:
        """Have it do nothing, with its connections open."""
        if sys.platform == "win32":
            raise NotImplementedError
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        if sys.platform == "win32":
            raise NotImplementedError
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Mosquitto(Broker):
    """Eclipse mosquitto; `lines` go into its configuration, and `listener` replaces the plain one.

    With `store`, what it has is written at a regular end, and nothing is when it is killed.
    """

    def __init__(self, directory: Path, *lines: str, store: bool = False, listener: tuple[str, ...] = ()) -> None:
        need("mosquitto", package="mosquitto")
        super().__init__(directory)
        self.store = store
        self._lines = lines
        self._listener = listener

    def configuration(self) -> str:
        lines = [
            f"listener {self.port} 127.0.0.1",
            *self._listener,
            # mosquitto that is started as root would else become a user that cannot write into the test's directory.
            "user root",
            "set_tcp_nodelay true",
            "log_type error",
            "log_type warning",
            "log_type notice",
            f"persistence {str(self.store).lower()}",
            f"persistence_location {self.directory}/",
            *self._lines,
        ]
        for default in ("allow_anonymous true", "max_queued_messages 0"):
            if not any(line.startswith(default.split()[0]) for line in lines):
                # In front of the listener's own lines nothing else may stand, behind them anything global.
                lines.append(default)
        return "\n".join(lines) + "\n"

    def command(self) -> list[str]:
        path = self.directory / "mosquitto.conf"
        path.write_text(self.configuration())
        return [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(path)]

    def connections(self) -> int:
        """How many connections were accepted, by its log."""
        return (self.directory / "log").read_text().count("New client connected")


class Nats(Broker):
    """nats-server with JetStream and its MQTT port."""

    protocols = ("3.1.1",)
    lacks: ClassVar[dict[str, str]] = {
        "MQTT 5": "nats-server 2.9 speaks 3.1.1 only",
    }

    def command(self) -> list[str]:
        need("nats-server", package="nats-server")
        path = self.directory / "nats.conf"
        path.write_text(
            f"""
            server_name: test
            listen: "127.0.0.1:{free_port()}"
            jetstream {{ store_dir: "{self.directory}/jetstream" }}
            mqtt {{ listen: "127.0.0.1:{self.port}" }}
            """
        )
        return ["nats-server", "-c", str(path)]


class RabbitMq(Broker):
    """RabbitMQ with rabbitmq_mqtt, and an epmd of its own, so that none stays behind."""

    protocols = ("3.1.1",)
    start_seconds = 90.0
    lacks: ClassVar[dict[str, str]] = {
        "MQTT 5": "RabbitMQ 3.10 speaks 3.1.1 only",
        "retained messages for wildcards": "its MQTT plugin looks up the retained message of one topic only",
    }

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._epmd_port = free_port()
        self._epmd: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        (self.directory / "enabled_plugins").write_text("[rabbitmq_mqtt].")
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:{self.port}\nmqtt.allow_anonymous = true\n"
            "mqtt.retained_message_store = rabbit_mqtt_retained_msg_store_ets\n"
        )
        return ["/usr/lib/rabbitmq/bin/rabbitmq-server"]

    def environment(self) -> dict[str, str]:
        place = str(self.directory)
        return dict(os.environ) | {
            "HOME": place,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": place,
            "RABBITMQ_LOG_BASE": place,
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": f"{place}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{place}/enabled_plugins",
            "RABBITMQ_PID_FILE": f"{place}/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def start(self) -> None:
        need("/usr/lib/rabbitmq/bin/rabbitmq-server", "epmd", package="rabbitmq-server")
        if self._epmd is None:
            arguments = ["epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)]
            self._epmd = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        super().start()

    def __exit__(self, *_: object) -> None:
        # Its start script and Erlang's port mapper are processes of their own.
        self.end(signal.SIGTERM)
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(20)
