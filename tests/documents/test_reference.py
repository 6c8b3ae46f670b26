"""Promises about the tables of reference: they are up to date, nothing is missing, and each number has its unit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from publisher.cli.schemas import config_schema, event_schema
from publisher.plugins import load_plugins
from tests.documents.reference import DOCUMENTS, TABLE, with_tables

# What a number counts or measures, as a description has it.
UNIT = re.compile(
    r"\b(in (ms|bytes|bits|seconds)|bit/s|seconds|days|port|number|count|copies|values|requests|events|index|metric"
    r"|the lowest is the best|seq|place|version|IANA|zone|permissions)\b",
    re.IGNORECASE,
)


def members(schema: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the name and the schema of each member, at any depth."""
    for name, member in schema.get("properties", {}).items():
        yield f"{where}.{name}", member
    for name, inner in schema.get("$defs", {}).items():
        yield from members(inner, f"{where}.{name}")


CONFIG = config_schema(load_plugins())
SINKS = CONFIG["properties"]["sinks"]["additionalProperties"]["anyOf"]
EVERY = [
    *members(event_schema(), "event"),
    *members(CONFIG, "config"),
    *(member for sink in SINKS for member in members(sink, sink["title"])),
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_tables_are_up_to_date(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run `make reference`"


def test_there_is_a_table_for_each_model() -> None:
    markers = {found[1].partition(";")[0] for path in DOCUMENTS for found in TABLE.findall(path.read_text("utf-8"))}
    members_of_events = {"Change", *(words[-1] for words in map(str.split, markers) if words[0] == "event")}
    named = {"DefaultRoute": "default_routes", "IpInterfaceRow": "row", "Offload": "transmit_offload"}
    named |= {"Address": "addresses", "LostEvents": "lost"}
    assert {
        named.get(name, name if name == "Change" else name.lower()) for name in event_schema()["$defs"]
    } <= members_of_events
    assert {"event", "kinds", "settings", "every sink only"} <= markers
    assert {f"sink {sink['title']}" for sink in SINKS if sink["title"] != "terminal"} <= markers


def test_each_member_has_a_meaning() -> None:
    tables = {"config.filter", "config.journal", "config.log", "config.metrics", "mqtt.replay"}
    assert not [
        name
        for name, member in EVERY
        if "description" not in member and not name.endswith(".type") and name not in tables
    ]


def test_each_number_has_its_unit() -> None:
    numbers = [
        (name, member["description"])
        for name, member in EVERY
        if member.get("type") in ("integer", "number") and "const" not in member
    ]
    assert len(numbers) > 40
    assert not [(name, text) for name, text in numbers if not UNIT.search(text)]
