"""compose/fleet: its programs, the compose file and the document."""

from __future__ import annotations

import asyncio
import json
import re
import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nats.errors import NoRespondersError

from publisher.config.settings import Settings
from publisher_nats.names import token_of
from publisher_nats.options import NatsOptions
from publisher_nats.stream import bucket_config, status_config
from tests.fixtures import small_yaml
from tests.fixtures.fleet_login import DOCUMENT
from tests.fixtures.fleet_servers import FLEET, FleetCluster, FleetFolder
from tests.fixtures.requirements import need


def run_script(name: str) -> Any:
    return SimpleNamespace(**runpy.run_path(str(FLEET / f"{name}.py")))


@pytest.mark.parametrize("name", ["operator", "viewer", "system", "nas", ""])
def test_no_node_has_the_name_of_another_user(tmp_path: Path, name: str) -> None:
    folder = FleetFolder(tmp_path)
    accounts = (folder.secrets / "accounts.conf").read_text()
    with pytest.raises(subprocess.CalledProcessError):
        folder.make_accounts("nas", name)
    assert (folder.secrets / "accounts.conf").read_text() == accounts


def test_nobody_else_reads_the_secrets(tmp_path: Path) -> None:
    folder = FleetFolder(tmp_path, "nas")
    assert folder.secrets.stat().st_mode & 0o777 == 0o700
    assert (folder.secrets / "ca.key").stat().st_mode & 0o777 == 0o600


def test_docker_compose_accepts_the_file_of_the_fleet(tmp_path: Path) -> None:
    need("docker-compose", package="docker-compose")
    text = (FLEET / "compose.yaml").read_text()
    # 1.29 accepts everything in it but the project's name.
    (tmp_path / "compose.yaml").write_text(text.replace("name: interface-publisher-fleet\n", "", 1))
    command = ["docker-compose", "-f", "compose.yaml", "config"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_containers_of_the_fleet_have_what_the_configuration_names_and_no_rights(fleet: FleetCluster) -> None:
    services = small_yaml.load((FLEET / "compose.yaml").read_text())["services"]
    configuration = (FLEET / "nats.conf").read_text()
    assert set(services) == {"nats-1", "nats-2", "nats-3"}
    for number, (name, service) in enumerate(services.items()):
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["environment"] == {"SERVER_NAME": name}
        assert service["ports"] == [f"${{NATS_ADDRESS:-127.0.0.1}}:{4222 + number}:4222"]
        mounted = dict(volume.split(":")[:2] for volume in service["volumes"])
        assert mounted.pop(name) == "/data"
        for ours, there in mounted.items():
            assert (fleet.folder.directory / ours).is_file()
            assert f'"{there}"' in configuration or there in (
                "/etc/nats/nats.conf",
                "/etc/nats/secrets/accounts.conf",
            )
        assert service["command"] == ["--config", "/etc/nats/nats.conf"]


def test_the_bucket_is_as_the_sink_would_make_it_but_for_rollups(fleet: FleetCluster) -> None:
    options = NatsOptions(servers=tuple(fleet.urls))
    for bucket, made in (("interfaces", bucket_config), ("interfaces_status", status_config)):
        config = run_script("buckets").config(bucket)
        assert config == {key: value for key, value in made(options, 3).items() if key != "allow_rollup_hdrs"}


class NewServers:
    """Servers that were just started, as a client meets them: each request has the next answer, or none."""

    def __init__(self, *answers: Exception | dict[str, Any]) -> None:
        self._answers = [*answers]
        self.asked: list[str] = []

    async def request(self, subject: str, _payload: bytes, _seconds: float) -> Any:
        self.asked.append(subject)
        if isinstance(answer := self._answers.pop(0), Exception):
            raise answer
        return SimpleNamespace(data=json.dumps(answer).encode())


def error(number: int) -> dict[str, Any]:
    return {"error": {"err_code": number, "description": f"number {number}"}}


def test_the_buckets_wait_for_servers_that_were_just_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The document starts the servers in the line before: where none led yet, the program ended with a traceback."""
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        paused.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", pause)
    servers = NewServers(TimeoutError(), NoRespondersError(), error(10008), error(10008), error(10005), {"config": {}})
    answer = asyncio.run(run_script("buckets").api(servers, "STREAM.CREATE.KV_interfaces", {}))
    assert answer == {"config": {}}
    assert servers.asked == ["$JS.API.STREAM.CREATE.KV_interfaces"] * 6
    assert len(paused) == 5
    assert capsys.readouterr().err.splitlines() == [
        "waiting: $JS.API.STREAM.CREATE.KV_interfaces: no answer",
        "waiting: STREAM.CREATE.KV_interfaces: number 10008",
        "waiting: STREAM.CREATE.KV_interfaces: number 10005",
    ]


def test_the_buckets_wait_for_no_other_error_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    script = run_script("buckets")
    with pytest.raises(SystemExit, match="number 10052"):
        asyncio.run(script.api(NewServers(error(10052)), "STREAM.INFO.KV_interfaces"))
    monkeypatch.setitem(script.api.__globals__, "PATIENCE_SECONDS", -1)
    with pytest.raises(SystemExit, match="number 10008"):
        asyncio.run(script.api(NewServers(error(10008)), "STREAM.INFO.KV_interfaces"))


def test_a_wrong_password_makes_no_bucket_and_waits_for_nothing(fleet: FleetCluster, tmp_path: Path) -> None:
    other = FleetFolder(tmp_path, "nas")
    shutil.copy(fleet.folder.ca_file, other.ca_file)
    done = subprocess.run(
        other.make_buckets_command(fleet.urls), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Authorization Violation" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_nodes_token_is_that_of_the_sink() -> None:
    for node in ("nas", "db.example.net", "Büro 1", "a=b"):
        assert run_script("accounts").token_of(node) == token_of(node)


def test_the_configurations_of_the_document_are_valid() -> None:
    for block in re.findall(r"^```toml\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE):
        for table in Settings(**tomllib.loads(block)).sinks.values():
            assert NatsOptions(**table).user in ("nas", "nas2")
