"""`publisher watch`: a live view of this host's IP interfaces, or of those published at a URL."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import chain

from ..config.settings import Settings
from ..events import Event, Family
from ..plugins import WatchRequest, load_plugins
from ..table import Stamp, Table
from ..terminal.lines import Lines
from ..terminal.screen import shows_colours, write
from ..watcher import batches
from .host import opened_source, until_interrupted


def watch_host(settings: Settings, family: Family | None, *, lines: bool) -> None:
    """Shows this host's IP interfaces and each change until Ctrl+C; raises SourceError.

    On a terminal it is a table that is kept up to date, elsewhere and with `lines` a line for each event.
    """
    with opened_source(settings, family) as source, until_interrupted():
        table = Table(stamp=Stamp(settings.node))
        changes = (_of_family(events, family) for events in batches(source, table, settings.filter))
        if sys.stdout.isatty() and not lines:
            from rich.console import Console

            from ..terminal.live_table import follow

            follow(chain.from_iterable(changes), Console())
        else:
            _print_lines(changes)


def _print_lines(changes: Iterable[list[Event]]) -> None:
    lines = Lines(colour=shows_colours(sys.stdout))
    for events in changes:
        write(sys.stdout, "".join(f"{line}\n" for line in lines.lines(events)))


def _of_family(events: Iterable[Event], family: Family | None) -> list[Event]:
    return [event for event in events if event.family is None or family in (None, event.family)]


def watch_url(request: WatchRequest) -> None:
    """Shows what is published at this URL until Ctrl+C; raises PublisherError."""
    with until_interrupted():
        load_plugins().viewer(request.url)(request)
