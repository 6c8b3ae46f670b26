"""JSON Schemas, made from the models that they describe."""

from __future__ import annotations

from typing import Any

from ..config.settings import Settings
from ..events import Event
from ..plugins import Plugins
from ..sink import SinkOptions

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def event_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a published event."""
    return Event.model_json_schema(mode="serialization")


def config_schema(plugins: Plugins) -> dict[str, Any]:
    """Returns the JSON Schema of publisher.toml, with the options of every installed sink."""
    schema = {"$schema": DIALECT, **Settings.model_json_schema()}
    definitions = schema.setdefault("$defs", {})
    for member in ("node", "path"):  # these defaults depend on the host
        (schema if member == "node" else definitions["JournalSettings"])["properties"][member].pop("default", None)
    variants = [_sink_schema(name, sink.Options, definitions) for name, sink in sorted(plugins.sinks.items())]
    schema["properties"]["sinks"]["additionalProperties"] = {"anyOf": variants}
    return schema


def _sink_schema(kind: str, options: type[SinkOptions], definitions: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of one sink's table; its name begins its definitions' names: two sinks may share some."""
    table = options.model_json_schema(ref_template=f"#/$defs/{kind}.{{model}}")
    definitions.update({f"{kind}.{name}": inner for name, inner in table.pop("$defs", {}).items()})
    properties = {
        "type": {"const": kind},
        **{name: inner for name, inner in table.get("properties", {}).items() if name != "type"},
    }
    return {**table, "title": kind, "properties": properties, "required": ["type", *table.get("required", [])]}
