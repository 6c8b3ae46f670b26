"""The terminal sink."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from publisher import Ended, Event, Sink, SinkOptions
from publisher.terminal import Lines, shows_colours, write


class TerminalOptions(SinkOptions):
    """How events are shown."""

    colour: Literal["auto", "always", "never"] = Field(
        default="auto", description="auto: where standard output is a terminal that shows colours"
    )

    @property
    def destination(self) -> str:
        return "standard output"


class TerminalSink(Sink):
    """Show each event as a readable line on standard output."""

    Options: ClassVar[type[SinkOptions]] = TerminalOptions
    options: TerminalOptions

    def open(self) -> None:
        chosen = self.options.colour
        self._lines = Lines(colour=chosen == "always" or (chosen == "auto" and shows_colours(sys.stdout)))
        # Whoever looks now sees first what there is.
        self.context.request_snapshot()

    def publish(self, events: Sequence[Event]) -> None:
        text = "".join(f"{line}\n" for line in self._lines.lines(events))
        try:
            write(sys.stdout, text)
        except (BrokenPipeError, ConnectionResetError) as error:  # a pipe's; a socket's with unread data
            raise Ended("nobody reads standard output any more", durable=False) from error

    def close(self) -> None:
        """Nothing to let go of."""

    def check(self) -> str:
        return "writes to standard output"
