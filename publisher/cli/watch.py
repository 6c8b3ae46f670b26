"""`publisher watch`: a live view of this host's IP interfaces, or of those published at a URL."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import chain

from ..client import NodeStatus, SubscribeRequest, subscribe
from ..config.settings import Settings
from ..events import AnyEvent, Event, Family
from ..printable import printable
from ..table import Stamp, Table
from ..terminal.lines import Lines
from ..terminal.live_table import LiveTable, clock, on_screen
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


def watch_url(request: SubscribeRequest) -> None:
    """Shows what is published at this URL until Ctrl+C; raises PublisherError."""
    from rich.console import Console

    with (
        until_interrupted(),
        subscribe(
            request.url, base=request.base, password_file=request.password_file, ca_file=request.ca_file
        ) as subscription,
    ):
        console = Console()
        if not console.is_terminal:
            while not subscription.closed:
                write(sys.stdout, "".join(f"{_line(entry)}\n" for entry in subscription.read(1.0)))
            return
        table = LiveTable()
        with on_screen(console) as screen:
            while not subscription.closed:
                for entry in subscription.read(1.0):
                    if isinstance(entry, NodeStatus):
                        table.set_online(entry.node, entry.online)
                    else:
                        table.apply(entry)
                table.note = f"{request.url} · {len(subscription.nodes)} nodes · {len(table)} IP interfaces"
                screen.show(table)


def _line(entry: AnyEvent | NodeStatus) -> str:
    if isinstance(entry, NodeStatus):
        sync = "in sync" if entry.in_sync else "not in sync"
        return printable(f"{entry.node}: {'online' if entry.online else 'offline'}, {sync}")
    return f"{clock(entry.time)}  {printable(entry.node)}  {entry.text()}"
