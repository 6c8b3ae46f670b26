"""The terminal sink."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from publisher import Ended, Event, Sink, SinkOptions
from publisher.terminal import Lines, shows_colours, write


class TerminalOptions(SinkOptions):
    """The options of a `terminal` sink."""

    colour: Literal["auto", "always", "never"] = Field(
        default="auto", description="auto: when standard output is a terminal that shows colours"
    )

    @property
    def destination(self) -> str:
        """Standard output, always."""
        return "standard output"


class TerminalSink(Sink):
    """Shows each event as a readable line on standard output."""

    Options: ClassVar[type[SinkOptions]] = TerminalOptions
    max_pause = 10.0
    options: TerminalOptions

    def open(self) -> None:
        """Decides about colours, and requests the snapshot: it is what a person wants to see first."""
        chosen = self.options.colour
        self._lines = Lines(colour=chosen == "always" or (chosen == "auto" and shows_colours(sys.stdout)))
        self.context.request_snapshot()

    def publish(self, events: Sequence[Event]) -> None:
        """Writes a line for each event; raises Ended, for this process only, when they have no reader."""
        text = "".join(f"{line}\n" for line in self._lines.lines(events))
        try:
            write(sys.stdout, text)
        except (BrokenPipeError, ConnectionResetError) as error:  # a pipe's; a socket's with unread data
            raise Ended("nobody reads standard output any more", durable=False) from error

    def check(self) -> str:
        """Returns a line; writes nothing else."""
        return "writes to standard output"
