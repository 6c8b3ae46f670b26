"""The script that makes mistakes, on a tree of one module."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.poll import wait_for
from tests.mutants.mutant import Mutant, Outcome, read_mutants, verdict
from tests.mutants.trial import Trial

MUTANTS = Path(__file__).parents[1] / "mutants"
MODULE = "def double(number):\n    return number + number\n\n\ndef half(number):\n    return number / 2\n"
TESTS = """
import pytest
from module import double, half

@pytest.mark.parametrize("number", [1, 3])
def test_double(number):
    assert double(number) == 2 * number

def test_half():
    half(1)

def test_that_fails():
    assert False
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "module.py").write_text(MODULE)
    (tmp_path / "test_module.py").write_text(TESTS)
    (tmp_path / "ignored.py").write_text("")
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    return tmp_path


def mutant(old: str, *tests: str, new: str = "0", reason: str = "") -> Mutant:
    return Mutant(id=old, what="", file="module.py", old=old, new=new, tests=tests, reason=reason)


def test_each_mistake_is_made_alone_and_its_test_named(tree: Path) -> None:
    mutants = [
        mutant("number + number", "test_module.py::test_double"),
        mutant("number / 2", "test_module.py::test_half", reason="nobody looks"),
        mutant("def half(", "test_module.py::test_double", new="def third("),
        mutant("return", "test_module.py::test_half"),
        mutant("none", "test_module.py::test_half"),
        mutant("half(number)", "test_module.py::test_that_fails"),
        mutant("double(number)", "test_module.py::test_that_is_not_there"),
        mutant("2", "no_module.py::test_half"),
        Mutant(id="G", what="", gone="no such code"),
    ]
    with Trial.of(tree) as trial:
        failing = trial.failing(mutants)
        found = [trial.outcome(entry, failing) for entry in mutants]
    assert [(outcome.kind, outcome.detail.rpartition("::")[2]) for outcome in found] == [
        ("killed", "test_double[1]"),
        ("survived", "nobody looks"),
        ("killed", "test_module.py"),
        ("stale", "the place is not once in module.py"),
        ("stale", "the place is not once in module.py"),
        ("no test", "test_that_fails"),
        ("no test", "test_that_is_not_there"),
        ("no test", "test_half"),
        ("gone", "no such code"),
    ]
    assert (tree / "module.py").read_text() == MODULE


LONG_TEST = """
import threading
from pathlib import Path

def test_long():
    try:
        Path({said!r}).touch()
        threading.Event().wait(60)
    finally:
        Path({told!r}).touch()
"""
LONG_MUTANT = """
[[mutant]]
id = "A"
what = ""
tests = ["test_module.py::test_long"]
"""


def test_a_run_that_is_terminated_ends_its_tests_and_leaves_no_copy(tree: Path, tmp_path: Path) -> None:
    """The tests are interrupted, so that what they started is ended by them."""
    top = Path(__file__).parents[2]
    (tree / "tests/mutants").mkdir(parents=True)
    for path in [top / "tests/__init__.py", *(top / "tests/mutants").glob("*.py")]:
        shutil.copy(path, tree / path.relative_to(top))
    (tree / "tests/mutants/one.toml").write_text(LONG_MUTANT)
    said, told, scratch = (tmp_path / name for name in ("said", "told", "scratch"))
    scratch.mkdir()
    (tree / "test_module.py").write_text(LONG_TEST.format(said=str(said), told=str(told)))
    run, environ = [sys.executable, "-m", "tests.mutants"], os.environ | {"TMPDIR": str(scratch)}
    with subprocess.Popen(run, cwd=tree, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(said.exists, what="the test")
        process.terminate()
    assert told.exists()
    assert list(scratch.glob("mutants-*")) == []


def outcome(name: str, kind: str, reason: str = "") -> Outcome:
    return Outcome(Mutant(id=name, what="", reason=reason), kind, "detail")


def test_at_most_so_many_survive_each_with_its_reason() -> None:
    excused = [outcome(str(number), "survived", "a reason") for number in range(2)]
    assert verdict([*excused, outcome("k", "killed"), outcome("g", "gone")], 2) == []
    assert verdict([*excused, outcome("3", "survived", "a reason")], 2) == ["3 mutants survive: at most 2 may"]
    assert verdict([outcome("a", "survived")], 2) == ["a survives: write a test, or the reason"]
    assert verdict([outcome("s", "stale"), outcome("n", "no test")], 2) == ["s: detail", "n: detail"]


def test_the_mistakes_of_this_tree_can_be_read() -> None:
    everything = read_mutants(MUTANTS)
    assert {"L01", "L20"} <= {entry.id for entry in everything}
    assert {entry.id[:2] for entry in read_mutants(MUTANTS, ["L0", "L1"])} == {"L0", "L1"}


def test_an_id_is_there_once(tmp_path: Path) -> None:
    (tmp_path / "some.toml").write_text('[[mutant]]\nid = "A"\nwhat = ""\n' * 2)
    with pytest.raises(ValueError, match="twice: A"):
        read_mutants(tmp_path)
