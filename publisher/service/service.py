"""The service: a source's updates become events in the journal, and each sink's worker delivers them from there.

Three kinds of thread: one follows the source, the caller of `run` writes the journal and does what the command line
asks for, and each sink has its worker.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..config.settings import Settings, sink_options
from ..delivery.supervisor import Supervisor
from ..errors import ConfigurationError, JournalError, SourceError
from ..journal.journal import Journal
from ..plugins import Plugins
from ..sources import Source, SourceContext, Update, open_source
from ..table import Stamp, Table
from ..watcher import Watcher
from .recorder import Recorder

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

# The command line's requests are looked for this often, and no timer is shorter, so that an idle service stays idle.
_TICK_SECONDS = 1.0
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class _Pipeline:
    """What a running service is made of."""

    journal: Journal
    source: Source
    watcher: Watcher
    recorder: Recorder
    workers: Supervisor


class Service:
    """Publishes what happens to this host's IP interfaces until it is stopped.

    `run` blocks. `stop` and `reload` may be called from any thread and from a signal handler; `status` from any thread.
    """

    def __init__(self, settings: Settings, plugins: Plugins, log: FilteringBoundLogger) -> None:
        self.settings = settings
        self.turned = 0.0
        """When the main loop last went round, by time.monotonic(); 0 until the service is ready."""
        self._plugins = plugins
        self._log = log
        self._inbox: SimpleQueue[Settings | BaseException | None] = SimpleQueue()
        self._stopping = False
        self._started = time.time()
        self._pipeline: _Pipeline | None = None

    def run(self) -> None:
        """Publish until `stop`; raises PublisherError when it cannot start or the source fails."""
        plan = sink_options(self.settings, self._plugins)
        with ExitStack() as closers:
            pipeline = self._open(closers)
            updates = pipeline.source.updates()
            first = next(updates, None)
            if first is None:
                raise SourceError("the source ended before it reported the interfaces")
            pipeline.recorder.begin(first[0])
            pipeline.recorder.take(first[1:])
            self._pipeline = pipeline
            closers.callback(self._stop_workers, pipeline.workers)
            pipeline.workers.change_to(plan, _STOP_SECONDS)
            follower = threading.Thread(
                target=self._follow, args=(pipeline.recorder, updates), name="source", daemon=True
            )
            follower.start()
            # In this order at the end: nothing is told any more, then the sinks get the rest, then the journal closes.
            closers.callback(follower.join, _STOP_SECONDS)
            closers.callback(pipeline.source.close)
            self._serve(pipeline)

    def stop(self) -> None:
        """Make `run` return: what is in flight is delivered first, within 5 s."""
        self._stopping = True
        self._inbox.put(None)

    def reload(self, settings: Settings) -> None:
        """Use other settings: sinks come, go and change; unchanged sinks are not disturbed."""
        self._inbox.put(settings)

    def status(self) -> dict[str, Any]:
        """How it is doing, as JSON values."""
        status: dict[str, Any] = {"version": __version__, "pid": os.getpid(), "started": self._started}
        if pipeline := self._pipeline:
            status |= {
                "node": pipeline.journal.node,
                "epoch": pipeline.journal.epoch,
                "seq": pipeline.journal.seq,
                "waiting": pipeline.recorder.waiting,
                "dropped": pipeline.recorder.dropped,
                "trouble": pipeline.recorder.trouble,
                "sinks": {name: asdict(sink) for name, sink in pipeline.workers.status().items()},
            }
        return status

    def _open(self, closers: ExitStack) -> _Pipeline:
        """Open the journal, then the source; what is opened is closed in the opposite order."""
        options, node = self.settings.journal, self.settings.node
        journal = closers.enter_context(
            closing(
                Journal.open(
                    options.path,
                    node=node,
                    max_events=options.max_events,
                    max_bytes=options.max_bytes,
                    synchronous=options.synchronous,
                )
            )
        )
        if journal.new_epoch_reason:
            tell = self._log.warning if journal.set_aside else self._log.info
            tell("a new epoch begins", epoch=journal.epoch, reason=journal.new_epoch_reason)
        context = SourceContext(
            self._log,
            journal,
            argument=self.settings.source_argument,
            reconcile_seconds=self.settings.reconcile_seconds,
            receive_buffer=self.settings.receive_buffer,
        )
        source = closers.enter_context(closing(open_source(self.settings.source_name, context, self._plugins.sources)))
        table = Table(journal.rows(), Stamp(node, journal.epoch, journal.seq))
        watcher = Watcher(source, table, self.settings.filter)
        return _Pipeline(
            journal, source, watcher, Recorder(journal, watcher, self._log), Supervisor(journal, self._log)
        )

    def _follow(self, recorder: Recorder, updates: Iterator[Sequence[Update]]) -> None:
        """Take what the source tells into the recorder, as quickly as it comes."""
        try:
            for together in updates:
                recorder.take(together)
                self._inbox.put(None)
        except BaseException as error:  # noqa: BLE001 - carried over: the thread that runs the service raises it
            self._inbox.put(error)
        else:
            self.stop()

    def _serve(self, pipeline: _Pipeline) -> None:
        """Write what was taken and wake the sinks; once a second see what the command line wants."""
        due = time.monotonic()
        while not self._stopping:
            self.turned = time.monotonic()
            for message in self._messages():
                if isinstance(message, BaseException):
                    self._write(pipeline)  # what the source told before it failed happened, too
                    raise message
                if message is not None:
                    self._change_to(message, pipeline)
            self._write(pipeline)
            if time.monotonic() >= due:
                due = time.monotonic() + _TICK_SECONDS
                self._answer(pipeline)
        self._write(pipeline)

    def _messages(self) -> Iterator[Settings | BaseException | None]:
        """What is in the inbox, after waiting a tick at most for the first."""
        try:
            yield self._inbox.get(timeout=_TICK_SECONDS)
            while True:
                yield self._inbox.get_nowait()
        except Empty:
            return

    def _write(self, pipeline: _Pipeline) -> None:
        new, lost = pipeline.recorder.write()
        if lost:
            pipeline.workers.request_snapshot("overrun")
        if new or lost:
            pipeline.workers.wake()

    def _answer(self, pipeline: _Pipeline) -> None:
        """Do what the command line asks for, and say how the service is doing."""
        try:
            for number, request in pipeline.journal.take_requests():
                pipeline.journal.finish_request(number, pipeline.workers.serve(request))
            pipeline.journal.put_status(self.status())
        except JournalError as error:
            self._log.warning("the command line cannot be served", reason=str(error))

    def _change_to(self, settings: Settings, pipeline: _Pipeline) -> None:
        """Bring changed settings into effect: sinks and the filter; the rest is read at start only."""
        try:
            plan = sink_options(settings, self._plugins)
        except ConfigurationError as error:
            self._log.error("the configuration stays as it was", reason=str(error))
            return
        try:
            pipeline.workers.change_to(plan, _STOP_SECONDS)
        except JournalError as error:
            self._log.error("not every sink could be changed; reload again", reason=str(error))
        if settings.filter != self.settings.filter:
            pipeline.watcher.interfaces = settings.filter
            pipeline.source.resync()
        fixed = settings.model_dump(exclude={"sinks", "filter"})
        if fixed != self.settings.model_dump(exclude={"sinks", "filter"}):
            self._log.warning("what is neither a sink nor the filter takes effect at the next start only")
        self.settings = settings
        self._log.info("configuration reloaded", sinks=sorted(plan))

    def _stop_workers(self, workers: Supervisor) -> None:
        if not workers.stop(_STOP_SECONDS):
            self._log.warning("not everything was delivered: the journal has it, and it is sent at the next start")
