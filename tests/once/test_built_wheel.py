"""The built wheel, which users install, under this Python and the newest other one on this machine."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.fixtures.requirements import unable

ROOT = Path(__file__).parents[2]
# A registry may be slow.
pytestmark = pytest.mark.timeout(1200)
LOCK = ROOT / "tests" / "requirements.lock"
# The wheel can differ from the checkout in entry points, packages and metadata: these tests use them all.
PACKAGED = ("test_plugins", "test_table", "test_watcher")
# Pythons can differ in typing, threads, SQLite and models.
PORTABLE = (
    *PACKAGED,
    "journal/test_journal",
    "config/test_settings",
    "delivery/test_subscription",
    "service/test_service",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the wheel, built from this checkout with the installed packages, so that no network is needed."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "."], cwd=ROOT, check=True)
    [built] = folder.glob("interface_publisher-*.whl")
    return built


def test_the_wheel_holds_the_core_and_each_sink_and_nothing_else(wheel: Path) -> None:
    folders = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    sinks = ("command", "file", "mqtt", "nats", "notify", "terminal", "web", "webhook")
    expected = {"publisher", *(f"publisher_{sink}" for sink in sinks)}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == expected


def test_the_wheel_holds_the_files_of_the_page(wheel: Path) -> None:
    page = ROOT / "plugins" / "publisher_web" / "page"
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("publisher_web/page/")}
    assert packed == {f"publisher_web/page/{file.name}" for file in page.iterdir()}
    assert "publisher_web/page/index.html" in packed


def test_the_tests_pass_against_the_wheel(wheel: Path, tmp_path: Path) -> None:
    run_tests(sys.executable, wheel, tmp_path, PACKAGED)


def test_the_tests_pass_on_the_newest_other_python(wheel: Path, tmp_path: Path) -> None:
    run_tests(venv_of(*newest_other_python()), wheel, tmp_path, PORTABLE)


def run_tests(python: str, wheel: Path, folder: Path, names: tuple[str, ...]) -> None:
    """Runs these tests in a folder with the unpacked wheel, where the checkout's own modules are not found."""
    zipfile.ZipFile(wheel).extractall(folder)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__", ".cache"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    tests = [f"tests/{name}.py" for name in names]
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout)
    where = subprocess.run(
        [python, "-c", "import publisher; print(publisher.__file__)"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert Path(where.stdout.strip()) == folder / "publisher" / "__init__.py"


def newest_other_python() -> tuple[str, str]:
    """Returns version and path of the newest Python that works, is 3.11 or later, and is not this version."""
    candidates = [found for minor in range(11, 30) if (found := shutil.which(f"python3.{minor}"))]
    if pyenv := shutil.which("pyenv"):
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=True).stdout.strip()
        candidates += [str(path) for path in Path(root).glob("versions/3.*/bin/python")]
    others = {}
    for candidate in candidates:
        code = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
        done = subprocess.run([candidate, "-c", code], capture_output=True, text=True)
        if done.returncode == 0:
            major, minor = map(int, done.stdout.split())
            others[major, minor] = candidate
    others = {version: path for version, path in others.items() if (3, 11) <= version != sys.version_info[:2]}
    if not others:
        unable("no other Python of version 3.11 or later was found: install one, such as Debian's newer python3")
    newest = max(others)
    return f"{newest[0]}.{newest[1]}", others[newest]


def venv_of(version: str, python: str) -> str:
    """Returns the Python of a virtual environment with the locked requirements, made once per version and lock."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    folder = ROOT / ".cache" / f"python{version}-{digest}"
    made = str(folder / "bin" / "python")
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        options = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--requirement", str(LOCK)]
        subprocess.run([made, "-m", "pip", "install", *options], check=True)
        (folder / "complete").touch()
    return made
