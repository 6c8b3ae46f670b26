"""`publisher check`: validates the configuration and checks each sink. Changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread

from ..config.exposure import exposed_secret
from ..config.settings import Settings, sink_options, with_default_sinks
from ..delivery.context import IdleContext
from ..errors import PluginError, PublisherError, text_of
from ..plugins import load_plugins
from ..service.logs import Secrets
from ..sink import Log, Sink, SinkOptions
from ..terminal import echo
from .snapshot import RowFilter, nothing_passes, read_rows

PATIENCE_SECONDS = 20.0
_FIRST_RUN = (
    "no sink is configured: publisher run also shows a page, and uses a broker, on 127.0.0.1 where it can; publisher "
    "init writes a configuration"
)


def check_sinks(settings: Settings, *, offline: bool = False) -> bool:
    """Prints one line about the configuration, each broken plugin and each sink; returns whether every sink works.

    With `offline` the sinks' options are validated, and no destination is reached. Raises ConfigurationError for
    options that are not valid.
    """
    kinds = {str(table.get("type")) for table in settings.sinks.values()}
    plugins = load_plugins(kinds or None, slow=partial(echo, err=True))
    plan = sink_options(with_default_sinks(settings), plugins)
    secrets = Secrets()
    secrets.learn(options for _, options in plan.values())
    echo(_about_configuration(settings))
    if remark := exposed_secret(settings, plan):
        echo(remark)
    for failure in plugins.failures:
        echo(str(failure))
    if offline:
        return True
    for remark in _about_filters(settings, plan):
        echo(remark)
    works = [_check(name, *sink, settings.node, secrets) for name, sink in plan.items()]
    if not settings.sinks:
        echo(_FIRST_RUN)
    return all(works)


def _about_filters(settings: Settings, plan: Mapping[str, tuple[type[Sink], SinkOptions]]) -> Iterator[str]:
    """Yields a remark about each filter that no interface passes now, as one with a wrong name."""
    filters: dict[str, RowFilter] = {"[filter]": settings.filter}
    filters |= {f"only of sink {name!r}": options.only for name, (_, options) in plan.items()}
    try:
        there = read_rows(settings)
    except PublisherError:
        return  # a run reports it, and goes on where a check is over
    for name, kept in filters.items():
        if remark := nothing_passes(kept, name, there):
            yield f"{remark} (one may come later)"


def _about_configuration(settings: Settings) -> str:
    origin = settings.origin
    if origin.file is not None:
        return f"configuration {origin.file}: fine"
    return f"configuration: none, so the defaults; there is no {', no '.join(map(str, origin.searched))}"


def _check(name: str, sink_class: type[Sink], options: SinkOptions, node: str, secrets: Secrets) -> bool:
    results: SimpleQueue[str | BaseException] = SimpleQueue()

    def attempt() -> None:
        try:
            results.put(_checked(sink_class(options, IdleContext(name, node, _silent(name)))))
        except BaseException as error:  # noqa: BLE001  # a plugin's: whatever it raises is what does not work
            results.put(error)

    # A thread, since a sink may block for ever and a person waits for the answer.
    Thread(target=attempt, name=f"check {name}", daemon=True).start()
    try:
        result = results.get(timeout=PATIENCE_SECONDS)
    except Empty:
        result = TimeoutError(f"no answer within {PATIENCE_SECONDS:.0f} s")
    works = isinstance(result, str)
    text = secrets.mask(text_of(result) or type(result).__name__).replace("\n", " ")
    echo(f"sink {name!r}: {text if works else f'failed: {text}'}")
    return works


def _silent(name: str) -> Log:
    # The sink's answer is the line that is printed. Made directly: the process's own loggers stay as they are.
    log = logging.Logger(f"publisher.sink.{name}")
    log.addHandler(logging.NullHandler())
    return log


def _checked(sink: Sink) -> str:
    try:
        line: object = sink.check()
    finally:
        sink.close()
    if not isinstance(line, str):
        raise PluginError(f"check() returned a {type(line).__name__}: it must return one line of text")
    return line
