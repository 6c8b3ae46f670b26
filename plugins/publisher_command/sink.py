"""The command sink: one run at a time, in order."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from publisher import Event, Retry, Sink, SinkContext

from .dispatchers import arguments
from .invocation import (
    Account,
    CommandError,
    Ending,
    Invocation,
    account_for,
    explain,
    find_program,
    require_directory,
)
from .options import CommandOptions
from .outcome import Interruptions, judge
from .output import ProgramOutput
from .running import run
from .variables import surroundings, variables


class CommandSink(Sink):
    """Runs a program for each event, with the event on its standard input and in its environment."""

    Options = CommandOptions
    options: CommandOptions
    # Each event is confirmed by itself: after a stop or a crash within a batch, programs would run again.
    batch_size = 1

    def __init__(self, options: CommandOptions, context: SinkContext) -> None:
        super().__init__(options, context)
        self._interruptions = Interruptions()
        self._account: Account | None = None
        self._surroundings = surroundings(os.environ, os.defpath, windows=sys.platform == "win32")

    def open(self) -> None:
        """Looks up the user; raises ConfigurationError for one that the program cannot run as."""
        self._prepare()

    def publish(self, events: Sequence[Event]) -> None:
        """Runs the program for each event, one after the other; position 0 of a snapshot is about no interface."""
        for index, event in enumerate(events):
            if not event.is_marker and (further := arguments(self.options.style, event)) is not None:
                self._deliver(event, further, index)

    def check(self) -> str:
        """Returns the program that would run; runs nothing. Raises PublisherError when it could not run."""
        self._prepare()
        require_directory(self.options.directory)
        user = f" as {self.options.user}" if self.options.user else ""
        return f"runs {self._program()}{user}, each time for at most {self.options.seconds:g} s"

    def _prepare(self) -> None:
        self._account = account_for(self.options)
        if self._account is not None:
            home, name, shell = self._account.home, self._account.name, self._account.shell
            self._surroundings |= {"HOME": home, "USER": name, "LOGNAME": name, "SHELL": shell}
        self._surroundings |= {name: value.get_secret_value() for name, value in self.options.environment.items()}

    def _deliver(self, event: Event, further: Sequence[str], index: int) -> None:
        output = ProgramOutput(self.context.log)
        try:
            ending = self._run(event, further, output)
        except CommandError as error:
            raise Retry(str(error), index=index) from None
        except OSError as error:
            thing = os.fsdecode(error.filename) if error.filename else self.options.command[0]
            raise Retry(explain(error, thing), index=index) from error
        finally:
            output.close()
        judge(ending, self.options.seconds, output.err.end, self._interruptions, event, index)

    def _run(self, event: Event, further: Sequence[str], output: ProgramOutput) -> Ending:
        # No argument can hold NUL; Windows' aliases can.
        arguments = [self._program(), *self.options.command[1:], *(text.replace("\0", "") for text in further)]
        return run(
            Invocation(
                arguments,
                self._surroundings | variables(event),
                self.options.directory,
                event.json_bytes + b"\n",
                self.options.seconds,
                int(self.options.umask, 8),
                self._account,
            ),
            output,
        )

    def _program(self) -> str:
        return find_program(self.options.command[0], self._surroundings["PATH"])
