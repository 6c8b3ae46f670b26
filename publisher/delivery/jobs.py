"""The jobs of a sink: what it asked its worker to run on the sink's thread, between two batches."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import described, text_of
from ..sink import Log
from .activity import Activity
from .calls import ANYTHING
from .inbox import Clock, Inbox, Job

_SHOWN = {"fileno": "fileno()", "ready": "ready()"}
# Jobs get a fifth of the time while events wait.
_REST = 4.0


class Jobs:
    """Runs the jobs that are due. The sink's thread; `failures` may be read by any."""

    def __init__(self, inbox: Inbox, activity: Activity, log: Log, mask: Callable[[str], str], clock: Clock) -> None:
        self.failures = 0
        self._inbox = inbox
        self._activity = activity
        self._log = log
        self._mask = mask
        self._clock = clock
        self._next_at = 0.0

    def run(self, *, waiting: bool) -> None:
        """Runs the jobs that are due; while events wait it is one, and none until events had four times its time."""
        if not self._inbox.has_jobs:
            return
        began = self._clock.monotonic()
        if waiting and began < self._next_at:
            return
        for job in self._inbox.take_jobs(1 if waiting else None):
            self._run(job)
        ended = self._clock.monotonic()
        self._next_at = ended + _REST * (ended - began)

    def _run(self, job: Job) -> None:
        self.contain(text_of(getattr(job, "__name__", "a job")), job)

    def contain(self, name: str, call: Job) -> bool:
        """Calls something of the sink between two batches; returns False when it raised, which is logged."""
        try:
            with self._activity.within(name):
                call()
        except ANYTHING as error:
            self.failures += 1
            self._log.error("%s failed: %s", _SHOWN.get(name, "a job"), self._mask(described(error)), exc_info=error)
            return False
        return True
