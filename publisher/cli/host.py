"""The source of the commands that only read: with the LUIDs of the journal, and without writing anything."""

from __future__ import annotations

import logging
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import StringIO
from typing import TextIO

from ..config.settings import Settings
from ..errors import JournalError
from ..service.logs import Secrets, logging_to
from ..sources import Families, Source, SourceContext, SourceFactory, open_source
from ..sources.luids import MemoryLuids
from ..terminal import echo
from .journal import find_journal

_MOST_HELD = 100


@contextmanager
def opened_source(settings: Settings, family: Families | None = None, log: TextIO | None = None) -> Iterator[Source]:
    """Opens the configured source for a block; raises SourceError. The log goes to standard error, unless given."""
    context = SourceContext(
        logging.getLogger("publisher"),
        known_luids(settings),
        families=family or "unspec",
        argument=settings.source_argument,
        reconcile_seconds=settings.reconcile_seconds,
        receive_buffer=settings.receive_buffer,
    )
    with (
        # A person reads these lines: they are never JSON, also when they go into a file.
        logging_to(log or sys.stderr, Secrets(), level="warning", style="console"),
        closing(open_source(settings.source_name, context, _offered(settings))) as source,
    ):
        yield source


def _offered(settings: Settings) -> dict[str, SourceFactory]:
    """Returns the plugins' sources if one is configured: loading plugins takes longer than reading the interfaces."""
    from ..plugins import OWN_SOURCES, load_plugins

    return {} if settings.source_name in OWN_SOURCES else load_plugins().sources


def known_luids(settings: Settings) -> MemoryLuids:
    """Returns a copy of the journal's LUIDs; none without a journal, or, after a warning, when it cannot be read."""
    from ..journal.requests import JournalClient

    luids = MemoryLuids()
    try:
        path = find_journal(settings)
        if path.exists():
            with closing(JournalClient.open(path)) as journal:
                luids.save_luids(journal.load_luids())
    except (JournalError, PermissionError) as error:
        echo(f"publisher: LUIDs may differ from those of the service: {error}", err=True)
    return luids


class HeldLog(StringIO):
    """The log while a table is shown: each line is shown by `show`, and the newest are kept. Any thread."""

    def __init__(self) -> None:
        super().__init__()
        self.show: Callable[[str], object] = lambda _: None
        self.lines: deque[str] = deque(maxlen=_MOST_HELD)

    def write(self, text: str) -> int:
        """Keeps the lines, and shows the first one."""
        lines = text.splitlines()
        self.lines.extend(lines)
        if lines:
            self.show(lines[0])
        return len(text)


@contextmanager
def held_log(*, held: bool) -> Iterator[TextIO]:
    """Gives the log for a block: standard error, or with `held`, if that is a terminal, a `HeldLog`.

    What a `HeldLog` has is printed when an error ends the block, and else dropped: the prompt comes back as it was.
    """
    if not (held and sys.stderr is not None and sys.stderr.isatty()):
        yield sys.stderr
        return
    log = HeldLog()
    try:
        yield log
    except Exception:
        for line in log.lines:
            echo(line, err=True)
        raise


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Ends a block without an error at Ctrl+C, SIGTERM, or the end of the output's reader. Only on the main thread."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except (KeyboardInterrupt, BrokenPipeError):
        return
    finally:
        signal.signal(signal.SIGTERM, before)
