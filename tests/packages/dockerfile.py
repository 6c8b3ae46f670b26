"""A Dockerfile carried out in roots instead of images: for a machine without Docker's engine.

It knows the instructions that compose/Dockerfile and the add-on's use; any other is an error.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.packages.roots import SEARCHED, Root

# Left out of the context by the .dockerignore, wherever it is; what another stage has is copied whole.
IGNORED = ("__pycache__",)


def instructions(text: str) -> list[tuple[str, str]]:
    """Returns each instruction's word and the rest of it, with its continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined)]


@dataclass
class Stage:
    """A stage while it is built; after its last instruction, an image."""

    root: Root
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": SEARCHED})
    folder: str = "/"
    user: str = "0:0"
    volumes: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    health: tuple[str, ...] = ()

    def command(self, *command: str) -> list[str]:
        """Returns the command that runs one in a container of it that can write nothing but its volumes."""
        return self.root.command(
            *command, environment=self.environment, user=self.user, folder=self.folder, writable=self.volumes
        )


class Build:
    """The build of a Dockerfile, with the root of its base in the place of the image."""

    def __init__(self, file: Path, context: Path, base: Root, folder: Path, **arguments: str) -> None:
        self._file = file
        self._context = context
        self._base = base
        self._folder = folder
        self._arguments = arguments
        self._stages: dict[str, Stage] = {}
        self.bases: list[str] = []
        """The images that the Dockerfile names, in whose place the root stands."""
        self._allowed = _allowed(file)

    def build(self) -> Stage:
        """Carries out every instruction; returns the last stage."""
        stage = Stage(self._base)
        done: dict[str, Callable[[Stage, str], None]] = {
            "ENV": self._env,
            "WORKDIR": self._workdir,
            "COPY": self._copy,
            "RUN": self._run,
        }
        for word, rest in instructions(self._file.read_text()):
            if word == "ARG":
                name, _, default = rest.partition("=")
                self._arguments.setdefault(name, default)
            elif word == "FROM":
                stage = self._begin(rest)
            elif word in done:
                done[word](stage, rest)
            else:
                _describe(stage, word, rest)
        return stage

    def _begin(self, rest: str) -> Stage:
        image, _, name = _filled(rest, self._arguments).partition(" AS ")
        self.bases.append(image)
        name = name or str(len(self._stages))
        self._stages[name] = Stage(self._base.copy(self._folder / name))
        return self._stages[name]

    def _env(self, stage: Stage, rest: str) -> None:
        for name, value in re.findall(r"(\w+)=(\S+)", rest):
            stage.environment[name] = _filled(value, stage.environment)

    def _workdir(self, stage: Stage, rest: str) -> None:
        stage.folder = rest
        (stage.root.folder / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _run(self, stage: Stage, rest: str) -> None:
        stage.root.run("/bin/sh", "-c", rest, environment=stage.environment, user=stage.user, folder=stage.folder)

    def _copy(self, stage: Stage, rest: str) -> None:
        *sources, target = rest.split()
        place = stage.root.folder / stage.folder.lstrip("/") / target.lstrip("/")
        if target.startswith("/"):
            place = stage.root.folder / target.lstrip("/")
        context, ignored = self._context, [*IGNORED]
        if sources[0].startswith("--from="):
            context, ignored = self._stages[sources.pop(0).removeprefix("--from=")].root.folder, []
        elif self._allowed is not None:
            assert set(sources) <= self._allowed, f"left out by the .dockerignore: {sources}"
        for source in sources:
            found = list(context.glob(source.lstrip("/")))
            assert found, f"nothing to copy: {source}"
            for each in found:
                _copied(each, place, ignored, into=target.endswith("/"))


def _copied(source: Path, place: Path, ignored: Sequence[str], *, into: bool) -> None:
    if source.is_dir():
        left_out = shutil.ignore_patterns(*ignored)
        shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True, ignore=left_out)
    else:
        (place if into else place.parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)


def _describe(stage: Stage, word: str, rest: str) -> None:
    """Notes an instruction that only says how a container is run."""
    if word == "USER":
        stage.user = rest
    elif word == "VOLUME":
        stage.volumes = (*stage.volumes, rest)
    elif word == "ENTRYPOINT":
        stage.entrypoint = tuple(json.loads(rest))
    elif word == "CMD":
        stage.arguments = tuple(json.loads(rest))
    elif word == "HEALTHCHECK":
        stage.health = tuple(json.loads(rest.partition("CMD")[2]))
    else:
        raise ValueError(f"an instruction that is not known here: {word} {rest}")


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], text)


def _allowed(file: Path) -> set[str] | None:
    """Returns the paths of the context that the file's .dockerignore lets in; without one everything is."""
    ignored = file.with_name(f"{file.name}.dockerignore")
    if not ignored.exists():
        return None
    lines = ignored.read_text().splitlines()
    assert lines[0] == "*", "everything is left out but what is named"
    assert [line for line in lines[1:] if not line.startswith("!")] == [f"**/{name}" for name in IGNORED]
    return {line.removeprefix("!") for line in lines if line.startswith("!")}
