"""`make test-wheels`: a promise of docs/platforms.md that no longer holds is named."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

_SPEC = importlib.util.spec_from_file_location("wheels", Path(__file__).parents[2] / ".ci" / "wheels.py")
assert _SPEC is not None
assert _SPEC.loader is not None
wheels = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(wheels)


SOME = ("Linux x86-64", "Linux armv7", "Linux armv7, musl", "macOS 13, arm64", "Windows arm64")


def package(name: str, *files: str, marker: str | None = None) -> dict[str, Any]:
    """A package of a lock file with these wheels."""
    made: dict[str, Any] = {"name": name, "wheels": [{"url": f"https://x/{name}-1-{file}.whl"} for file in files]}
    return made | ({"marker": marker} if marker else {})


@pytest.mark.parametrize(
    ("file", "there"),
    [
        ("py3-none-any", set(SOME)),
        ("cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64", {"Linux x86-64"}),
        ("cp311-abi3-manylinux_2_28_armv7l", {"Linux armv7"}),
        ("cp312-cp312-manylinux_2_39_x86_64", set()),
        ("cp313-cp313-win_arm64", set()),
        ("py3-none-musllinux_1_1_armv7l", {"Linux armv7, musl"}),
        ("cp312-cp312-macosx_11_0_arm64", {"macOS 13, arm64"}),
    ],
)
def test_a_wheel_is_there_for_its_platforms(file: str, there: set[str]) -> None:
    found = {one for one in SOME if wheels.has_wheels([package("one", file)], one, "3.12", None)}
    assert found == there


def test_only_what_is_needed_there_counts() -> None:
    packages = [package("one", "py3-none-any"), package("two", "py3-none-win_amd64", marker="sys_platform == 'win32'")]
    assert wheels.has_wheels(packages, "Linux arm64", "3.11", None)
    assert wheels.has_wheels(packages, "Windows x64", "3.11", "two")
    assert not wheels.has_wheels(packages, "Windows arm64", "3.11", None)
    assert not wheels.has_wheels(packages, "Linux arm64", "3.11", "two"), "a marker left out what the extra is for"
    assert not wheels.has_wheels([package("source")], "Linux arm64", "3.11", None)


def test_what_the_document_promises_and_is_not_there_is_named() -> None:
    found = {
        (platform, column): set(wheels.PYTHONS) for platform in wheels.PLATFORMS for column in wheels.COLUMNS
    }  # fmt: skip
    promised = "\n".join(wheels.table(found))
    assert wheels.broken(promised, found) == []
    found["Windows arm64", "web"] = {"3.12", "3.13"}
    assert wheels.broken(promised, found) == ["Windows arm64, web, Python 3.11, 3.14"]
    assert wheels.broken("\n".join(wheels.table(found)), found) == []
