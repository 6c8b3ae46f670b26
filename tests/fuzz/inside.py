"""The process of one target, which atheris ends: `python -m tests.fuzz.inside TARGET SECONDS FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # its stubs are for Linux only, as it is

_PLUGINS = (path for path in (Path(__file__).parents[2] / "plugins").iterdir() if (path / "__init__.py").exists())

# Before anything of ours is imported: what is, is not followed.
with atheris.instrument_imports(include=["publisher", *(path.name for path in _PLUGINS)]):
    from tests.fuzz.targets import TARGETS


def main(name: str, seconds: str, folder: str) -> None:
    """Fuzzes one target."""
    place = Path(folder)
    limits = [f"-max_total_time={seconds}", "-timeout=20", "-max_len=20000", "-rss_limit_mb=2048"]
    found = f"-artifact_prefix={place / 'found' / name}/"
    corpus = str(place / "corpus" / name)
    atheris.Setup([sys.argv[0], *limits, found, "-print_final_stats=1", corpus], TARGETS[name].try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
