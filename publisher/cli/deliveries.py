"""`publisher replay` and `publisher dead-letters`: requests to the running service, or for its next start."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from ..config.settings import Settings, with_default_sinks
from ..errors import ConfigurationError, JournalError
from ..journal.dead_letters import DeadLetter
from ..journal.requests import JournalClient, Request
from ..terminal import echo, echo_json
from .journal import find_journal, opened_journal

# A service looks for requests once a second.
_PATIENCE_SECONDS = 5.0
_LOOK_SECONDS = 0.05


def ask_for_replay(settings: Settings, sink: str, since: int | None) -> None:
    """Requests the snapshot, or the events after `since`, for a sink; raises ConfigurationError for an unknown sink."""
    sinks = with_default_sinks(settings).sinks
    if sink not in sinks:
        raise ConfigurationError(f"there is no sink {sink!r}; there are: {', '.join(sinks)}")
    path = find_journal(settings)
    with opened_journal(path) as journal:
        if since is not None and since > journal.seq:
            raise JournalError(f"the newest event is {journal.seq}: no event follows {since} yet")
        ask(path, journal, Request(kind="replay", sink=sink, since=since))


def list_dead_letters(settings: Settings, sink: str | None) -> None:
    """Prints one line for each dead letter."""
    path = find_journal(settings)
    with opened_journal(path) as journal:
        letters = journal.dead_letters(sink)
    for letter in letters:
        echo(_line(letter))
    if not letters:
        _echo_none(path, sink)


def show_dead_letter(settings: Settings, number: int) -> None:
    """Prints the event on standard output, and the reason of its refusal on standard error."""
    with opened_journal(find_journal(settings)) as journal:
        letter = _letter(journal, None, number)
    echo(_line(letter), err=True)
    echo_json(letter.event.model_dump(mode="json"))


def retry_dead_letters(settings: Settings, sink: str | None, number: int | None) -> None:
    """Requests that dead letters are sent again: one, those of a sink, or all."""
    path = find_journal(settings)
    with opened_journal(path) as journal:
        letters = journal.dead_letters(sink) if number is None else [_letter(journal, sink, number)]
        if not letters:
            _echo_none(path, sink)
        for name in dict.fromkeys(letter.sink for letter in letters):
            ask(path, journal, Request(kind="retry", sink=name, dead_letter=number))


def _echo_none(path: Path, sink: str | None) -> None:
    echo(f"no dead letters{f' of {sink!r}' if sink else ''} in the journal {path}", err=True)


def _letter(journal: JournalClient, sink: str | None, number: int) -> DeadLetter:
    for letter in journal.dead_letters(sink):
        if letter.id == number:
            return letter
    raise JournalError(f"there is no dead letter {number}" + (f" of {sink!r}" if sink else ""))


def _line(letter: DeadLetter) -> str:
    event = letter.event
    moment = datetime.fromtimestamp(letter.time, UTC).isoformat(sep=" ", timespec="seconds")
    alias = event.interface.alias if event.interface else "-"
    text = f"{letter.id}  {moment}  {letter.sink}  seq {event.seq}  {event.notification_type}  {alias}  {letter.reason}"
    return text.replace("\n", " ")


def ask(path: Path, journal: JournalClient, request: Request) -> None:
    """Leaves a request in the journal, and prints the answer."""
    number = journal.post(request)
    if not journal.running:
        echo(f"{request.sink}: no service runs on the journal {path}; it will be done at its next start")
        return
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (answer := journal.done(number)) is None:
        if time.monotonic() > deadline:
            echo(f"{request.sink}: no answer yet: the service is busy; the request stays in the journal {path}")
            return
        time.sleep(_LOOK_SECONDS)
    echo(answer)
