"""Supervision of the configured sinks' workers: start, change, retirement and stop."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from pydantic import SecretBytes, SecretStr

from ..errors import JournalError
from ..journal.journal import Journal
from ..journal.positions import NumberedResend, Resend, ResendSnapshot
from ..journal.requests import InvalidRequest, Request
from ..sink import Log, Sink, SinkContext, SinkLog, SinkOptions
from .status import SinkStatus
from .worker import Worker

SinkPlan = Mapping[str, tuple[type[Sink], SinkOptions]]


class Answer(NamedTuple):
    """The answer to a request, and the resend that it leads to."""

    text: str
    sink: str = ""
    resend: Resend | None = None


class _Retiring(NamedTuple):
    worker: Worker
    deadline: float


class Supervisor:
    """Every sink's worker, by the sink's name in the configuration. The core's thread; `status` any.

    A worker whose sink was removed or changed retires by itself; its successor starts when it has ended, or when its
    time is over. Nothing waits for it: `turn` looks, and `ended` is called as soon as a worker's thread ends.
    """

    def __init__(self, journal: Journal, log: Log, ended: Callable[[], object]) -> None:
        self._journal = journal
        self._log = log
        self._ended = ended
        self._plan: SinkPlan = {}
        self._workers: dict[str, Worker] = {}
        self._retiring: list[_Retiring] = []

    def change_to(self, plan: SinkPlan, seconds: float) -> None:
        """Begins to have exactly these sinks: others retire within so many seconds, unchanged ones are left alone."""
        self._plan = plan
        for name, worker in list(self._workers.items()):
            if name not in plan or worker.fingerprint != _fingerprint(*plan[name]):
                worker.retire(seconds)
                self._retiring.append(_Retiring(self._workers.pop(name), time.monotonic() + seconds))
        self.turn()

    def turn(self) -> None:
        """Starts the successors of workers that have ended or are out of time."""
        now = time.monotonic()
        left = [retiring for retiring in self._retiring if not retiring.worker.alive or now >= retiring.deadline]
        self._retiring = [retiring for retiring in self._retiring if retiring not in left]
        for retiring in left:
            retiring.worker.leave()
        busy = {retiring.worker.name for retiring in self._retiring}
        for name, (sink, options) in self._plan.items():
            if name not in self._workers and name not in busy:
                self._start(name, sink, options)

    @property
    def settled(self) -> bool:
        """True if the last change is done: every sink of the plan has its worker."""
        return self._workers.keys() == self._plan.keys()

    def wake(self) -> None:
        """Wakes every worker: the journal has something new."""
        for worker in self._workers.values():
            worker.wake()

    def snapshots_after_loss(self, seq: int) -> dict[str, Resend]:
        """Returns the resends that mark a loss for every sink, after the event `seq`; also where a successor waits."""
        return {name: ResendSnapshot("overrun", seq) for name in self._plan}

    def resend(self, sink: str, numbered: NumberedResend) -> None:
        """Hands a resend that the journal holds to its worker."""
        if worker := self._workers.get(sink):
            worker.resend(numbered)

    def answer(self, request: Request | InvalidRequest) -> Answer:
        """Returns the answer to a request of the command line. Raises JournalError."""
        if isinstance(request, InvalidRequest):
            return Answer(request.reason)
        worker = self._workers.get(request.sink)
        if worker is None:
            return Answer(f"no sink {request.sink!r} is running; there are: {', '.join(self._workers) or 'none'}")
        text, resend = worker.answer(request)
        return Answer(text, request.sink, resend)

    def status(self) -> dict[str, SinkStatus]:
        """Returns the state of each sink. Any thread."""
        return {name: worker.status() for name, worker in dict(self._workers).items()}

    def stop(self, seconds: float, commit: Callable[[], object]) -> bool:
        """Finishes in-flight deliveries, all sinks at once; returns whether every sink has everything.

        It calls `commit` again and again while it waits, so that what the workers report does not pile up.
        """
        deadline = time.monotonic() + seconds
        for worker in self._workers.values():
            worker.retire(seconds)
        workers = [*self._workers.values(), *(retiring.worker for retiring in self._retiring)]
        for worker in workers:
            while worker.alive and (left := deadline - time.monotonic()) > 0:
                worker.join(min(left, 0.5))
                with suppress(JournalError):  # The disk takes nothing: what is in flight is delivered all the same.
                    commit()
        done = [not worker.alive and worker.done for worker in workers]
        for worker in workers:
            worker.leave()
        return all(done)

    def _start(self, name: str, sink: type[Sink], options: SinkOptions) -> None:
        make: Callable[[SinkContext], Sink] = partial(sink, options)
        worker = Worker(
            name,
            make,
            destination=options.destination,
            fingerprint=_fingerprint(sink, options),
            journal=self._journal,
            log=SinkLog(self._log, name),
            ended=self._ended,
        )
        worker.start()
        self._workers[name] = worker


def _fingerprint(sink: type[Sink], options: SinkOptions) -> str:
    """Returns what distinguishes two configurations of a sink, by their secrets too; nothing can be read from it."""
    values = json.dumps(options.model_dump(), default=_json_value)
    return hashlib.sha256(f"{sink.__module__}.{sink.__qualname__} {values}".encode()).hexdigest()


def _json_value(value: Any) -> Any:
    """Returns the same for the same value at every start: a set has its members in any order."""
    match value:
        case SecretStr() | SecretBytes():
            return str(value.get_secret_value())
        case set() | frozenset():
            return sorted(map(str, value))
        case _:
            return str(value)
