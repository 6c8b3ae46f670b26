"""The tables of reference in docs/*.md, made from the JSON Schemas that `publisher schema` prints.

A table stands between two comments, of which the first says what it is:

    <!-- made by `make reference`: sink mqtt; urls: #several-brokers; format: #formats -->
    <!-- end -->

What comes after a semicolon is a member and the place that has more about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from publisher.cli.schemas import config_schema, event_schema
from publisher.plugins import load_plugins
from publisher.sink import SinkOptions

Schema = Mapping[str, Any]

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
BEGIN = "<!-- made by `make reference`: "
TABLE = re.compile(rf"({BEGIN}([^\n]*?) -->\n).*?(<!-- end -->)", re.DOTALL)
_TYPES = {"boolean": "`true` or `false`", "number": "number", "string": "text", "object": "object"}
_FORMATS = {"date-time": "time (RFC 3339)", "duration": 'time, like `"5s"`', "path": "path", "password": "secret"}
_MANY = 8
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def with_tables(text: str) -> str:
    """Returns the document with its tables made anew."""
    return TABLE.sub(lambda found: found[1] + "\n" + "\n".join(table(found[2])) + "\n\n" + found[3], text)


def table(marker: str) -> list[str]:
    """Returns the lines of the table that a marker asks for, like `event row`, `sink mqtt` or `settings`."""
    what, *more = marker.split("; ")
    places = dict(place.split(": ") for place in more)
    match what.split():
        case ["event", *path]:
            return list(_members(_inner(event_schema(), path), places))
        case ["kinds"]:
            kinds = event_schema()["properties"]["kinds"]["items"]["oneOf"]
            return [
                "| Kind | Meaning |",
                "|---|---|",
                *(f"| `{one['const']}` | {one['description']} |" for one in kinds),
            ]
        case ["settings"]:
            return list(_options(_config(), _config(), places))
        case ["every", "sink", *path]:
            return list(_options(schema := SinkOptions.model_json_schema(), _inner(schema, path), places))
        case ["sink", kind, *path]:
            return list(_options(_config(), _inner(_config(), path, _sink(kind)), places))
    raise ValueError(f"no such table: {what}")


@cache
def _config() -> Schema:
    return config_schema(load_plugins())


@cache
def _sink(kind: str) -> Schema:
    """Returns the schema of a sink's own options: those that each sink has alike are in a table of their own."""
    variants = _config()["properties"]["sinks"]["additionalProperties"]["anyOf"]
    [found] = [one for one in variants if one["title"] == kind]
    common = SinkOptions.model_json_schema()["properties"]
    own = {
        name: member
        for name, member in found["properties"].items()
        if name != "type" and (name not in common or member.get("default") != common[name].get("default"))
    }
    return {**found, "properties": dict(sorted(own.items(), key=lambda option: option[0] in common))}


def _inner(document: Schema, path: list[str], schema: Schema | None = None) -> Schema:
    """Returns the schema at the end of a path of members."""
    inner = schema or document
    for name in path:
        member = inner["properties"][name]
        member = next((one for one in member.get("anyOf", ()) if "$ref" in one), member)
        member = member.get("items", member.get("additionalProperties", member))
        inner = document["$defs"][member["$ref"].rpartition("/")[2]]
    return inner


def _members(schema: Schema, places: Mapping[str, str]) -> Iterator[str]:
    """Yields the lines of a table of members of an event."""
    yield from ("| Member | Type | Meaning |", "|---|---|---|")
    for name, member in schema["properties"].items():
        null = ", or null" if {"type": "null"} in member.get("anyOf", ()) else ""
        kind = _type(member) + null + ("" if name in schema.get("required", ()) else ", if known")
        yield f"| `{name}` | {kind} | {_meaning(name, member, places)} |"


def _options(document: Schema, schema: Schema, places: Mapping[str, str], prefix: str = "") -> Iterator[str]:
    """Yields the lines of a table of options; those of a table within it have its name before theirs."""
    if not prefix:
        yield from ("| Option | Type | Default | Meaning |", "|---|---|---|---|")
    for name, member in schema["properties"].items():
        inner = document["$defs"][member["$ref"].rpartition("/")[2]] if "$ref" in member else None
        if inner is None or name in places:
            kind = "table" if inner or member.get("type") == "object" else _type(member)
            default = "" if inner else _default(member, needed=name in schema.get("required", ()))
            yield f"| `{prefix}{name}` | {kind} | {default} | {_meaning(name, member, places)} |"
        else:
            yield from list(_options(document, inner, places, f"{prefix}{name}."))


def _meaning(name: str, member: Schema, places: Mapping[str, str]) -> str:
    text = str(member["description"]).replace("|", "\\|")
    more = f" ([more]({places[name]}))" if name in places else ""
    begins_with_a_value = text.partition(" ")[0].rstrip(":") in member.get("enum", ())
    return (text if begins_with_a_value else text[0].upper() + text[1:]) + more


def _type(member: Schema) -> str:
    """Returns the type of a value in words."""
    if "anyOf" in member:
        return " or ".join(_type(choice) for choice in member["anyOf"] if choice != {"type": "null"})
    if len(member.get("enum", ())) > _MANY:
        return f"{len(member['enum'])} words"
    if "enum" in member:
        return ", ".join(f"`{value if isinstance(value, int) else _quoted(value)}`" for value in member["enum"])
    if "const" in member:
        return f"`{member['const']}`"
    if "$ref" in member:
        return "object"
    if "oneOf" in member:
        return "kinds"
    if member.get("type") == "array":
        return f"list of {_type(member['items'])}"
    if member.get("type") == "integer":
        return _integer(member)
    return _FORMATS.get(member.get("format", "")) or _TYPES.get(member.get("type", ""), "any")


def _quoted(value: object) -> str:
    return f'"{value}"'


def _integer(member: Schema) -> str:
    low, high = member.get("minimum"), member.get("maximum")
    if high in (0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF) and low == 0:
        return "integer"
    return f"integer, {low} to {high}" if high is not None else f"integer, from {low}" if low else "integer"


def _default(member: Schema, *, needed: bool) -> str:
    """Returns the default as a configuration writes it; nothing where there is none."""
    value = member.get("default")
    if needed:
        return "needed"
    if value is None or value in ([], {}, ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if member.get("format") == "duration":
        return f"`{_quoted(_short(value))}`"
    if isinstance(value, float) and value.is_integer():
        return f"`{int(value)}`"
    return f"`{value if isinstance(value, int) else _quoted(value)}`"


def _short(duration: str) -> str:
    """Returns an ISO 8601 duration as a configuration writes it: PT1M is 1m."""
    found = _DURATION.fullmatch(duration)
    parts = [f"{count}{unit}" for count, unit in zip(found.groups() if found else (), "dhms", strict=False) if count]
    if len(parts) != 1:
        raise ValueError(f"{duration} is no default that one number and unit can say")
    return parts[0]
