"""The Debian package: built, and then installed, run, upgraded and purged in a root that has nothing but Debian."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fixtures.poll import wait_for
from tests.fixtures.requirements import need
from tests.packages.roots import TOP, Root, debian

SUITES = ("bookworm", "trixie")
NAME = "interface-publisher"
TOML = f"/etc/{NAME}/publisher.toml"
UNIT = f"/usr/lib/systemd/system/{NAME}.service"
# What systemd gives to the unit's processes.
OF_SYSTEMD = {"STATE_DIRECTORY": f"/var/lib/{NAME}", "LOGS_DIRECTORY": f"/var/log/{NAME}"}
SOURCES = ("publisher", "plugins", "compose", ".ci", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")


@pytest.fixture(scope="module", params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def built(suite: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Root, Path]:
    """Returns the root in which the package was built by `make deb`, and the package."""
    root = debian(suite, "debhelper", "lintian", "make", "python3-venv").copy(tmp_path_factory.mktemp(suite) / "build")
    source = root.folder / "source"
    source.mkdir()
    for name in (*SOURCES, "Makefile"):
        if (TOP / name).is_dir():
            shutil.copytree(TOP / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(TOP / name, source)
    root.run("make", "--quiet", "deb", folder="/source")
    [package] = (source / "dist").glob("*.deb")
    return root, package


class Installed:
    """A root with the package, and the service that its unit describes."""

    def __init__(self, root: Root) -> None:
        self.root = root

    def install(self, package: Path) -> None:
        shutil.copy(package, self.root.folder / "package.deb")
        self.root.run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", "/package.deb")
        (self.root.folder / "package.deb").unlink()

    def path(self, inside: str) -> Path:
        return self.root.folder / inside.lstrip("/")

    def setting(self, name: str) -> str:
        """Returns the value of the unit's setting."""
        [value] = [
            line.partition("=")[2] for line in self.path(UNIT).read_text().splitlines() if line.startswith(f"{name}=")
        ]
        return value

    @property
    def user(self) -> str:
        return f"{self.setting('User')}:{self.setting('User')}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Runs the unit's ExecStart as its user would; it ends in order."""
        command = self.root.command(*self.setting("ExecStart").split(), environment=OF_SYSTEMD, user=self.user)
        with self.path("/log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for(lambda: self.status(self.user) == 0, what="a status without trouble", timeout=300)
            yield
            process.terminate()
            assert process.wait(60) == 0, self.path("/log").read_text()
        finally:
            process.kill()
            process.wait()

    def status(self, user: str) -> int:
        return self.root.run("publisher", "status", user=user, status=None).returncode

    def epoch(self) -> str:
        """Returns the identity of the running service's journal."""
        return str(json.loads(self.root.run("publisher", "status", "--json", user=self.user).stdout)["epoch"])


@pytest.fixture(scope="module")
def installed(built: tuple[Root, Path], suite: str, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    made = Installed(debian(suite).copy(tmp_path_factory.mktemp(suite) / "root"))
    made.install(built[1])
    return made


def test_lintian_has_no_complaint(built: tuple[Root, Path]) -> None:
    root, package = built
    inside = f"/source/dist/{package.name}"
    done = root.run("lintian", "--allow-root", "--fail-on", "error,warning", inside, status=None)
    assert (done.returncode, done.stdout) == (0, "")


def test_an_installation_has_a_user_a_configuration_and_every_sink(installed: Installed) -> None:
    root = installed.root
    assert root.run("stat", "--format=%U:%G %a", TOML).stdout == f"root:{NAME} 640\n"
    assert root.run("stat", "--format=%U:%G %a", f"/var/lib/{NAME}").stdout == f"{NAME}:{NAME} 700\n"
    assert root.run("getent", "passwd", NAME).stdout.endswith(f":/var/lib/{NAME}:/usr/sbin/nologin\n")
    assert (
        installed.path(TOML).read_text()
        == root.run("sh", "-c", "publisher init /shown && cat /shown").stdout.split("\n", 1)[1]
    )
    installed.path("/shown").unlink()
    shown = root.run("publisher", "plugins", user="nobody:nogroup").stdout
    assert shown.count("\nsink ") + shown.startswith("sink ") == 8
    assert list(installed.path(f"/usr/lib/{NAME}").rglob("publisher/__pycache__/*.pyc"))


def test_systemd_accepts_the_unit(installed: Installed, tmp_path: Path) -> None:
    need("systemd-analyze", package="systemd")
    unit = tmp_path / f"{NAME}.service"
    unit.write_text(installed.path(UNIT).read_text().replace("/usr/bin/publisher", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    if "Failed to initialize manager" in done.stderr:
        pytest.skip(f"systemd-analyze cannot work here: {done.stderr}")
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])


def test_the_service_runs_as_its_user(installed: Installed) -> None:
    assert installed.status("0:0") == 1
    with installed.running():
        assert installed.status("0:0") == 0
        assert installed.status("nobody:nogroup") == 2  # may not read the configuration
        check, _, reload = installed.path(UNIT).read_text().partition("ExecReload=")[2].partition("\n")
        installed.root.run(*check.split(), environment=OF_SYSTEMD, user=installed.user)
        assert "ExecReload=/bin/kill -HUP $MAINPID" in reload
    assert installed.status("0:0") == 1


def test_an_upgrade_keeps_configuration_and_journal(installed: Installed, built: tuple[Root, Path]) -> None:
    installed.path(TOML).write_text('node = "mine"\n' + installed.path(TOML).read_text())
    with installed.running():
        before = installed.epoch()
    root, package = built
    root.run("dpkg-deb", "--raw-extract", f"/source/dist/{package.name}", "/newer")
    control = root.folder / "newer" / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("Version: ", "Version: 1:"))
    root.run("dpkg-deb", "-Znone", "--build", "--root-owner-group", "/newer", "/newer.deb")
    installed.install(root.folder / "newer.deb")
    assert "Version: 1:" in installed.root.run("dpkg", "--status", NAME).stdout
    assert installed.path(TOML).read_text().startswith('node = "mine"\n')
    assert installed.root.run("stat", "--format=%U:%G %a", TOML).stdout == f"root:{NAME} 640\n"
    with installed.running():
        assert installed.epoch() == before


def test_a_purge_leaves_nothing(installed: Installed) -> None:
    root = installed.root
    number = root.run("id", "--user", NAME).stdout.strip()
    root.run("apt-get", "remove", "--quiet", "--yes", NAME)
    assert installed.path(TOML).exists()
    assert installed.path(f"/var/lib/{NAME}/journal.sqlite3").exists()
    assert not installed.path(f"/usr/lib/{NAME}").exists()
    root.run("apt-get", "purge", "--quiet", "--yes", NAME)
    for condition in (("-name", f"*{NAME}*"), ("-uid", number)):
        assert root.run("find", "/", "-xdev", "-path", "/proc", "-prune", "-o", *condition, "-print").stdout == ""
    for file in ("passwd", "group", "shadow"):
        assert NAME not in installed.path(f"/etc/{file}").read_text()
