"""The workers of the configured sinks: one each, started, changed and stopped together."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import SecretBytes, SecretStr

from ..events import Cause
from ..journal.journal import Journal, Request
from ..sink import Sink, SinkContext, SinkOptions
from .worker import SinkStatus, Worker

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

SinkPlan = dict[str, tuple[type[Sink], SinkOptions]]


class Supervisor:
    """Every sink's worker by the sink's name in the configuration. One thread calls all methods but `status`."""

    def __init__(self, journal: Journal, log: FilteringBoundLogger) -> None:
        self._journal = journal
        self._log = log
        self._workers: dict[str, Worker] = {}

    def change_to(self, plan: SinkPlan, timeout: float) -> None:
        """Have exactly these sinks: those that are gone or changed are closed, new ones started, others left alone."""
        fingerprints = {name: _fingerprint(*sink) for name, sink in plan.items()}
        leaving = [name for name, worker in self._workers.items() if worker.fingerprint != fingerprints.get(name)]
        self._stop(leaving, timeout)
        for name, (sink, options) in plan.items():
            if name not in self._workers:
                self._start(name, sink, options, fingerprints[name])

    def wake(self) -> None:
        """Tell every worker that there is something new in the journal."""
        for worker in self._workers.values():
            worker.wake()

    def request_snapshot(self, cause: Cause) -> None:
        """Have every sink get the rows again."""
        for worker in self._workers.values():
            worker.request_snapshot(cause)

    def serve(self, request: Request) -> str:
        """Do what the command line asked for; the answer is for people."""
        worker = self._workers.get(request.sink)
        if worker is None:
            return f"no sink {request.sink!r} is running; there are: {', '.join(self._workers) or 'none'}"
        if request.kind == "retry":
            worker.retry_dead_letters(request.dead_letter)
            return f"{request.sink}: dead letters are being sent again"
        worker.request_replay(request.since)
        what = "the snapshot is" if request.since is None else f"the events after {request.since} are"
        return f"{request.sink}: {what} being sent again"

    def status(self) -> dict[str, SinkStatus]:
        """How each sink is doing. Any thread."""
        return {name: worker.status() for name, worker in dict(self._workers).items()}

    def stop(self, timeout: float) -> bool:
        """Finish in-flight deliveries, all sinks at once; False when a sink did not in time (its cursor says where)."""
        return self._stop(list(self._workers), timeout)

    def _start(self, name: str, sink: type[Sink], options: SinkOptions, fingerprint: str) -> None:
        make: Callable[[SinkContext], Sink] = partial(sink, options)
        worker = Worker(
            name,
            make,
            destination=options.destination,
            fingerprint=fingerprint,
            journal=self._journal,
            log=self._log.bind(sink=name),
        )
        worker.start()
        self._workers[name] = worker

    def _stop(self, names: list[str], timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        leaving = [self._workers.pop(name) for name in names]
        results: list[bool] = []
        closers = [
            threading.Thread(target=lambda worker=worker: results.append(worker.stop(timeout)), daemon=True)
            for worker in leaving
        ]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join(max(0.0, deadline + 0.5 - time.monotonic()))
        return len(results) == len(leaving) and all(results)


def _fingerprint(sink: type[Sink], options: SinkOptions) -> str:
    """What tells one configuration of a sink from another, by its secrets too; nothing can be read from it."""
    values = json.dumps(options.model_dump(), default=_json_value)
    return hashlib.sha256(f"{sink.__module__}.{sink.__qualname__} {values}".encode()).hexdigest()


def _json_value(value: Any) -> Any:
    """The same for the same value at every start: a set has its members in any order."""
    match value:
        case SecretStr() | SecretBytes():
            return str(value.get_secret_value())
        case set() | frozenset():
            return sorted(map(str, value))
        case _:
            return str(value)
