"""The service: a source's updates become events in the journal, and each sink's worker delivers them from there.

One thread, the caller of `Service.run`, owns the source with its sockets, the LUIDs, the table, the journal's writing
and the requests of the command line. Each sink has a thread of its own. They meet in the journal.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from types import MappingProxyType
from typing import Any, NamedTuple

from .. import __version__
from ..config.settings import Settings
from ..delivery.plan import PlannedSink, SinkPlan, planned
from ..delivery.retained import Retained, retained_by
from ..delivery.supervisor import Supervisor
from ..errors import JournalError, PublisherError, SourceError
from ..journal.journal import Journal
from ..sink import Log, Sink
from ..sources import Source, SourceContext, SourceFactory, open_source
from .core import Core

# Requests are looked for and the status is written this often; no timer is shorter, so that an idle service is idle.
_TICK_SECONDS = 1.0
# What changes without a sign is looked at this often: a journal that was removed, a request on a slow disk.
_LOOK_SECONDS = 5.0
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class _Parts:
    """The parts of a running service."""

    journal: Journal
    source: Source
    core: Core
    supervisor: Supervisor


class _Reload(NamedTuple):
    settings: Settings
    plan: Mapping[str, PlannedSink]
    retained: Retained
    done: Future[None]


class Service:
    """Publishes the changes of this host's IP interfaces until it is stopped.

    `run` blocks. `stop` and `reload` may be called from any thread, `status` and `report` too.
    """

    def __init__(
        self,
        settings: Settings,
        plan_of: Callable[[Settings], SinkPlan],
        sources: Mapping[str, SourceFactory],
        log: Log,
        heartbeat: Callable[[], object] = lambda: None,
        sinks: Mapping[str, type[Sink]] = MappingProxyType({}),
        *,
        log_file: Path | None = None,
    ) -> None:
        """`plan_of` validates the sinks of settings, once at start and once for each reload; raises ConfigurationError.

        `heartbeat` is called at each turn of the main loop, at least once a second, by the thread of `run`. `sinks`
        are the types that plugins offer, to empty what a sink left at its destination. `log_file` is a part of the
        status.
        """
        self.settings = settings
        self._plan_of = plan_of
        self._sources = sources
        self._log = log
        self._heartbeat = heartbeat
        self._sinks = sinks
        self._log_file = log_file
        self._stopping = False
        self._started = time.time()
        self._tick_at = self._look_at = 0.0
        # What is looked at is as it was: nothing came from the source, and each worker is in the same wait.
        self._news = True
        self._rests: dict[str, int] | None = None
        self._woken = False
        self._reloads: SimpleQueue[_Reload] = SimpleQueue()
        self._unsettled: list[Future[None]] = []
        self._over = False
        self._parts: _Parts | None = None

    def run(self) -> None:
        """Publishes until `stop`; raises PublisherError when it cannot start or the source fails."""
        plan, retained = self._prepared(self.settings)
        with ExitStack() as closers:
            closers.callback(self._give_up_reloads)
            parts = self._open(closers)
            updates = parts.source.updates()
            if isinstance(updates, Generator):
                closers.callback(updates.close)
            first = next(updates, None)
            if not first:
                raise SourceError("the source ended before it reported the interfaces")
            parts.core.begin(first)
            closers.callback(self._stop_workers, parts)
            self._parts = parts  # before a worker starts: the status has every sink that delivers
            parts.supervisor.change_to(plan, _STOP_SECONDS, retained)
            closers.callback(self._give_up_reloads)
            if self._stopping:  # it could not wake the source before
                self._wake()
            self._turn(parts)
            for together in updates:
                if together:
                    parts.core.apply(together)
                    self._news = True
                self._turn(parts)
                if self._stopping:
                    break

    def stop(self) -> None:
        """Makes `run` return, after what is in flight was delivered, within 5 s."""
        self._stopping = True
        self._wake()

    def reload(self, settings: Settings) -> Future[None]:
        """Brings other settings into effect: sinks are added, removed and changed, unchanged ones are left alone.

        Returns a future that is done when every sink has its worker, or when the service stops before; it cannot be
        cancelled. Raises ConfigurationError, and changes nothing.
        """
        reload = _Reload(settings, *self._prepared(settings), Future())
        reload.done.set_running_or_notify_cancel()
        self._reloads.put(reload)
        if self._over:
            self._refuse_reloads()
        self._wake()
        return reload.done

    def status(self) -> dict[str, Any]:
        """Returns its state, in JSON values."""
        status: dict[str, Any] = {"version": __version__, "pid": os.getpid(), "started": self._started}
        if self._log_file is not None:
            status["log_file"] = str(self._log_file)
        if parts := self._parts:
            status |= {
                "node": parts.journal.node,
                "epoch": parts.journal.epoch,
                "seq": parts.journal.seq,
                "dropped": parts.core.dropped,
                "trouble": parts.core.trouble,
                "sinks": {name: dict(vars(sink)) for name, sink in parts.supervisor.status().items()},
                "left": [dict(vars(place)) for place in parts.supervisor.left()],
            }
        return status

    def report(self) -> dict[str, Any]:
        """Returns its state as the JSON of `publisher status --json`."""
        from .status import ServiceReport, status_json  # its models are made at import, and few services need them

        return status_json(self.settings.journal.path, ServiceReport.model_validate(self.status()))

    def _open(self, closers: ExitStack) -> _Parts:
        """Opens the journal, then the source; what is opened is closed in the opposite order."""
        options = self.settings.journal
        journal = Journal.open(
            options.path,
            node=self.settings.node,
            max_events=options.max_events,
            max_bytes=options.max_bytes,
            synchronous=options.synchronous,
        )
        closers.enter_context(closing(journal))
        if journal.new_epoch_reason:
            level = logging.WARNING if journal.set_aside else logging.INFO
            self._log.log(level, "epoch %s begins: %s", journal.epoch, journal.new_epoch_reason)
        context = SourceContext(
            self._log,
            journal.luids,
            argument=self.settings.source_argument,
            reconcile_seconds=self.settings.reconcile_seconds,
            receive_buffer=self.settings.receive_buffer,
            idle_seconds=_TICK_SECONDS,
        )
        source = closers.enter_context(closing(open_source(self.settings.source_name, context, self._sources)))
        supervisor = Supervisor(journal, self._log, partial(self._look_again, source), self._sinks, self.report)
        core = Core(journal, source, supervisor, self.settings.filter, self._log)
        return _Parts(journal, source, core, supervisor)

    def _turn(self, parts: _Parts) -> None:
        """Serves requests that came meanwhile; once a second those in the journal, too. Waits for no sink."""
        if self._woken:
            self._woken, self._news = False, True
            while reload := self._next_reload():
                self._change_to(reload, parts)
            parts.supervisor.turn()
        if parts.core.trouble is not None:
            parts.core.recover()
            self._news = True
        if time.monotonic() >= self._tick_at:
            self._tick_at = time.monotonic() + _TICK_SECONDS
            self._tick(parts)
        if self._unsettled and parts.supervisor.settled:
            self._finish_reloads()
        self._heartbeat()

    def _tick(self, parts: _Parts) -> None:
        """Serves the requests of the command line; looks at the rest when it may have changed, or not for a while.

        All the code of a turn costs 300 us after a second of sleep, in which the caches became cold.
        """
        is_due = time.monotonic() >= self._look_at
        if parts.core.trouble is None and (is_due or parts.journal.requests.may_wait()):
            try:
                self._answer_requests(parts)
            except JournalError as error:
                parts.core.degrade(error)
        rests = parts.supervisor.rests()
        is_quiet = not self._news and rests is not None and rests == self._rests and not parts.journal.events.gives_back
        if is_quiet and not is_due:
            return
        self._news, self._rests, self._look_at = False, rests, time.monotonic() + _LOOK_SECONDS
        self._look(parts)

    def _look(self, parts: _Parts) -> None:
        """Looks at the sinks, and writes the status and what sinks reported."""
        parts.supervisor.turn()
        parts.supervisor.look()
        if parts.core.trouble is not None:
            return
        try:
            parts.journal.requests.put_status(self.status())
            parts.journal.commit()
        except JournalError as error:
            parts.core.degrade(error)

    def _answer_requests(self, parts: _Parts) -> None:
        requests = parts.journal.requests
        for number, request in requests.waiting():
            self._news = True
            answer = parts.supervisor.answer(request)
            resend = requests.answer(number, answer.text, answer.sink, answer.resend)
            if resend is not None:
                parts.supervisor.resend(answer.sink, resend)

    def _prepared(self, settings: Settings) -> tuple[Mapping[str, PlannedSink], Retained]:
        """Returns the sinks of these settings, and their places; raises ConfigurationError. Calls plugins."""
        plan = self._plan_of(settings)
        return planned(plan), retained_by(plan, self._sinks, settings.node, self._log)

    def _next_reload(self) -> _Reload | None:
        try:
            return self._reloads.get_nowait()
        except Empty:
            return None

    def _change_to(self, reload: _Reload, parts: _Parts) -> None:
        """Brings changed settings into effect: node, sinks and the filter; the rest is read at start only."""
        settings, before = reload.settings, self.settings
        if settings.node != before.node:
            try:
                parts.core.rename(settings.node)
            except JournalError as error:
                self._log.error("the configuration was not reloaded and stays as it was: %s", error)
                reload.done.set_exception(error)
                return
        self._unsettled.append(reload.done)
        parts.supervisor.change_to(reload.plan, _STOP_SECONDS, reload.retained)
        if settings.filter != before.filter:
            parts.core.interfaces = settings.filter
            parts.source.resync()
        if late := sorted(_changed(before, settings) - _LIVE):
            self._log.warning("changed settings that take effect at the next start only: %s", ", ".join(late))
        self.settings = settings

    def _finish_reloads(self) -> None:
        for done in self._unsettled:
            self._log.info("configuration reloaded; sinks: %s", ", ".join(sorted(self.settings.sinks)) or "none")
            done.set_result(None)
        self._unsettled = []

    def _give_up_reloads(self) -> None:
        self._over = True
        for done in self._unsettled:
            done.set_exception(_stopped())
        self._unsettled = []
        self._refuse_reloads()

    def _refuse_reloads(self) -> None:
        while reload := self._next_reload():
            reload.done.set_exception(_stopped())

    def _stop_workers(self, parts: _Parts) -> None:
        if not parts.supervisor.stop(_STOP_SECONDS, parts.journal.commit):
            self._log.warning("not everything was delivered; the journal keeps it for the next start")

    def _wake(self) -> None:
        self._woken = True
        if self._parts:
            self._parts.source.wake()

    def _look_again(self, source: Source) -> None:
        """Has the core look at the workers: a sink is open, or the thread of one has ended. Any thread."""
        self._woken = True
        source.wake()


def _stopped() -> PublisherError:
    return PublisherError("the service stopped before the configuration was reloaded")


_LIVE = {"node", "sinks", "filter"}


def _changed(before: Settings, after: Settings) -> set[str]:
    """Returns the names of the settings that differ: those of a table as `table.name`, the sinks as one."""
    old, new = (_flat(settings.model_dump()) for settings in (before, after))
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict) and name not in _LIVE:
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            flat[name] = value
    return flat
