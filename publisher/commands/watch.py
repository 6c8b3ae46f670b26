"""`publisher watch`: what happens, live, on this host or on a broker."""

from __future__ import annotations

import typer
from publisher_terminal import line_of  # the terminal sink's own lines

from ..config import Settings
from ..errors import PublisherError
from ..events import Family
from ..watcher import watch
from .own_source import interfaces_of, opened_source, until_interrupted


def watch_host(settings: Settings, family: Family | None) -> None:
    """Print the IP interfaces of this host and each change, a line each, until Ctrl+C; raises SourceError."""
    with opened_source(settings, family) as source, until_interrupted():
        for event in watch(interfaces=interfaces_of(settings), source=source):
            if event.family is None or family in (None, event.family):
                typer.echo(line_of(event))


def watch_broker(url: str) -> None:
    """Show every node that publishes on a broker."""
    raise PublisherError(f"{url}: this version watches only its own host: publisher watch")
