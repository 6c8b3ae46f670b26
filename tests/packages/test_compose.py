"""The compose files, by the docker compose of Debian 13 as they are: that of Debian 12 (tests/integration) is older."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.packages.roots import TOP, Root, debian

SECRETS = ("mqtt_password", "passwords", "accounts.conf", "ca.pem")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    made = debian("trixie", "docker-compose").copy(tmp_path_factory.mktemp("compose") / "root")
    ignored = shutil.ignore_patterns("secrets", "__pycache__")
    shutil.copytree(TOP / "compose", made.folder / "source" / "compose", ignore=ignored)
    return made


@pytest.mark.parametrize("place", ["compose", "compose/fleet"])
def test_docker_compose_accepts_the_file(root: Root, place: str) -> None:
    secrets = root.folder / "source" / place / "secrets"
    secrets.mkdir()
    for name in SECRETS:
        (secrets / name).touch()
    done = root.run("docker-compose", "config", "--format", "json", folder=f"/source/{place}")
    assert done.stderr == ""
    for service in json.loads(done.stdout)["services"].values():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        bound = [Path(mount["source"]) for mount in service["volumes"] if mount["type"] == "bind"]
        ours = [path for path in bound if path.parent.name != "secrets"]
        assert all((root.folder / str(path).lstrip("/")).is_file() for path in ours)
