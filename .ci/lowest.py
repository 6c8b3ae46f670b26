"""Prints the lowest versions of the dependencies that pyproject.toml allows, as pip takes them: `paho-mqtt==2.2`."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def main() -> None:
    """Prints one requirement a line; each has a lower bound, and nothing else but a marker."""
    for requirement in [*PROJECT["dependencies"], *chain.from_iterable(PROJECT["optional-dependencies"].values())]:
        parts = re.fullmatch(r"([\w-]+(?:\[\w+\])?)>=([\d.]+)(;.*)?", requirement)
        assert parts is not None, f"{requirement} is not a name and its lowest version"
        name, version, marker = parts.groups("")
        print(f"{name}=={version}{marker}")


if __name__ == "__main__":
    main()
