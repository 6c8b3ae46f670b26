"""The built wheel as users install it: with uvx, without the extra `try`, and with a plugin of their own.

A registry is needed, as for .venv: uv takes from its cache what is there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from publisher.sources import Resync
from publisher.testing import make_row
from tests.fixtures.command import Publisher
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.requirements import unable

ROOT = Path(__file__).parents[2]
# A registry may be slow.
pytestmark = pytest.mark.timeout(1200)

if sys.platform == "win32":
    pytest.skip("only Linux has network namespaces", allow_module_level=True)


def uv(*arguments: object, command: str = "uv") -> str:
    """Runs uv, as the tests' requirements have it."""
    program = Path(sys.executable).with_name(command)
    if not program.exists():
        unable("uv is not installed: run `make .venv/test.stamp`")
    return output([program, *arguments])


def output(command: Sequence[object], folder: Path | None = None) -> str:
    """Returns what a command prints; without the settings and the environment of the person who runs the tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PUBLISHER_", "PYTHON"))}
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=environment | {"COLUMNS": "80"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read(url: str) -> bytes:
    """Returns the document at a URL; nothing while no program listens there."""
    try:
        with urlopen(url, timeout=20) as answer:
            return bytes(answer.read())
    except URLError:
        return b""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder, ROOT)
    [built] = folder.glob("interface_publisher-*.whl")
    return built


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of the commands where the wheel is installed with the extra `web` and no other."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    uv("venv", "--quiet", "--python", sys.executable, folder)
    locked = ("--constraint", ROOT / "requirements.lock")
    uv("pip", "install", "--quiet", "--python", folder, *locked, f"interface-publisher[web] @ {wheel.as_uri()}")
    return folder / "bin"


def test_uvx_finds_the_command_by_the_name_of_the_distribution(wheel: Path) -> None:
    uvx = ("--quiet", "--python", sys.executable, "--from", wheel, "interface-publisher")
    assert uv(*uvx, "--version", command="uvx") == "publisher 0.1.0\n"
    # The help names `publisher`, by whichever name it was called.
    assert uv(*uvx, "run", "--help", command="uvx").startswith("Usage: publisher run ")


def test_both_commands_are_one(commands: Path) -> None:
    assert output([commands / "interface-publisher", "--help"]) == output([commands / "publisher", "--help"])


def test_a_first_run_without_the_extra_try_goes_on_and_says_once_how_to_have_it(
    commands: Path, netns: NetNs, tmp_path: Path
) -> None:
    netns.ip("link set lo up")
    assert "iotcore" not in uv("pip", "list", "--quiet", "--python", commands / "python")
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = netns.popen(
            [str(commands / "publisher"), "run"], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )  # fmt: skip
    try:
        wait_for(lambda: "  lo    inet " in log.read_text(), timeout=60, what="the interfaces on the terminal")
        wait_for(lambda: "No MQTT in this run" in log.read_text(), what="the line about the broker")
        text = log.read_text()
        assert text.count("the embedded broker is not installed") == 1
        assert (
            "No MQTT in this run: nothing listens on 127.0.0.1:1883, and the embedded broker is not installed: "
            "pipx install --force 'interface-publisher[try,web]'.\n"
        ) in text
        wait_for(lambda: "Open the page:" in log.read_text(), timeout=60, what="the line about the page")
        [line] = [line for line in log.read_text().splitlines() if line.startswith("Open the page:")]
        assert b"<title>" in netns.call(read, line.split()[-1]), "it is open when the line says so"
    finally:
        process.terminate()
        process.wait(30)


def test_a_new_plugin_is_clean_and_conforms_whatever_its_name(commands: Path, tmp_path: Path) -> None:
    tools = Path(sys.executable).parent
    for name in ("x", "my-chat", "a-name-of-24-characters1"):
        output([commands / "publisher", "plugins", "new", name], tmp_path)
        folder = tmp_path / f"publisher-{name}"
        for command in (["check"], ["format", "--check"]):
            output([tools / "ruff", *command], folder)
    # Its own tests and types once: both take seconds.
    output([tools / "mypy", "--strict", "."], folder)
    assert " passed" in output([sys.executable, "-m", "pytest", "-q", "-W", "error"], folder)


def test_a_new_plugin_is_installed_listed_and_published_to(commands: Path, tmp_path: Path) -> None:
    output([commands / "publisher", "plugins", "new", "my-chat"], tmp_path)
    uv("pip", "install", "--quiet", "--python", commands / "python", "--editable", tmp_path / "publisher-my-chat")
    [line] = [line for line in output([commands / "publisher", "plugins"]).splitlines() if " my-chat " in line]
    assert line.split(maxsplit=4) == ["sink", "my-chat", "publisher-my-chat", "0.1.0", "Append each event to a file."]
    played = Publisher(tmp_path)
    played.updates(Resync((make_row("eth0", addresses=["192.0.2.10/24"]),), "startup"))
    played.configure('[sinks.mine]\ntype = "my-chat"\npath = "lines"\ntext = true')
    assert "sink 'mine': the folder is there" in output([commands / "publisher", "check"], tmp_path)
    output([commands / "publisher", "run"], tmp_path)
    assert "eth0" in (tmp_path / "lines").read_text()
