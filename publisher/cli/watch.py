"""`publisher watch`: a live view of this host's IP interfaces, or of those published at a URL."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from ..client import NodeStatus, SubscribeRequest, subscribe
from ..config.settings import Settings
from ..events import AnyEvent, Event, Family
from ..printable import printable
from ..sources import Source
from ..table import Stamp, Table
from ..terminal import echo
from ..terminal.lines import Lines
from ..terminal.live_table import LiveTable, clock, on_screen
from ..terminal.screen import shows_colours, write
from ..watcher import batches
from .host import HeldLog, opened_source, until_interrupted

if TYPE_CHECKING:
    from ..terminal.live.loop import Feed, PastChanges


def watch_host(settings: Settings, family: Family | None, *, lines: bool, past: bool = True) -> None:
    """Shows this host's IP interfaces and each change until `q` or Ctrl+C; raises SourceError.

    On a terminal it is a table that is kept up to date; elsewhere, on one that moves no cursor, and with `lines` a line
    for each event. With `past`, the table has the changes in the journal of this host's service, too.
    """
    from ..terminal.live.console import can_be_live
    from .live_past import find_past

    if lines or not can_be_live(sys.stdout, os.environ):
        with opened_source(settings, family) as source, until_interrupted():
            _print_lines(_HostFeed(settings, source, family).read())
        return
    log = HeldLog()
    try:
        with until_interrupted(), opened_source(settings, family, log) as source:
            found = find_past(settings) if past else ""
            _show_live(_HostFeed(settings, source, family), settings.node, log, found)
    finally:
        for line in log.lines:
            echo(line, err=True)


class _HostFeed:
    """The events of this host, as they come."""

    def __init__(self, settings: Settings, source: Source, family: Family | None) -> None:
        self._settings = settings
        self._source = source
        self._family = family

    def read(self) -> Iterator[list[Event]]:
        """Yields the snapshot, then the events of each change."""
        table = Table(stamp=Stamp(self._settings.node))
        for events in batches(self._source, table, self._settings.filter):
            yield [event for event in events if event.family is None or self._family in (None, event.family)]

    def close(self) -> None:
        """Ends the source."""
        self._source.close()


def _show_live(feed: Feed, title: str, log: HeldLog, past: PastChanges | str) -> None:
    from ..terminal.live.console import opened_console
    from ..terminal.live.loop import LiveLoop
    from ..terminal.live.model import Model
    from ..terminal.live.picture import Glyphs

    with opened_console(sys.stdout) as console, suppress(EOFError):  # the terminal was closed
        glyphs = Glyphs.of(sys.stdout.encoding or "utf-8")
        model = Model(title, has_past=not isinstance(past, str))
        model.why_no_past = past if isinstance(past, str) else ""
        loop = LiveLoop(model, console, glyphs, colour=shows_colours(sys.stdout))
        log.show = loop.warn
        loop.run(feed, None if isinstance(past, str) else past)


def _print_lines(changes: Iterable[list[Event]]) -> None:
    lines = Lines(colour=shows_colours(sys.stdout))
    for events in changes:
        write(sys.stdout, "".join(f"{line}\n" for line in lines.lines(events)))


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
