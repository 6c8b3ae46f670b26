"""A leaver: empties places at a destination that the configuration has left, on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import PluginError, described
from ..journal.places import PlaceKey, RetainedPlace
from ..sink import Ended, Log, Rejected, Sink, SinkContext
from .backoff import LONGEST_PAUSE, Backoff, pause, seconds_asked
from .calls import is_expected, returns_nothing
from .context import IdleContext
from .inbox import Clock


@dataclass(frozen=True)
class LeftPlace:
    """The state of a place that is still to be emptied, for the status. Times in seconds since 1970."""

    sink: str
    type: str
    node: str
    place: str
    error: str | None = None
    """Why it could not be emptied yet."""
    next_attempt: float | None = None
    last_attempt: float | None = None
    """The start of the attempt that failed."""


class Leaver:
    """Has one sink that is not opened empty its places, again and again until that is confirmed.

    Its thread owns the sink; the core's thread calls the public methods, none of which blocks but `join`.
    """

    def __init__(
        self,
        places: Sequence[RetainedPlace],
        make_sink: Callable[[SinkContext], Sink],
        log: Log,
        *,
        epoch: str,
        luids: Callable[[], frozenset[str]] = frozenset,
        mask: Callable[[str], str] = str,
        backoff: Backoff | None = None,
        clock: Clock | None = None,
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        """The places are of one sink with one node and one set of options; `make_sink` makes one for each attempt.

        `luids` returns those that the journal knows; it and `ended`, the last call of all, are called on its thread.
        """
        first = places[0]
        self.places = tuple(places)
        self.keys: frozenset[PlaceKey] = frozenset(place.key for place in places)
        self.done = False
        """True once the destination has confirmed that the places are empty."""
        self._make_sink = make_sink
        self._log = log
        self._mask = mask
        self._backoff = backoff or Backoff()
        self._clock = clock or Clock()
        self._ended = ended
        self._context = IdleContext(first.sink, first.node, log, epoch, luids)
        self._changed = threading.Condition()
        self._stopping = False
        self._hurry = False
        self._trouble: tuple[str | None, float | None, float | None] = (None, None, None)
        self._thread = threading.Thread(target=self._run, name=f"leaver {first.sink}", daemon=True)

    def start(self) -> None:
        """Begins to empty the places."""
        self._thread.start()

    def stop(self) -> None:
        """Makes the thread end after the attempt that is going on, if any."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def hurry(self) -> None:
        """Has the next attempt made now."""
        with self._changed:
            self._hurry = True
            self._changed.notify()

    @property
    def alive(self) -> bool:
        """True while its thread runs."""
        return self._thread.is_alive()

    def join(self, seconds: float) -> None:
        """Waits for its thread, at most so many seconds."""
        self._thread.join(max(0.0, seconds))

    def status(self) -> list[LeftPlace]:
        """Returns the state of each place. Any thread."""
        return [LeftPlace(place.sink, place.type, place.node, place.place, *self._trouble) for place in self.places]

    def _run(self) -> None:
        failures = 0
        try:
            while not self._stopping and not self.done:
                began, trouble = time.time(), self.attempt()
                if trouble is None:
                    self.done = True
                    self._log.info("the places that it no longer uses were emptied: %s", self._listed())
                else:
                    failures += 1
                    self._rest(self._failed(trouble, failures, began))
        finally:
            self._ended()

    def attempt(self) -> BaseException | None:
        """Has the places emptied once; returns what went wrong. Called by `publisher forget`, without a thread."""
        sink = None
        try:
            sink = self._make_sink(self._context)
            names = [place.place for place in self.places]
            if unknown := sorted(set(names).difference(sink.retains())):
                raise PluginError(f"a sink with the recorded options does not keep anything at {', '.join(unknown)}")
            returns_nothing(sink.forget, names)
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises concerns its own sink only
            return error
        finally:
            self._close(sink)
        return None

    def _close(self, sink: Sink | None) -> None:
        try:
            if sink is not None:
                returns_nothing(sink.close)
        except BaseException as error:  # noqa: BLE001 - as above
            self._log.warning("could not be closed after emptying: %s", self._named(error))

    def _failed(self, error: BaseException, failures: int, began: float) -> float:
        """Notes and logs a failure, once for each kind of trouble; returns the seconds until the next attempt."""
        wait, text = self._pause(error, failures), self._named(error)
        before, self._trouble = self._trouble[0], (text, time.time() + wait, began)
        trace = None if is_expected(error) else error
        log = self._log.debug if before == text else self._log.warning
        what = "%s cannot be emptied now (next attempt in %.0f s): %s"
        log(what, self._listed(), wait, text, exc_info=trace)
        return wait

    def _pause(self, error: BaseException, failures: int) -> float:
        if isinstance(error, Rejected | Ended):  # it was said for good; whoever changes that has time
            return LONGEST_PAUSE
        try:
            asked = seconds_asked(getattr(error, "after", None))
        except ValueError:
            asked = None
        return pause(self._backoff.delay(failures), asked)

    def _rest(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        with self._changed:
            while not (self._stopping or self._hurry) and (left := until - self._clock.monotonic()) > 0:
                self._clock.wait(self._changed, left)
            self._hurry = False

    def _listed(self) -> str:
        return ", ".join(place.place for place in self.places)

    def _named(self, error: BaseException) -> str:
        return self._mask(described(error))
