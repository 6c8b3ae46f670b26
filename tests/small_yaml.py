"""Enough of YAML to read our own example files, since no dependency reads it; anything else in them is an error.

Block mappings and sequences by indentation, double-quoted and plain scalars, comments on lines of their own.
"""

from __future__ import annotations

import json
import re
from typing import Any

_KEY = re.compile(r"([A-Za-z_][\w-]*):(?: (.+))?")
_PLAIN = re.compile(r"[A-Za-z0-9./_$-](?:(?!: | #).)*")
_WORDS = {"true": True, "false": False, "null": None}

Lines = list[tuple[int, str]]


def load(text: str) -> Any:
    """The document's value; raises ValueError for what is no such YAML."""
    lines = [
        (len(line) - len(line.lstrip(" ")), line.strip())
        for line in text.splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    value = _block(lines)
    if lines:
        raise ValueError(f"wrong indentation: {lines[0][1]}")
    return value


def _block(lines: Lines) -> Any:
    indentation, text = lines[0]
    return _sequence(lines, indentation) if text.startswith("- ") else _mapping(lines, indentation)


def _sequence(lines: Lines, indentation: int) -> list[Any]:
    items = []
    while lines and lines[0][0] == indentation and lines[0][1].startswith("- "):
        inner = lines[0][1].removeprefix("- ")
        if _KEY.fullmatch(inner):
            lines[0] = (indentation + 2, inner)
            items.append(_mapping(lines, indentation + 2))
        else:
            items.append(_scalar(inner))
            del lines[0]
    return items


def _mapping(lines: Lines, indentation: int) -> dict[str, Any]:
    members: dict[str, Any] = {}
    while lines and lines[0][0] == indentation and not lines[0][1].startswith("- "):
        match = _KEY.fullmatch(lines.pop(0)[1])
        if match is None or match[1] in members:
            raise ValueError(f"no key, or one that is there already: {match and match[1]}")
        if match[2] is not None:
            members[match[1]] = _scalar(match[2])
        else:
            members[match[1]] = _block(lines) if lines and lines[0][0] > indentation else None
    return members


def _scalar(text: str) -> Any:
    if text.startswith('"'):
        return json.loads(text)
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"needs quotes: {text}")
    return _WORDS.get(text, int(text) if text.isdigit() else text)
