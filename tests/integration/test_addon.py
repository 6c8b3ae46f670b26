"""The add-on of Home Assistant: its files by the Supervisor's rules, and its start script beside a Supervisor."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
import yaml  # type: ignore[import-untyped]  # what the tests have of it is not typed

import publisher
from publisher.config.settings import valid_node
from tests.fixtures.brokers import Mosquitto, write_passwords
from tests.fixtures.mqtt_subscriber import Subscriber
from tests.fixtures.poll import wait_for
from tests.fixtures.supervisor import TOKEN, Supervisor

if sys.platform == "win32":
    pytest.skip("the add-on is a container of Linux", allow_module_level=True)

FOLDER = Path(__file__).parents[2] / "compose" / "homeassistant-addon"
ADDON = FOLDER / "interface_publisher"
RULES = json.loads((Path(__file__).parent / "supervisor_config.json").read_text())
CONFIG = yaml.safe_load((ADDON / "config.yaml").read_text())
# As supervisor/apps/validate.py has them: a value that is the default is noise, and the linter of add-ons refuses it.
DEFAULTS = {"boot": "auto", "init": True, "startup": "application", "stage": "stable", "backup": "hot", "timeout": 10}


class Addon:
    """The folders that the Supervisor mounts into the add-on, and the start script with them."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.config = folder / "config"
        self.data.mkdir()
        self.config.mkdir()
        self.log = folder / "log"

    def options(self, **changed: object) -> None:
        """Writes options.json as the Supervisor does: each option of the schema, the defaults included."""
        (self.data / "options.json").write_text(json.dumps(CONFIG["options"] | changed))

    def environment(self, token: str = TOKEN) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PUBLISHER_", "XDG_"))}
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        journal = {name: value.replace("/data", str(self.data)) for name, value in variables_of_the_image().items()}
        return kept | journal | {"PATH": path, "SUPERVISOR_TOKEN": token, "HOME": str(self.data)}

    def command(self, supervisor: str) -> list[str]:
        folders = ("--data", str(self.data), "--config", str(self.config), "--supervisor", supervisor)
        return [sys.executable, str(ADDON / "run.py"), *folders, "--user", str(os.getuid())]

    @contextmanager
    def running(self, supervisor: str) -> Iterator[subprocess.Popen[bytes]]:
        with self.log.open("wb") as log:
            process = subprocess.Popen(self.command(supervisor), env=self.environment(), stdout=log, stderr=log)
        try:
            yield process
            process.terminate()
            assert process.wait(60) == 0, self.log.read_text()
        finally:
            process.kill()
            process.wait()

    def fails(self, supervisor: str, token: str = TOKEN) -> str:
        """Starts it; returns the reason why it ends at once."""
        command, environment = self.command(supervisor), self.environment(token)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1, done.stderr
        return done.stderr

    def is_healthy(self) -> bool:
        """Carries out the health check of the image."""
        command = json.loads(re.findall(r"HEALTHCHECK .* CMD (\[.*\])", (ADDON / "Dockerfile").read_text())[0])
        return subprocess.run(command, env=self.environment(), capture_output=True, timeout=60).returncode == 0


class LoginBroker(Mosquitto):
    login = ("addons", "the broker's word")


def variables_of_the_image() -> dict[str, str]:
    return dict(re.findall(r"(PUBLISHER_\w+)=(\S+)", (ADDON / "Dockerfile").read_text()))


@pytest.fixture
def addon(tmp_path: Path) -> Addon:
    return Addon(tmp_path)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    passwords = write_passwords(folder / "passwords", *LoginBroker.login)
    with LoginBroker(folder, "allow_anonymous false", f"password_file {passwords}") as started:
        yield started


def service(broker: Mosquitto) -> Mapping[str, Any]:
    user, password = LoginBroker.login
    address = {"host": "127.0.0.1", "port": broker.port, "ssl": False, "protocol": "3.1.1"}
    return {**address, "username": user, "password": password}


def test_the_supervisor_accepts_the_files() -> None:
    fastjsonschema.compile(RULES)(CONFIG)
    part = {"definitions": RULES["definitions"]}
    fastjsonschema.compile(part | RULES["definitions"]["repository"])(
        yaml.safe_load((FOLDER / "repository.yaml").read_text())
    )
    translated = fastjsonschema.compile(part | RULES["definitions"]["translations"])
    for file in sorted((ADDON / "translations").iterdir()):
        assert translated(yaml.safe_load(file.read_text()))["configuration"].keys() == CONFIG["schema"].keys()


def test_the_add_on_asks_for_no_more_than_it_needs() -> None:
    assert CONFIG["host_network"] is True
    assert CONFIG["services"] == ["mqtt:want"]
    assert CONFIG["map"] == [{"type": "addon_config"}]  # for reading alone, by default
    granting = {"privileged", "full_access", "docker_api", "hassio_api", "homeassistant_api", "auth_api", "devices"}
    granting |= {"host_pid", "host_ipc", "host_uts", "host_dbus", "kernel_modules", "apparmor", "hassio_role"}
    assert not granting & CONFIG.keys()
    assert not [name for name, value in DEFAULTS.items() if CONFIG.get(name) == value]


def test_the_options_are_those_of_the_publisher_and_of_this_version() -> None:
    assert CONFIG["version"] == publisher.__version__
    assert CONFIG["options"].keys() == CONFIG["schema"].keys()
    pattern = re.fullmatch(r"match\((.*)\)", CONFIG["schema"]["node"])
    assert pattern
    for node in (CONFIG["options"]["node"], "a" * 64, "-_9Z"):
        assert re.match(pattern[1], node)
        assert valid_node(node) == node
    assert CONFIG["schema"]["log_level"] == "list(debug|info|warning|error)"


def test_it_publishes_to_the_broker_of_home_assistant(addon: Addon, broker: Mosquitto) -> None:
    addon.options(node="pi")
    with Supervisor(service(broker)) as supervisor, addon.running(supervisor.url) as process:
        subscriber = Subscriber(broker, "interfaces/#", "homeassistant/#")
        try:
            wait_for(lambda: latest(subscriber, "interfaces/pi/status") == b"online", what="the node's status")
            wait_for(lambda: latest(subscriber, "homeassistant/device/publisher_pi/node/config"), what="the device")
            wait_for(addon.is_healthy, what="the health check")
            assert b"SUPERVISOR_TOKEN" not in Path(f"/proc/{process.pid}/environ").read_bytes()
        finally:
            subscriber.client.disconnect()
            subscriber.client.loop_stop()
    assert not addon.is_healthy()
    assert "the broker's word" not in addon.log.read_text()
    assert (addon.data / "journal.sqlite3").exists()


def test_its_devices_leave_when_they_are_switched_off(addon: Addon, broker: Mosquitto) -> None:
    device = "homeassistant/device/publisher_homeassistant/node/config"
    subscriber = Subscriber(broker, "homeassistant/#")
    try:
        with Supervisor(service(broker)) as supervisor:
            addon.options()
            with addon.running(supervisor.url):
                wait_for(lambda: latest(subscriber, device), what="the device")
            addon.options(discovery=False)
            with addon.running(supervisor.url):
                wait_for(lambda: not latest(subscriber, device), what="its removal")
    finally:
        subscriber.client.disconnect()
        subscriber.client.loop_stop()


def latest(subscriber: Subscriber, topic: str) -> bytes:
    return next((message.payload for message in reversed(subscriber.messages) if message.topic == topic), b"")


def test_the_users_file_is_read_and_the_options_win(addon: Addon) -> None:
    events = addon.data / "events.jsonl"
    (addon.config / "publisher.toml").write_text(
        f'node = "other"\n[sinks.log]\ntype = "file"\npath = "{events}"\n[log]\nlevel = "error"\n'
    )
    addon.options(mqtt=False, log_level="info")
    with addon.running("http://127.0.0.1:1"):
        wait_for(lambda: events.exists() and b"\n" in events.read_bytes(), what="events in the user's file")
    assert json.loads(events.read_text().splitlines()[0])["node"] == "homeassistant"
    assert '"level": "info"' in addon.log.read_text()


def test_a_start_that_cannot_be_says_what_to_do(addon: Addon) -> None:
    assert "options.json" in addon.fails("http://127.0.0.1:1")
    addon.options()
    assert "the Supervisor does not answer at http://127.0.0.1:1" in addon.fails("http://127.0.0.1:1")
    with Supervisor() as supervisor:
        assert "install the add-on 'Mosquitto broker'" in addon.fails(supervisor.url)
        assert "the Supervisor answered 401" in addon.fails(supervisor.url, token="another's")
