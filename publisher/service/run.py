"""`publisher run`: the service as a process, with its log, signals, systemd and metrics."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from ..config.locations import Locations
from ..config.settings import Settings, load_settings, sink_options, with_default_sinks
from ..errors import PublisherError
from ..plugins import Plugins, load_plugins
from .logs import Bridge, Secrets, make_log
from .service import Service
from .signals import Signals, when_output_closes
from .systemd import Notifier

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from ..sink import Log, SinkOptions


def run_service(config: Path | None, overrides: Mapping[str, Any]) -> None:
    """Run the service until a signal ends it; raises PublisherError when it cannot run."""
    locations = Locations.of_this_process()
    read = partial(load_settings, config, locations, overrides)
    settings = read()
    secrets = Secrets()
    colors = "NO_COLOR" not in locations.environment
    log = make_log(sys.stderr, secrets, level=settings.log.level, style=settings.log.format, colors=colors)
    with _mistakes_logged(log), ExitStack() as around:
        plugins = _plugins(log)
        found = _first_run(settings, plugins, log, around)
        settings = with_default_sinks(settings, found)
        secrets.learn(_options(settings, plugins))
        log.info(
            "configuration: %s; journal: %s", settings.origin.file or "none, so the defaults", settings.journal.path
        )
        notifier = Notifier(locations.environment, os.getpid(), log)
        service = Service(settings, plugins, cast("Any", log), _Heartbeat(notifier))

        def stop() -> None:
            notifier.stopping()
            service.stop()

        def reload() -> None:
            with _told_as_reload(notifier, log):
                changed = with_default_sinks(read(), found)
                secrets.learn(_options(changed, plugins))
                service.reload(changed).result()

        around.enter_context(_libraries_and_threads_logged(log))
        signals = around.enter_context(Signals(stop, reload, log))
        if writes_to_stdout(settings):
            when_output_closes(signals.stop)
        _serve_metrics(settings, service, around)
        service.run()


def _plugins(log: FilteringBoundLogger) -> Plugins:
    plugins = load_plugins()
    for failure in plugins.failures:
        log.warning("a plugin is left out", plugin=failure.entry_point, of=failure.distribution, reason=failure.reason)
    return plugins


def _first_run(
    settings: Settings, plugins: Plugins, log: FilteringBoundLogger, around: ExitStack
) -> dict[str, dict[str, Any]]:
    """Returns the plugins' default sinks when no sink is configured; announces them where the terminal sink writes."""
    found: dict[str, dict[str, Any]] = {}
    if not settings.sinks:
        for default in plugins.default_sinks(cast("Log", log)):
            around.callback(default.close)
            for line in default.lines:
                typer.echo(line)
            found = {**default.sinks, **found}
    return found


def writes_to_stdout(settings: Settings) -> bool:
    """Whether a sink writes to standard output, so that somebody reads along there."""
    return any(table.get("type") == "terminal" or table.get("path") == "-" for table in settings.sinks.values())


def _options(settings: Settings, plugins: Plugins) -> list[SinkOptions]:
    return [options for _, options in sink_options(settings, plugins).values()]


@contextmanager
def _mistakes_logged(log: FilteringBoundLogger) -> Iterator[None]:
    """An exception that nobody foresaw goes to the log with its traceback, and the process fails."""
    try:
        yield
    except (PublisherError, typer.Exit):
        raise
    except Exception:
        log.exception("publisher failed; this is a mistake in it")
        raise typer.Exit(1) from None


@contextmanager
def _told_as_reload(notifier: Notifier, log: FilteringBoundLogger) -> Iterator[None]:
    notifier.reloading()
    try:
        yield
    except PublisherError as error:
        log.error("the configuration stays as it was", reason=str(error))
    finally:
        notifier.ready()


@contextmanager
def _libraries_and_threads_logged(log: FilteringBoundLogger) -> Iterator[None]:
    """Have what libraries log, and what ends a thread, in the log as well."""
    bridge, before = Bridge(log), threading.excepthook

    def told(thread: threading.ExceptHookArgs) -> None:
        if thread.exc_value is not None:
            name = thread.thread.name if thread.thread else None
            log.error("a thread failed; this is a mistake in publisher", thread=name, exc_info=thread.exc_value)

    logging.getLogger().addHandler(bridge)
    threading.excepthook = told
    try:
        yield
    finally:
        threading.excepthook = before
        logging.getLogger().removeHandler(bridge)


def _serve_metrics(settings: Settings, service: Service, around: ExitStack) -> None:
    if settings.metrics.address is not None:
        from .metrics import serve_metrics

        around.enter_context(serve_metrics(settings.metrics.address, service.status))


class _Heartbeat:
    """Tells systemd at the service's first turn that it is ready, and afterwards that it is alive."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._ready = False
        self._told = 0.0

    def __call__(self) -> None:
        if not self._ready:
            self._ready = True
            self._notifier.ready()
        patience = self._notifier.watchdog_seconds
        if patience and time.monotonic() - self._told >= patience / 2:
            self._told = time.monotonic()
            self._notifier.alive()
