"""Resolves the dependencies, and looks for a wheel of each on every platform and Python: `make test-wheels`.

docs/platforms.md has the table. Status 1 means that something it promises is no longer to be had, or that a hard
dependency is not everywhere; `--write` writes the table as it is now. The newest versions count, which pip installs: an
older one with a wheel is of no use to who asks for none.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "platforms.md"
BEGIN, END = "<!-- made by `make test-wheels ARGS=--write` -->\n", "<!-- end -->\n"
EXTRAS = sorted(
    tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
)
COLUMNS = ("without extras", *EXTRAS)
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# Pure Python that is published as source alone: pip builds it anywhere, without a compiler.
SOURCE_ONLY = ("nkeys",)
# What an extra is for, where a marker leaves it out.
MEANT = {"try": "iotcore"}
_GLIBC = [*(f"manylinux_2_{minor}" for minor in range(28, 4, -1)), "manylinux2014", "manylinux2010", "manylinux1"]
_MUSL = ["musllinux_1_2", "musllinux_1_1"]
# The values of platform_machine and sys_platform in markers, and the tags of wheels.
PLATFORMS = {
    "Linux x86-64": ("x86_64", "linux", [f"{tag}_x86_64" for tag in _GLIBC]),
    "Linux arm64": ("aarch64", "linux", [f"{tag}_aarch64" for tag in _GLIBC]),
    "Linux armv7": ("armv7l", "linux", [f"{tag}_armv7l" for tag in _GLIBC]),
    "Linux x86-64, musl (Alpine)": ("x86_64", "linux", [f"{tag}_x86_64" for tag in _MUSL]),
    "Linux arm64, musl": ("aarch64", "linux", [f"{tag}_aarch64" for tag in _MUSL]),
    "Linux armv7, musl": ("armv7l", "linux", [f"{tag}_armv7l" for tag in _MUSL]),
    "macOS 13, arm64": ("arm64", "darwin", [*mac_platforms((13, 0), "arm64")]),
    "macOS 13, x86-64": ("x86_64", "darwin", [*mac_platforms((13, 0), "x86_64")]),
    "Windows x64": ("AMD64", "win32", ["win_amd64"]),
    "Windows arm64": ("ARM64", "win32", ["win_arm64"]),
}
_SYSTEMS = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}

Package = dict[str, Any]
"""A package of a lock file (PEP 751)."""
Found = dict[tuple[str, str], set[str]]
"""The Pythons for which a column of the table is to be had on a platform."""


def main(arguments: list[str]) -> int:
    """Prints the table; returns the exit status."""
    found: Found = {cell: set() for cell in product(PLATFORMS, COLUMNS)}
    for column in COLUMNS:
        packages = resolved(column)
        for platform, python in product(PLATFORMS, PYTHONS):
            if has_wheels(packages, platform, python, MEANT.get(column)):
                found[platform, column].add(python)
    lines = table(found)
    print("\n".join(lines))
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    promised, _, after = rest.partition(END)
    if "--write" in arguments:
        DOCUMENT.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + after, encoding="utf-8")
        promised = ""
    elif promised.splitlines() != lines:
        print("docs/platforms.md differs; `make test-wheels ARGS=--write` writes what is to be had now")
    missing = [f"{platform}, {COLUMNS[0]}" for platform in PLATFORMS if found[platform, COLUMNS[0]] < set(PYTHONS)]
    missing += broken(promised, found)
    for cell in missing:
        print(f"no wheels any more: {cell}", file=sys.stderr)
    return 1 if missing else 0


def resolved(column: str) -> list[Package]:
    """Returns the packages of a column, for every platform and Python: uv writes a lock file that lists all wheels."""
    extra = ("--extra", column) if column in EXTRAS else ()
    allowed = [option for package in SOURCE_ONLY for option in ("--no-binary", package)]
    done = subprocess.run(
        [Path(sys.executable).with_name("uv"), "pip", "compile", "--quiet", "--python", sys.executable, "--no-header",
         "--universal", "--format", "pylock.toml", "--python-version", PYTHONS[0], "--only-binary", ":all:", *allowed,
         *extra, "pyproject.toml"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    packages: list[Package] = tomllib.loads(done.stdout)["packages"]
    return packages


def has_wheels(packages: list[Package], platform: str, python: str, meant: str | None) -> bool:
    """Returns whether each package that is needed there has a wheel for it, and the one that is meant is needed."""
    machine, system, names = PLATFORMS[platform]
    version = (int(python.split(".")[0]), int(python.split(".")[1]))
    tags = {*cpython_tags(version, platforms=names), *compatible_tags(version, f"cp{version[0]}{version[1]}", names)}
    environment = {
        "sys_platform": system, "platform_system": _SYSTEMS[system], "platform_machine": machine,
        "os_name": "nt" if system == "win32" else "posix", "python_version": python,
        "python_full_version": f"{python}.0", "implementation_name": "cpython",
        "platform_python_implementation": "CPython", "extra": "",
    }  # fmt: skip
    needed = [package for package in packages if is_needed(package, environment)]
    return all(package["name"] in SOURCE_ONLY or fits(package, tags) for package in needed) and (
        meant is None or meant in {package["name"] for package in needed}
    )


def is_needed(package: Package, environment: dict[str, str]) -> bool:
    return "marker" not in package or Marker(package["marker"]).evaluate(environment)


def fits(package: Package, tags: set[Tag]) -> bool:
    """Returns whether a package of a lock file has a wheel with one of these tags."""
    names = [wheel.get("name") or wheel["url"].rpartition("/")[2] for wheel in package.get("wheels", ())]
    return any(parse_wheel_filename(name)[3] & tags for name in names)


def table(found: Found) -> list[str]:
    """Returns the lines of the table: yes, no, or the Pythons for which it is so."""
    lines = [f"| | {' | '.join(column if column not in EXTRAS else f'`{column}`' for column in COLUMNS)} |"]
    lines.append("|---" * (len(COLUMNS) + 1) + "|")
    for platform in PLATFORMS:
        cells = [shown(found[platform, column]) for column in COLUMNS]
        lines.append(f"| {platform} | {' | '.join(cells)} |")
    return lines


def shown(pythons: set[str]) -> str:
    if pythons == set(PYTHONS):
        return "yes"
    return ", ".join(sorted(pythons)) or "no"


def broken(promised: str, found: Found) -> list[str]:
    """Returns the cells of the document's table that promise more than there is."""
    missing = []
    for line in promised.splitlines()[2:]:
        platform, *cells = (cell.strip() for cell in line.strip("| ").split("|"))
        for column, cell in zip(COLUMNS, cells, strict=True):
            pythons = set(PYTHONS) if cell == "yes" else set() if cell == "no" else set(cell.split(", "))
            if lost := pythons - found[platform, column]:
                missing.append(f"{platform}, {column}, Python {', '.join(sorted(lost))}")
    return missing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
