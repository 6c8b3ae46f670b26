"""The program on Windows: each module can be imported, files are in the folders of Windows, commands answer."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from publisher.cli.app import main
from publisher.config.locations import Locations
from tests.fixtures.packages import PACKAGES
from tests.windows.inside.standin import StandIn

# `open_source` and `netioapi` import modules with this line on Linux only, and those that import them.
NOT_HERE = ('assert sys.platform == "linux"\n', 'assert sys.platform != "win32"\n')
ON_THEM = ("publisher.netioapi.linux",)


def _modules(package: ModuleType) -> list[str]:
    """Returns the names of the modules that can be imported on Windows."""
    found = [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    sources = {
        name: find_spec(name) for name in found if not name.startswith(ON_THEM) and not name.endswith("__main__")
    }
    return [
        name
        for name, spec in sources.items()
        if spec is not None and spec.origin is not None and not _is_for_others(Path(spec.origin).read_text("utf-8"))
    ]


def _is_for_others(source: str) -> bool:
    return any(line in source for line in NOT_HERE)


@pytest.mark.parametrize(
    "package",
    PACKAGES,
    ids=lambda p: p.__name__,
)
def test_every_module_imports(package: ModuleType) -> None:
    for name in _modules(package):
        importlib.import_module(name)


def test_the_journal_is_in_the_users_local_application_data() -> None:
    journal = Locations.of_this_process().journal
    assert Path(os.environ["LOCALAPPDATA"]) in journal.parents


def test_a_services_journal_is_in_the_programs_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application data of the system's account is inside the Windows folder, where nobody looks for it."""
    monkeypatch.setenv("LOCALAPPDATA", rf"{os.environ['SYSTEMROOT']}\system32\config\systemprofile\AppData\Local")
    locations = Locations.of_this_process()
    assert Path(os.environ["PROGRAMDATA"]) in locations.journal.parents
    assert any(Path(os.environ["PROGRAMDATA"]) in folder.parents for folder in locations.config_dirs)


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["publisher", *arguments])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_the_rows_now(standin: StandIn, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    standin.add("Ethernet 2")
    standin.add_address("Ethernet 2", "192.0.2.10/24")
    assert _run(monkeypatch, "snapshot", "--json") == 0
    rows = [entry for entry in json.loads(capfd.readouterr().out) if entry["row"]["family"] == "inet"]
    assert [row["interface"]["alias"] for row in rows] == ["Ethernet 2"]
    assert rows[0]["addresses"][0]["address"] == "192.0.2.10"
    assert rows[0]["row"]["interface_luid"] == standin.luid("Ethernet 2")


def test_a_configuration_with_windows_paths_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "publisher.toml"
    config.write_text(f"[sinks.log]\ntype = 'file'\npath = '{tmp_path / 'events.jsonl'}'\n")
    assert _run(monkeypatch, "check", "--config", str(config)) == 0
    assert "log" in capfd.readouterr().out
