"""Promises about the documents: every citation, link and path that they have leads to a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("publisher", "plugins") for path in (ROOT / folder).rglob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "compose").glob("*.md")])


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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_of_a_document_leads_to_a_file(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert not [link for link in local if not (document.parent / link).exists()]


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
