"""`publisher watch`: what happens, live, on this host or on a broker."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from publisher_terminal.lines import Lines  # the terminal sink's own
from publisher_terminal.screen import shows_colours, write

from ..config import Settings
from ..errors import PublisherError
from ..events import Event, Family
from ..sources import Source
from ..table import Stamp, Table
from ..watcher import Watcher
from .own_source import interfaces_of, opened_source, until_interrupted


def watch_host(settings: Settings, family: Family | None) -> None:
    """Print the IP interfaces of this host and each change, a line each, until Ctrl+C; raises SourceError."""
    lines = Lines(colour=shows_colours(sys.stdout))
    with opened_source(settings, family) as source, until_interrupted():
        for events in _batches(source, settings):
            wanted = [event for event in events if event.family is None or family in (None, event.family)]
            write(sys.stdout, "".join(f"{line}\n" for line in lines.lines(wanted)))


def _batches(source: Source, settings: Settings) -> Iterator[list[Event]]:
    """The snapshot, and then what each update comes to."""
    table = Table(stamp=Stamp(settings.node))
    steps = iter(Watcher(source, table, interfaces_of(settings)))
    next(steps)
    yield table.snapshot()
    for step in steps:
        yield step.events
        if step.overrun:
            yield table.snapshot("overrun")


def watch_broker(url: str) -> None:
    """Show every node that publishes on a broker."""
    raise PublisherError(f"{url}: this version watches only its own host: publisher watch")
