"""`publisher replay` and `publisher dead-letters`: requests to the running service, or for its next start."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from ..config.settings import Settings, with_default_sinks
from ..errors import ConfigurationError, JournalError
from ..journal.dead_letters import DeadLetter, discarded
from ..journal.requests import JournalClient, Request
from ..terminal import echo, echo_json
from .journal import opened_journal

# A service looks for requests once a second, and a busy machine may hold it up for several.
_PATIENCE_SECONDS = 15.0
_LOOK_SECONDS = 0.05


def ask_for_replay(settings: Settings, sink: str, since: int | None) -> None:
    """Requests the snapshot, or the events after `since`, for a sink; raises ConfigurationError for an unknown sink."""
    with opened_journal(settings) as journal:
        sinks = _sinks(journal, settings)
        if sink not in sinks:
            raise ConfigurationError(f"there is no sink {sink!r}; there are: {', '.join(sinks)}")
        if since is not None and since > journal.seq:
            raise JournalError(f"the newest event is {journal.seq}: no event follows {since} yet")
        ask(journal, Request(kind="replay", sink=sink, since=since))


def list_dead_letters(settings: Settings, sink: str | None) -> None:
    """Prints one line for each dead letter; their count and the journal on standard error."""
    with opened_journal(settings) as journal:
        letters = journal.dead_letters(sink)
        for letter in letters:
            echo(_line(letter))
        _echo_count(journal, sink, len(letters))


def show_dead_letter(settings: Settings, number: int) -> None:
    """Prints the event on standard output, and the reason of its refusal on standard error."""
    with opened_journal(settings) as journal:
        [letter] = _letters(journal, None, [number])
    echo(_line(letter), err=True)
    echo_json(letter.event.model_dump(mode="json"))


def retry_dead_letters(settings: Settings, sink: str | None, numbers: Sequence[int]) -> None:
    """Requests that dead letters are sent again: those of these numbers, those of a sink, or all."""
    with opened_journal(settings) as journal:
        for name, number in _chosen(journal, sink, numbers):
            ask(journal, Request(kind="retry", sink=name, dead_letter=number))


def drop_dead_letters(settings: Settings, sink: str | None, numbers: Sequence[int]) -> None:
    """Deletes dead letters, for good: those of these numbers, or all of a sink. Raises ConfigurationError for neither.

    A running service is asked to do it, so that its count is right; without one it is done here.
    """
    if sink is None and not numbers:
        raise ConfigurationError("dead-letters --drop needs the name of a SINK, or --id NUMBER: nothing was dropped")
    with opened_journal(settings) as journal:
        for name, number in _chosen(journal, sink, numbers):
            if journal.running:
                ask(journal, Request(kind="discard", sink=name, dead_letter=number))
            else:
                _answer(journal, discarded(name, journal.discard(name, number)))


def _chosen(journal: JournalClient, sink: str | None, numbers: Sequence[int]) -> list[tuple[str, int | None]]:
    """Returns the sink and the number of each request: no number stands for all of the sink's."""
    letters = _letters(journal, sink, numbers)
    if not letters:
        _echo_count(journal, sink, 0)
    if numbers:
        return [(letter.sink, letter.id) for letter in letters]
    return [(name, None) for name in dict.fromkeys(letter.sink for letter in letters)]


def _letters(journal: JournalClient, sink: str | None, numbers: Sequence[int]) -> list[DeadLetter]:
    """Returns the dead letters of these numbers, or all without one; raises JournalError for a number that is none."""
    letters = journal.dead_letters(sink)
    if not numbers:
        return letters
    by_number = {letter.id: letter for letter in letters}
    if missing := [number for number in numbers if number not in by_number]:
        of = f" of {sink!r}" if sink else ""
        raise JournalError(f"there is no dead letter {missing[0]}{of} in the journal {journal.path}")
    return [by_number[number] for number in dict.fromkeys(numbers)]


def _echo_count(journal: JournalClient, sink: str | None, count: int) -> None:
    letters = f"{count or 'no'} dead letter{'' if count == 1 else 's'}{f' of {sink!r}' if sink else ''}"
    echo(f"{letters} in the journal {journal.path}", err=True)


def _line(letter: DeadLetter) -> str:
    moment = f"{datetime.fromtimestamp(letter.time).astimezone():%Y-%m-%d %H:%M:%S}"
    text = f"{letter.id}  {moment}  {letter.sink}  seq {letter.event.seq}  {letter.event.text()}: {letter.reason}"
    return text.replace("\n", " ")


def _sinks(journal: JournalClient, settings: Settings) -> list[str]:
    """Returns the sinks of the running service, which may have another configuration, else those configured here."""
    status = journal.status() or {}
    running = status.get("sinks")
    return list(running) if isinstance(running, dict) else list(with_default_sinks(settings).sinks)


def ask(journal: JournalClient, request: Request) -> None:
    """Leaves the request in the journal, and prints the answer."""
    number = journal.post(request)
    if not journal.running:
        text = f"no service runs on the journal {journal.path}; it will be done at its next start"
        echo(f"{request.sink}: {text}")
        return
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (answer := journal.done(number)) is None:
        if time.monotonic() > deadline:
            text = f"no answer yet: the service is busy; the request stays in the journal {journal.path}"
            echo(f"{request.sink}: {text}")
            return
        time.sleep(_LOOK_SECONDS)
    _answer(journal, answer)


def _answer(journal: JournalClient, answer: str) -> None:
    echo(f"{answer} (journal {journal.path})")
