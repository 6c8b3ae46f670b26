"""`publisher plugins` and `publisher schema`: the installed plugins, and the formats as JSON documents."""

from __future__ import annotations

from functools import partial

from ..plugins import load_plugins
from ..terminal import echo, echo_json
from .schemas import DIALECT, config_schema, event_schema


def list_plugins() -> bool:
    """Prints a line for each thing that a plugin offers; returns False when a plugin was left out."""
    plugins = load_plugins(slow=partial(echo, err=True))
    for offer in sorted(plugins.offers, key=lambda offer: (offer.kind, offer.name)):
        echo(f"{offer.kind:9} {offer.name:10} {offer.distribution} {offer.version}  {offer.summary}".rstrip())
    for failure in plugins.failures:
        echo(str(failure), err=True)
    return not plugins.failures


def print_schema(name: str) -> None:
    """Prints a schema as JSON; raises ConfigurationError when neither publisher nor a plugin has it."""
    match name:
        case "event":
            document = {"$schema": DIALECT, **event_schema()}
        case "config":
            document = config_schema(load_plugins())
        case _:
            document = load_plugins().schema(name)()
    echo_json(document)
