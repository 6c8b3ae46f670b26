"""`publisher run`: the service as a process, with its log, signals, systemd and metrics."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from ..config.exposure import exposed_secret
from ..config.locations import Locations
from ..config.settings import Settings, load_settings, sink_options, with_default_sinks
from ..delivery.plan import SinkPlan
from ..errors import ConfigurationError, PublisherError, refusal
from ..plugins import OWN_SOURCES, Plugins, SinkTypes, load_plugins
from .first_run import FirstRun
from .log_file import LogFile, is_missing, log_file_beside
from .logs import Secrets, logging_to
from .service import Service
from .signals import Signals, when_output_closes
from .systemd import Notifier

log = logging.getLogger("publisher")
# Of the garbage collector: a young collection after so many new objects, then how many make one of the next kind.
_COLLECTIONS = (2000, 10, 100)


def run_service(
    config: Path | None,
    overrides: Mapping[str, Any],
    locations: Locations | None = None,
    started: Callable[[Callable[[], None], Callable[[], None]], object] = lambda _stop, _reload: None,
) -> None:
    """Runs the service until a signal ends it; raises PublisherError when it cannot run.

    `started` is called once the interfaces are read and the sinks have their workers, with two functions that any
    thread may call: one stops the service, the other reads its configuration again.
    """
    locations = locations or Locations.of_this_process()
    read = partial(load_settings, config, locations, overrides)
    settings, secrets = _first_settings(read, locations), Secrets()
    with ExitStack() as around:
        stream = around.enter_context(_log_stream(settings.journal.path))
        around.enter_context(_logging(stream, settings, secrets, locations.environment))
        plugins = load_plugins(_needed(settings))
        for failure in plugins.failures:
            log.warning("%s", failure)
        first_run = FirstRun()
        if not settings.sinks:
            first_run.prepare(plugins, settings.journal.path, log, around)
        settings = with_default_sinks(settings, first_run.sinks)
        log.info(
            "configuration: %s; journal: %s", settings.origin.file or "none, so the defaults", settings.journal.path
        )
        if remark := exposed_secret(settings, _plan(plugins, secrets, settings)):
            log.warning("%s", remark)
        notifier = Notifier(locations.environment, os.getpid(), lambda: secrets.mask(summary(service.status())))
        summary = _Summary()
        turned = partial(
            next,
            _turns(
                notifier,
                lambda: started(signals.stop, signals.reload),
                lambda: first_run.turned(service.status),
            ),
        )
        service = Service(
            settings,
            partial(_plan, plugins, secrets),
            plugins.sources,
            log,
            turned,
            SinkTypes(plugins),
            log_file=stream.path if isinstance(stream, LogFile) else None,
        )

        def stop() -> None:
            notifier.stopping()
            service.stop()

        def reload() -> None:
            notifier.reloading()
            try:
                reloaded = service.reload(with_default_sinks(read(), first_run.sinks))
            except PublisherError as error:
                log.error("the configuration was not reloaded and stays as it was: %s", error)
                notifier.reloaded(secrets.mask(str(error)))
            else:
                reloaded.add_done_callback(partial(_report_reload, notifier, secrets))

        signals = around.enter_context(Signals(stop, reload))
        if writes_to_stdout(settings):
            when_output_closes(signals.stop)
        _serve_metrics(settings, service, around)
        service.run()


def _first_settings(read: Callable[[], Settings], locations: Locations) -> Settings:
    """Returns the settings; where there is no standard error, a mistake in them is logged beside the usual journal."""
    try:
        return read()
    except ConfigurationError as error:
        with _log_stream(locations.journal) as stream:
            if isinstance(stream, LogFile):
                with logging_to(stream, Secrets()):
                    log.error("%s", error)
        raise


@contextmanager
def _log_stream(journal: Path) -> Iterator[TextIO | LogFile]:
    """Yields standard error, or where there is none the log file beside the journal."""
    if not is_missing(sys.stderr):
        yield sys.stderr
        return
    try:
        file = LogFile(log_file_beside(journal))
    except OSError:  # publishing goes on without a log, as when standard error cannot be written
        yield sys.stderr
        return
    with closing(file):
        yield file


def writes_to_stdout(settings: Settings) -> bool:
    """Returns whether a sink writes to standard output, where a reader may leave."""
    return any(table.get("type") == "terminal" or table.get("path") == "-" for table in settings.sinks.values())


def _needed(settings: Settings) -> set[str] | None:
    """Returns the types of sinks whose plugins are needed; `None` for all: for a first run, or a source of a plugin."""
    if not settings.sinks or settings.source_name not in OWN_SOURCES:
        return None
    return {str(table.get("type")) for table in settings.sinks.values()}


def _plan(plugins: Plugins, secrets: Secrets, settings: Settings) -> SinkPlan:
    """Returns the sinks with their validated options, whose secrets are masked in the log from now on."""
    plan = sink_options(settings, plugins)
    secrets.learn(options for _, options in plan.values())
    return plan


def _turns(
    notifier: Notifier, started: Callable[[], object] = lambda: None, turned: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Yields at each turn of the main loop, after what is done there. `started` is called at the first one.

    At the first one, everything that was loaded lives as long as the process: the garbage collector leaves it out from
    then on. A full one looked at 50,000 objects and held everybody up for 5 to 30 ms (measured), and events are freed
    without it.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECTIONS)
    started()
    while True:
        notifier.turned()
        turned()
        yield


class _Summary:
    """The status in one line, made anew when it is another; systemd asks each second. The core's thread."""

    def __init__(self) -> None:
        self._status: dict[str, Any] = {}
        self._text = ""

    def __call__(self, status: dict[str, Any]) -> str:
        if status != self._status:
            # Imported here: without systemd nobody asks.
            from .status import ServiceReport

            self._status, self._text = status, ServiceReport.model_validate(status).summary()
        return self._text


def _report_reload(notifier: Notifier, secrets: Secrets, done: Future[None]) -> None:
    error = done.exception()
    notifier.reloaded(None if error is None else secrets.mask(str(error)))


@contextmanager
def _logging(
    stream: TextIO | LogFile, settings: Settings, secrets: Secrets, environment: Mapping[str, str]
) -> Iterator[None]:
    """Configures the log, and logs unexpected exceptions: of the service, and those that end a thread.

    In a log file also those that the command prints on standard error.
    """
    configured = logging_to(
        stream,
        secrets,
        level=settings.log.level,
        style=settings.log.format,
        colours="NO_COLOR" not in environment,
        environment=environment,
    )
    before, threading.excepthook = threading.excepthook, _log_failed_thread
    with configured:
        try:
            yield
        except PublisherError as error:
            if isinstance(stream, LogFile):
                log.error("%s", error)
            raise
        except Exception as error:
            if reason := refusal(error):
                log.log(logging.ERROR if isinstance(stream, LogFile) else logging.DEBUG, "%s", reason, exc_info=True)
                raise
            log.exception("publisher failed; this is a bug in publisher: please report it")
            raise SystemExit(1) from None
        finally:
            threading.excepthook = before


def _log_failed_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None:
        name = failed.thread.name if failed.thread else "unknown"
        log.error("the thread %r failed; this is a bug in publisher: please report it", name, exc_info=failed.exc_value)


def _serve_metrics(settings: Settings, service: Service, around: ExitStack) -> None:
    if settings.metrics.address is not None:
        from .metrics import serve_metrics

        around.enter_context(serve_metrics(settings.metrics.address, service.status))
