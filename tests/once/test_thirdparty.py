"""A third party's distribution, installed with pip: its sink is found, and keeps the promises of every sink."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

DISTRIBUTION = Path(__file__).parents[1] / "thirdparty_sink"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the directory where it is installed; its tests are in the parent."""
    folder = tmp_path_factory.mktemp("thirdparty")
    source, target = folder / "source", folder / "installed"
    # Built from a copy, so that a build leaves nothing in the checkout.
    shutil.copytree(DISTRIBUTION, source, ignore=shutil.ignore_patterns("__pycache__", "conftest.py"))
    # Without the network: everything that it needs is installed.
    options = ["--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check"]
    run([sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)])
    shutil.copy(source / "test_publisher_ntfy.py", folder)
    return target


def test_its_sink_is_found_by_its_entry_point(installed: Path) -> None:
    output = run([sys.executable, "-c", "from publisher.plugins import load_plugins; print(load_plugins())"], installed)
    assert "'ntfy': <class 'publisher_ntfy.NtfySink'>" in output
    assert "distribution='publisher-ntfy', version='1.2.3'" in output
    assert "failures=[]" in output


def test_the_command_line_lists_it(installed: Path) -> None:
    output = run([sys.executable, "-m", "publisher", "plugins"], installed)
    assert "ntfy" in output
    assert "1.2.3" in output


def test_its_sink_conforms(installed: Path) -> None:
    output = run([sys.executable, "-m", "pytest", "-q", "-W", "error", "test_publisher_ntfy.py"], installed)
    assert " passed" in output
    assert "skipped" not in output


def test_a_sink_that_loses_events_does_not_conform(installed: Path) -> None:
    """The conformance tests notice a sink that ignores failures."""
    careless = installed.parent / "careless"
    careless.mkdir()
    module = (DISTRIBUTION / "publisher_ntfy.py").read_text()
    lines = "            urlopen(self.options.topic, event.json_bytes, timeout=15).close()\n"
    assert lines in module
    caught = f"            try:\n    {lines}            except OSError:\n                pass\n"
    (careless / "publisher_ntfy.py").write_text(module.replace(lines, caught))
    shutil.copy(DISTRIBUTION / "test_publisher_ntfy.py", careless)
    environment = os.environ | {"PYTHONPATH": str(careless)}
    command = [sys.executable, "-m", "pytest", "-q", "-k", "a_failure", "test_publisher_ntfy.py"]
    done = subprocess.run(command, cwd=careless, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert "publish() returned although the destination takes nothing: the events would be lost" in done.stdout


def run(command: Sequence[str], installed: Path | None = None) -> str:
    """Returns the command's output, run where the third party's distribution is installed."""
    environment = os.environ | ({"PYTHONPATH": str(installed)} if installed else {})
    folder = installed.parent if installed else None
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
