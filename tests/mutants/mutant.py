"""The mistakes as they are written down, and what became of each."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict


class Mutant(BaseModel):
    """A mistake: `new` in place of `old`, which occurs once in `file`, makes one of `tests` fail.

    `reason` says why no test notices it, and `gone` why the code has no such place any more.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    what: str
    file: str = ""
    old: str = ""
    new: str = ""
    tests: tuple[str, ...] = ()
    reason: str = ""
    gone: str = ""

    def applied(self, root: Path) -> str | None:
        """Returns the file with the mistake; None when the place is not there exactly once."""
        path = root / self.file
        text = path.read_text(encoding="utf-8") if self.old and path.is_file() else ""
        return text.replace(self.old, self.new) if text.count(self.old or "\0") == 1 else None


class Outcome(NamedTuple):
    """What became of a mutant: `killed`, `survived`, `gone`, `stale` or `no test`, and the test or the reason."""

    mutant: Mutant
    kind: str
    detail: str


def read_mutants(directory: Path, wanted: Iterable[str] = ()) -> list[Mutant]:
    """Returns the mutants of all files of a directory, or those with these beginnings of ids."""
    entries = [
        Mutant.model_validate(entry)
        for path in sorted(directory.glob("*.toml"))
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    ]
    ids = [mutant.id for mutant in entries]
    if twice := {name for name in ids if ids.count(name) > 1}:
        raise ValueError(f"these ids are there twice: {', '.join(sorted(twice))}")
    beginnings = tuple(wanted)
    return [mutant for mutant in entries if not beginnings or mutant.id.startswith(beginnings)]


def verdict(outcomes: Iterable[Outcome], most: int) -> list[str]:
    """Returns what is wrong with the outcomes, nothing when at most so many survive, each with its reason."""
    outcomes = list(outcomes)
    survivors = [outcome.mutant for outcome in outcomes if outcome.kind == "survived"]
    wrong = [f"{len(survivors)} mutants survive: at most {most} may"] if len(survivors) > most else []
    wrong += [f"{mutant.id} survives: write a test, or the reason" for mutant in survivors if not mutant.reason]
    wrong += [f"{outcome.mutant.id}: {outcome.detail}" for outcome in outcomes if outcome.kind in ("stale", "no test")]
    return wrong
