"""compose/: the very mosquitto configuration with its ACL, the compose file, the Dockerfile and the examples."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]  # what the tests have of it is not typed
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from publisher.config.settings import Settings
from publisher.testing import FakeSinkContext, make_event, make_row, make_snapshot
from publisher_mqtt.options import MqttOptions
from publisher_mqtt.sink import MqttSink
from tests.fixtures import small_yaml
from tests.fixtures.brokers import Broker
from tests.fixtures.compose_broker import COMPOSE, PASSWORDS, ComposeMosquitto
from tests.fixtures.poll import wait_for
from tests.fixtures.requirements import unable
from tests.packages.dockerfile import instructions

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

TOP = Path(__file__).resolve().parents[2]
LUID = "0006008000000000"
SUCCESS, NOT_AUTHORIZED, BAD_LOGIN = 0x00, 0x87, {0x86, 0x87}
ALLOWED = {SUCCESS, 0x10}  # 0x10: no subscriber


class User:
    """A client of MQTT 5, which receives refusals; `heard` are the received topics."""

    def __init__(self, broker: Broker, name: str | None, password: str | None = None) -> None:
        self.heard: set[str] = set()
        self.connected: list[int] = []
        self._answers: dict[int, int] = {}
        self._granted: list[int] = []
        self._client = Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
        )
        if name is not None:
            self._client.username_pw_set(name, PASSWORDS[name] if password is None else password)
        self._client.on_connect = lambda *told: self.connected.append(told[3].value)
        self._client.on_message = self._hear
        self._client.on_publish = self._acknowledged
        self._client.on_subscribe = lambda *told: self._granted.append(told[2])
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        wait_for(lambda: self.connected, what="CONNACK")

    def publish(self, topic: str, payload: str = "x", *, retain: bool = False, **properties: Any) -> int:
        """Publishes, and returns the reason code of the PUBACK."""
        made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
        for name, value in properties.items():
            setattr(made, name, value)
        mid = self._client.publish(topic, payload, 1, retain, made).mid
        wait_for(lambda: mid in self._answers, what=f"PUBACK for {topic}")
        return self._answers[mid]

    def hear(self, topic_filter: str) -> None:
        """Subscribes, and returns when the broker has accepted."""
        _, mid = self._client.subscribe(topic_filter, 1)
        wait_for(lambda: mid in self._granted, what="SUBACK")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self.heard.add(message.topic)

    def _acknowledged(
        self, _client: Client, _userdata: object, mid: int, code: ReasonCode, _properties: object
    ) -> None:
        self._answers[mid] = code.value


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with ComposeMosquitto(tmp_path_factory.mktemp("compose")) as started:
        yield started


@contextmanager
def users(broker: Broker, *names: str) -> Iterator[list[User]]:
    with ExitStack() as closers:
        yield [closers.enter_context(closing(User(broker, name))) for name in names]


@pytest.mark.parametrize(("name", "password"), [(None, None), ("nas", "wrong"), ("nas", "")])
def test_nobody_gets_in_without_the_password(broker: Broker, name: str | None, password: str | None) -> None:
    with closing(User(broker, name, password)) as user:
        assert user.connected[0] in BAD_LOGIN


@pytest.mark.parametrize(
    ("name", "topic", "allowed"),
    [
        ("nas", f"interfaces/nas/{LUID}/inet/event", True),
        ("nas", "interfaces/nas/status", True),
        ("nas", "interfaces/nas/replay/somebody", True),
        ("nas", f"homeassistant/device/publisher_nas/{LUID}/config", True),
        ("nas", f"interfaces/other/{LUID}/inet/event", False),
        ("nas", "interfaces/other/replay/get", False),
        ("nas", f"homeassistant/device/publisher_other/{LUID}/config", False),
        ("nas", "homeassistant/status", False),
        ("nas", "elsewhere", False),
        ("reader", "interfaces/nas/replay/get", True),
        ("reader", "interfaces/nas/status", False),
        ("reader", f"interfaces/nas/{LUID}/inet/state", False),
        ("reader", "interfaces/nas/replay/somebody", False),
        ("reader", "interfaces/reader/status", False),
        ("reader", f"homeassistant/device/publisher_reader/{LUID}/config", False),
        ("reader", "homeassistant/status", False),
        ("homeassistant", "homeassistant/status", True),
        ("homeassistant", "interfaces/nas/replay/get", True),
        ("homeassistant", "interfaces/nas/status", False),
        ("homeassistant", "interfaces/homeassistant/status", False),
    ],
)
def test_who_may_write_what(broker: Broker, name: str, topic: str, allowed: bool) -> None:
    with users(broker, name) as [user]:
        assert user.publish(topic) in (ALLOWED if allowed else {NOT_AUTHORIZED})


def test_who_may_read_what(broker: Broker) -> None:
    topics = {
        "nas": [
            "interfaces/nas/status",
            f"interfaces/nas/{LUID}/inet/state",
            f"homeassistant/device/publisher_nas/{LUID}/config",
        ],
        "other": ["interfaces/other/status", f"homeassistant/device/publisher_other/{LUID}/config"],
        "homeassistant": ["homeassistant/status", "interfaces/nas/replay/get"],
    }
    everything = {topic for listed in topics.values() for topic in listed}
    interfaces = {topic for topic in everything if topic.startswith("interfaces/")}
    with users(broker, "nas", "other", "homeassistant", "reader") as everybody:
        by_name = dict(zip(["nas", "other", "homeassistant", "reader"], everybody, strict=True))
        for user in everybody:
            user.hear("#")
        for name, listed in topics.items():
            for topic in listed:
                assert by_name[name].publish(topic) == SUCCESS
        # One subscriber's messages keep their order, so this one ends the list of each.
        for name, user in by_name.items():
            last = f"interfaces/{name}/status" if name in ("nas", "other") else "interfaces/nas/replay/get"
            user.heard.discard(last)
            assert user.publish(last) == SUCCESS
            wait_for(lambda user=user, last=last: last in user.heard, what=f"{last} at {name}")  # type: ignore[misc]  # mypy on defaults
        assert by_name["nas"].heard == {*topics["nas"], "interfaces/nas/replay/get", "homeassistant/status"}
        assert by_name["other"].heard == {*topics["other"], "homeassistant/status"}
        assert by_name["reader"].heard == {*interfaces, "homeassistant/status"}
        assert by_name["homeassistant"].heard == everything


def test_the_sink_works_with_these_permissions(broker: Broker) -> None:
    table = tomllib.loads((COMPOSE / "publisher.toml").read_text())
    options = {key: value for key, value in table["sinks"]["broker"].items() if key not in ("type", "password_file")}
    options |= {"url": f"mqtt://nas@127.0.0.1:{broker.port}", "password": PASSWORDS["nas"]}
    context = FakeSinkContext(node=table["node"])
    sink = MqttSink(MqttOptions(**options), context)
    with users(broker, "homeassistant", "reader") as [homeassistant, reader]:
        homeassistant.hear("#")
        reader.hear("interfaces/#")
        with closing(sink):
            sink.open()
            assert sink.check() == f"publishes to interfaces/nas on 127.0.0.1:{broker.port} (MQTT 5)"
            sink.publish([*make_snapshot([make_row("eth0")], node="nas"), make_event(1, node="nas")])
            luid = make_row("eth0").luid
            wait_for(lambda: f"interfaces/nas/{luid}/inet/event" in reader.heard, what="the event")
            device = f"homeassistant/device/publisher_nas/{luid}/config"
            wait_for(lambda: device in homeassistant.heard, what="the device")
            reader.hear("interfaces/nas/replay/asker")
            assert (
                reader.publish("interfaces/nas/replay/get", "{}", ResponseTopic="interfaces/nas/replay/asker")
                == SUCCESS
            )
            wait_for(lambda: any([context.run_jobs(), "interfaces/nas/replay/asker" in reader.heard]), what="an answer")
    warnings = [record for record in context.logged if record.levelname in ("WARNING", "ERROR")]
    assert warnings == []


def compose_command() -> list[str]:
    """Returns the command of Docker's own compose, or of the older one in distributions."""
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is None:
        unable("neither `docker compose` nor `docker-compose` is there: install docker-compose")
    return ["docker-compose"]


def test_docker_compose_accepts_the_file(tmp_path: Path) -> None:
    command = compose_command()
    folder = tmp_path / "compose"
    shutil.copytree(COMPOSE, folder, ignore=shutil.ignore_patterns("secrets"))
    (folder / "secrets").mkdir()
    (folder / "secrets" / "mqtt_password").touch()
    if command == ["docker-compose"]:  # 1.29 accepts everything in it but the project's name
        text = (folder / "compose.yaml").read_text()
        (folder / "compose.yaml").write_text(text.replace("name: interface-publisher\n", "", 1))
    done = subprocess.run([*command, "-f", "compose.yaml", "config"], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_containers_have_no_rights_that_they_do_not_need() -> None:
    services = small_yaml.load((COMPOSE / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        assert "cap_add" not in service
    assert services["publisher"]["network_mode"] == "host"
    assert services["broker"]["ports"] == ["${MQTT_ADDRESS:-127.0.0.1}:1883:1883"]


def test_the_health_check_asks_the_service_of_the_container() -> None:
    publisher = small_yaml.load((COMPOSE / "compose.yaml").read_text())["services"]["publisher"]
    [mounted] = [volume.split(":")[1] for volume in publisher["volumes"] if "publisher.toml" in volume]
    described = dict(instructions((COMPOSE / "Dockerfile").read_text()))
    assert described["CMD"] == f'["run", "--config", "{mounted}"]'
    assert described["HEALTHCHECK"].endswith(f'CMD ["publisher", "status", "--config", "{mounted}"]')
    assert "healthcheck" not in publisher  # it would hide that of the image


def test_the_files_that_are_mounted_are_there() -> None:
    compose = small_yaml.load((COMPOSE / "compose.yaml").read_text())
    mounted = [volume.split(":")[0] for service in compose["services"].values() for volume in service["volumes"]]
    ours = [path for path in mounted if path.startswith("./") and not path.startswith("./secrets/")]
    assert len(ours) == 3
    for path in ours:
        assert (COMPOSE / path).is_file()
    assert {path for path in mounted if not path.startswith("./")} == compose["volumes"].keys()


def test_the_dockerfile_takes_the_lock_files_and_ends_as_nobody_special() -> None:
    """tests/packages carries it out."""
    listed = instructions((COMPOSE / "Dockerfile").read_text())
    assert ("ARG", "BASE=python:3.13-slim") in listed
    assert {rest.split()[0] for word, rest in listed if word == "FROM"} == {"$BASE"}
    for lock in ("build.lock", "requirements.lock"):
        assert any(f"--require-hashes --requirement {lock}" in rest for word, rest in listed if word == "RUN")
    assert [rest for word, rest in listed if word == "USER"] == ["10001:10001"]
    copied = [path for word, rest in listed if word == "COPY" and "--from" not in rest for path in rest.split()[:-1]]
    wanted = (COMPOSE / "Dockerfile.dockerignore").read_text().splitlines()
    for path in copied:
        assert (TOP / path).exists()
        assert f"!{path}" in wanted
    assert {"pyproject.toml", "README.md", "LICENSE"} <= set(copied)


def test_the_lock_file_of_packages_has_what_the_other_has_and_nats() -> None:
    """Without the embedded broker and what is no wheel: `make lock` says why."""
    whole, packaged = (pinned(path) for path in (TOP / "requirements.lock", COMPOSE / "requirements.lock"))
    tools = pinned(COMPOSE / "build.lock")
    assert packaged.items() <= (whole | {"nats-py": packaged["nats-py"]}).items()
    assert tools.items() <= whole.items()
    assert whole.keys() - packaged.keys() - tools.keys() <= {"iotcore"}
    assert "hatchling" in tools.keys() - packaged.keys()


def pinned(lock: Path) -> dict[str, str]:
    """Returns the version of each distribution."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE))


def test_the_publishers_configuration_is_valid() -> None:
    table = tomllib.loads((COMPOSE / "publisher.toml").read_text())
    settings = Settings(**table)
    options = MqttOptions.model_validate(table["sinks"]["broker"])
    compose = small_yaml.load((COMPOSE / "compose.yaml").read_text())
    assert options.user == settings.node
    assert str(options.password_file) == f"/run/secrets/{compose['services']['publisher']['secrets'][0]}"
    assert f"journal:{settings.journal.path.parent}" in compose["services"]["publisher"]["volumes"]


class Blueprints(yaml.SafeLoader):  # type: ignore[misc]  # not typed, either
    """A reader of blueprints: `!input NAME` is `("input", NAME)`."""


Blueprints.add_constructor("!input", lambda loader, node: ("input", loader.construct_scalar(node)))


@pytest.mark.parametrize("name", ["link_down", "slower_link", "address_changed", "uplink_changed", "vpn"])
def test_a_blueprint_uses_each_of_its_inputs_and_has_texts_for_people(name: str) -> None:
    """tests/homeassistant runs them."""
    path = COMPOSE / "blueprints" / "automation" / "interface-publisher" / f"{name}.yaml"
    automation = yaml.load(path.read_text(), Blueprints)  # a SafeLoader
    about = automation.pop("blueprint")
    used = {found[1] for found in leaves(automation) if isinstance(found, tuple)}
    assert used == about["input"].keys()
    assert about["homeassistant"]["min_version"] == "2024.12.0"
    assert about["domain"] == "automation"
    assert all(given["name"] and given["description"] and given["selector"] for given in about["input"].values())
    required = {given for given, details in about["input"].items() if "default" not in details}
    assert required <= {"connected", "changes", "slower", "addresses", "uplink"}


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value
