"""Promises about the documents: links lead somewhere, configurations are valid, no command or option is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from publisher.config.locations import Locations
from publisher.config.settings import Settings, load_settings, sink_options
from publisher.plugins import load_plugins

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "compose").rglob("*.md")])
IDS = {path: path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def blocks(document: Path, language: str) -> list[str]:
    """Returns the blocks of code in this language."""
    return [code for _, found, code in FENCE.findall(text_of(document)) if found == language]


def python(*arguments: str) -> str:
    """Returns the output of Python with these arguments, which ends with 0 and reports nothing."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@cache
def anchors(document: Path) -> frozenset[str]:
    """Returns the anchors of a document's titles, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(document)), re.MULTILINE)
    found: list[str] = []
    for title in titles:
        made = re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", title).lower()).replace(" ", "-")
        found.append(f"{made}-{found.count(made)}" if made in found else made)
    return frozenset(found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS.get)
def test_every_link_leads_to_a_file_and_to_a_title(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text_of(document)))
    lost = []
    for link in (link for link in links if "://" not in link):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert not lost


def test_the_contents_list_every_document() -> None:
    listed = re.findall(r"\]\(([\w./-]+)\)", text_of(ROOT / "docs/README.md"))
    folder = ROOT / "docs"
    there = [path.relative_to(folder).as_posix() for path in folder.rglob("*.md") if path.name != "README.md"]
    assert not set(there) - set(listed)


CONFIGURATIONS = [
    pytest.param(block, id=f"{IDS[document]}-{number}")
    for document in DOCUMENTS
    for number, block in enumerate(blocks(document, "toml"))
    if tomllib.loads(block).keys() <= Settings.model_fields.keys() and 'type = "ntfy"' not in block
]


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_each_configuration_is_valid(configuration: str, tmp_path: Path) -> None:
    file = tmp_path / "publisher.toml"
    file.write_text(configuration)
    sink_options(load_settings(file, Locations("nas", (), (tmp_path,))), load_plugins())


def test_each_command_has_its_row() -> None:
    shown = python("-m", "publisher", "--help")
    commands = set(re.findall(r"^  ([a-z-]+)  ", shown.partition("Commands:")[2], re.MULTILINE))
    described = set(re.findall(r"^\| `publisher ([a-z-]+)", text_of(ROOT / "docs/getting-started.md"), re.MULTILINE))
    assert commands == described


def test_the_sink_that_the_plugins_page_prints_can_be_imported() -> None:
    code = blocks(ROOT / "docs/plugins.md", "python")[0] + 'print(publisher_sinks()["ntfy"].Options(topic="x").topic)'
    assert python("-W", "error", "-c", code) == "x\n"


def test_the_distribution_that_the_plugins_page_prints_is_the_one_that_is_tested() -> None:
    assert blocks(ROOT / "docs/plugins.md", "toml")[0] == text_of(ROOT / "tests/thirdparty_sink/pyproject.toml")


def test_the_test_that_the_plugins_page_prints_passes(tmp_path: Path) -> None:
    (tmp_path / "test_lines.py").write_text(blocks(ROOT / "docs/plugins.md", "python")[1])
    assert " passed" in python("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path))


def test_the_readme_is_about_one_screen() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) < 90
