"""`publisher watch`: what happens, live, on this host or on a broker."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from ..config.settings import Settings
from ..errors import ConfigurationError
from ..events import Event, Family
from ..table import Stamp, Table
from ..terminal.lines import Lines  # the terminal sink's own
from ..terminal.screen import shows_colours, write
from ..watcher import Watcher
from .host import opened_source, until_interrupted


def watch_host(settings: Settings, family: Family | None, *, lines: bool) -> None:
    """Show this host's IP interfaces and each change until Ctrl+C; raises SourceError.

    On a terminal it is a table that is kept up to date, elsewhere and with `lines` a line for each event.
    """
    with opened_source(settings, family) as source, until_interrupted():
        watcher = Watcher(source, Table(stamp=Stamp(settings.node)), settings.filter)
        batches = (_of_family(events, family) for events in watcher.batches())
        if sys.stdout.isatty() and not lines:
            from rich.console import Console

            from ..terminal.live_table import follow

            follow(chain.from_iterable(batches), Console())
        else:
            _print_lines(batches)


def _print_lines(batches: Iterable[list[Event]]) -> None:
    lines = Lines(colour=shows_colours(sys.stdout))
    for events in batches:
        write(sys.stdout, "".join(f"{line}\n" for line in lines.lines(events)))


def _of_family(events: Iterable[Event], family: Family | None) -> list[Event]:
    return [event for event in events if event.family is None or family in (None, event.family)]


def watch_broker(url: str, base: str, password_file: Path | None, ca_file: Path | None) -> None:
    """Show every node that publishes on a broker until Ctrl+C; raises PublisherError."""
    from publisher_mqtt.monitor import monitor  # the built-in sink's other side

    with until_interrupted():
        monitor.watch_broker(url, base=base, password=_password(password_file), ca_file=ca_file)


def _password(file: Path | None) -> str | None:
    try:
        return None if file is None else file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: the password cannot be read: {error}") from None
