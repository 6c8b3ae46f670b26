"""`publisher replay` and `publisher dead-letters`: they ask the service, or leave the request for its next start."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import typer

from ..config.settings import Settings, with_default_sinks
from ..errors import ConfigurationError, JournalError
from ..journal.requests import DeadLetter, JournalClient, Request
from ..service.logs import printable
from .journal import opened_journal

# A service looks for requests once a second.
_PATIENCE_SECONDS = 5.0
_LOOK_SECONDS = 0.05


def ask_for_replay(settings: Settings, sink: str, since: int | None) -> None:
    """Have a sink sent the snapshot, or the events since one; raises ConfigurationError for an unknown sink."""
    sinks = with_default_sinks(settings).sinks
    if sink not in sinks:
        raise ConfigurationError(f"there is no sink {sink!r}; there are: {', '.join(sinks)}")
    with opened_journal(settings) as journal:
        if since is not None and since > journal.seq:
            raise JournalError(f"the newest event is {journal.seq}: there is none after {since} yet")
        _ask(journal, Request("replay", sink, since=since))


def list_dead_letters(settings: Settings, sink: str | None) -> None:
    """Print a line for each."""
    with opened_journal(settings) as journal:
        letters = journal.dead_letters(sink)
    for letter in letters:
        typer.echo(_line(letter))
    if not letters:
        typer.echo("no dead letters" + (f" of {sink!r}" if sink else ""), err=True)


def show_dead_letter(settings: Settings, number: int) -> None:
    """Print the event, as it was to be sent, on standard output, and why it was not on standard error."""
    with opened_journal(settings) as journal:
        letter = _letter(journal, None, number)
    typer.echo(_line(letter), err=True)
    typer.echo(letter.event.model_dump_json(indent=2))


def retry_dead_letters(settings: Settings, sink: str | None, number: int | None) -> None:
    """Have dead letters sent again: one, a sink's, or all."""
    with opened_journal(settings) as journal:
        letters = journal.dead_letters(sink) if number is None else [_letter(journal, sink, number)]
        if not letters:
            typer.echo("no dead letters" + (f" of {sink!r}" if sink else ""), err=True)
        for name in dict.fromkeys(letter.sink for letter in letters):
            _ask(journal, Request("retry", name, dead_letter=number))


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
    return printable(text.replace("\n", " "))


def _ask(journal: JournalClient, request: Request) -> None:
    """Leave the request and say what came of it."""
    number = journal.post(request)
    if not journal.running:
        typer.echo(f"{request.sink}: no publisher runs on this journal; it will be done at its next start")
        return
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (answer := journal.done(number)) is None:
        if time.monotonic() > deadline:
            typer.echo(f"{request.sink}: the service has the request and is busy")
            return
        time.sleep(_LOOK_SECONDS)
    typer.echo(answer)
