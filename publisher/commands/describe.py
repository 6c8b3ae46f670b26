"""`publisher plugins` and `publisher schema`: what is installed, and what things look like."""

from __future__ import annotations

import json
from typing import Any, Literal

import typer
from pydantic.json_schema import GenerateJsonSchema

from ..config import Settings
from ..events import Event
from ..plugins import Plugins, load_plugins
from ..sink import SinkOptions

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def list_plugins() -> bool:
    """Print a line for each sink and source; False when a plugin was left out."""
    plugins = load_plugins()
    for offer in sorted(plugins.offers, key=lambda offer: (offer.kind, offer.name)):
        typer.echo(f"{offer.kind:7} {offer.name:10} {offer.distribution} {offer.version}  {offer.summary}".rstrip())
    for failure in plugins.failures:
        typer.echo(str(failure), err=True)
    return not plugins.failures


def print_schema(what: Literal["event", "config", "asyncapi"]) -> None:
    """Print it as JSON."""
    match what:
        case "event":
            document = {"$schema": _DIALECT, **event_schema()}
        case "config":
            document = config_schema(load_plugins())
        case "asyncapi":
            from .asyncapi import asyncapi_document

            document = asyncapi_document()
    typer.echo(json.dumps(document, indent=2))


class _AllMembers(GenerateJsonSchema):
    """Every member is always there in what is published, those with a default too."""

    def field_is_required(self, *_: object, **__: object) -> bool:
        return True


def event_schema(ref_template: str = "#/$defs/{model}") -> dict[str, Any]:
    """The JSON Schema of a published event."""
    return Event.model_json_schema(mode="serialization", schema_generator=_AllMembers, ref_template=ref_template)


def config_schema(plugins: Plugins) -> dict[str, Any]:
    """The JSON Schema of publisher.toml, with the options of every installed sink."""
    schema = {"$schema": _DIALECT, **Settings.model_json_schema()}
    definitions = schema.setdefault("$defs", {})
    for member in ("node", "path"):  # these defaults depend on the host
        (schema if member == "node" else definitions["JournalSettings"])["properties"][member].pop("default", None)
    variants = [_sink_schema(name, sink.Options, definitions) for name, sink in sorted(plugins.sinks.items())]
    schema["properties"]["sinks"]["additionalProperties"] = {"anyOf": variants}
    return schema


def _sink_schema(kind: str, options: type[SinkOptions], definitions: dict[str, Any]) -> dict[str, Any]:
    """One sink's table. Its definitions get its name before theirs, since two sinks may use one name."""
    table = options.model_json_schema(ref_template=f"#/$defs/{kind}.{{model}}")
    definitions.update({f"{kind}.{name}": inner for name, inner in table.pop("$defs", {}).items()})
    properties = {
        "type": {"const": kind},
        **{name: inner for name, inner in table.get("properties", {}).items() if name != "type"},
    }
    return {**table, "title": kind, "properties": properties, "required": ["type", *table.get("required", [])]}
