"""`publisher plugins new`: the project of a sink of one's own, which works as it is written."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from string import Template

from ..errors import ConfigurationError, PublisherError
from ..plugins import load_plugins
from ..terminal import echo
from .plugin_template import FILES
from .process import not_written

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
# Of the lines in the template: with a longer one a formatter would break them.
_LONGEST = 24


def write_plugin(name: str, folder: Path | None) -> None:
    """Writes the project; raises PublisherError for a name or a folder that cannot be used."""
    _check_name(name)
    folder = folder or Path(f"publisher-{name}")
    try:
        folder.mkdir()
    except FileExistsError:
        raise PublisherError(f"{folder} exists already and was not changed: name another folder") from None
    except OSError as error:
        raise PublisherError(not_written(folder, error)) from None
    try:
        _write_files(name, folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise PublisherError(not_written(folder, error)) from None
    echo(f"{folder} written; next: {_command(sys.executable)} -m pip install --editable {_command(str(folder))}")
    echo("then: publisher plugins")


def _write_files(name: str, folder: Path) -> None:
    module = f"publisher_{name.replace('-', '_')}"
    words = {"name": name, "module": module, "sink": "".join(map(str.capitalize, name.split("-"))) + "Sink"}
    for path, text in FILES.items():
        (folder / Template(path).substitute(words)).write_text(
            Template(text).substitute(words), encoding="utf-8", newline="\n"
        )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST or name.startswith("publisher-"):
        raise ConfigurationError(
            f"{name!r} is no name for a sink: small letters, digits and single hyphens, at most {_LONGEST},"
            f" a letter first{_nearest(name)}"
        )
    if name in (taken := load_plugins().sinks):
        raise ConfigurationError(
            f"there is a sink {name!r} already; take another name than: {', '.join(sorted(taken))}"
        )


def _nearest(name: str) -> str:
    """Returns a question with the name that was perhaps meant."""
    near = re.sub(r"[^a-z0-9]+", "-", name.lower()).removeprefix("publisher-").strip("-")
    return f"; did you mean {near!r}?" if _NAME.fullmatch(near) and len(near) <= _LONGEST else ""


def _command(word: str) -> str:
    """Returns a word of a command; in quotation marks, which every shell takes, where it has a space."""
    return f'"{word}"' if " " in word else word
