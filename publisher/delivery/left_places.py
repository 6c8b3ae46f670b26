"""The places that the configuration has left: recorded before a sink is opened, emptied when no sink names them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Set
from functools import partial

from ..errors import JournalDamagedError, JournalError
from ..journal.journal import Journal
from ..journal.places import PlaceKey, RetainedPlace
from ..secret_options import masking, secrets_in
from ..sink import Log, Sink, SinkContext, SinkLog
from .leaver import Leaver, LeftPlace
from .plan import SinkPlan
from .retained import Retained, grouped, sink_to_empty

# How often a journal that takes nothing is tried again.
_TRY_SECONDS = 1.0


class LeftPlaces:
    """Records the places of the configured sinks, and has leavers empty the others. The core's thread; `status` any.

    Nobody empties a place that somebody uses: a leaver begins when no worker that names the place is alive, and a sink
    is opened when its places are recorded and no leaver of them is alive.
    """

    def __init__(
        self, journal: Journal, types: Mapping[str, type[Sink]], log: Log, ended: Callable[[], object]
    ) -> None:
        """`types` are the sinks that plugins offer; `ended` is called on the thread of a leaver that ends."""
        self._journal = journal
        self._types = types
        self._log = log
        self._ended = ended
        self._plan: SinkPlan = {}
        self._wanted: dict[PlaceKey, RetainedPlace] = {}
        self._keys: dict[str, frozenset[PlaceKey]] = {}
        self._unclear: frozenset[str] = frozenset()
        self._recorded: dict[PlaceKey, RetainedPlace] | None = None
        self._leavers: list[Leaver] = []
        self._try_at = 0.0
        self._trouble: str | None = None
        self._settled: tuple[object, ...] | None = None  # the state in which there was nothing to do

    @property
    def is_settled(self) -> bool:
        """True when `turn` has nothing to do until something else changes."""
        return self._settled is not None

    def change_to(self, plan: SinkPlan, retained: Retained) -> None:
        """Takes the places of the sinks that are configured from now on; `turn` does what follows."""
        self._plan = plan
        self._wanted = {place.key: place for places in retained.values() for place in places or ()}
        self._keys = {name: frozenset(place.key for place in places or ()) for name, places in retained.items()}
        unclear = {plan[name][0] for name, places in retained.items() if places is None}
        self._unclear = frozenset(name for name, sink in self._types.items() if sink in unclear)
        for leaver in self._leavers:
            if leaver.keys & self._wanted.keys():
                leaver.stop()
        self._settled = None
        self._try_at = 0.0

    def turn(self, in_use: Set[PlaceKey]) -> None:
        """Does what can be done now; `in_use` are the places of the workers that are alive.

        Raises JournalDamagedError. A journal that takes nothing is tried again after a second.
        """
        state = (self._wanted, self._recorded, self._leavers, in_use)  # each is replaced, never changed
        if state == self._settled:
            return
        waiting = [leaver for leaver in self._leavers if not leaver.alive]
        due = self._recorded is None or waiting or self._unrecorded() or self._left(in_use)
        if not (due or self._leavers):
            self._settled = state
        if not due or time.monotonic() < self._try_at:
            return
        try:
            for leaver in waiting:
                self._reap(leaver)
            self._record()
            self._leave(self._left(in_use))
        except JournalDamagedError:
            raise
        except JournalError as error:
            self._try_at = time.monotonic() + _TRY_SECONDS
            if self._trouble is None:
                self._log.warning("what the sinks retain cannot be recorded now, and they wait for it: %s", error)
            self._trouble = str(error)
        else:
            self._trouble = None

    def obstacle(self, places: Collection[PlaceKey]) -> str | None:
        """Returns why a sink with these places cannot be opened yet; `None` when it can."""
        if any(leaver.keys.intersection(places) and leaver.alive for leaver in self._leavers):
            return "what an earlier sink left at its destination is being emptied"
        if places and any(place.key in places for place in self._unrecorded()):
            return f"what it retains is not recorded yet: {self._trouble or 'the journal is written next'}"
        return None

    def keys(self, sink: str) -> frozenset[PlaceKey]:
        """Returns the places that a configured sink names."""
        return self._keys.get(sink, frozenset())

    def status(self) -> list[LeftPlace]:
        """Returns the places that are still to be emptied, and why. Any thread."""
        recorded, wanted, leavers = self._recorded or {}, self._wanted, list(self._leavers)
        busy = [place for leaver in leavers if not leaver.done for place in leaver.status()]
        known = {PlaceKey(place.type, place.place) for place in busy}
        waiting = [place for key, place in recorded.items() if key not in wanted and key not in known]
        return [
            *busy,
            *(LeftPlace(place.sink, place.type, place.node, place.place, self._why(place)) for place in waiting),
        ]

    def _why(self, place: RetainedPlace) -> str:
        if place.type in self._unclear:
            return f"a configured sink of the type {place.type!r} cannot name its places, and this may be one of them"
        return "it is emptied as soon as the thread of its sink has ended"

    def hurry(self, sink: str) -> int:
        """Has places that this sink left tried now; returns how many there are."""
        leavers = [leaver for leaver in self._leavers if leaver.places[0].sink == sink and leaver.alive]
        for leaver in leavers:
            leaver.hurry()
        return sum(len(leaver.places) for leaver in leavers)

    def drop(self, sink: str) -> int:
        """Forgets places that this sink left, without emptying them; returns how many. Raises JournalError."""
        keys = {key for key, place in (self._recorded or {}).items() if place.sink == sink and key not in self._wanted}
        self._remove(keys)
        for leaver in self._leavers:
            if leaver.keys <= keys:
                leaver.stop()
        return len(keys)

    def stop(self) -> list[Leaver]:
        """Makes all leavers end; returns those that still have to."""
        for leaver in self._leavers:
            leaver.stop()
        return [leaver for leaver in self._leavers if leaver.alive]

    def settle(self) -> None:
        """Deletes the records of what was emptied, as far as the journal takes it; at the end."""
        for leaver in self._leavers:
            if not leaver.alive:
                self._reap(leaver)

    def _reap(self, leaver: Leaver) -> None:
        if leaver.done:
            self._remove(leaver.keys - self._wanted.keys())
        self._leavers = [other for other in self._leavers if other is not leaver]

    def _remove(self, keys: Collection[PlaceKey]) -> None:
        self._journal.places.remove(keys)
        self._recorded = {key: place for key, place in (self._recorded or {}).items() if key not in keys}

    def _unrecorded(self) -> list[RetainedPlace]:
        recorded = self._recorded or {}
        return [place for key, place in self._wanted.items() if recorded.get(key) != place]

    def _record(self) -> None:
        """Reads the records at the first call, and writes those that are new or other than before."""
        if self._recorded is None:
            self._recorded = {place.key: place for place in self._journal.places.all()}
        if new := [place for place in self._unrecorded() if not self._is_being_left(place.key)]:
            self._journal.places.record(new)
            self._recorded = self._recorded | {place.key: place for place in new}

    def _is_being_left(self, key: PlaceKey) -> bool:
        return any(key in leaver.keys and leaver.alive for leaver in self._leavers)

    def _left(self, in_use: Set[PlaceKey]) -> list[RetainedPlace]:
        """Returns the places for which a leaver can begin."""
        if self._recorded is None:
            return []
        busy = set[PlaceKey]().union(in_use, self._wanted, *(leaver.keys for leaver in self._leavers))
        return [place for key, place in self._recorded.items() if key not in busy and place.type not in self._unclear]

    def _leave(self, places: Collection[RetainedPlace]) -> None:
        if not places or self._recorded is None:
            return
        self._journal.places.empty(places)
        marked = [place.model_copy(update={"emptying": True}) for place in places]
        self._recorded = self._recorded | {place.key: place for place in marked}
        for group in grouped(marked):
            self._start(group)

    def _start(self, places: list[RetainedPlace]) -> None:
        first = places[0]
        log = SinkLog(self._log, first.sink)
        log.info("what it left is being emptied: %s", ", ".join(place.place for place in places))
        secrets = masking(secret for _, options in self._plan.values() for secret in secrets_in(options))
        leaver = Leaver(
            places,
            partial(self._make_sink, first),
            log,
            epoch=self._journal.epoch,
            luids=self._journal.known_luids,
            mask=secrets,
            ended=self._ended,
        )
        self._leavers = [*self._leavers, leaver]
        leaver.start()

    def _make_sink(self, place: RetainedPlace, context: SinkContext) -> Sink:
        """Returns a sink that can empty this place. On the leaver's thread: the plan is one value."""
        return sink_to_empty(place, self._types, self._plan, context)
