"""Supervision of the configured sinks' workers: start, change, retirement and stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from ..errors import JournalError
from ..journal.dead_letters import discarded
from ..journal.journal import Journal
from ..journal.places import PlaceKey
from ..journal.positions import NumberedResend, Resend, ResendSnapshot
from ..journal.requests import InvalidRequest, Request
from ..secret_options import masking, secrets_in
from ..sink import Log, Sink, SinkContext, SinkLog
from .backoff import Backoff
from .context import Report
from .leaver import Leaver, LeftPlace
from .left_places import LeftPlaces
from .plan import PlannedSink
from .relay import Relay
from .retained import Retained
from .selection import Selection
from .status import SinkStatus
from .worker import Worker

_HANGS = "the thread of its predecessor has not ended yet; restart the publisher if it never does: %s"


class Answer(NamedTuple):
    """The answer to a request, and the resend that it leads to."""

    text: str
    sink: str = ""
    resend: Resend | None = None


@dataclass
class _Retiring:
    """A worker that the configuration no longer has, with the places that it may still write to."""

    worker: Worker
    places: frozenset[PlaceKey]
    deadline: float
    late: bool = False


class Supervisor:
    """Every sink's worker, by the sink's name in the configuration. The core's thread; `status` and `left` any.

    A worker whose sink was removed or changed retires by itself; its successor starts when it has ended, and no sooner:
    two sinks that write to one destination disturb each other. Nothing waits for it: `turn` looks, and `changed` is
    called as soon as a thread ends, and when a sink is open.
    """

    def __init__(
        self,
        journal: Journal,
        log: Log,
        changed: Callable[[], object],
        types: Mapping[str, type[Sink]] | None = None,
        report: Report = dict,
    ) -> None:
        """`types` are the sinks that plugins offer, to empty what was left where; `report` is for the sinks' status."""
        self._journal = journal
        self._log = log
        self._changed = changed
        self._report = report
        self._plan: Mapping[str, PlannedSink] = {}
        self._workers: dict[str, Worker] = {}
        self._retiring: list[_Retiring] = []
        self._waiting: dict[str, SinkStatus] = {}
        self._relay = Relay()
        self._left = LeftPlaces(journal, types or {}, log, changed)

    def change_to(self, plan: Mapping[str, PlannedSink], seconds: float, retained: Retained | None = None) -> None:
        """Begins to have exactly these sinks: others retire within so many seconds, unchanged ones are left alone.

        `retained` are the places of each. When the journal has another node than a worker, that one ends with what is
        in flight: its successor delivers the rest, and the snapshot under the new name.
        """
        self._plan = plan
        for name, worker in list(self._workers.items()):
            renamed = worker.node != self._journal.node
            if renamed or name not in plan or worker.fingerprint != plan[name].fingerprint:
                worker.retire(0.0 if renamed else seconds)
                places = self._left.keys(name)
                self._retiring.append(_Retiring(self._workers.pop(name), places, time.monotonic() + seconds))
        self._order()
        self._left.change_to({name: (each.sink, each.options) for name, each in plan.items()}, retained or {})
        self.turn()

    def turn(self) -> None:
        """Starts the successors of workers that have ended, and has left what the configuration no longer names."""
        for retiring in self._retiring:
            self._look_at(retiring)
        self._retiring = [retiring for retiring in self._retiring if retiring.worker.alive]
        used = (retiring.places for retiring in self._retiring)
        self._left.turn(frozenset[PlaceKey]().union(*used))
        waiting = {}
        for name, sink in self._plan.items():
            if name not in self._workers:
                if (obstacle := self._obstacle(name)) is None:
                    self._start(name, sink)
                else:
                    waiting[name] = obstacle
        self._waiting = waiting

    def rests(self) -> dict[str, int] | None:
        """Returns the wait that each worker is in; None while one works, or while there is something to do at a time.

        While it is the same as before, the status is, too.
        """
        rests = {name: rest for name, worker in self._workers.items() if (rest := worker.rest) is not None}
        busy = self._retiring or len(rests) < len(self._plan) or not self._left.is_settled
        return None if busy else rests

    def look(self) -> None:
        """Logs calls of sinks that do not return; the more often, the sooner."""
        for worker in (*self._workers.values(), *(retiring.worker for retiring in self._retiring)):
            worker.look()

    def _look_at(self, retiring: _Retiring) -> None:
        """Ends what a retired worker may report, after its thread ended or when its time is over."""
        if not retiring.late and (not retiring.worker.alive or time.monotonic() >= retiring.deadline):
            retiring.late = True
            retiring.worker.leave()

    def _obstacle(self, name: str) -> SinkStatus | None:
        """Returns the state of a sink that cannot start yet; `None` when it can."""
        places = self._left.keys(name)
        for retiring in self._retiring:
            if retiring.worker.name == name or retiring.places & places:
                error = _HANGS % (retiring.worker.status().error or "no error") if retiring.late else None
                return SinkStatus("waiting", error=error)
        reason = self._left.obstacle(places)
        return None if reason is None else SinkStatus("waiting", error=reason)

    @property
    def names(self) -> frozenset[str]:
        """The names of the configured sinks."""
        return frozenset(self._plan)

    @property
    def settled(self) -> bool:
        """True if the last change is done, as far as it can be: each sink has its worker, or is known not to get one.

        A sink whose predecessor hangs waits for it, and so does one whose destination is being emptied.
        """
        waiting = {name for name, status in self._waiting.items() if status.error is not None}
        return self._workers.keys() | waiting == self._plan.keys()

    def wake(self) -> None:
        """Wakes every worker, in the order of the configuration: the journal has something new."""
        self._relay.wake()

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
        if request.kind == "discard":
            return Answer(self._discard(request.sink, request.dead_letter))
        if request.kind in ("forget", "drop"):
            return Answer(self._forget(request))
        worker = self._workers.get(request.sink)
        if worker is None:
            return Answer(f"no sink {request.sink!r} is running; there are: {', '.join(self._workers) or 'none'}")
        text, resend = worker.answer(request)
        return Answer(text, request.sink, resend)

    def _forget(self, request: Request) -> str:
        name = request.sink
        if request.kind == "drop":
            return f"{name}: {_places(self._left.drop(name))} forgotten; what is there stays"
        if count := self._left.hurry(name):
            return f"{name}: {_places(count)} being emptied"
        if name in self._plan:
            return (
                f"sink {name!r} is configured, and this service would publish everything again at once: take it out of "
                "the configuration and reload, which empties it, or stop the service first"
            )
        return f"{name}: there is nothing left to empty"

    def _discard(self, sink: str, number: int | None) -> str:
        """Deletes dead letters, also those of a sink that is not configured any more; returns the answer."""
        count = self._journal.discard_dead_letters(sink, number)
        if worker := self._workers.get(sink):
            worker.dead_letters_changed()
        return discarded(sink, count)

    def status(self) -> dict[str, SinkStatus]:
        """Returns the state of each sink. Any thread."""
        return {**self._waiting, **{name: worker.status() for name, worker in dict(self._workers).items()}}

    def left(self) -> list[LeftPlace]:
        """Returns the places that are still to be emptied. Any thread."""
        return self._left.status()

    def stop(self, seconds: float, commit: Callable[[], object]) -> bool:
        """Finishes in-flight deliveries, all sinks at once; returns whether every sink has everything.

        It calls `commit` again and again while it waits, so that what the workers report does not pile up.
        """
        deadline = time.monotonic() + seconds
        for worker in self._workers.values():
            worker.retire(seconds)
        workers = [*self._workers.values(), *(retiring.worker for retiring in self._retiring)]
        threads: list[Worker | Leaver] = [*workers, *self._left.stop()]
        for thread in threads:
            while thread.alive and (left := deadline - time.monotonic()) > 0:
                thread.join(min(left, 0.5))
                with suppress(JournalError):  # The disk takes nothing: what is in flight is delivered all the same.
                    commit()
        with suppress(JournalError):
            self._left.settle()
        done = [not worker.alive and worker.done for worker in workers]
        for worker in workers:
            worker.leave()
        return all(done)

    def _start(self, name: str, planned: PlannedSink) -> None:
        make: Callable[[SinkContext], Sink] = partial(planned.sink, planned.options)
        worker = Worker(
            name,
            make,
            destination=planned.destination,
            fingerprint=planned.fingerprint,
            journal=self._journal,
            log=SinkLog(self._log, name),
            selection=Selection.of(planned.options),
            backoff=Backoff(most=planned.sink.max_pause),
            mask=masking(secrets_in(planned.options)),
            changed=self._changed,
            report=self._report,
        )
        self._workers[name] = worker  # before it starts: the status has every sink that delivers
        self._order()
        worker.start()

    def _order(self) -> None:
        self._relay.order([self._workers[name].inbox for name in self._plan if name in self._workers])


def _places(count: int) -> str:
    return "1 place is" if count == 1 else f"{count} places are"
