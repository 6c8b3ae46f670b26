"""Promises about the words: docstrings begin as CONTRIBUTING asks, a class name means one thing, citations exist."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("publisher", "plugins") for path in (ROOT / folder).rglob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "compose").glob("*.md")])
CLAUSE = re.compile(r"(?:What|Whether|How|Where|Which|When|Why|Who)(?:ever|se|m)?\b")
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def parsed() -> Iterator[tuple[str, ast.Module]]:
    """Yields the name and the tree of each module of the product."""
    for path in SOURCES:
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_no_docstring_begins_with_a_clause() -> None:
    begun = [
        f"{name}:{node.body[0].lineno}: {text.splitlines()[0]}"
        for name, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, Documented) and (text := ast.get_docstring(node)) and CLAUSE.match(text)
    ]
    assert not begun, "begin with a verb in the third person, or with a noun"


def test_a_class_name_means_one_thing() -> None:
    """A leading underscore does not make another name: a reader who greps finds both."""
    places: dict[str, list[str]] = defaultdict(list)
    for name, tree in parsed():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                places[node.name.removeprefix("_")].append(f"{name}:{node.lineno}")
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_every_document_that_the_code_cites_is_here() -> None:
    """By its path in the repository, or by its name in the same folder."""
    cited = [
        (f"{path.relative_to(ROOT).as_posix()}:{number}", path.parent, document)
        for path in [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for document in re.findall(r"(?<![\w/.{}-])[\w/-]+\.md\b", line)
    ]
    assert any(document == "docs/linux.md" for *_, document in cited)
    assert not [
        f"{place}: {document}"
        for place, folder, document in cited
        if not (ROOT / document).is_file() and not (folder / document).is_file()
    ]


def test_the_documents_name_files_that_are_here() -> None:
    """Paths in backticks, as far as they name a folder of the repository."""
    folders = "publisher|plugins|tests|docs|compose|\\.ci"
    named = [
        (document.name, path)
        for document in DOCUMENTS
        for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", document.read_text(encoding="utf-8"))
    ]
    assert named
    assert not [f"{document}: {path}" for document, path in named if not (ROOT / path).exists()]
