"""`publisher check`: whether the configuration is right and each sink can be opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

import typer

from ..config.settings import Settings, sink_options, with_default_sinks
from ..events import Event
from ..plugins import load_plugins
from ..service.logs import Secrets, make_log
from ..sink import Sink, SinkOptions

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

PATIENCE_SECONDS = 20.0


class CheckContext:
    """A sink's context without a worker: there is nothing to send."""

    epoch = "0" * 16

    def __init__(self, name: str, node: str, log: FilteringBoundLogger) -> None:
        self.name = name
        self.node = node
        self.log = log

    def request_snapshot(self) -> None:
        """Nothing is sent in a check."""

    def call(self, job: Callable[[], object], delay: float = 0.0) -> None:
        """Nothing is run later: a check is over by then."""

    def snapshot(self) -> list[Event]:
        """Nothing."""
        return []

    def events_since(self, epoch: str, seq: int) -> list[Event] | None:  # noqa: ARG002  # the contract of SinkContext
        """Nothing."""
        return []


def check_sinks(settings: Settings) -> bool:
    """Print a line for each thing that works or does not; False when a sink does not. Raises ConfigurationError."""
    plugins = load_plugins()
    plan = sink_options(with_default_sinks(settings), plugins)
    secrets = Secrets()
    secrets.learn(options for _, options in plan.values())
    typer.echo(f"configuration {settings.origin.file or '(none, so the defaults)'}: fine")
    for failure in plugins.failures:
        typer.echo(str(failure))
    works = [_check(name, *sink, settings.node, secrets) for name, sink in plan.items()]
    return all(works)


def _check(name: str, sink_class: type[Sink], options: SinkOptions, node: str, secrets: Secrets) -> bool:
    results: SimpleQueue[str | Exception] = SimpleQueue()

    def attempt() -> None:
        try:
            # What the sink logs goes nowhere: its answer is the line that is printed.
            with open(os.devnull, "w") as nowhere:  # noqa: PTH123  # devnull is no path on Windows
                results.put(_opened(sink_class, options, CheckContext(name, node, make_log(nowhere, secrets))))
        except Exception as error:  # noqa: BLE001  # a plugin's: whatever it raises is what does not work
            results.put(error)

    # A thread, since a sink may block for as long as it likes, and nobody waits that long here.
    Thread(target=attempt, name=f"check {name}", daemon=True).start()
    try:
        result = results.get(timeout=PATIENCE_SECONDS)
    except Empty:
        result = TimeoutError(f"no answer within {PATIENCE_SECONDS:.0f} s")
    works = isinstance(result, str)
    text = secrets.mask(str(result) or type(result).__name__).replace("\n", " ")
    typer.echo(f"sink {name!r}: {text if works else f'failed: {text}'}")
    return works


def _opened(sink_class: type[Sink], options: SinkOptions, context: CheckContext) -> str:
    sink = sink_class(options, context)
    try:
        sink.open()
        return sink.check()
    finally:
        sink.close()
