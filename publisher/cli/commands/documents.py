"""The commands that print or write a document, and their options: schema, record, init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Config, SourceOption, settings_of


def schema(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[event|config|asyncapi|...]",
            help="event, config: a JSON Schema. asyncapi: the MQTT topics as an AsyncAPI document. Plugins add others.",
        ),
    ] = "event",
) -> None:
    """Print a schema as JSON."""
    from ..describe import print_schema

    print_schema(what)


def record(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that does not exist yet.")],
    config: Config = None,
    source: SourceOption = None,
) -> None:
    """Record all changes into a file.

    Ctrl+C ends it, and --source recording:FILE plays it.

    The file holds this host's interface names and its hardware and IP addresses.
    """
    from ..record import record_updates

    record_updates(settings_of(config, source), file)


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")] = Path("publisher.toml"),
) -> None:
    """Write a commented configuration.

    A file that exists is not changed.
    """
    from ..init import write_configuration

    write_configuration(file)
