"""docs/troubleshooting.md: each message that it quotes is one of the program's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
VALUE = "…"
TABLES = re.findall(r"^\| Message \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
QUOTED = [
    quoted for table in TABLES for row in table.splitlines() for quoted in re.findall(r"`([^`]+)`", row.split(" | ")[0])
] + re.findall(r"`(the kernel [^`]*|the journal takes [^`]*|this is a bug [^`]*)`", PAGE)


def messages() -> Iterator[str]:
    """Yields each text of the program, with a mark in place of each value that it names."""
    for folder in ("publisher", "plugins"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Constant(value=str(text)):
                        yield re.sub(r"%[.\d]*[a-z]|\{[^{}]*\}", VALUE, text)
                    case ast.JoinedStr(values=parts):
                        yield "".join(str(part.value) if isinstance(part, ast.Constant) else VALUE for part in parts)


@pytest.fixture(scope="module")
def text() -> str:
    """All texts of the program, one a line, with one mark in place of values that follow each other."""
    return re.sub(f"{VALUE}+", VALUE, "\n".join(messages()))


@pytest.mark.parametrize("quoted", QUOTED)
def test_each_message_is_one_of_the_program(quoted: str, text: str) -> None:
    assert quoted in text


def test_the_page_quotes_messages() -> None:
    assert len(QUOTED) > 30
