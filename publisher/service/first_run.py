"""The sinks of a run without a configuration, and the lines about them for the person who started it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from ..journal.lock import refuse_held
from ..plugins import Plugins
from ..sink import Log
from ..terminal import echo

_OPEN = frozenset({"following", "sending"})


class FirstRun:
    """The plugins' default sinks. The core's thread, once the service runs."""

    def __init__(self) -> None:
        self.sinks: dict[str, dict[str, Any]] = {}
        """Tables as in the configuration file, by the sink's name; none where the configuration has sinks."""
        self._lines_when_open: dict[str, tuple[str, ...]] = {}

    def prepare(self, plugins: Plugins, journal: Path, log: Log, around: ExitStack) -> None:
        """Has the plugins find or start their destinations, and prints their lines.

        Raises JournalInUseError when another publisher runs.
        """
        # Else a second run would print the addresses of a broker and a page that it does not open.
        refuse_held(journal)
        for default in plugins.default_sinks(log):
            around.callback(default.close)
            _print(default.lines)
            self.sinks = {**default.sinks, **self.sinks}
            self._lines_when_open |= default.lines_when_open

    def turned(self, status: Callable[[], Mapping[str, Any]]) -> None:
        """Prints the lines of the sinks that are open by now; looks at the service's status while some are not."""
        if not self._lines_when_open:
            return
        for name, sink in status().get("sinks", {}).items():
            if sink["state"] in _OPEN:
                with suppress(BrokenPipeError, ConnectionResetError):  # a reader that left ends the run by itself
                    _print(self._lines_when_open.pop(name, ()))


def _print(lines: tuple[str, ...]) -> None:
    for line in lines:
        echo(line)
