"""`publisher plugins` and `publisher schema`: what is installed, and what things look like."""

from __future__ import annotations

import json
from typing import Literal

import typer

from ..plugins import load_plugins
from .schemas import DIALECT, config_schema, event_schema


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
            document = {"$schema": DIALECT, **event_schema()}
        case "config":
            document = config_schema(load_plugins())
        case "asyncapi":
            from publisher_mqtt.asyncapi import asyncapi_document

            document = asyncapi_document()
    typer.echo(json.dumps(document, indent=2))
