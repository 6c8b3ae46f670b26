"""The files of a new plugin's project, with `$name`, `$module` and `$sink` in the places of its own names."""

from __future__ import annotations

FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "publisher-$name"
version = "0.1.0"
description = "The sink $name of publisher"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["interface-publisher"]

[project.optional-dependencies]
test = ["mypy", "pytest", "ruff"]

# publisher finds the sink by this; the module has the hook.
[project.entry-points.publisher]
$name = "$module"

[tool.hatch.build.targets.wheel]
include = ["$module.py"]

[tool.mypy]
strict = true
""",
    "$module.py": '''\
"""The sink $name: it appends a line for each event to a file. Write to your destination in its place."""

from collections.abc import Sequence
from pathlib import Path

from publisher import Event, Sink, SinkOptions, hookimpl
from pydantic import Field


class $sink(Sink):
    """Append each event to a file."""

    class Options(SinkOptions):
        path: Path = Field(description="The file")
        text: bool = Field(default=False, description="Lines for people, not JSON")

        @property
        def destination(self) -> str:
            return str(self.path)

    options: Options

    def publish(self, events: Sequence[Event]) -> None:
        """Returns when the events are safe; whatever it raises, they are sent again."""
        with self.options.path.open("ab") as file:
            for event in events:
                line = event.text().encode() if self.options.text else event.json_bytes
                file.write(line + b"\\n")

    def check(self) -> str:
        """Is called by `publisher check`, and changes nothing at the destination."""
        if not self.options.path.parent.is_dir():
            raise OSError(f"{self.options.path.parent} is no folder")
        return "the folder is there"


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    return {"$name": $sink}
''',
    "test_$module.py": '''\
"""The promises of every sink, and whatever else this one promises."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from publisher.testing import SinkConformance

from $module import $sink


class Test$sink(SinkConformance):
    sink = $sink

    @pytest.fixture(autouse=True)
    def destination(self, tmp_path: Path) -> None:
        self.path = tmp_path / "events.jsonl"
        self.path.touch()

    def options(self) -> dict[str, Any]:
        return {"path": str(self.path)}

    def received(self) -> list[str]:
        lines = self.path.read_bytes().splitlines()
        return [json.loads(line)["id"] for line in lines]

    @contextmanager
    def broken(self) -> Iterator[None]:
        """Lets the destination take nothing for a while: a folder has its name."""
        aside = self.path.rename(self.path.with_suffix(".aside"))
        self.path.mkdir()
        yield
        self.path.rmdir()
        aside.rename(self.path)
''',
    "README.md": """\
# publisher-$name

A sink of type `$name` for interface-publisher. As it was written, it appends a line of JSON for each event
to a file: `$module.py` is the place for your destination.

## Try it

Install it beside publisher, in the same environment:

```sh
pip install --editable '.[test]'                       # in a virtual environment, as .venv of a clone
pipx inject --editable interface-publisher .           # with pipx
uv tool install --with-editable . interface-publisher  # with uv
```

`publisher plugins` lists it then. In `publisher.toml`:

```toml
[sinks.mine]
type = "$name"
path = "events.jsonl"
```

`publisher check` calls its `check`, and `publisher run` publishes to it.

## Its tests

```sh
pytest
mypy .
ruff check
```
""",
}
