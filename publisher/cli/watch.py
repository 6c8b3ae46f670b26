"""`publisher watch`: a live view of this host's IP interfaces, or of those published at a URL."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from ..client import NodeStatus, SubscribeRequest, Subscription
from ..client.subscription import subscribed
from ..config.settings import Settings
from ..events import Event, Family
from ..printable import printable
from ..service.logs import Secrets, logging_to
from ..service.signals import when_output_closes
from ..sources import Source
from ..table import Stamp, Table
from ..terminal import echo
from ..terminal.lines import Lines
from ..terminal.screen import shows_colours, write
from ..watcher import batches
from .host import HeldLog, held_log, opened_source, until_interrupted

if TYPE_CHECKING:
    from ..terminal.live.loop import Feed, PastChanges

_READ_SECONDS = 60.0
# What is there comes within a moment: who sees nothing for longer is told why.
_FIRST_READ_SECONDS = 3.0


def watch_host(settings: Settings, family: Family | None, *, lines: bool, past: bool = True) -> None:
    """Shows this host's IP interfaces and each change until `q` or Ctrl+C; raises SourceError.

    On a terminal it is a table that is kept up to date; elsewhere, on one that moves no cursor, and with `lines` a line
    for each event. With `past`, the table has the changes in the journal of this host's service, too.
    """
    from ..terminal.live.console import can_be_live
    from .live_past import find_past

    live = not lines and can_be_live(sys.stdout, os.environ)
    with until_interrupted(), held_log(held=live) as log, opened_source(settings, family, log) as source:
        feed = _HostFeed(settings, source, family)
        if live:
            _show_live(feed, settings.node, log, find_past(settings) if past else "")
        else:
            when_output_closes(feed.close)
            _print_lines(feed.read())


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
            yield [event for event in events if _is_of(event, self._family)]

    def close(self) -> None:
        """Ends the source."""
        self._source.close()


class _UrlFeed:
    """The events of every node at a URL, as they come, and the nodes' states."""

    def __init__(self, subscription: Subscription, family: Family | None) -> None:
        self._subscription = subscription
        self._family = family

    def read(self) -> Iterator[list[Event | NodeStatus]]:
        """Yields what was received; the first time also nothing, after some seconds."""
        patience = _FIRST_READ_SECONDS
        while not self._subscription.closed:
            received = self._subscription.read(patience)
            patience = _READ_SECONDS
            yield [entry for entry in received if isinstance(entry, NodeStatus) or _is_of(entry, self._family)]

    def close(self) -> None:
        """Ends the subscription."""
        self._subscription.close()


def watch_url(request: SubscribeRequest, family: Family | None, *, lines: bool) -> None:
    """Shows the IP interfaces of every node at a URL, and each change, as `watch_host`; raises PublisherError."""
    from ..terminal.live.console import can_be_live

    live = not lines and can_be_live(sys.stdout, os.environ)
    with until_interrupted(), _logging(held=live) as log, subscribed(request) as subscription:
        feed = _UrlFeed(subscription, family)
        title, waiting = Secrets().mask(request.url), f"connected; no node publishes to {request.base!r} there yet"
        if live:
            _show_live(feed, title, log, "", note=waiting)
        else:
            when_output_closes(feed.close)
            _print_nodes(feed, f"publisher: {title}: {waiting}")


@contextmanager
def _logging(*, held: bool) -> Iterator[TextIO]:
    with held_log(held=held) as log, logging_to(log, Secrets(), level="warning", style="console"):
        yield log


def _show_live(feed: Feed, title: str, log: TextIO, past: PastChanges | str, *, note: str = "") -> None:
    from ..terminal.live.console import opened_console
    from ..terminal.live.loop import LiveLoop
    from ..terminal.live.model import Model
    from ..terminal.live.picture import Glyphs

    with opened_console(sys.stdout) as console, suppress(EOFError):  # the terminal was closed
        glyphs = Glyphs.of(sys.stdout.encoding or "utf-8")
        model = Model(title, has_past=not isinstance(past, str))
        model.why_no_past = past if isinstance(past, str) else ""
        model.note = note or model.note
        loop = LiveLoop(model, console, glyphs, colour=shows_colours(sys.stdout))
        if isinstance(log, HeldLog):
            # Without time and level: it is of now, and the line has room for 80 characters.
            log.show = lambda line: loop.warn(line.split(maxsplit=2)[-1])
        loop.run(feed, None if isinstance(past, str) else past)


def _print_lines(changes: Iterable[list[Event]]) -> None:
    lines = Lines(colour=shows_colours(sys.stdout))
    for events in changes:
        write(sys.stdout, "".join(f"{line}\n" for line in lines.lines(events)))


def _print_nodes(feed: _UrlFeed, waiting: str) -> None:
    """Prints what is received; `waiting` is the line on standard error when there is nothing at first."""
    lines = Lines(colour=shows_colours(sys.stdout), nodes=True)
    online: dict[str, bool] = {}
    for number, received in enumerate(feed.read()):
        if number == 0 and not received:
            echo(waiting, err=True)
        texts = lines.lines([entry for entry in received if isinstance(entry, Event)])
        for entry in received:
            # Its rows begin with a line of their own, so a node that is in sync needs none.
            if isinstance(entry, NodeStatus) and online.get(entry.node) != entry.online:
                online[entry.node] = entry.online
                texts.append(printable(f"{entry.node} is {'online' if entry.online else 'offline'}"))
        write(sys.stdout, "".join(f"{text}\n" for text in texts))


def _is_of(event: Event, family: Family | None) -> bool:
    return event.family is None or family in (None, event.family)
