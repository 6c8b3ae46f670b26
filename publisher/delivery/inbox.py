"""The one crossing from other threads to a worker's: news, resends, jobs, and the order to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Literal

from ..journal.positions import NumberedResend, joined
from .descriptors import WakeUp

Job = Callable[[], object]
Waited = Literal["over", "interrupted", "readable", "closed"]


class Clock:
    """The time that passes and waiting for it; tests have one whose time passes at once."""

    def monotonic(self) -> float:
        """Returns the seconds since some moment."""
        return time.monotonic()

    def utc(self) -> datetime:
        """Returns the time of the host, in UTC."""
        return datetime.now(UTC)

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Waits on a condition that is held, until it is notified or the seconds are over."""
        condition.wait(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))


class Inbox:
    """The work that waits for a worker, under one lock, with one wake-up. Any thread puts; the worker's takes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._news = False
        self._resends: list[NumberedResend] = []
        self._jobs: list[tuple[float, int, Job]] = []
        self._numbers = count()
        self._wake_up: WakeUp | None = None
        self._waits: Literal["not", "for news", "for a moment"] = "not"
        self._is_watching = False
        self.following: Inbox | None = None
        """The inbox whose worker this one wakes (relay.py). The core's thread sets it."""
        self.rests = 0
        """How many waits have begun. The worker's thread writes it."""
        self.is_resting = False
        """True while the worker's thread waits, or has ended. The worker's thread writes it, after `rests`."""
        self.stop_by: float | None = None
        """The clock's moment at which deliveries end; `None` until a stop is requested."""

    def note_news(self) -> None:
        """Notes that there is something new in the journal; `rouse` follows."""
        if not self._news:  # Else the worker has yet to take the note, and looks at the journal after that.
            with self._changed:
                self._news = True

    def rouse(self) -> bool:
        """Wakes the worker if it waits for news and there is some; returns whether it did."""
        with self._changed:
            is_due = self._news and self._waits == "for news"
            if is_due:
                self._notify()
        return is_due

    def resend(self, numbered: NumberedResend) -> None:
        """Hands over a request to send again.

        It takes the place of those that wait and that it includes, as in the journal: while a sink hangs, each loss
        requests a snapshot.
        """
        with self._changed:
            for waiting in tuple(self._resends):
                if (both := joined(waiting.resend, numbered.resend)) is not None:
                    numbered = NumberedResend(max(waiting.number, numbered.number), both)
                    self._resends.remove(waiting)
            self._resends.append(numbered)
            self._news = True
            self._notify()

    def call(self, job: Job, delay: float) -> None:
        """Hands over a job that is due after so many seconds; when an equal one waits, the earlier moment counts."""
        with self._changed:
            due = self._clock.monotonic() + delay
            if equal := [waiting for waiting in self._jobs if waiting[2] == job]:
                due = min(due, *(waiting[0] for waiting in equal))
                self._jobs = [waiting for waiting in self._jobs if waiting[2] != job]
                heapify(self._jobs)
            heappush(self._jobs, (due, next(self._numbers), job))
            self._notify()

    def stop(self, moment: float) -> None:
        """Asks the worker to stop, and to deliver what waits until this moment of the clock."""
        with self._changed:
            self.stop_by = moment
            self._notify()

    @property
    def empty(self) -> bool:
        """True if no resend waits."""
        return not self._resends

    def take(self) -> list[NumberedResend]:
        """Returns the resends in order, and forgets the news: the journal is looked at next."""
        with self._changed:
            self._news = False
            resends, self._resends = self._resends, []
        return resends

    @property
    def has_jobs(self) -> bool:
        """True if a job waits, due or not. Without the lock: one that comes meanwhile ends the next `wait`."""
        return bool(self._jobs)

    def take_jobs(self, most: int | None = None) -> list[Job]:
        """Returns the jobs that are due now, in order. One that adds itself again comes with the next call."""
        due: list[Job] = []
        with self._changed:
            now = self._clock.monotonic()
            while self._jobs and self._jobs[0][0] <= now and (most is None or len(due) < most):
                due.append(heappop(self._jobs)[2])
        return due

    def wake_up(self) -> WakeUp:
        """Returns what ends the waits for a descriptor; raises OSError while the process can open none for it."""
        # Other threads look at it only while `_is_watching` is set.
        self._wake_up = self._wake_up or WakeUp()
        return self._wake_up

    def wait(self, until: float | None, *, jobs: bool, descriptor: int | None = None) -> Waited:
        """Waits for this moment, or for news when it is `None`; at most until the next job is due, if `jobs` count.

        The rest is over when the moment has come, there is news, or the worker is to stop. It is interrupted for a job,
        and when the descriptor can be read, or is not open. Raises OSError as `wake_up` does.
        """
        with self._changed:
            now = self._clock.monotonic()
            if self._is_over(until, now):
                return "over"
            next_job = self._jobs[0][0] if jobs and self._jobs else None
            moments = [moment for moment in (until, next_job) if moment is not None]
            seconds = max(0.0, min(moments) - now) if moments else None
            wake_up = None if descriptor is None else self.wake_up()
            self._waits = "for news" if until is None else "for a moment"
            self._is_watching = wake_up is not None
            self._rest()
            if wake_up is None:
                self._clock.wait(self._changed, seconds)
                self.is_resting = False
                was_woken = self._end_wait()
        found = None
        if wake_up is not None and descriptor is not None:
            found = wake_up.wait(descriptor, seconds)
            self.is_resting = False
            with self._changed:
                was_woken = self._end_wait()
                if was_woken:
                    wake_up.clear()
        if was_woken:
            self._rouse_following()
        return found or ("over" if self._is_over(until, self._clock.monotonic()) else "interrupted")

    def _end_wait(self) -> bool:
        """Returns whether a call ended the wait; `_changed` is held."""
        was_woken, self._waits = self._waits == "not", "not"
        return was_woken

    def _rouse_following(self) -> None:
        """Wakes the next worker that waits for news, if there is some for it (relay.py)."""
        inbox = self.following
        while inbox is not None and not inbox.rouse():
            inbox = inbox.following

    def _is_over(self, until: float | None, now: float) -> bool:
        return self.stop_by is not None or (self._news if until is None else now >= until)

    def _rest(self) -> None:
        self.rests += 1
        self.is_resting = True

    def close(self) -> None:
        """Closes what the waits needed; nobody takes any more."""
        self._rest()
        with self._changed:
            wake_up, self._wake_up = self._wake_up, None
            self._waits = "not"
        if wake_up is not None:
            wake_up.close()
        self._rouse_following()  # of a thread that failed in its wait, too

    def _notify(self) -> None:
        """Ends a wait; `_changed` is held."""
        if self._waits == "not":
            return  # One call for each wait: the next one looks at everything first.
        self._waits = "not"
        if self._is_watching and self._wake_up is not None:
            self._wake_up.wake()
        else:
            self._changed.notify()
