"""`publisher forget`: empties what sinks left at their destinations, now."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from ..config.settings import Settings, sink_options, with_default_sinks
from ..delivery.leaver import Leaver
from ..delivery.plan import SinkPlan
from ..delivery.retained import grouped, retained_by, sink_to_empty
from ..errors import ConfigurationError, JournalError, described
from ..journal.file import JournalFile
from ..journal.lock import JournalLock
from ..journal.places import PlaceRegister, RetainedPlace
from ..journal.requests import JournalClient, Request
from ..plugins import Plugins, load_plugins
from ..service.logs import Secrets
from ..service.status import LeftReport
from ..sink import Sink, SinkContext
from ..terminal import echo
from .deliveries import ask
from .journal import opened_journal
from .status import read_report

PATIENCE_SECONDS = 60.0
_HOW = "publisher forget NAME empties what has this name, publisher forget --all empties everything"
_RUNS = (
    "a service runs: it empties by itself what a former configuration left, and would publish the rest again at once: "
    "stop it before publisher forget"
)
_NOTHING_KNOWN = "there is nothing to empty, as far as the journal %s knows"
_NOTHING = (
    f"{_NOTHING_KNOWN}; what another journal filled is emptied by its URL: publisher forget mqtt://BROKER --node NAME"
)
_LOOK_SECONDS = 0.1


class Forget(NamedTuple):
    """The arguments of the command."""

    what: str | None
    node: str | None = None
    base: str | None = None
    prefix: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    token_file: Path | None = None
    credentials_file: Path | None = None

    @property
    def login(self) -> dict[str, Any]:
        """The options that take the place of recorded ones."""
        names = ("password_file", "ca_file", "token_file", "credentials_file")
        files = {name: getattr(self, name) for name in names}
        return {name: str(path.absolute()) for name, path in files.items() if path is not None}


def list_places(settings: Settings, node: str | None) -> None:
    """Prints the recorded places, of one node if it is given, and how to empty them. Raises PublisherError."""
    with opened_journal(settings) as journal:
        path, is_running = journal.path, journal.running is not None
        places = [place for place in journal.places() if node in (None, place.node)]
        left = {place.place for place in left_places(journal)} if is_running else None
    if not places:
        echo(_NOTHING_KNOWN % path, err=True)
        return
    if left is None:
        plugins = load_plugins(slow=partial(echo, err=True))
        plan = sink_options(with_default_sinks(settings), plugins)
        left = {place.place for place in _left_by(plan, plugins, settings.node, places)}
    for place in places:
        whose = "left by a former configuration" if place.place in left else "of a configured sink"
        echo(f"{place.sink}: {place.place}: {whose}")
    echo(_RUNS if is_running else _HOW)


def forget_left(settings: Settings, wanted: Forget, *, drop: bool) -> bool:
    """Empties the recorded places of a sink, or of all; returns whether all are empty.

    A running service empties by itself what is left, and is asked. Raises PublisherError.
    """
    with opened_journal(settings) as journal:
        path = journal.path
        if journal.running is not None:
            return _ask_service(path, journal, wanted, drop=drop)
        recorded, luids = journal.places(), journal.known_luids()
    places = [place for place in _named(recorded, wanted.what) if wanted.node in (None, place.node)]
    if not places:
        raise JournalError(_NOTHING % path)
    plugins = load_plugins(slow=partial(echo, err=True))
    plan = sink_options(with_default_sinks(settings), plugins)
    lock = JournalLock(path)
    lock.acquire()  # a service that starts meanwhile would fill what is emptied here
    try:
        done = places if drop else _emptied(plugins, plan, wanted, places, luids)
        with closing(JournalFile(path, owned=False)) as file:
            PlaceRegister(file).remove(place.key for place in done)
    finally:
        lock.release()
    if drop:
        for place in done:
            echo(f"{place.sink}: forgotten, and left as it is: {place.place}")
    return len(done) == len(places)


def _left_by(plan: SinkPlan, plugins: Plugins, node: str, places: Sequence[RetainedPlace]) -> list[RetainedPlace]:
    """Returns the places that no configured sink names; a sink that cannot name its own may have any of its type."""
    retained = retained_by(plan, plugins.sinks, node, silent())
    named = {place.key for found in retained.values() for place in found or ()}
    unclear = {plan[name][0] for name, found in retained.items() if found is None}
    return [place for place in places if place.key not in named and plugins.sinks.get(place.type) not in unclear]


def _named(places: Sequence[RetainedPlace], sink: str | None) -> list[RetainedPlace]:
    sinks = {place.sink for place in places}
    if sink is not None and sink not in sinks:
        raise ConfigurationError(
            f"no sink {sink!r} left anything, as far as the journal knows; there are: "
            f"{', '.join(sorted(sinks)) or 'none'}"
        )
    return [place for place in places if sink in (None, place.sink)]


def _emptied(
    plugins: Plugins, plan: SinkPlan, wanted: Forget, places: Sequence[RetainedPlace], luids: frozenset[str]
) -> list[RetainedPlace]:
    """Empties the places, and prints a line for each; returns those that are empty."""
    secrets = Secrets()
    secrets.learn(options for _, options in plan.values())
    done: list[RetainedPlace] = []
    for group in grouped(places):
        first = group[0].model_copy(update={"options": group[0].options | wanted.login})
        lenders: SinkPlan = {} if wanted.login else plan
        error = attempt(group, partial(sink_to_empty, first, plugins.sinks, lenders), luids)
        for place in group:
            outcome = "emptied" if error is None else f"not emptied: {secrets.mask(described(error))}"
            echo(f"{place.sink}: {place.place}: {outcome}".replace("\n", " "))
        done += group if error is None else ()
    return done


def attempt(
    places: Sequence[RetainedPlace], make: Callable[[SinkContext], Sink], luids: frozenset[str]
) -> BaseException | None:
    """Has the places emptied once, in a thread, since a sink may block for ever and a person waits."""
    results: SimpleQueue[BaseException | None] = SimpleQueue()
    leaver = Leaver(places, make, silent(), epoch="0" * 16, luids=lambda: luids)
    Thread(target=lambda: results.put(leaver.attempt()), name="forget", daemon=True).start()
    try:
        return results.get(timeout=PATIENCE_SECONDS)
    except Empty:
        return TimeoutError(f"no answer within {PATIENCE_SECONDS:.0f} s")


def silent() -> logging.Logger:
    # The line that is printed says it. Made directly: the process's own loggers stay as they are.
    log = logging.Logger("publisher.forget")
    log.addHandler(logging.NullHandler())
    return log


def _ask_service(path: Path, journal: JournalClient, wanted: Forget, *, drop: bool) -> bool:
    """Asks the running service, and waits until it has done it; returns whether everything is empty."""
    if wanted.node or wanted.login:
        raise ConfigurationError("a service runs, and it empties what is left with the options that it knows: stop it "
                                 "to use --node, or another login")  # fmt: skip
    left = left_places(journal)
    sinks = [wanted.what] if wanted.what is not None else sorted({place.sink for place in left})
    if wanted.what is None:
        _require_all_left(path, journal, left)
    elif not any(place.sink == wanted.what for place in left):
        raise JournalError(_nothing(path, journal, wanted.what))
    asked = time.time()
    for sink in sinks:
        ask(journal, Request(kind="drop" if drop else "forget", sink=sink))
    if drop:
        return True
    outcomes = [_followed(journal, sink, asked) for sink in sinks]
    return all(outcomes)


def _require_all_left(path: Path, journal: JournalClient, left: Sequence[LeftReport]) -> None:
    """Raises JournalError when the running service keeps something, or nothing is left."""
    if kept := sorted({place.sink for place in kept_places(journal, left)}):
        raise JournalError(
            f"the running service would publish everything of {', '.join(map(repr, kept))} again at once: stop it, "
            "then publisher forget --all"
        )
    if not left:
        raise JournalError(_NOTHING % path)


def _nothing(path: Path, journal: JournalClient, sink: str) -> str:
    report = read_report(journal)
    if report and sink in report.sinks:
        return (
            f"sink {sink!r} is configured, and the running service would publish everything again at once: take it out "
            "of the configuration and reload, which empties it, or stop the service first"
        )
    return f"sink {sink!r} left nothing that is still to be emptied, as far as the journal {path} knows"


def left_places(journal: JournalClient) -> tuple[LeftReport, ...]:
    """Returns the places that the running service is still to empty, by its status."""
    report = read_report(journal)
    return report.left if report else ()


def kept_places(journal: JournalClient, left: Iterable[LeftReport]) -> list[RetainedPlace]:
    """Returns the places that the running service keeps filled: those that are not left."""
    to_empty = {place.place for place in left}
    return [place for place in journal.places() if place.place not in to_empty]


def _followed(journal: JournalClient, sink: str, asked: float) -> bool:
    """Waits until the service has emptied what this sink left, or has failed since `asked`; prints the outcome."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left := [place for place in left_places(journal) if place.sink == sink]:
        if time.monotonic() > deadline or all((place.last_attempt or 0.0) >= asked for place in left):
            break
        time.sleep(_LOOK_SECONDS)
    for place in left:
        text = Secrets().mask(place.error or "the service has not done it yet")
        echo(f"{sink}: {place.place}: not emptied: {text}".replace("\n", " "))
    if not left:
        echo(f"{sink}: emptied")
    return not left
